"""Maps of the codes: the test set in two dimensions, and what 2-D codes decode to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.rows import subset
from reparam.model import Codec, LatentVariable
from reparam.report import queries
from reparam.report.colors import class_colors
from reparam.report.entry import Entry
from reparam.report.galleries import LARGE
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.scatter import scatter

MOST_POINTS, THUMBNAIL, SHEET_BYTES = 2000, 28, 600_000
PRIOR_DRAWS = 4096  # for quantiles of a prior that need not be normal
EDGE = 0.03  # share of the codes left out on either side of a manifold


@dataclass(frozen=True)
class LatentCard:
    """The map of one model, and its manifold where codes are 2-D images."""

    model: int
    label: str
    map: str
    projection: str
    manifold: Picture | None
    manifold_note: str

    @property
    def full(self) -> bool:
        return self.manifold is not None


@dataclass(frozen=True)
class Legend:
    """A class with its colors on light and dark pages."""

    name: str
    light: str
    dark: str


@dataclass(frozen=True)
class Thumbnails:
    """All mapped test images on one sheet, for the pointer to look up."""

    sheet: Picture
    columns: int


@dataclass(frozen=True)
class LatentMaps:
    """The section: cards of all models with real codes, the legend, the images."""

    cards: list[LatentCard]
    legend: list[Legend]
    points: int
    thumbnails: Thumbnails | None


def latent_maps(data: Data, entries: Sequence[Entry], seed: int) -> LatentMaps | None:
    """Where each codec puts the test set, or some of it, drawn at random."""
    split = subset(data.test, MOST_POINTS, seed)
    cards = []
    for index, entry in enumerate(entries):
        if isinstance(entry.model, Codec):
            code = queries.encode(entry.model, split)
            if code is not None and code.flatten(1).isfinite().all() and len(split) > 2:
                cards.append(_card(data, split, index, entry, entry.model, code, seed))
    if not cards:
        return None
    return LatentMaps(cards, legend(data), len(split), _thumbnails(data, split))


def _card(
    data: Data, split: Split, index: int, entry: Entry, model: Codec, code: Tensor, seed: int
) -> LatentCard:
    flat = code.flatten(1)
    points, projection = project(flat)
    if model.conditional:
        projection += "; the codes contain the condition, which alone may separate them"
    alt = f"{entry.label}: {len(flat)} test examples in code space"
    drawing = scatter(points, split.labels, class_names(data), alt)
    manifold, note = None, ""
    if flat.shape[1] == 2 and data.space.is_image:
        manifold, note = _manifold(data, entry, model, code, split, seed)
    return LatentCard(index, entry.label, drawing, projection, manifold, note)


def project(flat: Tensor) -> tuple[Tensor, str]:
    """Codes (N, F) as points (N, 2), and how they were made so.

    >>> project(torch.tensor([[3.0, 1, 0], [-3, 1, 0], [0, 3, 0], [0, -1, 0]]))[1]
    '3-D codes on their first two principal components: 100 % of the variance'
    """
    width = flat.shape[1]
    if width == 1:
        return torch.cat([flat, torch.zeros_like(flat)], 1), "1-D codes: z₁ →"
    if width == 2:
        return flat, "2-D codes as they are: z₁ →, z₂ ↑"
    centered = (flat - flat.mean(0)).double()
    # The points of the two largest components are eigenvectors of the Gram matrix, or come from
    # those of the covariance: whichever is smaller, as the codes of a flow are as wide as x.
    if width <= len(flat):
        values, vectors = torch.linalg.eigh(centered.T @ centered)
        points = centered @ vectors[:, -2:].flip(1)
    else:
        values, vectors = torch.linalg.eigh(centered @ centered.T)
        points = (vectors * values.clamp(min=0).sqrt())[:, -2:].flip(1)
    # The sign of an eigenvector is arbitrary: its farthest point is made positive.
    points = points * points.gather(0, points.abs().argmax(0, keepdim=True)).sign()
    share = (values[-2:].sum() / values.sum().clamp(min=1e-30)).item()
    text = (
        f"{width}-D codes on their first two principal components: "
        f"{100 * share:.0f} % of the variance"
    )
    return points.float(), text


def class_names(data: Data) -> tuple[str, ...]:
    """A name for every class that occurs."""
    if data.test.labels is None:
        return ()
    count = max(data.space.classes or 0, int(data.test.labels.max()) + 1)
    known = data.class_names or ()
    return tuple(known[i] if i < len(known) else str(i) for i in range(count))


def legend(data: Data) -> list[Legend]:
    """Every class with its colors."""
    names = class_names(data)
    light, dark = (class_colors(len(names), dark=dark) for dark in (False, True))
    return [Legend(*row) for row in zip(names, light, dark, strict=True)]


def _manifold(
    data: Data, entry: Entry, model: Codec, code: Tensor, split: Split, seed: int
) -> tuple[Picture, str]:
    side = 9 if max(data.space.shape[1:]) > LARGE else 12
    levels = torch.linspace(EDGE, 1 - EDGE, side)
    c = queries.condition(model, split, slice(1))
    if isinstance(model, LatentVariable):
        z = queries.prior_draws(model, PRIOR_DRAWS, c, queries.seeded_generator(seed))
        axes = torch.quantile(queries.plain(z).flatten(1), levels, dim=0)
        note = f"Decoded at prior quantiles {EDGE:.0%} to {1 - EDGE:.0%} of each dimension"
    else:
        low, high = torch.quantile(code.flatten(1), torch.tensor([EDGE, 1 - EDGE]), dim=0)
        axes = low + (high - low) * torch.linspace(0, 1, side)[:, None]
        note = f"Decoded evenly between quantiles {EDGE:.0%} and {1 - EDGE:.0%} of the codes"
    across, up = torch.meshgrid(axes[:, 0], axes[:, 1].flip(0), indexing="xy")
    points = torch.stack([across, up], -1).view(side * side, *code.shape[1:])
    c = None if c is None else c.expand(len(points), *c.shape[1:])
    x = queries.decode(model, points, c)
    alt = f"{entry.label}: decoded images over a {side} by {side} grid of codes"
    picture = grid(x, Brightness.of(data), side, alt, gap=0.06, tile=(32, LARGE))
    return picture, note


def _thumbnails(data: Data, split: Split) -> Thumbnails | None:
    """The mapped images, as small as a modest page weight asks for."""
    if not data.space.is_image:
        return None
    room = (SHEET_BYTES / (len(split) * min(3, data.space.shape[0]))) ** 0.5
    side = max(12, min(int(room), THUMBNAIL, max(data.space.shape[1:])))
    columns = int(len(split) ** 0.5) + 1
    sheet = grid(split.x, Brightness.of(data), columns, "", gap=0, tile=(1, side))
    return Thumbnails(sheet, columns)
