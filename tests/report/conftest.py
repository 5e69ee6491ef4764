"""Pages say and draw the same, in a part of the time."""

from collections.abc import Iterator
from functools import partial

import pytest

from reparam.use.missing_part import complete


@pytest.fixture(autouse=True, scope="module")
def drawn_soon() -> Iterator[None]:
    """Labels are given no room, which takes longer than to draw them, and chains are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reparam.report.plots.lay_out", lambda figure: figure.set_layout_engine(None))
        patch.setattr("reparam.report.sections.completions.complete", partial(complete, steps=5))
        yield
