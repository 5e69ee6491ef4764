"""Draws of a test's own, in place of those that losses make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from torch import Tensor

from reparam import numerics


@contextmanager
def noise_from(values: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """``numerics.noise`` replaced by a function of the tensor it should be like."""
    patch = pytest.MonkeyPatch()
    patch.setattr(numerics, "noise", lambda like, law="normal", generator=None: values(like))
    try:
        yield
    finally:
        patch.undo()
