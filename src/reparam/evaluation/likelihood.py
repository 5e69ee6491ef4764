"""How probable a density finds the data: log-likelihood, bits per dimension, and the bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from reparam import numerics
from reparam.data import Split
from reparam.evaluation.scores import Score, Scores, mean_score
from reparam.model import ROWS_PER_CHUNK, Batch, Density, LatentVariable, Model
from reparam.train.random import seeded


def batches(model: Model, split: Split) -> Iterator[Batch]:
    """Every row of a split as the model takes it, the last batch as short as it is."""
    labels = split.labels if model.conditional else None
    for start in range(0, len(split), ROWS_PER_CHUNK):
        rows = slice(start, start + ROWS_PER_CHUNK)
        yield Batch(split.x[rows], None if labels is None else labels[rows])


@torch.no_grad()
def log_likelihood(
    model: Density, split: Split, name: str = "test", samples: int = 1000, seed: int = 0
) -> Score:
    """Mean log p(x) over a split, in nats per example.

    Args:
        model: any density.
        split: its examples.
        name: of the split.
        samples: importance samples per example, for latent-variable models.
        seed: of these samples.

    Raises:
        ValueError: some log p(x) is NaN or infinite.
    """
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    parts = [
        model.log_prob(*batch, samples=samples, generator=generator)
        for batch in batches(model, split)
    ]
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


def bound_scores(terms: dict[str, Tensor], name: str, seed: int) -> Scores:
    """ELBO, distortion and rate in nats per example, one posterior draw each."""
    distortion, rate = terms["distortion"], terms["rate"].flatten(1).sum(1)
    protocol = {"samples": 1, "seed": seed}
    return {
        "elbo": mean_score(-distortion - rate, "nats", name, kind="lower bound", **protocol),
        "distortion": mean_score(distortion, "nats", name, **protocol),
        "rate": mean_score(rate, "nats", name, **protocol),
    }
