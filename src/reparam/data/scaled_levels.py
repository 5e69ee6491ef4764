"""Levels in disguise: floats that all are k/(K−1), or that mapped to [−1, 1], as loaders give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from reparam.data.contents import Array, Contents
from reparam.data.large_arrays import blocks, changed

USUAL = 256  # levels that are looked for where nothing is said
MOST = 2**16  # levels that float32 tells apart by far
# What dividing, and mapping to [-1, 1], rounds in [0, 1]: a unit in the last place below 1, of
# float16 half of one; float64 may have been float32 before.
ROUNDING = {2: 2.0**-12}
ROUNDING_OTHERWISE = 2.0**-23


class Scale(NamedTuple):
    """Level k of K stands as low + k (1 − low)/(K−1).

    >>> Scale(0, 256)
    Scale(low=0, levels=256)
    """

    low: int
    levels: int


def scale_of(
    arrays: Sequence[Array], levels: int | None = None, low: int | None = None
) -> Scale | None:
    """How levels were scaled to floats; None where these are not all scaled levels.

    Args:
        arrays: of any shape.
        levels: K; None: 256, and only where no coarser grid would do.
        low: 0 or -1, the level 0 of other data of the same; None: by the values, of which one has
            to be no whole number.

    >>> scale_of([np.array([0, 7, 255]) / 255]), scale_of([np.array([0.0, 0.5])])
    (Scale(low=0, levels=256), None)
    """
    count = levels or USUAL
    if not 2 < count <= MOST or any(x.dtype.kind != "f" for x in arrays):
        return None
    if low is not None:
        return Scale(low, count) if _levels_of(arrays, Scale(low, count)) else None
    for low in (0, -1):
        scale = Scale(low, count)
        present = _levels_of(arrays, scale)
        inner = [k for k in present if (1 - low) * k % (count - 1)]  # the others are 0, 1 and -1
        if inner and (levels is not None or math.gcd(count - 1, *inner) == 1):
            return scale
    return None


def _levels_of(arrays: Sequence[Array], scale: Scale) -> list[int]:
    """The levels that occur; none where a value is off their grid."""
    low, top = scale.low, scale.levels - 1
    present = np.zeros(scale.levels, bool)
    for x in arrays:
        slack = (1 - low) * ROUNDING.get(x.dtype.itemsize, ROUNDING_OTHERWISE)
        for rows in (slice(1), *blocks(x)):  # one row is nearly always enough to say no
            values = x[rows].astype(np.float64)
            k = np.rint((values - low) * (top / (1 - low)))
            if not (np.abs(low + k * (1 - low) / top - values) <= slack).all():
                return []
            if k.min() < 0 or k.max() > top:
                return []
            present[k.astype(np.int64).ravel()] = True
    return np.flatnonzero(present).tolist()


def with_whole_levels(
    contents: Contents, levels: int | None = None, low: int | None = None
) -> Contents:
    """The same data with scaled levels as the whole numbers they are, and a note.

    The arguments are those of ``scale_of``.

    >>> from reparam.data.contents import SplitArrays
    >>> contents = Contents({"train": SplitArrays(np.array([[0, 7, 255]]) / 255)}, "x", "array")
    >>> whole = with_whole_levels(contents)
    >>> whole.splits["train"].x.tolist(), whole.levels
    ([[0, 7, 255]], 256)
    """
    scale = scale_of([arrays.x for arrays in contents.splits.values()], levels, low)
    if scale is None:
        return contents
    low, top = scale.low, scale.levels - 1
    dtype: Any = np.uint8 if top < 256 else np.int32

    def whole(x: Array) -> Array:
        return np.rint((x.astype(np.float64) - low) * (top / (1 - low)))

    scaled = contents.with_x(lambda x: changed(x, whole, dtype))
    note = (
        f"Floats in [{low}, 1] that all are levels 0 … {top} divided by {top}"
        f"{' and mapped there' if low else ''}: they became whole numbers again, which have "
        'probabilities; kind="real" (--kind real) keeps them as they are.'
    )
    return replace(scaled, levels=scale.levels, scaled=low).noted(note)
