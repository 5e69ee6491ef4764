"""Whether samples are nearer to the training examples than unseen data are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.scores import Score, Scores, ratio_score
from reparam.evaluation.vectors import Vectors

NEAR = 0.01  # a near copy lies below this quantile of the distances of unseen rows
FEWEST_ROWS = 99  # the nearest of which has a hundredth of all draws below it
RESAMPLES = 200  # of the bootstrap: an error known to 1/√400, a twentieth
ENTRIES_AT_ONCE, ROWS_AT_ONCE = 4_000_000, 4000  # of training vectors: 32 MB


def nearest_distances(points: Tensor, train: Split, vectors: Vectors) -> Tensor:
    """The Euclidean distance of each point to the nearest training row, (N,).

    Args:
        points: (N, W), as ``vectors`` makes them.
        train: the rows among which the nearest is sought.
        vectors: in which distances are taken.

    >>> from reparam.model import Space
    >>> rows = Split(torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.uint8))
    >>> points = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 1]]).double()
    >>> nearest_distances(points, rows, Vectors(Space((4,), "binary"), rows.x)).tolist()
    [1.0, 0.0]
    """
    nearest = nearest_rows(points, train, vectors)
    return _distances(points, train.x[nearest], vectors)  # without rounding: 0 for a copy


def nearest_rows(points: Tensor, train: Split, vectors: Vectors) -> Tensor:
    """Which training row is the nearest to each point (N, W), as ``nearest_distances``, (N,)."""
    center = points.mean(0)  # so that the squares of distances do not cancel
    at_once = max(1, min(ROWS_AT_ONCE, ENTRIES_AT_ONCE // points.shape[1]))
    least = points.new_full((len(points),), math.inf)
    nearest = torch.zeros(len(points), dtype=torch.int64)
    for start in range(0, len(train), at_once):
        rows = vectors(train.x[start : start + at_once]) - center
        # Squared distances but for a term that is the point's own.
        distances = rows.square().sum(1) - 2 * (points - center) @ rows.T
        value, index = distances.min(1)
        nearest = torch.where(value < least, start + index, nearest)
        least = torch.minimum(value, least)
    return nearest


def _distances(points: Tensor, x: Tensor, vectors: Vectors) -> Tensor:
    pairs = zip(points.split(ROWS_AT_ONCE), x.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([(p - vectors(part)).norm(dim=1) for p, part in pairs])


def copy_scores(drawn: Tensor, real: Tensor, rows: int, name: str, seed: int) -> Scores:
    """``nearest_training`` and ``near_copies``, from distances to the nearest training rows (N,).

    The ratio of the mean distances of draws and of unseen rows, and the share of draws that are
    nearer than all but a hundredth of the unseen rows. A copy of a training example has distance 0;
    what is smooth or average is near many of them without being a copy of any, so a ratio below 1
    alone says little. Both are absent where all unseen rows are copies themselves, the share also
    below 99 rows and where a hundredth of them are. Standard errors are given these training rows.

    Args:
        drawn: of the draws.
        real: of as many unseen rows.
        rows: how many training rows there were to be near to.
        name: of the split of the unseen rows.
        seed: of the draws, and of the bootstrap of the share.
    """
    if not real.sum() > 0:
        return {}
    unit = f"of {name} rows, among {rows:,} training rows"
    scores = {"nearest_training": ratio_score(drawn, real, unit, name, seed=seed)}
    if len(real) >= FEWEST_ROWS and _marks(real)[0][0] > 0:
        share, error = near_copies(drawn, real).item(), near_copies_error(drawn, real, seed)
        # Where no draw is near, resampling shows no spread: that is no certainty.
        scores["near_copies"] = Score(share, "share", len(real), name, error or None, seed=seed)
    return scores


def near_copies(drawn: Tensor, real: Tensor) -> Tensor:
    """The share of distances below the hundredth quantile of others, (…, N) → (…).

    A draw of the same law lies below the k-th least of n others with probability k/(n+1). So the
    shares below those with k next to (n+1)/100 are interpolated: for every law without ties the
    expectation is a hundredth, where that of an interpolated quantile is 2 % at n = 100.

    >>> near_copies(torch.tensor([0.0, 5.0]), 1 + torch.arange(100.0)).item()
    0.5
    """
    marks, weights = _marks(real)
    shares = (drawn.unsqueeze(-1) < marks.unsqueeze(-2)).double().mean(-2)
    return (shares * weights).sum(-1)


def _marks(real: Tensor) -> tuple[Tensor, Tensor]:
    """The order statistics on either side of the hundredth quantile (…, 2), and their weights."""
    position = NEAR * (real.shape[-1] + 1)
    k = int(position)
    marks = real.topk(k + 1, largest=False).values[..., k - 1 :]
    return marks, torch.tensor([k + 1 - position, position - k], dtype=torch.float64)


def near_copies_error(drawn: Tensor, real: Tensor, seed: int = 0) -> float:
    """The standard error of ``near_copies``: a bootstrap of both, as the quantile varies too."""
    generator = torch.Generator().manual_seed(seed)
    n = len(real)
    rows = torch.randint(n, (2, RESAMPLES, n), generator=generator)
    return near_copies(drawn[rows[0]], real[rows[1]]).std().item()
