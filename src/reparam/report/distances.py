"""Distances in the data against distances between codes: Shepard diagrams."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.evaluation.vectors import Vectors
from reparam.report import plots, queries
from reparam.report.colors import model_color
from reparam.report.section import Card, Shown

PAIRS = 800


def shepard_diagrams(shown: Shown) -> list[Card]:
    """Random pairs of test examples: how far apart they are as x and as codes.

    Both in multiples of their mean, so that codes of any scale compare. Conditional models are left
    out: their codes contain the condition.
    """
    told_nothing = [coded for coded in shown.coded if not coded.model.conditional]
    if not told_nothing:
        return []
    first, second = _pairs(len(shown.split), shown.seed)
    vectors = Vectors(shown.data.space, shown.data.train.x)(shown.split.x).float()
    apart = _distances(vectors, first, second)
    return [
        _diagram(apart, _distances(coded.code.flatten(1), first, second), coded.index, coded.label)
        for coded in told_nothing
    ]


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


def _diagram(apart: Tensor, between: Tensor, index: int, label: str) -> Card:
    with plots.style():
        figure, axis = plots.panel(2.9, 2.7)
        plots.dots(axis, torch.stack([apart, between], 1), model_color(index))
        top = 1.05 * max(float(apart.max()), float(between.max()))
        axis.plot([0, top], [0, top], color="#808080", lw=0.8, ls=(0, (4, 3)))
        axis.set_xlim(0, 1.05 * float(apart.max()))
        axis.set_ylim(0, 1.05 * (float(between.max()) or 1.0))
        axis.set_xlabel("distance of x")
        axis.set_ylabel("distance of codes")
        plot = plots.svg(figure, f"{label}: distances between codes over distances between x")
    correlation = f"{rank_correlation(apart, between):.2f}".replace("-", "−")
    return Card(index, label, [(correlation, plot)])
