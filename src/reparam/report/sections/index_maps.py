"""The section of index maps: the codes of test images, a color for each index."""

from __future__ import annotations

from typing import NamedTuple

import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from reparam.evaluation.vectors import unit_range
from reparam.model import Codec
from reparam.report import codebooks, queries
from reparam.report.codebooks import Book
from reparam.report.colors import index_colors
from reparam.report.pictures import Brightness, grid
from reparam.report.section import Card, Coded, Section, Shown, images
from reparam.report.selection import examples, names

PICTURES = 8
UNIT = Brightness(0.0, 1.0)


class Maps(NamedTuple):
    """Originals, then of each model its reconstructions and the first level of every grid."""

    strips: list[Card]
    deep: bool


def build(shown: Shown) -> Maps | None:
    """The same test images for all models, so that what several gridscales keep is compared."""
    if not any(len(grid) == 3 for coded in shown.indexed for grid in coded.model.grids):
        return None
    data = shown.data
    rows = examples(data.test, PICTURES, shown.seed)
    x, what = queries.in_data_units(data.test.x[rows]), names(data, rows)
    first = grid(x, shown.brightness, len(rows), what.capitalize())
    strips = [Card(None, "Originals", [("", first)], "test")]
    for coded in shown.indexed:
        strips += _strips(shown, coded, rows, what)
    deep = any(grid[0] > 1 for coded in shown.indexed for grid in coded.model.grids)
    return Maps(strips, deep)


def _strips(shown: Shown, coded: Coded, rows: Tensor, what: str) -> list[Card]:
    model, data, strips = coded.model, shown.data, []
    if isinstance(model, Codec):
        x = queries.reconstruct(model, data.test, rows)
        errors = unit_range(x, data.space) - unit_range(data.test.x[rows], data.space)
        picture = grid(x, shown.brightness, len(rows), f"{coded.label}: reconstructions of {what}")
        note = f"reconstructed, MSE {errors.square().mean().item():.3g}"
        strips.append(Card(coded.index, coded.label, [("", picture)], note))
    code = queries.indices(model, data.test.take(rows))
    assert code is not None
    levels: dict[tuple[int, ...], Book] = {}
    for book in codebooks.books(coded):
        levels.setdefault(book.grid, book)  # the first level of each grid
    for book in levels.values():
        if len(book.grid) == 2:
            tiles = _colored(code.flatten(1)[:, book.sites].view(-1, *book.grid), book)
            picture = grid(tiles, UNIT, len(rows), f"{coded.label}: {book.name} of {what}")
            note = f"{book.name} of {len(book.shares):,} codes"
            strips.append(Card(coded.index, coded.label, [("", picture)], note))
    return strips


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
