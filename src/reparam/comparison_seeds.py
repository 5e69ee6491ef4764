"""The scores of one model under several seeds: means, with their errors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import mean, stdev

import torch

from reparam.evaluation.scores import Score, Scores, mean_score

SAME = 1e-6  # relative spread over seeds that is rounding: the model does not depend on them


def over_seeds(scores: Sequence[Scores], seeds: Sequence[int]) -> Scores:
    """Means over seeds, with the standard errors over them and over the examples.

    One seed's scores stay as they are, and so does a score that is the same whatever the seed, such
    as the likelihood of PCA. A score that some seeds lack is left out: a mean over the others would
    be one over those that were chosen for it.

    >>> from reparam.evaluation import Score
    >>> each = [{"elbo": Score(value, "nats", 9, "test", 0.5)} for value in (1.0, 3.0)]
    >>> mean = over_seeds(each, [0, 1])["elbo"]
    >>> mean.value, mean.stderr, mean.seed_stderr, mean.seed
    (2.0, 0.5, 1.0, [0, 1])
    """
    common = [name for name in scores[0] if all(name in one for one in scores)]
    return {name: _over_seeds([one[name] for one in scores], list(seeds)) for name in common}


def _over_seeds(scores: Sequence[Score], seeds: list[int]) -> Score:
    first, values = scores[0], [score.value for score in scores]
    if max(values) - min(values) <= SAME * abs(first.value):
        return first
    by_example = _mean_by_example(scores)
    errors = [score.stderr for score in scores if score.stderr is not None]
    if by_example is not None:
        over_examples = mean_score(by_example, first.unit, first.split).stderr
    else:  # the same examples: their errors do not cancel, the mean of them is the most there is
        over_examples = mean(errors) if len(errors) == len(scores) else None
    return dataclasses.replace(
        first,
        value=mean(values),
        stderr=over_examples,
        seed=seeds,
        seed_stderr=stdev(values) / math.sqrt(len(values)),
        common_stderr=None,  # of each seed anew: the spread over them has it
        values=by_example,
    )


def _mean_by_example(scores: Sequence[Score]) -> torch.Tensor | None:
    """The values of every example, means over seeds; None unless each seed has them all."""
    found = [score.values for score in scores if score.values is not None]
    if len(found) < len(scores) or len({len(values) for values in found}) > 1:
        return None
    return torch.stack(found).mean(0)
