"""What each latent dimension does: one code moved along one dimension at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.latents import ACTIVE_VARIANCE
from reparam.evaluation.likelihood import bound_terms
from reparam.model import Codec, LatentVariable, Model, features
from reparam.report import queries
from reparam.report.entry import Entry
from reparam.report.latent import MOST_POINTS, head
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.vectors import response

SHOWN, STEPS, REACH = 8, 9, 2.5  # dimensions, images per dimension, standard deviations
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
    split, cards = head(data.test, MOST_POINTS), []
    for index, entry in enumerate(entries):
        if isinstance(entry.model, Codec):
            code = queries.encode(entry.model, split)
            if code is not None and features(code).isfinite().all() and len(split) > 2:
                axes = importance(entry.model, split, features(code), seed)
                cards.append(_card(data, split, index, entry, entry.model, code, axes))
    return cards


def importance(model: Model, split: Split, flat: Tensor, seed: int) -> Axes:
    """Mean KL per dimension where the model has one, the variance of the codes otherwise."""
    variance = flat.var(0, correction=0)
    if isinstance(model, LatentVariable):
        rate = queries.plain(bound_terms(model, split, seed)["rate"].flatten(1).mean(0))
        if len(rate) == flat.shape[1]:
            order = "Ordered by rate, the mean KL(q(z|x) ‖ p(z)) of a dimension over the test set"
            return Axes(rate, variance > ACTIVE_VARIANCE, "nats", order)
    alive = variance > NEGLIGIBLE * variance.max()
    return Axes(variance, alive, "variance", "Ordered by the variance of the codes")


def _card(
    data: Data, split: Split, index: int, entry: Entry, model: Codec, code: Tensor, axes: Axes
) -> TraversalCard:
    flat = features(code)
    order = axes.amount.argsort(descending=True)
    order = order[axes.alive[order]]
    mean, deviation = flat.mean(0), flat.std(0, correction=0)
    base = int((flat - mean).square().sum(1).argmin())  # a code that the decoder has met
    dimensions = []
    for dimension in order[:SHOWN].tolist():
        walk = flat[base].repeat(STEPS, 1)
        reach = REACH * deviation[dimension]
        walk[:, dimension] = mean[dimension] + torch.linspace(-1, 1, STEPS) * reach
        c = queries.condition(model, split, slice(base, base + 1))
        c = None if c is None else c.expand(STEPS)
        x = queries.decode(model, walk.view(STEPS, *code.shape[1:]), c)
        dimensions.append(_dimension(data, entry, dimension, axes, x))
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


def _dimension(data: Data, entry: Entry, index: int, axes: Axes, x: Tensor) -> Dimension:
    amount = axes.amount[index].item()
    share = amount / max(axes.amount.max().item(), 1e-30)
    name, text = f"z{index + 1}", f"{amount:.3g} {axes.unit}"
    if not data.space.is_image:
        return Dimension(name, text, share, None, response(data, x, f"{entry.label}: {name}"))
    alt = f"{entry.label}: images decoded along dimension {index + 1}"
    return Dimension(name, text, share, grid(x, Brightness.of(data), STEPS, alt, tile=(48, 64)), "")
