"""What each latent dimension does: one code moved along one dimension at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import edit
from reparam.data import Data, Split
from reparam.evaluation.latents import ACTIVE_VARIANCE
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.rows import subset
from reparam.model import Codec, LatentVariable, Model, features
from reparam.report import queries
from reparam.report.entry import Entry
from reparam.report.latent import MOST_POINTS
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.vectors import Columns, response

SHOWN, STEPS, REACH = 8, 9, 2.5  # dimensions, images per dimension, standard deviations
Draw = Callable[[Tensor, str], tuple[Picture | None, str]]
NEGLIGIBLE = 1e-4  # of the largest variance: what counts as dead in a codec without a prior


@dataclass(frozen=True)
class Dimension:
    """One latent dimension: how much it carries, and the decoded walk along it."""

    name: str
    amount: str
    share: float
    picture: Picture | None
    plot: str


@dataclass(frozen=True)
class TraversalCard:
    """The dimensions of one model in order, and what was left out."""

    model: int
    label: str
    order: str
    note: str
    dimensions: list[Dimension]


@dataclass(frozen=True)
class Axes:
    """The dimensions of a code by importance.

    Args:
        amount: rate or variance of each dimension, (F,).
        alive: which are used.
        unit: of the amounts.
        order: what the order is, in words.
    """

    amount: Tensor
    alive: Tensor
    unit: str
    order: str


def traversals(data: Data, entries: Sequence[Entry], seed: int) -> list[TraversalCard]:
    """Traversals of every codec with real codes."""
    split, cards = subset(data.test, MOST_POINTS, seed), []
    draw = _images(data) if data.space.is_image else _plots(data)
    for index, entry in enumerate(entries):
        if isinstance(entry.model, Codec):
            code = queries.encode(entry.model, split)
            if code is not None and features(code).isfinite().all() and len(split) > 2:
                axes = importance(entry.model, split, features(code), seed)
                cards.append(_card(split, index, entry, entry.model, code, axes, draw))
    return cards


def importance(model: Model, split: Split, flat: Tensor, seed: int) -> Axes:
    """Mean KL per dimension where the model has one, the variance of the codes otherwise."""
    variance = flat.var(0, correction=0)
    if isinstance(model, LatentVariable):
        rates = bound_terms(model, split, seed)["rate"].flatten(1)
        if rates.shape[1] == flat.shape[1]:
            order = "Ordered by rate, the mean KL(q(z|x) ‖ p(z)) of a dimension over the test set"
            return Axes(queries.plain(rates.mean(0)), variance > ACTIVE_VARIANCE, "nats", order)
    alive = variance > NEGLIGIBLE * variance.max()
    return Axes(variance, alive, "variance", "Ordered by the variance of the codes")


def _card(
    split: Split,
    index: int,
    entry: Entry,
    model: Codec,
    code: Tensor,
    axes: Axes,
    draw: Draw,
) -> TraversalCard:
    flat = features(code)
    order = axes.amount.argsort(descending=True)
    order = order[axes.alive[order]]
    mean, deviation = flat.mean(0), flat.std(0, correction=0)
    base = int((flat - mean).square().sum(1).argmin())  # a code that the decoder has met
    dimensions = []
    for dimension in order[:SHOWN].tolist():
        reach = REACH * deviation[dimension]
        values = mean[dimension] + torch.linspace(-1, 1, STEPS) * reach
        rows = slice(base, base + 1)
        c = queries.condition(model, split, rows)
        x = queries.plain(edit.traverse(model, split.x[rows], dimension, values, c)[0])
        picture, plot = draw(x, f"{entry.label}: x decoded along dimension {dimension}")
        amount = axes.amount[dimension].item()
        share = amount / max(axes.amount.max().item(), 1e-30)
        text = f"{amount:.3g} {axes.unit}"
        dimensions.append(Dimension(f"z{dimension}", text, share, picture, plot))
    return TraversalCard(index, entry.label, axes.order, _note(axes, len(order)), dimensions)


def _note(axes: Axes, alive: int) -> str:
    total = len(axes.amount)
    if alive == 0:
        return f"None of the {total} dimensions is used: all are dead"
    parts = [f"{min(alive, SHOWN)} of {total} dimensions shown"]
    if total - alive:
        parts.append(f"{total - alive} dead ones counted, not shown")
    if alive > SHOWN:
        parts.append(f"{alive - SHOWN} weaker ones left out")
    return ", ".join(parts)


def _images(data: Data) -> Draw:
    brightness = Brightness.of(data)
    return lambda x, alt: (grid(x, brightness, STEPS, alt, tile=(48, 64)), "")


def _plots(data: Data) -> Draw:
    columns = Columns.of(data)
    return lambda x, alt: (None, response(columns, x, alt))
