"""The section of the reach of a code: which pixels change when one index does."""

from __future__ import annotations

import matplotlib
import torch
from torch import Tensor

from reparam.model import Codec
from reparam.report import codebooks, queries
from reparam.report.codebooks import Book
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.section import Card, Coded, Section, Shown, images

EXAMPLES, OTHERS = 16, 8  # test images, and the codes put into the middle of each
MOST = 0.95  # of the change, within the square that is named
TILE = (160, 240)  # pixels
UNIT = Brightness(0.0, 1.0)


def build(shown: Shown) -> list[Card]:
    return [
        Card(coded.index, coded.label, [_heat(shown, coded, book) for book in books])
        for coded in shown.indexed
        if isinstance(coded.model, Codec)
        and (books := [b for b in codebooks.books(coded) if len(b.grid) == 2])
    ]


def _heat(shown: Shown, coded: Coded, book: Book) -> tuple[str, Picture]:
    change = reach(shown, coded, book)
    colors = matplotlib.colormaps["inferno"]((change / change.max().clamp(min=1e-30)).numpy())
    tile = torch.from_numpy(colors[..., :3]).permute(2, 0, 1)[None]
    alt = f"{coded.label}: change of x by one of the {book.name}"
    return _caption(change, book), grid(tile, UNIT, 1, alt, tile=TILE)


def reach(shown: Shown, coded: Coded, book: Book) -> Tensor:
    """Mean |difference| of x, (H, W), where the middle index is replaced by codes used most."""
    assert isinstance(coded.model, Codec)
    shape, values = coded.code.shape[1:], book.order[: OTHERS + 1]
    total = torch.zeros(shown.data.space.shape[1:], dtype=torch.float64)
    for row, code in enumerate(coded.code[:EXAMPLES].flatten(1)):
        others = values[values != code[book.middle]][:OTHERS]
        codes = torch.cat([code[None], codebooks.changed(code, book.middle, others)])
        c = queries.condition(coded.model, shown.split, torch.full((len(codes),), row))
        x = queries.decode(coded.model, codes.view(-1, *shape), c).double()
        total += (x[1:] - x[:1]).abs().mean((0, 1)) / min(EXAMPLES, len(coded.code))
    return total


def _caption(change: Tensor, book: Book) -> str:
    if not change.any():
        return f"{book.name}: nothing changes"
    sides = [f"{n / cells:.2g}" for n, cells in zip(change.shape, book.grid, strict=True)]
    most = f"{100 * MOST:.0f}\u00a0%"
    return (
        f"{book.name}, each of about {sides[0]} × {sides[1]} pixels: {most} of the change lies "
        f"within {2 * _radius(change, book) + 1} pixels across, {change.max().item():.2g} at most"
    )


def _radius(change: Tensor, book: Book) -> int:
    """How far ``MOST`` of the change lies from the middle of the cell, in pixels."""
    distance = torch.zeros(change.shape, dtype=torch.float64)
    for axis, (pixels, cells) in enumerate(zip(change.shape, book.grid, strict=True)):
        away = torch.arange(pixels).double() + 0.5 - (cells // 2 + 0.5) * pixels / cells
        distance = torch.maximum(distance, away.abs().view(-1, 1) if axis == 0 else away.abs())
    order = distance.flatten().argsort()
    inside = change.flatten()[order].cumsum(0) / change.sum()
    return int(distance.flatten()[order][(inside < MOST).sum()].floor())


SECTION: Section = Section(
    "code_reach",
    "Reach of a code",
    """Where x changes when the index in the middle of its grid becomes another one of those used
most: mean |difference| over test images, black none, yellow most.""",
    build,
    "code_reach.html.j2",
    images,
)
