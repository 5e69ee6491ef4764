"""The table of lengths, of numbers that divide by nothing too."""

import io

import pytest
from rich.console import Console

from reparam.cli.code_lengths import Lengths


@pytest.mark.parametrize(("model", "more"), [(40.0, "+24 (+60.00%)"), (0.0, "+64 (+inf%)")])
def test_lengths_stand_beside_the_models_number(model, more):
    lengths = Lengths(64, 64.0, {"gzip": 40}, model, "−log₂ p (exact)")
    written = io.StringIO()
    Console(width=120, file=written).print(lengths.table())
    (raw,) = (line for line in written.getvalue().splitlines() if line.startswith("raw"))
    assert raw.rstrip().endswith(more) and "1.0000" in raw
