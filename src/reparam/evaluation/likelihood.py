"""How probable a density finds the data: log-likelihood, bits per dimension, and the bound."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import affordable, cost, rows_at_once
from reparam.data import Split
from reparam.distribution import weakest
from reparam.evaluation.rows import seeded_batches
from reparam.evaluation.scores import Score, ScoreKind, Scores, difference, mean_score
from reparam.model import Density, Kind, LatentVariable, LogProb, Space
from reparam.news import listening

BOUND: Kind = "lower bound"
SAMPLES_AT_ONCE = 16  # importance samples beside as many fewer rows: news of progress comes oftener
MOST_SAMPLES, LEAST_SAMPLES, FEWEST_ROWS = 1000, 10, 1000
# Of densities that more samples do not tighten, so that more rows say more than more samples.
FEW_SAMPLES, LEAST_ROWS, MOST_ROWS = 20, 100, 2000
FEW_EFFECTIVE = 0.05  # of the runs of annealing: then some have missed what others found
COST_BETWEEN_NEWS = 2**25  # in entries of x that pass


def default_samples(space: Space, rows: int, passes: int = 1) -> int:
    """Draws of each example of a split, of a density that draws, where none are asked for.

    As many as are ``affordable`` for all rows, 1000 at most and 10 at least, rounded down to one
    digit. It knows of the model only what a draw costs, as bounds of different models compare at
    the same number of samples. Splits of fewer than 1000 rows count as 1000, so that a few images
    do not get another bound than some hundreds.

    Args:
        space: of the data.
        rows: of the split.
        passes: of a network that a draw takes.

    >>> default_samples(Space((1, 28, 28), "binary"), 10_000)  # MNIST
    1000
    >>> default_samples(Space((3, 64, 64), "levels", 256), 30)
    80
    """
    samples = affordable(space, max(rows, FEWEST_ROWS), passes)
    digit = 10 ** (len(str(samples)) - 1)
    return max(LEAST_SAMPLES, min(MOST_SAMPLES, samples // digit * digit))


def usual_samples(model: Density, rows: int) -> int:
    """Draws of each example of so many where none are asked for: ``default_samples`` or fewer.

    20 where more of them would lessen the noise alone, as of a diffusion's bound, whose times they
    are; 1 of an ODE solver's estimate, each draw of which is a solution of its own.
    """
    if model.tightens:
        return default_samples(model.space, rows, model.passes_per_sample)
    return 1 if model.approximation == "flow solver" else FEW_SAMPLES


def rows_measured(model: Density, rows: int, samples: int) -> int:
    """How many of so many rows are measured: all, unless the model ``tightens`` nothing.

    Then as many as are affordable with these samples, 2000 at most and 100 at least.
    """
    if model.tightens:
        return rows
    drawn = samples if model.log_prob_draws else 1
    most = affordable(model.space, 1, drawn * model.passes_per_sample)
    return min(rows, MOST_ROWS, max(LEAST_ROWS, most))


def rows_between_news(space: Space, passes: int) -> int:
    """How many rows to measure at a time, so that news of progress come every few seconds."""
    return max(1, COST_BETWEEN_NEWS // (passes * cost(space)))


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
        samples: draws per example, of a density that draws.
        seed: of these samples.
        watch: is told the share that is done.
    """
    drawn = samples if model.log_prob_draws else 1
    rows = max(1, rows_at_once(model.space) // min(drawn, SAMPLES_AT_ONCE))
    if model.approximation != "flow solver":  # which tells of its steps itself
        rows = min(rows, rows_between_news(model.space, drawn * model.passes_per_sample))
    parts: list[LogProb] = []

    def within(share: float) -> None:
        watch(min(1.0, (len(parts) + share) * rows / len(split)))

    for batch, own_noise in seeded_batches(model, split, seed, rows):
        with own_noise if model.log_prob_draws else nullcontext(), listening(within):
            parts.append(model.log_prob(batch.x, batch.c, samples=samples))
        watch(min(1.0, len(parts) * rows / len(split)))
    values = torch.cat([part.value for part in parts])
    protocol = {"samples": parts[0].samples, "seed": seed} if model.log_prob_draws else {}
    kind = weakest(part.kind for part in parts)
    return with_partition(mean_score(values, "nats", name, kind=kind, **protocol), model)


def with_partition(score: Score, model: Density) -> Score:
    """The error of log Ẑ, which all examples share, counted in, and how it was found."""
    found = model.log_partition
    if found is None or found.kind == "exact":
        return score
    common = found.stderr.item()
    how = (
        f"log Z by annealed importance sampling, {found.runs} runs × {found.temperatures} "
        f"temperatures: effective sample size {found.effective_samples.item():.3g}, standard error "
        f"{common:.2g} nats, which that of log p(x) contains"
    )
    if found.effective_samples.item() < FEW_EFFECTIVE * found.runs:
        how += "; it rests on so few runs that log p(x) may be too high by more than that"
    return dataclasses.replace(
        score, stderr=math.hypot(score.stderr or 0.0, common), common_stderr=common, notes=(how,)
    )


def partition_scores(model: Density) -> Scores:
    """log Z of a density that is known up to it, and how many runs it seems to rest on.

    Its error is that of the spread of the weights over runs; ``n`` counts runs, or the states of
    which an exact sum was taken.
    """
    found = model.log_partition
    if found is None:
        return {}
    value, stderr = found.value.item(), found.stderr.item()
    if found.kind == "exact":
        return {"log_partition": Score(value, "nats", found.runs, "states", kind="exact")}
    effective = Score(found.effective_samples.item(), "runs", found.runs, "runs")
    log_z = Score(value, "nats", found.runs, "runs", stderr, "estimate")
    return {"log_partition": log_z, "partition_effective_samples": effective}


def regret(score: Score, true: Tensor) -> Score:
    """What a row loses by the model instead of the truth, mean(log p* − log p) in nats.

    The error is that of the difference row by row, in which what all densities find hard cancels.

    Args:
        score: log p(x), with its values by example.
        true: log p*(x) of the same rows, (N,).

    >>> values = torch.tensor([-3.0, -5.0])
    >>> found = regret(mean_score(values, "nats", "test", kind="lower bound"), values + 1)
    >>> found.value, found.stderr, found.kind
    (1.0, 0.0, 'upper bound')
    """
    assert score.values is not None
    kind: ScoreKind | None = "upper bound" if score.kind == "lower bound" else score.kind
    protocol = {"samples": score.samples, "seed": score.seed, "notes": score.notes}
    found = mean_score(true - score.values, score.unit, score.split, kind=kind, **protocol)
    if score.common_stderr is None:
        return found
    whole = math.hypot(found.stderr or 0.0, score.common_stderr)
    return dataclasses.replace(found, stderr=whole, common_stderr=score.common_stderr)


def bits_per_dim(score: Score, dimension: int) -> Score:
    """The same likelihood as bits per dimension; a lower bound in nats bounds bits from above."""
    per_nat = numerics.bits_per_dim(1.0, dimension)

    def in_bits(error: float | None) -> float | None:
        return None if error is None else abs(per_nat) * error

    return dataclasses.replace(
        score,
        value=numerics.bits_per_dim(score.value, dimension),
        unit="bits",
        stderr=in_bits(score.stderr),
        seed_stderr=in_bits(score.seed_stderr),
        common_stderr=in_bits(score.common_stderr),
        values=None if score.values is None else per_nat * score.values,
    )


@torch.no_grad()
def bound_terms(model: LatentVariable, split: Split, seed: int = 0) -> dict[str, Tensor]:
    """Every term of the loss for every row, under one fixed noise: (N,) or (N, G)."""
    parts: dict[str, list[Tensor]] = {}
    for batch, own_noise in seeded_batches(model, split, seed):
        with own_noise:
            terms = model.loss(batch.x, batch.c).terms
        for term, values in terms.items():
            parts.setdefault(term, []).append(values)
    return {term: torch.cat(values) for term, values in parts.items()}


def bound_scores(
    terms: dict[str, Tensor],
    name: str,
    seed: int,
    draws: int = 1,
    prefix: str = "",
    kind: Kind = BOUND,
) -> Scores:
    """ELBO, distortion and rate in nats per example, from so many draws of z for each.

    And ``beta``, the weight of the rate that training ended with, where it moved.

    Args:
        terms: of the loss, by example.
        name: of the split.
        seed: of the draws.
        draws: of z for each example.
        prefix: of the ELBO's name, ``"conditional_"`` where it bounds log p(x|c).
        kind: of the ELBO, which is no bound where log p(z) is an estimate.
    """
    distortion, rate = terms["distortion"], terms["rate"].flatten(1).sum(1)
    protocol = {"samples": draws, "seed": seed}
    scores = {
        f"{prefix}elbo": mean_score(-distortion - rate, "nats", name, kind=kind, **protocol),
        "distortion": mean_score(distortion, "nats", name, **protocol),
        "rate": mean_score(rate, "nats", name, **protocol),
    }
    if "beta" in terms:
        scores["beta"] = Score(terms["beta"][0].item(), "", len(rate), name)
    return scores


def kind_of_bound(model: LatentVariable) -> Kind:
    """What the ELBO is: a lower bound, as its mean is in nats, unless log p(z) is an estimate.

    >>> from reparam.presets import build
    >>> kind_of_bound(build("vae", Space((9,), "binary"), latent_dim=2))
    'lower bound'
    """
    c = model.draw_condition(1, torch.Generator(model.anchor.device).manual_seed(0))
    return BOUND if model.prior(c).bounds else "estimate"


def posterior_gap(log_likelihood: Score, elbo: Score) -> Score:
    """log p(x) less the ELBO, KL(q(z|x) ‖ p(z|x)) in nats: of a lower bound, the least it can be.

    The error is that of differences by example; log Z, where a prior has one, is in both alike.
    """
    each = (dataclasses.replace(one, common_stderr=None) for one in (log_likelihood, elbo))
    gap = difference(*each)
    kind = None if log_likelihood.kind == "exact" else log_likelihood.kind
    return dataclasses.replace(
        log_likelihood,
        value=gap.value,
        stderr=gap.stderr,
        kind=kind,
        common_stderr=None,
        values=None,
        notes=(),
    )
