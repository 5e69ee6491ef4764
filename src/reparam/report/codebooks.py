"""The codebooks behind index codes: their place in a code, their use, and codes changed in one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reparam.model import Encoder
from reparam.report import queries
from reparam.report.section import Coded, Shown
from reparam.train.collapse import by_codebook, index_counts


class Book(NamedTuple):
    """One codebook of a model.

    Args:
        name: what tells it from the others, its grid.
        grid: (H', W') of its indices, or (tokens,).
        sites: where they stand in a flat code.
        shares: how often each code occurs, (K,).
    """

    name: str
    grid: tuple[int, ...]
    sites: Tensor
    shares: Tensor

    @property
    def order(self) -> Tensor:
        """The codes from the most frequent one."""
        return self.shares.argsort(descending=True, stable=True)

    @property
    def middle(self) -> int:
        """The site in the middle of the grid."""
        at = 0
        for side in self.grid:
            at = at * side + side // 2
        return int(self.sites[at])


def books(coded: Coded) -> list[Book]:
    """The codebooks of a model, the coarsest first, with their use in its codes."""
    model, code = coded.model, coded.code
    counts = index_counts(model, code).double()
    shares = counts / counts.sum(1, keepdim=True)
    sites = by_codebook(model, torch.arange(code[0].numel())[None])
    places = [place for grid in model.grids for place in _places(grid)]
    return [
        Book(name, grid, at.flatten(), share)
        for (name, grid), at, share in zip(places, sites, shares, strict=True)
    ]


def _places(grid: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Names and grids of the codebooks of one grid: one of each level of its depth."""
    depth, *sides = grid if len(grid) > 1 else (1, *grid)
    name = f"{' × '.join(map(str, sides))} indices"
    names = [f"{name}, level {level} of {depth}" for level in range(1, depth + 1)]
    return [(text, tuple(sides)) for text in (names if depth > 1 else [name])]


def usual(code: Tensor) -> Tensor:
    """The most frequent index at each place of codes (N, *shape), as one flat code (F,)."""
    found: Tensor = code.flatten(1).mode(0).values
    return found


def changed(code: Tensor, site: int, values: Tensor) -> Tensor:
    """A flat code (F,) once for each of the values, which stand at one site, (V, F)."""
    codes = code.repeat(len(values), 1)
    codes[:, site] = values
    return codes


def condition(shown: Shown, model: Encoder, count: int) -> Tensor | None:
    """The condition of the first test example, for each of so many codes."""
    c = queries.condition(model, shown.split, torch.zeros(1, dtype=torch.long))
    return None if c is None else c.expand(count, *c.shape[1:])
