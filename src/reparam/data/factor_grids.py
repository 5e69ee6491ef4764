"""Grids of images, one for each combination of the levels of known factors, in a fixed split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reparam.data import large_arrays
from reparam.data.cache import digest
from reparam.data.contents import Array, Contents, FactorKind, SplitArrays
from reparam.data.splits import SPLITS, carve

# Of sprites, those of dSprites too.
FACTOR_KINDS: dict[str, FactorKind] = {
    "scale": "numbers",
    "orientation": "circular",
    "x": "numbers",
    "y": "numbers",
}
FIXED = "A fixed random split: 70 % train, 10 % valid, 20 % test."


@dataclass(frozen=True)
class Grid:
    """Images with known factors, which come block by block.

    Args:
        name, origin: of the data, and what messages call them.
        shape: (N, C, H, W), of bytes.
        factors: (N, F) levels, counted from 0.
        factor_names: of the columns of these.
        key: all that the images depend on, as JSON can say it.
        blocks: gives the images in their order, so many at a time.
        levels: K; None: the images are binary.
        notes: what was decided.
        level_names, factor_kinds: as in ``Contents``.
    """

    name: str
    origin: str
    shape: tuple[int, ...]
    factors: Callable[[], Array]
    factor_names: tuple[str, ...]
    key: Any
    blocks: Callable[[], Iterator[Array]]
    levels: int | None = None
    notes: tuple[str, ...] = ()
    level_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    factor_kinds: Mapping[str, FactorKind] = field(default_factory=dict)


def grid_contents(grid: Grid) -> Contents:
    """The grid in a fixed random split; a large one is made once and mapped from the cache folder.

    There its rows are in the order of the splits, so that none of them has to be copied.

    Raises:
        ValueError: there is no room for it, or it has fewer images than splits.

    >>> x = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    >>> factors = lambda: np.arange(10)[:, None]
    >>> ten = Grid("ten", "ten", x.shape, factors, ("number",), "ten", lambda: iter([x]), 10)
    >>> test = grid_contents(ten).splits["test"]
    >>> (test.x.ravel() == test.rows).all(), (test.factors.ravel() == test.rows).all()
    (np.True_, np.True_)
    """
    size, notes = math.prod(grid.shape), [*grid.notes, FIXED]
    if grid.shape[0] < len(SPLITS):
        raise ValueError(
            f"{grid.origin}: expected at least {len(SPLITS)} images, one for each split, got "
            f"{grid.shape[0]}"
        )
    if size < large_arrays.MAPPED_FROM:
        large_arrays.refuse_too_large(grid.origin, size)
        x = np.empty(grid.shape, np.uint8)
        _fill(x, grid)
    else:
        key = digest([grid.key, list(grid.shape)])
        x = large_arrays.kept(key, grid.shape, lambda x: _fill(x, grid))
        notes.append(f"Made once and mapped from a file of {size / 1e9:.1f} GB in the cache.")
    factors, splits, start = grid.factors(), {}, 0
    for split, rows in carve(len(x), seed=0).items():
        part = x[start : (start := start + len(rows))]
        splits[split] = SplitArrays(part, factors=factors[rows], rows=rows)
    return Contents(
        splits,
        grid.name,
        grid.origin,
        levels=grid.levels,
        notes=tuple(notes),
        factor_names=grid.factor_names,
        level_names=grid.level_names,
        factor_kinds=grid.factor_kinds,
    )


def _fill(x: Array, grid: Grid) -> None:
    rows = carve(len(x), seed=0)
    place = np.empty(len(x), np.intp)
    place[np.concatenate([rows[split] for split in SPLITS])] = np.arange(len(x))
    start = 0
    for block in grid.blocks():
        x[place[start : (start := start + len(block))]] = block
