"""The section of index maps: the codes of test images, a color for each index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from reparam.evaluation.vectors import unit_range
from reparam.model import Codec
from reparam.report import codebooks, queries
from reparam.report.codebooks import Book
from reparam.report.colors import index_colors
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.section import Card, Coded, Section, Shown, images
from reparam.report.selection import examples, names

PICTURES = 8
UNIT = Brightness(0.0, 1.0)


class Maps(NamedTuple):
    """The originals, and of each model its reconstructions and a map of the codes of each grid."""

    cards: list[Card]
    deep: bool


def build(shown: Shown) -> Maps | None:
    """The same test images for all models, so that grids of several sizes can be compared."""
    if not any(len(grid) == 3 for coded in shown.indexed for grid in coded.model.grids):
        return None
    rows = examples(shown.data.test, PICTURES, shown.seed)
    what = names(shown.data, rows)
    x = queries.in_data_units(shown.data.test.x[rows])
    first = grid(x, shown.brightness, len(rows), what.capitalize())
    cards = [Card(None, "Originals", [("test", first)])]
    for coded in shown.indexed:
        figures = [*_restored(shown, coded, rows, what), *_maps(shown, coded, rows, what)]
        cards.append(Card(coded.index, coded.label, figures))
    grids = [grid for coded in shown.indexed for grid in coded.model.grids if len(grid) == 3]
    return Maps(cards, deep=any(depth > 1 for depth, *_ in grids))


def _restored(shown: Shown, coded: Coded, rows: Tensor, what: str) -> Iterator[tuple[str, Picture]]:
    if isinstance(coded.model, Codec):
        data = shown.data
        x = queries.reconstruct(coded.model, data.test, rows)
        error = unit_range(x, data.space) - unit_range(data.test.x[rows], data.space)
        alt = f"{coded.label}: reconstructions of {what}"
        picture = grid(x, shown.brightness, len(rows), alt)
        yield f"reconstructed, MSE {error.square().mean().item():.3g}", picture


def _maps(shown: Shown, coded: Coded, rows: Tensor, what: str) -> Iterator[tuple[str, Picture]]:
    """The indices of every grid, of several levels of depth the first."""
    code = queries.indices(coded.model, shown.data.test.take(rows))
    assert code is not None
    first: dict[tuple[int, ...], Book] = {}
    for book in codebooks.books(coded):
        first.setdefault(book.grid, book)
    for book in first.values():
        if len(book.grid) == 2:
            tiles = _colored(code.flatten(1)[:, book.sites].view(-1, *book.grid), book)
            caption = f"{book.name}, {len(book.shares):,} codes"
            yield caption, grid(tiles, UNIT, len(rows), f"{coded.label}: {caption} of {what}")


def _colored(indices: Tensor, book: Book) -> Tensor:
    """Maps of indices (N, H', W') in the colors of their codes, (N, 3, H', W')."""
    colors = torch.tensor([to_rgb(color) for color in index_colors(len(book.shares))])
    of_code = torch.empty_like(colors)
    of_code[book.order] = colors
    return of_code[indices].movedim(-1, 1)


SECTION: Section = Section(
    "index_maps",
    "Index maps",
    """The same test images, what is left of them once their code is all there is, and that code:
every index has its color, gray being the one used most. Colors are each model's own, and alike ones
need not be alike codes.{% if content.deep %} Of several levels of depth the first is shown.
{%- endif %}""",
    build,
    "index_maps.html.j2",
    images,
)
