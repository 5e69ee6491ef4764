"""Distances in the data against distances between codes: Shepard diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Data
from reparam.evaluation.representation import data_vectors
from reparam.evaluation.rows import subset
from reparam.model import Codec
from reparam.report import plots, queries
from reparam.report.colors import model_color
from reparam.report.entry import Entry

PAIRS, MOST_ROWS = 800, 2000


@dataclass(frozen=True)
class Diagram:
    """Distances of pairs, between codes over between x, and their rank correlation."""

    model: int
    label: str
    correlation: str
    plot: str


def shepard_diagrams(data: Data, entries: Sequence[Entry], seed: int) -> list[Diagram]:
    """Random pairs of test examples: how far apart they are as x and as codes.

    Both in multiples of their mean, so that codes of any scale compare. Conditional models are left
    out: their codes contain the condition.
    """
    split = subset(data.test, MOST_ROWS, seed)
    if len(split) < 3:
        return []
    first, second = _pairs(len(split), seed)
    vectors = data_vectors(split, data.train, data.space).float()
    apart = _distances(vectors, first, second)
    panels = []
    for index, entry in enumerate(entries):
        model = entry.model
        if not isinstance(model, Codec) or model.conditional:
            continue
        code = queries.encode(model, split)
        if code is not None and code.flatten(1).isfinite().all():
            between = _distances(code.flatten(1), first, second)
            panels.append(_diagram(apart, between, index, entry.label))
    return panels


def _pairs(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs of different rows, drawn with replacement."""
    generator = queries.seeded_generator(seed)
    first = torch.randint(n, (PAIRS,), generator=generator)
    step = torch.randint(1, n, (PAIRS,), generator=generator)
    return first, (first + step) % n


def _distances(points: Tensor, first: Tensor, second: Tensor) -> Tensor:
    distance = (points[first] - points[second]).square().sum(1).sqrt()
    return distance / distance.mean().clamp(min=1e-30)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's ρ: the correlation of ranks; ties take the ranks in their order.

    >>> rank_correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0.1, 0.2, 0.3]))
    1.0
    """
    ranks = torch.stack([a, b]).argsort(1).argsort(1).double()
    return round(torch.corrcoef(ranks)[0, 1].item(), 6)


def _diagram(apart: Tensor, between: Tensor, index: int, label: str) -> Diagram:
    with plots.style():
        figure, axis = plots.panel(2.9, 2.7)
        plots.dots(axis, torch.stack([apart, between], 1), model_color(index))
        top = 1.05 * max(float(apart.max()), float(between.max()))
        axis.plot([0, top], [0, top], color="#808080", lw=0.8, ls=(0, (4, 3)))
        axis.set_xlim(0, 1.05 * float(apart.max()))
        axis.set_ylim(0, 1.05 * float(between.max()))
        axis.set_xlabel("distance of x")
        axis.set_ylabel("distance of codes")
        plot = plots.svg(figure, f"{label}: distances between codes over distances between x")
    correlation = f"{rank_correlation(apart, between):.2f}".replace("-", "−")
    return Diagram(index, label, correlation, plot)
