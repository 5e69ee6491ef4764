"""The section of codebooks: each code as the decoder shows it, by how often it is used."""

from __future__ import annotations

from typing import NamedTuple

import torch
from markupsafe import Markup
from torch import Tensor

from reparam import numerics
from reparam.model import Codec
from reparam.report import codebooks, plots, queries
from reparam.report.codebooks import Book
from reparam.report.colors import model_color
from reparam.report.pictures import Picture, grid
from reparam.report.section import Coded, Section, Shown, images

MOST_TILES = 96  # of a model
CELLS = 5  # indices whose part of the image is shown, the one that changes in the middle
TILE = (28, 56)  # pixels


class Code(NamedTuple):
    """One code: its picture, and its share over the largest."""

    picture: Picture
    share: float


class Use(NamedTuple):
    """A codebook: what there is to say of it, its codes as tiles, or all of them as bars."""

    note: str
    tiles: list[Code]
    bars: Markup | None


class Codebooks(NamedTuple):
    """The codebooks of one model, and how many examples tell their use."""

    model: int
    label: str
    examples: int
    books: list[Use]


def build(shown: Shown) -> list[Codebooks]:
    found = []
    for coded in shown.indexed:
        books = codebooks.books(coded)
        draw = _tiles if images(shown) and isinstance(coded.model, Codec) else _bars
        uses = [draw(shown, coded, book, MOST_TILES // len(books)) for book in books]
        found.append(Codebooks(coded.index, coded.label, len(coded.code), uses))
    return found


def _tiles(shown: Shown, coded: Coded, book: Book, most: int) -> Use:
    """The most frequent codes in use, each in the middle of a grid that is else the usual one."""
    assert isinstance(coded.model, Codec)
    used = int((book.shares > 0).sum())
    order = book.order[: min(most, used)]
    codes = codebooks.changed(codebooks.usual(coded.code), book.middle, order)
    c = codebooks.condition(shown, coded.model, len(codes))
    x = queries.decode(coded.model, codes.view(-1, *coded.code.shape[1:]), c)
    x = _around_the_middle(x, book)
    shares = book.shares[order].tolist()
    alts = [f"code {k}: {share:.2%}" for k, share in zip(order.tolist(), shares, strict=True)]
    tiles = [
        Code(grid(x[i : i + 1], shown.brightness, 1, alts[i], gap=0, tile=TILE), share / shares[0])
        for i, share in enumerate(shares)
    ]
    left_out = used - len(order)
    return Use(_note(book) + (f"; {left_out:,} rarer left out" * bool(left_out)), tiles, None)


def _around_the_middle(x: Tensor, book: Book) -> Tensor:
    """The part of images (N, C, H, W) that belongs to ``CELLS`` indices each way."""
    for axis, cells in enumerate(book.grid, 2):
        size = x.shape[axis] / cells
        first = max(0, round((cells // 2 - CELLS // 2) * size))
        last = min(x.shape[axis], round((cells // 2 + CELLS // 2 + 1) * size))
        x = x.narrow(axis, first, last - first)
    return x


def _bars(shown: Shown, coded: Coded, book: Book, most: int) -> Use:
    shares = book.shares[book.order]
    with plots.style():
        figure, axis = plots.panel(3.9, 1.9)
        axis.fill_between(
            torch.arange(len(shares) + 1).numpy(),
            torch.cat([shares, shares[-1:]]).numpy() * 100,
            step="post",
            color=model_color(coded.index),
            lw=0,
        )
        axis.axhline(100 / len(shares), color="0.5", lw=0.8, ls=":")
        axis.set_xlim(0, 1.03 * len(shares))
        axis.set_ylim(bottom=0)
        axis.set_xlabel("codes, by use")
        axis.set_ylabel("% of indices")
        drawn = plots.svg(figure, f"{coded.label}: how often each code is used")
    return Use(_note(book), [], drawn)


def _note(book: Book) -> str:
    codes, used = len(book.shares), int((book.shares > 0).sum())
    perplexity = numerics.perplexity(book.shares).item()
    return f"{book.name}: {used:,} of {codes:,} codes in use, perplexity {perplexity:.3g}"


SECTION: Section = Section(
    "codebook",
    "Codebook",
    """{% if data.space.is_image %}Each code in use as the decoder shows it: alone in the middle of
a grid of the most frequent index of every place; a tile is what belongs to five indices
each way. The most used come first; bars are their use, the most used code's being full.
{%- else %}How often each code is used, the most used first; dotted, were all used alike.
{%- endif %} Over {{ "{:,}".format(content[0].examples) }} test examples.""",
    build,
    "code_tiles.html.j2",
)
