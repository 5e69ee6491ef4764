"""Images that come as vectors, one column for each pixel."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reparam.data.contents import Array, Contents
from reparam.data.values import fits_float32

FEWEST = 64  # columns that may be pixels


def with_shape(contents: Contents, shape: tuple[int, ...]) -> Contents:
    """The same data with vectors made images.

    Args:
        contents: x of (N, D).
        shape: (H, W), (C, H, W) or (H, W, C), of D entries.

    Raises:
        ValueError: another shape, or other axes of x.

    >>> from reparam.data.contents import SplitArrays
    >>> rows = Contents({"train": SplitArrays(np.arange(12.0).reshape(2, 6))}, "rows", "t.csv")
    >>> with_shape(rows, (2, 3)).splits["train"].x.shape
    (2, 2, 3)
    """
    if len(shape) not in (2, 3) or not all(side > 0 for side in shape):
        raise ValueError(f"shape: expected (H, W) or (C, H, W), all at least 1, got {shape}")
    for split, arrays in contents.splits.items():
        if arrays.x.ndim != 2 or arrays.x.shape[1] != math.prod(shape):
            raise ValueError(
                f"shape: {contents.at(split)} has rows of {arrays.x.shape[1:]}; expected vectors "
                f"of {' × '.join(map(str, shape))} = {math.prod(shape)} entries"
            )
    if contents.form == "table":
        dtype = _type_of_pixels([arrays.x for arrays in contents.splits.values()])
        contents = contents.with_x(lambda x: x.astype(dtype))
    images = contents.with_x(lambda x: x.reshape(len(x), *shape))
    return replace(images, form="array")


def _type_of_pixels(arrays: Sequence[Array]) -> np.dtype[Any]:
    """What whole numbers 0 … 255 are, where a table knows only floats; else single precision."""
    if all(((x >= 0) & (x <= 255) & (x == np.floor(x))).all() for x in arrays):
        return np.dtype(np.int16)
    return np.dtype(np.float32) if fits_float32(arrays) else arrays[0].dtype


def pixel_notes(columns: Sequence[str] | None) -> list[str]:
    """A hint where columns of a table are called as pixels are.

    >>> pixel_notes(["label", *(f"pixel{i}" for i in range(784))])[0].split(": ")[1]
    'shape=(28, 28) (--shape 28x28) makes them images, once 1 other is label or dropped.'
    """
    names = columns or ()
    prefixes = Counter(name.rstrip("0123456789") for name in names)
    prefix, count = max(prefixes.items(), key=lambda item: item[1], default=("", 0))
    pixels = [name for name in names if name.rstrip("0123456789") == prefix]
    side, start = math.isqrt(count), pixels[0].removeprefix(prefix) if pixels else ""
    if count < FEWEST or side**2 != count or not start:
        return []
    if pixels != [f"{prefix}{int(start) + i}" for i in range(count)]:
        return []
    others = len(names) - count
    rest = f", once {others} other{'s are' if others > 1 else ' is'} label or dropped"
    return [
        f"Columns {pixels[0]} … {pixels[-1]} look like pixels: shape=({side}, {side}) "
        f"(--shape {side}x{side}) makes them images{rest if others else ''}."
    ]
