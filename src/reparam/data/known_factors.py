"""Data that are drawn with known factors of variation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from reparam.data.images.sprite_grids import ALL, Shape, Sprites
from reparam.data.loading import load_data
from reparam.data.splits import Data


def sprites(
    *,
    shapes: Shape | Sequence[Shape] = ALL,
    scales: int = 6,
    orientations: int = 20,
    positions: int = 16,
    side: int = 32,
    colors: int = 1,
    antialias: bool = False,
    background: Literal["noise"] | None = None,
    distinct: bool = False,
) -> Data:
    """Images of simple shapes, one for each combination of the levels of their factors.

    They are what ``load_data`` gives of a name with choices, as ``"sprites side=64 colors=3"``,
    which is also how the command line asks for them and a run remembers them. The levels are
    counted from 0, in ``Split.factors``; no sprite is cut off at an edge, and its factors x and y
    are the center of its area.

    Args:
        shapes: square, ellipse or heart, or several of these.
        scales: sizes from a half to 1, of which the largest is about half as wide as the image.
        orientations: angles of a whole turn, counterclockwise and without its end, so that a square
            is the same after a quarter of them and an ellipse after a half.
        positions: places in x, and as many in y, whole or half pixels apart.
        side: height and width of the images, in pixels.
        colors: 1 is white, in one channel; more are as many of red, yellow, green, cyan, blue and
            magenta, in three channels, and a factor more.
        antialias: whether edges are gray, which makes the images levels 256; else they are binary.
        background: black, or ``"noise"``, a uniform draw for every pixel and channel (levels 256).
        distinct: whether orientations divide only the turn after which a shape is the same.

    Raises:
        ValueError: choices that no image can have, or more images than there is room for.

    >>> data = sprites(shapes="heart", scales=2, orientations=4, positions=4, side=16)
    >>> data.factor_names, data.space.kind, sum(map(len, data.splits.values()))
    (('shape', 'scale', 'orientation', 'x', 'y'), 'binary', 128)
    """
    chosen = Sprites(
        (shapes,) if isinstance(shapes, str) else tuple(shapes),
        scales,
        orientations,
        positions,
        side,
        colors,
        antialias,
        background,
        distinct,
    )
    return load_data(" ".join(["sprites", *chosen.words]))
