"""How probable a density finds the data: log-likelihood, bits per dimension, and the bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from reparam import numerics
from reparam.data import Split
from reparam.evaluation.rows import batches
from reparam.evaluation.scores import Score, Scores, difference, mean_score
from reparam.model import Density, Kind, LatentVariable
from reparam.train.random import seeded

BOUND: Kind = "lower bound"
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
    per_nat = numerics.bits_per_dim(1.0, dimension)
    errors = {
        name: None if error is None else abs(per_nat) * error
        for name, error in (("stderr", score.stderr), ("seed_stderr", score.seed_stderr))
    }
    values = None if score.values is None else per_nat * score.values
    return dataclasses.replace(
        score,
        value=numerics.bits_per_dim(score.value, dimension),
        unit="bits",
        values=values,
        **errors,
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


def bound_scores(
    terms: dict[str, Tensor], name: str, seed: int, draws: int = 1, prefix: str = ""
) -> Scores:
    """ELBO, distortion and rate in nats per example, from so many draws of z for each.

    And ``beta``, the weight of the rate that training ended with, where it moved.

    Args:
        terms: of the loss, by example.
        name: of the split.
        seed: of the draws.
        draws: of z for each example.
        prefix: of the ELBO's name, ``"conditional_"`` where it bounds log p(x|c).
    """
    distortion, rate = terms["distortion"], terms["rate"].flatten(1).sum(1)
    protocol = {"samples": draws, "seed": seed}
    scores = {
        f"{prefix}elbo": mean_score(-distortion - rate, "nats", name, kind=BOUND, **protocol),
        "distortion": mean_score(distortion, "nats", name, **protocol),
        "rate": mean_score(rate, "nats", name, **protocol),
    }
    if "beta" in terms:
        scores["beta"] = Score(terms["beta"][0].item(), "", len(rate), name)
    return scores


def posterior_gap(log_likelihood: Score, elbo: Score) -> Score:
    """log p(x) less the ELBO, KL(q(z|x) ‖ p(z|x)) in nats: of a lower bound, the least it can be.

    The error is that of differences by example.
    """
    gap = difference(log_likelihood, elbo)
    kind = None if log_likelihood.kind == "exact" else log_likelihood.kind
    return dataclasses.replace(
        log_likelihood, value=gap.value, stderr=gap.stderr, kind=kind, values=None
    )
