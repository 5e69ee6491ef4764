"""Whether a table of float64 may be stored as float32, and which columns forbid it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reparam.data.raw import Array, Raw

ROUNDING = 1e-4  # of a column's standard deviation: less is lost in any model
FAR = 1e5  # standard deviations from 0: float32 then keeps a hundredth of one
COLUMNS_AT_ONCE = 64  # bounds the memory of temporaries

Floats = np.ndarray[Any, np.dtype[np.float64]]


def fits_float32(parts: Sequence[Array]) -> bool:
    """Whether float32 loses nothing of these rows (N, D) that a model could learn.

    Args:
        parts: the splits, the training rows first: their spread is what rounding is compared with.

    >>> fits_float32([np.array([[0.1], [0.7]])]), fits_float32([1.7e9 + np.array([[0.1], [0.7]])])
    (True, False)
    """
    for _, columns in _blocks(parts[0].shape[1]):
        _, deviation, varied = _spread(parts[0][:, columns])
        for part in parts:
            x = part[:, columns].astype(np.float64, copy=False)
            rounding = np.abs(x - x.astype(np.float32)).max(0)
            if (varied & (rounding > ROUNDING * deviation)).any():
                return False
    return True


def far_columns(raw: Raw) -> list[str]:
    """A note for every column of a table of which float32 keeps less than a hundredth."""
    x, notes = raw.parts["train"].x, []
    for start, columns in _blocks(x.shape[1]):
        mean, deviation, varied = _spread(x[:, columns])
        far = varied & (np.abs(mean) > FAR * deviation)
        for column in start + np.flatnonzero(far):
            name = raw.columns[column] if raw.columns else str(column)
            notes.append(
                f"Column {name!r} lies more than {FAR:,.0f} standard deviations from 0: the table "
                "stays float64, and so does what leaves a model."
            )
    return notes


def _blocks(width: int) -> Iterator[tuple[int, slice]]:
    for start in range(0, width, COLUMNS_AT_ONCE):
        yield start, slice(start, start + COLUMNS_AT_ONCE)


def _spread(x: Array) -> tuple[Floats, Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Mean and standard deviation of every column, and whether it varies at all."""
    varied = x.min(0) < x.max(0)  # the deviation of a constant column is not always exactly 0
    x = x.astype(np.float64, copy=False)
    return x.mean(0), x.std(0), varied
