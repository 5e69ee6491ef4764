"""How probable a density finds the data: log-likelihood, bits per dimension, and the bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from reparam import numerics
from reparam.data import Split
from reparam.evaluation.rows import batches
from reparam.evaluation.scores import Score, Scores, mean_score
from reparam.model import Density, LatentVariable
from reparam.train.random import seeded

SAMPLES_AT_ONCE = 16  # importance samples beside as many fewer rows: news of progress comes oftener


@torch.no_grad()
def log_likelihood(
    model: Density,
    split: Split,
    name: str = "test",
    samples: int = 1000,
    seed: int = 0,
    watch: Callable[[float], None] = lambda share: None,
) -> Score:
    """Mean log p(x) over a split, in nats per example.

    Args:
        model: any density.
        split: its examples.
        name: of the split.
        samples: importance samples per example, for latent-variable models.
        seed: of these samples.
        watch: is told the share that is done.
    """
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    at_once = min(samples, SAMPLES_AT_ONCE) if isinstance(model, LatentVariable) else 1
    rows = max(1, model.space.rows_at_once // at_once)
    parts = []
    for batch in batches(model, split, rows):
        parts.append(model.log_prob(*batch, samples=samples, generator=generator))
        watch(min(1.0, len(parts) * rows / len(split)))
    values = torch.cat([part.value for part in parts])
    drawn = parts[0].samples if isinstance(model, LatentVariable) else None
    return mean_score(
        values,
        "nats",
        name,
        kind=parts[0].kind,
        samples=drawn,
        seed=None if drawn is None else seed,
    )


def bits_per_dim(score: Score, dimension: int) -> Score:
    """The same likelihood as bits per dimension; a lower bound in nats bounds bits from above."""
    stderr = score.stderr
    return dataclasses.replace(
        score,
        value=numerics.bits_per_dim(score.value, dimension),
        stderr=None if stderr is None else -numerics.bits_per_dim(stderr, dimension),
        unit="bits",
    )


@torch.no_grad()
def bound_terms(model: LatentVariable, split: Split, seed: int = 0) -> dict[str, Tensor]:
    """Every term of the loss for every row, under one fixed noise: (N,) or (N, G)."""
    parts: dict[str, list[Tensor]] = {}
    with seeded(seed, model.anchor.device):
        for batch in batches(model, split):
            for term, values in model.loss(*batch).terms.items():
                parts.setdefault(term, []).append(values)
    return {term: torch.cat(values) for term, values in parts.items()}


def bound_scores(terms: dict[str, Tensor], name: str, seed: int, draws: int = 1) -> Scores:
    """ELBO, distortion and rate in nats per example, from so many draws of z for each.

    And ``beta``, the weight of the rate that training ended with, where it moved.
    """
    distortion, rate = terms["distortion"], terms["rate"].flatten(1).sum(1)
    protocol = {"samples": draws, "seed": seed}
    scores = {
        "elbo": mean_score(-distortion - rate, "nats", name, kind="lower bound", **protocol),
        "distortion": mean_score(distortion, "nats", name, **protocol),
        "rate": mean_score(rate, "nats", name, **protocol),
    }
    if "beta" in terms:
        scores["beta"] = Score(terms["beta"][0].item(), "", len(rate), name)
    return scores
