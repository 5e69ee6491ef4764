"""Which of two densities is the likelier one, where a number may be a bound alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from reparam.batching import cost
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import difference
from reparam.model import Density
from reparam.report.claims.compared import MOST_PASSED, Compared
from reparam.report.claims.verdicts import ERRORS, UNTOLD, Verdict, plain, verdict_of
from reparam.report.trained import TrainedModel

LIKELIHOOD = "log_likelihood"
ROWS, PARTS = 30, 20  # test rows, and parts of the draws of each
ENOUGH = 0.5  # of these parts have to count, else more draws may raise the bound by any amount


def likelier(
    first: TrainedModel, second: TrainedModel, slacks: Mapping[str, float]
) -> tuple[Verdict, str]:
    """Whether log p(x) of the first is higher, and why that is not told, or what it rests on.

    A lower bound that is higher than a number decides; one that is lower does so only where its
    slack is known, and smaller than the difference.

    Args:
        first, second: with a log-likelihood each.
        slacks: by label how much higher than its bound log p(x) may be (``slack``).
    """
    gap = difference(first.scores[LIKELIHOOD], second.scores[LIKELIHOOD])
    verdict, reason = verdict_of(gap)
    if verdict == UNTOLD:
        return verdict, reason
    lower = second if gap.value > 0 else first
    more = slacks.get(lower.label, 0.0)
    if more == 0:
        return verdict, ""
    bound = f"the number of {lower.label} is a lower bound"
    if abs(gap.value) - more > ERRORS * (gap.stderr or 0.0):
        return verdict, f"{bound}, and {PARTS} times as many draws raise it by {_nats(more)}"
    return UNTOLD, f"{bound}, which may lie below that of {_other(lower, first, second).label}"


def _nats(more: float) -> str:
    return f"{plain(float(f'{more:.2g}'))} nats"


def _other(one: TrainedModel, *pair: TrainedModel) -> TrainedModel:
    return next(entry for entry in pair if entry is not one)


def slack(c: Compared, entry: TrainedModel) -> float:
    """How much higher than its number log p(x) may be, in nats: 0 of one that is no bound.

    A bound by K draws is the mean of log 1/K Σ w, and log 1/(20 K) Σ w of all draws of 20 such
    estimates lies above it, by what is taken for the slack. Infinite where nothing is known of it:
    of bounds that draws do not tighten, and where few of the 20 estimates make up their mean, so
    that others might raise it further.
    """
    score, model = entry.scores[LIKELIHOOD], entry.model
    if score.kind != "lower bound":
        return 0.0
    if not (isinstance(model, Density) and model.tightens and model.log_prob_draws):
        return math.inf
    rows = subset(c.data.test, ROWS, c.seed).x
    each = len(rows) * PARTS * model.passes_per_sample * cost(c.data.space)
    most = max(1, (score.samples or PARTS) // PARTS)
    x, k = rows.repeat_interleave(PARTS, 0), min(most, max(1, MOST_PASSED // each))
    parts = model.log_prob(x, samples=k, generator=c.generator).value.double().view(-1, PARTS)
    return rise(parts)


def rise(parts: torch.Tensor) -> float:
    """What all draws of estimates (N, 20) of N rows tell more than one of them does.

    >>> rise(torch.zeros(3, 20)), rise(torch.cat([torch.zeros(3, 19), 9 * torch.ones(3, 1)], 1))
    (0.0, inf)
    """
    together = parts.logsumexp(1)
    counted = (2 * together - (2 * parts).logsumexp(1)).exp().mean().item()
    if not counted >= ENOUGH * parts.shape[1]:
        return math.inf
    return (together - math.log(parts.shape[1]) - parts.mean(1)).mean().item()
