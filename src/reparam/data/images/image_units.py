"""Pictures in the units of other data: a user's own photo for a model trained on anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reparam.data.contents import Array, Contents
from reparam.data.values import black_and_white, zeros_and_ones
from reparam.space import Space

WHITE = 255
DIGITS = 4  # of the ends of real data, by which they are told to be 0 and 1
DARK = 16  # data of raw pixels reach beyond: what ends below has another scale


def in_units(contents: Contents, space: Space, span: tuple[float, float]) -> Contents:
    """Decoded images of 0 … 255 in the values of data, with a note where that changes them.

    Args:
        contents: what was read; what are no image files stays as it is.
        space: of the data.
        span: their smallest and largest value.

    Raises:
        ValueError: real data of a range that images do not have.

    >>> from reparam.data.contents import SplitArrays
    >>> photo = SplitArrays(np.array([[[[0, 51, 255]]]], np.uint8))
    >>> contents = Contents({"examples": photo}, "a.png", "a.png", "images")
    >>> in_units(contents, Space((1, 1, 3), "levels", 6), (0, 5)).splits["examples"].x
    array([[[[0, 1, 5]]]])
    """
    x = contents.splits["examples"].x
    if contents.form != "images" or not space.is_image:
        return contents
    if space.kind == "binary":
        if zeros_and_ones(x) or black_and_white(x):
            return contents
        return _changed(contents, x > WHITE / 2, "0 (below 128) or 1")
    if space.kind == "levels" and space.levels is not None:
        if x.max() < space.levels <= WHITE + 1:  # they are levels themselves
            full = space.levels == WHITE + 1
            note = (
                f"No value is above {space.levels - 1}: taken for levels, as the model's data are."
            )
            return contents if full else contents.noted(note)
        top = space.levels - 1
        return _changed(contents, np.rint(x * (top / WHITE)).astype(np.int64), f"0 to {top}")
    low, high = (round(end, DIGITS) for end in span)  # scalers end a little beyond 1
    if low < -1 or high > WHITE or (low < 0 and high > 1) or 1 < high < DARK:
        raise ValueError(
            f"{contents.origin}: the data of the model reach from {low:g} to {high:g}, which the "
            "pixels of an image file (0 to 255) cannot be converted to; give an .npy file in their "
            "units"
        )
    if high > 1:
        return contents
    bottom = -1 if low < 0 else 0
    scaled = (bottom + (1 - bottom) * (x / WHITE)).astype(np.float32)
    return _changed(contents, scaled, f"{bottom} to 1")


def with_channels(contents: Contents, space: Space) -> Contents:
    """Gray rows among color, as in a folder: three equal channels, and a note."""
    arrays = contents.splits["examples"]
    if not space.is_image or space.shape[0] != 3 or arrays.x.shape[1:] != (1, *space.shape[1:]):
        return contents
    contents = replace(contents, splits={"examples": replace(arrays, x=np.repeat(arrays.x, 3, 1))})
    return contents.noted("Gray rows got three equal channels, as the model's data are in color.")


def _changed(contents: Contents, x: Array, became: str) -> Contents:
    arrays = replace(contents.splits["examples"], x=x)
    note = f"Pixels 0 to {WHITE} became {became}, as the model's data are."
    return replace(contents, splits={"examples": arrays}).noted(note)
