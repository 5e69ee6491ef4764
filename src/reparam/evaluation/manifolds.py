"""Precision and recall of samples, by manifolds of nearest neighbors in feature space."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from reparam.evaluation.scores import Score, Scores

NEIGHBORS = 3
PARTS, DIVISIONS = 4, 6  # the rows are divided into so many parts, so many times
FEWEST_ROWS = 20  # each part has more rows than neighbors
ROWS_AT_ONCE = 500  # whose distances to all others are held in memory
ROUNDING = 1e-5  # of float32 features, relative: equal rows may differ by it


def covered(points: Tensor, by: Tensor, k: int = NEIGHBORS) -> Tensor:
    """Which points (N, F) lie in the manifold of other rows (M, F), (N,) of bool.

    The manifold is the union of balls around all rows of ``by``, each as large as the distance to
    the k-th nearest of the others.

    Reference: Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing
    generative models", eq. 1 (https://arxiv.org/abs/1904.06991).

    >>> line = torch.arange(5.0)[:, None]
    >>> covered(torch.tensor([[4.9], [5.1]]), line, k=1).tolist()
    [True, False]
    """
    center = by.double().mean(0)  # so that the squares of distances do not cancel
    points, by = points.double() - center, by.double() - center
    radius = torch.cat([d.topk(k + 1, largest=False).values[:, k] for d in _distances(by, by)])
    radius += ROUNDING * by.square().sum(1).mean().sqrt()
    return torch.cat([(d <= radius).any(1) for d in _distances(points, by)])


def _distances(points: Tensor, others: Tensor) -> Iterator[Tensor]:
    return (torch.cdist(part, others) for part in points.split(ROWS_AT_ONCE))


def precision_and_recall(drawn: Tensor, real: Tensor) -> Tensor:
    """The share of draws in the manifold of the real rows, and of these in that of the draws, (2,).

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> precision_and_recall(x, x).tolist(), precision_and_recall(x[:1].expand(50, 3), x).tolist()
    ([1.0, 1.0], [1.0, 0.02])
    """
    shares = covered(drawn, real).double().mean(), covered(real, drawn).double().mean()
    return torch.stack(shares)


def precision_and_recall_errors(drawn: Tensor, real: Tensor, seed: int = 0) -> Tensor:
    """The standard errors of both shares, (2,), from their spread over parts of the rows.

    Rows are divided into four parts at random; the variance over the parts is four times that of
    all. The mean of six divisions is taken. The error of a proportion would be too small by up to
    a half, as one real row decides over all draws near it; a jackknife too large by as much, as
    shares are not smooth in single rows.
    """
    generator = torch.Generator().manual_seed(seed)
    variances = []
    for _ in range(DIVISIONS):
        orders = [torch.randperm(len(rows), generator=generator) for rows in (drawn, real)]
        parts = zip(*(order.chunk(PARTS) for order in orders), strict=True)
        shares = [precision_and_recall(drawn[i], real[j]) for i, j in parts]
        variances.append(torch.stack(shares).var(0) / PARTS)
    return torch.stack(variances).mean(0).sqrt()


def manifold_scores(drawn: Tensor, real: Tensor, name: str, seed: int) -> Scores:
    """``sample_precision`` and ``sample_recall`` of features (N, F), with k = 3 neighbors.

    Absent below 20 rows, and where the real rows are all the same.

    Args:
        drawn, real: as many rows of features each.
        name: of the split that ``real`` was taken from.
        seed: of the draws, and of the division that the standard errors are taken from.
    """
    n = len(real)
    if n < FEWEST_ROWS or not real.std(0).square().sum() > ROUNDING**2:
        return {}
    shares, errors = (
        precision_and_recall(drawn, real),
        precision_and_recall_errors(drawn, real, seed),
    )
    return {
        title: Score(share, "share", n, name, error, seed=seed)
        for title, share, error in zip(
            ("sample_precision", "sample_recall"), shares.tolist(), errors.tolist(), strict=True
        )
    }
