"""A score: a number that says what it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from reparam.model import Kind


@dataclass(frozen=True)
class Score:
    """One measured number with its uncertainty and protocol.

    Args:
        value: the number itself.
        unit: nats, bits, dimensions, seconds …
        n: how many examples it was measured on.
        split: of the data that was read.
        stderr: standard error, over the examples, or over seeds where several were trained.
        kind: of likelihoods: exact, lower bound (in nats) or estimate.
        samples: draws per example, where there are any.
        seed: of the draws; a list where the value is a mean over trained seeds, and the standard
            error therefore one over seeds.

    >>> Score(0.5, "nats", n=10, split="test").stderr is None
    True
    """

    value: float
    unit: str
    n: int
    split: str
    stderr: float | None = None
    kind: Kind | None = None
    samples: int | None = None
    seed: int | list[int] | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


Scores = dict[str, Score]


def finite(scores: Mapping[str, Score]) -> Scores:
    """The scores; ValueError, with its name, for one that is NaN or infinite.

    >>> finite({"elbo": Score(float("nan"), "nats", n=10, split="test")})
    Traceback (most recent call last):
    ValueError: elbo: is nan on 10 test examples; the model has diverged, train it with a smaller lr
    """
    for name, score in scores.items():
        if not math.isfinite(score.value):
            on = "samples" if score.split == "none" else f"{score.split} examples"
            why = "the model has diverged, train it with a smaller lr"
            if score.value == -math.inf:
                why += ", or an entry that never varied in its training data does so here"
            raise ValueError(f"{name}: is {score.value} on {score.n} {on}; {why}")
    return dict(scores)


def mean_score(values: Tensor, unit: str, split: str, **protocol: Any) -> Score:
    """The mean over examples (B,), in float64, with its standard error.

    >>> import torch
    >>> mean_score(torch.tensor([1.0, 3.0]), "nats", "test")
    Score(value=2.0, unit='nats', n=2, split='test', stderr=1.0, kind=None, samples=None, seed=None)
    """
    values = values.cpu().double()
    n = len(values)
    stderr = (values.std() / math.sqrt(n)).item() if n > 1 else None
    return Score(values.mean().item(), unit, n, split, stderr, **protocol)


def share_score(right: Tensor, split: str) -> Score:
    """The share of true entries (B,), with the standard error of a proportion.

    >>> import torch
    >>> share_score(torch.tensor([True, False]), "test").stderr
    0.3535533905932738
    """
    share, n = right.double().mean().item(), len(right)
    return Score(share, "share", n, split, stderr=math.sqrt(share * (1 - share) / n))


def ratio_score(above: Tensor, below: Tensor, unit: str, split: str, **protocol: Any) -> Score:
    """R = mean(above) / mean(below) over examples (B,), with its linearised standard error.

    Var R ≈ Var(above − R below) / (n mean(below)²), the delta method.

    >>> import torch
    >>> ratio_score(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 6.0]), "of x", "test").stderr
    0.0
    """
    above, below = above.cpu().double(), below.cpu().double()
    ratio = above.mean() / below.mean()
    error = mean_score(above - ratio * below, unit, split).stderr
    stderr = None if error is None else error / below.mean().abs().item()
    return Score(ratio.item(), unit, len(above), split, stderr, **protocol)
