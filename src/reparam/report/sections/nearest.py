"""The section of the training images that samples are nearest to."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.evaluation.copies import nearest_rows
from reparam.evaluation.rows import subset
from reparam.evaluation.samples import TRAINING_ENTRIES, TRAINING_ROWS
from reparam.evaluation.vectors import Vectors
from reparam.model import Density, Generator
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import LARGE, SMALL

COLUMNS, COLUMNS_OF_LARGE = 12, 8
OF_TEST = 200  # test images at most by which it is told how near unseen ones are


def build(shown: Shown) -> list[Card]:
    """Test images with the training images nearest to them, and draws of every generator."""
    cards: list[Card] = []
    near = Nearest(shown)
    test = subset(shown.data.test, OF_TEST, shown.seed).x
    usual = near.distances(test).mean().item()
    drawn = torch.randperm(len(test), generator=queries.seeded_generator(shown.seed))
    for index, label, _ in shown.of(Generator):
        draws = shown.samples[index].draws
        if not cards:
            cards.append(near.card(None, "Test images", test[drawn[: len(draws)]], usual))
        cards.append(near.card(index, label, draws, usual))
    return cards


class Nearest:
    """The nearest training images of others, of some of them drawn at random where there are many.

    Args:
        shown: what the page is about.
    """

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        most = min(TRAINING_ROWS, TRAINING_ENTRIES // shown.data.space.dimension)
        self.train = subset(shown.data.train, most, shown.seed)
        self.vectors = Vectors(shown.data.space, self.train.x)
        large = max(shown.data.space.shape[1:]) > LARGE
        self.columns = COLUMNS_OF_LARGE if large else COLUMNS

    def distances(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Of images to the training images nearest to them, or to these rows."""
        points = self.vectors(x)
        rows = nearest_rows(points, self.train, self.vectors) if rows is None else rows
        return (points - self.vectors(self.train.x[rows])).norm(dim=1)

    def card(self, index: int | None, label: str, x: Tensor, usual: float) -> Card:
        """Those nearest of all, above the training images that they are nearest to."""
        finite = x.flatten(1).isfinite().all(1)
        x = x[finite]
        if not len(x):
            return Card(index, label, [])
        rows = nearest_rows(self.vectors(x), self.train, self.vectors)
        apart = self.distances(x, rows)
        first = apart.argsort(stable=True)[: self.columns]
        tiles = torch.cat([queries.in_data_units(t) for t in (x[first], self.train.x[rows[first]])])
        alt = f"{label}, above the training images nearest to them"
        picture = grid(tiles, self.shown.brightness, len(first), alt, tile=SMALL)
        return Card(index, label, [("", picture)], _note(index, apart, usual))


def _note(index: int | None, apart: Tensor, usual: float) -> str:
    """How far all images are, in mean distances of test images, and how far the nearest is."""
    if not usual > 0:
        return "test images are copies of training images"
    mean, least = apart.mean().item() / usual, apart.min().item() / usual
    copied = int((apart == 0).sum())
    said = f"{copied} of {len(apart)} are copies" if copied else f"the nearest {least:.2f}"
    return f"distance {mean:.2f}, {said}" if index is not None else f"distance 1, {said}"


def may_copy(shown: Shown) -> bool:
    """Images, and a model that undoes noise, or has a critic, an energy or no density.

    Such a model may come to remember all of small data, and has no exact likelihood of other rows
    that would tell. Of all others a page has the scores of near copies alone, and is short.
    """
    return images(shown) and any(
        model.from_noise or model.judgment or not isinstance(model, Density)
        for _, _, model in shown.of(Generator)
    )


SECTION: Section = Section(
    "nearest",
    "Nearest training images",
    """Draws of each model, those nearest to the training data first, above the training images that
they are nearest to; and as many test images, which no model has seen. Distances are Euclidean, the
mean of test images being 1. Copies are at 0, which small data invite; what is smooth or average is
near many images without being a copy of any.""",
    build,
    "nearest.html.j2",
    may_copy,
)
