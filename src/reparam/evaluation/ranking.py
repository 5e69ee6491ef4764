"""How well one number ranks anomalous examples above normal ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam.data.contents import Array
from reparam.evaluation.scores import Score, mean_score
from reparam.space import as_tensor

AUROC = "area under the ROC, 0.5 by chance"
SEPARATED = (
    "Every anomalous example lies {side} every normal one, so that a standard error of 0 says "
    "nothing: more examples would."
)


def auroc(score: Any, is_anomalous: Any, split: str = "test") -> Score:
    """The area under the ROC curve, with the standard error of DeLong.

    It is how often an anomalous example has a higher score than a normal one, ties counted half:
    AUROC = 1/(mn) Σ_i Σ_j ψ(a_i, b_j), with ψ = 1, ½ or 0 where a_i is above, equal or below. With
    A_i = mean_j ψ(a_i, b_j) and B_j = mean_i ψ(a_i, b_j) its variance is
    var(A)/m + var(B)/n, both with m − 1 and n − 1 in the denominator; found of ranks, in
    O(N log N).

    The values by example have the AUROC as their mean and its standard error as theirs, so that
    ``difference`` of two scores of the same examples has the standard error of that difference. Of
    one anomalous or normal example alone no spread is known: there are neither values nor an error.

    Args:
        score: (N,), higher = odder; infinite ones are ranked as well.
        is_anomalous: (N,), true or 1 for anomalous examples.
        split: of the examples.

    Raises:
        ValueError: scores that are NaN, or examples of one class only.

    Reference: DeLong, DeLong & Clarke-Pearson 1988, "Comparing the areas under two or more
    correlated receiver operating characteristic curves", eq. 4 to 6.
    https://doi.org/10.2307/2531595

    >>> found = auroc([1.0, 2.0, 2.0, 3.0], [0, 0, 1, 1])
    >>> found.value, found.n, round(found.stderr, 4)
    (0.875, 4, 0.1768)
    """
    values, odd = _checked(score, is_anomalous)
    ranks = _midranks(values)
    area, above, below = _placements(ranks, odd)
    apart = np.empty(len(values))
    apart[odd], apart[~odd] = above - area, below - area
    return _ranked(area, apart, odd, AUROC, split, area)


def average_precision(score: Any, is_anomalous: Any, split: str = "test") -> Score:
    """The mean precision at the scores of the anomalous examples, with its standard error.

    AP = 1/m Σ_i p_i over anomalous i, with p_i = A_i / (A_i + B_i), of the A_i anomalous and B_i
    normal examples whose score is at least that of i. By chance it is the share of anomalous
    examples, on which it depends: compare it at one share only.

    The standard error is that of the infinitesimal jackknife: AP is a function of the weight of
    every example, whose derivatives U_k at equal weights are summed as squares about their mean in
    each class, as AUROC's are; the numbers of both classes count as given:

        U_k = (p_k − AP)/m + 1/m Σ_i [s_k ≥ s_i] B_i/(A_i + B_i)²    of an anomalous k,
        U_k = − 1/m Σ_i [s_k ≥ s_i] A_i/(A_i + B_i)²                 of a normal one.

    It agrees with a bootstrap within each class, and draws nothing. Values by example are as those
    of ``auroc``.

    Args:
        score: (N,), higher = odder.
        is_anomalous: (N,), true or 1 for anomalous examples.
        split: of the examples.

    Raises:
        ValueError: scores that are NaN, or examples of one class only.

    Reference: Efron 1982, "The jackknife, the bootstrap and other resampling plans", section 6.3.
    https://doi.org/10.1137/1.9781611970319

    >>> found = average_precision([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1])
    >>> round(found.value, 4), found.unit
    (0.8333, 'mean precision, 0.5 by chance')
    """
    values, odd = _checked(score, is_anomalous)
    levels, level = np.unique(values, return_inverse=True)
    count = len(levels)
    own = np.bincount(level[odd], minlength=count)
    above = _from_above(own)  # anomalous examples at each level or above
    others = _from_above(np.bincount(level[~odd], minlength=count))
    seen, m = np.maximum(above + others, 1), int(odd.sum())
    precision = above / seen
    value = float((own * precision).sum() / m)
    # What an example's weight changes at every level that it is counted in: at its own and below.
    gain = np.cumsum(own * others / seen**2)[level] / m
    loss = np.cumsum(own * above / seen**2)[level] / m
    slope = np.where(odd, (precision[level] - value) / m + gain, -loss)
    rows = np.where(odd, m, len(values) - m)
    means = np.where(odd, slope[odd].mean(), slope[~odd].mean())
    share = f"mean precision, {m / len(values):.3g} by chance"
    area, _, _ = _placements(_midranks(values), odd)
    return _ranked(value, (slope - means) * rows, odd, share, split, area)


def exceedance(inside: Tensor, outside: Tensor) -> float:
    """How often a value from outside exceeds one from inside, ties counted half.

    The value of ``auroc`` alone; NaN where one of the values is.

    Args:
        inside: (N,).
        outside: (M,).

    >>> exceedance(torch.tensor([1.0, 2.0]), torch.tensor([2.0, torch.inf]))
    0.875
    """
    both = torch.cat([inside, outside]).detach().cpu().double().numpy()
    if np.isnan(both).any():
        return float("nan")
    return _placements(_midranks(both), np.arange(len(both)) >= len(inside))[0]


def _checked(score: Any, is_anomalous: Any) -> tuple[Array, Array]:
    values = as_tensor(score, "score").detach().cpu().double().numpy()
    given = as_tensor(is_anomalous, "is_anomalous").detach().cpu().numpy()
    if values.ndim != 1 or values.shape != given.shape:
        got = f"{values.shape} and {given.shape}"
        raise ValueError(f"is_anomalous: expected one for each score, both (N,), got {got}")
    if not np.isin(given, (0, 1)).all():
        raise ValueError("is_anomalous: expected true and false, or 1 and 0, got other values")
    if missing := int(np.isnan(values).sum()):
        raise ValueError(f"score: expected numbers, got {missing} of {len(values)} that are NaN")
    odd = given.astype(bool)
    if odd.all() or not odd.any():
        only = "anomalous" if odd.any() else "normal"
        raise ValueError(
            f"is_anomalous: expected normal and anomalous examples, got {len(odd)} {only} ones "
            "only; a ranking of one class has no area"
        )
    return values, odd


def _midranks(values: Array) -> Array:
    """Ranks from 1, the mean of their ranks for those that are equal, infinite ones too."""
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: Array = np.cumsum(counts)
    return (last - (counts - 1) / 2)[level]


def _placements(ranks: Array, odd: Array) -> tuple[float, Array, Array]:
    """AUROC, A_i of the anomalous and B_j of the normal examples, in their order."""
    m, n = int(odd.sum()), int((~odd).sum())
    above = (ranks[odd] - _midranks(ranks[odd])) / n
    below = 1 - (ranks[~odd] - _midranks(ranks[~odd])) / m
    return float(above.mean()), above, below


def _from_above(counts: Array) -> Array:
    return counts[::-1].cumsum()[::-1]


def _ranked(value: float, apart: Array, odd: Array, unit: str, split: str, area: float) -> Score:
    """A score with its error from centered influences, each times the examples of its class.

    With k of N examples in a class these are weighted by √(N(N−1) / k(k−1)), so that the variance
    of their mean over all N is the sum of the classes' variances of means.
    """
    n = len(odd)
    of_class = np.where(odd, odd.sum(), (~odd).sum())
    weight = np.sqrt(n * (n - 1) / np.maximum(of_class * (of_class - 1), 1))
    notes = {1.0: (SEPARATED.format(side="above"),), 0.0: (SEPARATED.format(side="below"),)}
    each = torch.from_numpy(value + apart * weight)
    found = replace(mean_score(each, unit, split, notes=notes.get(area, ())), value=value)
    return found if of_class.min() > 1 else replace(found, stderr=None, values=None)
