"""Sprites: images of simple shapes, one for each combination of the levels of their factors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.lib.stride_tricks import sliding_window_view

from reparam.data.contents import Array, Contents
from reparam.data.factor_grids import FACTOR_KINDS, Grid, grid_contents
from reparam.data.images.sprite_templates import SHAPES, templates
from reparam.data.large_arrays import refuse_too_large
from reparam.limits import Count, Limited, convert, hints
from reparam.wording import did_you_mean

Shape = Literal["square", "ellipse", "heart"]
ALL: tuple[Shape, ...] = ("square", "ellipse", "heart")
FACTORS = ("shape", "scale", "orientation", "x", "y", "color")
COLORS = {  # corners of the cube of colors, so that an image without gray stays without
    "red": (1, 0, 0),
    "yellow": (1, 1, 0),
    "green": (0, 1, 0),
    "cyan": (0, 1, 1),
    "blue": (0, 0, 1),
    "magenta": (1, 0, 1),
}
DRAWING = 64  # bytes for each pixel while it is drawn
ROWS = 4096  # images at a time, on which the noise depends
FORMAT = 1  # of what is drawn: another number where the same choices give other images


@dataclass(frozen=True)
class Sprites(Limited):
    """Which sprites there are: the factors' levels, and how they are drawn.

    A sprite of scale 1 reaches half a pixel less than a quarter of the side from its center, which
    is moved over the middle half of the image by steps of whole or half pixels: none is cut off.

    Args:
        shapes: square, ellipse or heart, or several of these.
        scales: sizes from a half to 1.
        orientations: angles of a whole turn, without its end.
        positions: places in x, and as many in y.
        side: height and width of the images, in pixels.
        colors: 1 is white in one channel; more are red, yellow, green, cyan, blue and magenta.
        antialias: whether edges are gray (256 levels) or all pixels black and white.
        background: black, or ``"noise"``: a uniform draw for every pixel.
        distinct: whether orientations are those of the turn after which a shape is the same.

    Raises:
        ValueError: choices beyond these limits, or more positions than half pixels.

    >>> Sprites(shapes=("heart",), orientations=8).counts
    (1, 6, 8, 16, 16)
    """

    shapes: tuple[Shape, ...] = ALL
    scales: Annotated[int, Meta(ge=1, le=100)] = 6
    orientations: Annotated[int, Meta(ge=1, le=360)] = 20
    positions: Count = 16
    side: Annotated[int, Meta(ge=16, le=1024)] = 32
    colors: Annotated[int, Meta(ge=1, le=6)] = 1
    antialias: bool = False
    background: Literal["noise"] | None = None
    distinct: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shapes or len(set(self.shapes)) < len(self.shapes):
            got = ", ".join(self.shapes) or "none"
            raise ValueError(f"shapes: expected one or several of {', '.join(ALL)}, got {got}")
        if self.positions > self.side + 1:
            raise ValueError(
                f"positions: expected at most {self.side + 1}, a half pixel apart in images of "
                f"side {self.side}, got {self.positions}; choose fewer, or a larger side"
            )

    def chosen(self, words: Sequence[str]) -> Sprites:
        """The same with other choices, each written as ``name=value``.

        >>> Sprites().chosen(["shapes=square,heart", "side=64", "antialias=yes"]).words
        ('shapes=square,heart', 'side=64', 'antialias=yes')
        """
        known, given = hints(Sprites), dict[str, object]()
        for name, _, text in (word.partition("=") for word in words):
            if name not in known:
                raise ValueError(
                    f"{name}: sprites have no such choice{did_you_mean(name, known)}; expected "
                    f"{', '.join(known)}"
                )
            if name in given:
                raise ValueError(f"{name}: given twice")
            given[name] = convert(name, text, known[name])
        return replace(self, **given)  # type: ignore[arg-type]

    @property
    def words(self) -> tuple[str, ...]:
        """What is not as by default, as it would be written."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        defaults = {each.name: each.default for each in fields(self)}
        return tuple(f"{k}={_written(v)}" for k, v in given.items() if v != defaults[k])

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of levels of each factor, of which the last changes first."""
        counts = (len(self.shapes), self.scales, self.orientations, self.positions, self.positions)
        return counts if self.colors == 1 else (*counts, self.colors)

    @property
    def gray(self) -> bool:
        return self.antialias or self.background is not None

    @property
    def radii(self) -> Array:
        """Of each scale: how far a sprite reaches from its center, in pixels."""
        largest = self.side / 4 - 0.5
        return largest * (np.linspace(0.5, 1, self.scales) if self.scales > 1 else np.ones(1))

    def angles(self, shape: str) -> Array:
        """Of each orientation, in radians counterclockwise."""
        turn = SHAPES[shape][1] if self.distinct else 2 * np.pi
        angles: Array = np.arange(self.orientations) * (turn / self.orientations)
        return angles

    @property
    def centers(self) -> Array:
        """Of each position: where a sprite's center is, in pixels from the left or from above."""
        step = self.side // max(1, self.positions - 1) / 2
        places = np.arange(self.positions) - (self.positions - 1) / 2
        centers: Array = self.side / 2 + step * places
        return centers

    def factors(self) -> Array:
        """(N, F) levels, counted from 0."""
        return np.indices(self.counts, np.int32).reshape(len(self.counts), -1).T


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(value) if isinstance(value, tuple) else str(value)


class Atlas:
    """Every sprite drawn once for each sub-pixel place of its center; images are windows of that.

    Args:
        sprites: which.

    >>> Atlas(Sprites(("square",), 1, 1, 2, 16)).canvases.shape
    (1, 1, 1, 24, 24)
    """

    def __init__(self, sprites: Sprites) -> None:
        self.sprites = sprites
        whole = np.floor(sprites.centers).astype(int)
        phases, self.phase = np.unique(sprites.centers - whole, return_inverse=True)
        self.start = whole.max() - whole  # of the window, at each position
        side = sprites.side + int(self.start.max())
        poses = math.prod(sprites.counts[:3])  # and what drawing those of one size takes
        each = len(phases) ** 2 * side**2
        refuse_too_large("sprites", each * (poses + DRAWING * sprites.orientations))
        drawn = [
            templates(
                shape,
                radius,
                sprites.angles(shape),
                whole.max() + phases,
                side,
                sprites.antialias,
            )
            for shape in sprites.shapes
            for radius in sprites.radii
        ]
        self.canvases = np.concatenate(drawn)  # (poses, phases of y, phases of x, side, side)

    def blocks(self) -> Iterator[Array]:
        """The images (N, C, H, W) in the order of their factors, so many at a time."""
        sprites, side = self.sprites, self.sprites.side
        windows = sliding_window_view(self.canvases, (side, side), (-2, -1))
        poses = len(self.canvases)
        counts = (poses, *sprites.counts[3:])
        n = math.prod(counts)
        for start in range(0, n, ROWS):
            rows = np.arange(start, min(start + ROWS, n))
            pose, x, y, *color = np.unravel_index(rows, counts)
            one = windows[pose, self.phase[y], self.phase[x], self.start[y], self.start[x]]
            yield self._colored(one[:, None], color, start)

    def _colored(self, x: Array, color: Sequence[Array], start: int) -> Array:
        """Images (n, 1, H, W) in their colors, upon their background."""
        sprites = self.sprites
        of = (
            np.array(list(COLORS.values()), np.uint8)[color[0]]
            if color
            else np.ones((1, 1), np.uint8)
        )
        of = of[:, :, None, None]
        if sprites.background is None:
            return x * of
        share = x.astype(np.uint16) * (1 if sprites.antialias else 255)
        noise = np.random.default_rng([FORMAT, start]).integers(
            0, 256, (len(x), of.shape[1], *x.shape[2:]), np.uint8
        )
        mixed = share * of * np.uint16(255) + (255 - share) * noise
        return ((mixed + 127) // 255).astype(np.uint8)

    def distinct(self) -> int:
        """How many of the images differ, whatever their background.

        As none is cut off, an image is what its sprite looks like and where that begins.
        """
        poses, phases = self.canvases.shape[:2]
        looks, found = dict[bytes, int](), np.empty((poses, phases, phases, 3), np.int64)
        for index in np.ndindex(poses, phases, phases):
            canvas = self.canvases[index]
            rows, columns = (np.flatnonzero(canvas.any(axis)) for axis in (1, 0))
            inside = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            look = inside.tobytes() + bytes(str(inside.shape), "ascii")
            found[index] = looks.setdefault(look, len(looks)), rows[0], columns[0]
        at = found[:, self.phase][:, :, self.phase]  # (poses, y, x, 3)
        below, right = at[..., 1] - self.start[:, None], at[..., 2] - self.start
        side = self.sprites.side
        codes = (at[..., 0] * side + below) * side + right
        return len(np.unique(codes)) * self.sprites.colors


def sprite_contents(name: str, sprites: Sprites) -> Contents:
    """The images of all combinations, in a fixed random split.

    >>> sprite_contents("sprites", Sprites(scales=1, orientations=4, positions=2)).notes[0]
    '48 images, 28 of them distinct: a square looks the same after a quarter of a turn, an ellipse \
after a half; distinct=yes (distinct=True) turns neither further.'
    """
    atlas = Atlas(sprites)
    n, channels = math.prod(sprites.counts), 1 if sprites.colors == 1 else 3
    colors = {} if channels == 1 else {"color": tuple(COLORS)[: sprites.colors]}
    return grid_contents(
        Grid(
            name,
            name,
            (n, channels, sprites.side, sprites.side),
            sprites.factors,
            FACTORS[: len(sprites.counts)],
            ["sprites", FORMAT, sprites.words],
            atlas.blocks,
            256 if sprites.gray else None,
            _notes(sprites, n, atlas.distinct()),
            level_names={"shape": sprites.shapes} | colors,
            factor_kinds=FACTOR_KINDS,
        )
    )


def _notes(sprites: Sprites, n: int, distinct: int) -> tuple[str, ...]:
    but = " but for the noise" if sprites.background else ""
    count = f"{n} images, {'all' if distinct == n else distinct} of them distinct{but}"
    turned = sprites.orientations > 1 and not sprites.distinct and set(sprites.shapes) != {"heart"}
    why = (
        ": a square looks the same after a quarter of a turn, an ellipse after a half; "
        "distinct=yes (distinct=True) turns neither further"
    )
    shapes = ", ".join(f"{level} {shape}" for level, shape in enumerate(sprites.shapes))
    return f"{count}{why if turned else ''}.", f"Levels of the factor shape: {shapes}."
