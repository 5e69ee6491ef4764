"""Whether draws come as often as they are probable."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor


def chi_square(counts: Tensor, expected: Tensor) -> float:
    """The p-value of Pearson's test; cells that expect under 5 are merged into one."""
    rare = expected < 5
    merged = [torch.cat([v[~rare], v[rare].sum()[None]]).double() for v in (counts, expected)]
    if merged[1][-1] < 5:  # still too few: left out, the others rescaled
        merged = [v[:-1] for v in merged]
    observed, predicted = merged
    predicted = predicted * observed.sum() / predicted.sum()
    return float(stats.chisquare(observed.numpy(), predicted.numpy()).pvalue)
