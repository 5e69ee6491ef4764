"""How far samples are from data, between sets of features: Fréchet and kernel distance."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from reparam.evaluation.scores import Score, Scores

ROWS_PER_FEATURE = 2  # fewer do not determine the covariances of a Fréchet distance
GROUPS = 20  # of the jackknife: a standard error known to 1/√38, a sixth
FEWEST_ROWS = 20  # of a kernel distance: the spread of fewer is known to worse than a sixth
ROWS_AT_ONCE = 500  # whose pairs with all others are held in memory


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """‖μ₁−μ₂‖² + tr(S₁ + S₂ − 2 (S₁S₂)^½) between two sets of features (N, F).

    NaN where a feature is not finite.

    Reference: Dowson & Landau 1982; Heusel et al. 2017 for its use on samples
    (https://arxiv.org/abs/1706.08500).

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> round(frechet_distance(x, x + 2), 6)  # a shift by (2, 2, 2)
    12.0
    """
    a, b = first.double().numpy(), second.double().numpy()
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.nan
    s_a, s_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(s_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    # The eigenvalues of S₁S₂ are those of the symmetric S₁^½ S₂ S₁^½.
    cross = np.sqrt(np.linalg.eigvalsh(root @ s_b @ root).clip(min=0)).sum()
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * cross
    return float(max(distance, 0.0))


def frechet_error(first: Tensor, second: Tensor) -> float:
    """The standard error of ``frechet_distance``, by a jackknife over 20 groups of rows.

    Each group leaves both sets (N, F) in turn; the error is √((G−1)/G Σ (d₋ᵢ − d̄)²). A bootstrap
    would not do: rows that are drawn twice make a covariance of fewer rows, and the distance twice
    its floor. At the floor itself, where the distance is flat in the laws of both sets, the
    jackknife is about √2 too large.

    Reference: Efron & Stein 1981, "The jackknife estimate of variance", whose theorem 2 says that
    the expectation of Σ (d₋ᵢ − d̄)² is no less than the variance of the distance on (G−1)/G of the
    rows; the factor stands for the rows that are left out.
    """
    groups = min(GROUPS, len(first))
    group = torch.arange(len(first)) % groups
    without = [frechet_distance(first[group != i], second[group != i]) for i in range(groups)]
    squares = (np.array(without) - np.mean(without)) ** 2
    return math.sqrt((groups - 1) / groups * squares.sum())


def kernel_distance(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy of features (N, F), and its standard error.

    k(x, y) = (x·y/F + 1)³, and the distance is the mean over i ≠ j of

        h(i, j) = k(xᵢ, xⱼ) + k(yᵢ, yⱼ) − k(xᵢ, yⱼ) − k(xⱼ, yᵢ),

    a U-statistic: its expectation is the distance of the two laws, so that it may be negative where
    they are equal, and it is 0 where both sets are the same rows in the same order. Its variance is
    4(N−2)/(N(N−1)) ζ₁ + 2/(N(N−1)) ζ₂ with ζ₁ = Var E[h|i] and ζ₂ = Var h, both estimated from sums
    over distinct rows, without bias; an estimate of ζ₁ below 0 counts as 0.

    Args:
        first, second: as many rows each, at least four.

    Reference: Gretton et al. 2012, "A kernel two-sample test", lemma 6, eq. 4
    (https://jmlr.org/papers/v13/gretton12a.html); Bińkowski et al. 2018, "Demystifying MMD GANs",
    for the kernel (https://arxiv.org/abs/1801.01401); Hoeffding 1948, eq. 5.13, for the variance.

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> kernel_distance(x, x)
    (0.0, 0.0)
    """
    x, y, n = first.double(), second.double(), len(first)
    sums, squares = torch.zeros(n, dtype=torch.float64), 0.0
    for start in range(0, n, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        h = _kernel(x[rows], x) + _kernel(y[rows], y) - _kernel(x[rows], y) - _kernel(y[rows], x)
        h[torch.arange(len(h)), torch.arange(start, start + len(h))] = 0
        sums[rows] = h.sum(1)
        squares += h.square().sum().item()
    value = sums.sum().item() / (n * (n - 1))
    return value, _u_statistic_error(sums, squares)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    inner = x @ y.T / x.shape[1] + 1
    return inner * inner * inner


def _u_statistic_error(sums: Tensor, squares: float) -> float:
    """The standard error of the mean of h(i, j), i ≠ j, from its row sums and sum of squares."""
    n, total, by_row = len(sums), sums.sum().item(), sums.square().sum().item()
    of_two = squares / (n * (n - 1))  # E h², E h(1,2)h(1,3) and (E h)²: over distinct rows
    of_three = (by_row - squares) / (n * (n - 1) * (n - 2))
    of_four = (total**2 - 4 * by_row + 2 * squares) / (n * (n - 1) * (n - 2) * (n - 3))
    one, two = max(of_three - of_four, 0.0), max(of_two - of_four, 0.0)
    return math.sqrt((4 * (n - 2) * one + 2 * two) / (n * (n - 1)))


def discrepancy_scores(drawn: Tensor, real: Tensor, name: str, seed: int) -> Scores:
    """``frechet_distance`` and ``kernel_distance`` of features (N, F), as many of each.

    The Fréchet distance has a floor: N rows of F independent normal features and N others of the
    same law are (F² + 5F)/(2N) apart, to first order. It is absent where N < 2F: the floor is then
    over a quarter of all the variance, F, and the least eigenvalue of a covariance below a tenth of
    what it should be, (1 − √(F/N))² of it. The kernel distance has no floor; it is absent below 20
    rows, where its error is not known.

    Args:
        drawn, real: the features.
        name: of the split that ``real`` was taken from.
        seed: of the draws.
    """
    n, width = real.shape
    scores: Scores = {}
    if n >= ROWS_PER_FEATURE * width:
        value, error = frechet_distance(drawn, real), frechet_error(drawn, real)
        scores["frechet_distance"] = Score(
            value, "squared feature deviations", n, name, error, seed=seed
        )
    if n >= FEWEST_ROWS:
        value, error = kernel_distance(drawn, real)
        scores["kernel_distance"] = Score(value, "squared discrepancy", n, name, error, seed=seed)
    return scores
