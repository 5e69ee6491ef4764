"""Hidden entries of x: what stands for them where no network guesses them, and the errors there."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.rows import subset
from reparam.evaluation.vectors import Vectors
from reparam.model import Model, Space

MOST_ROWS = 20_000  # training rows of which means and covariances are taken
LARGEST = 2048  # entries of x: above, a matrix of them all is dear
ROWS_AT_ONCE = 1000
WORK = 2 * 10**10  # multiplications of all linear guesses at all levels: some seconds of a core
LEAST, MOST = 20, 500  # examples


class Hidden:
    """What hidden entries are guessed to be by their mean, or by the entries that are visible.

    The guess by the mean is E x_h. The linear one is E(x_h | x_v) of a Gaussian with the mean and
    the covariance of the training data,

    x̂_h = μ_h + Σ_hv Σ_vv⁻¹ (x_v − μ_v),

    the least squares regression of what is hidden on what is visible, for each mask its own. Σ has
    a ridge, (1 − s) S + s tr(S)/D I: of pixels that never vary S has no inverse. The share s is
    the one that brings Σ nearest to the true covariance (Ledoit & Wolf): it is found from the data,
    and goes to 0 as rows become many.

    Args:
        space: what x is.
        train: training examples, of which at most 20 000 are read.

    Cost: 3 D² numbers of memory; a guess takes min(v, h)³/3 multiplications for each mask.

    Reference: Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance
    matrices", eq. 14. https://doi.org/10.1016/S0047-259X(03)00096-4

    >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]] * 100)
    >>> hidden = Hidden(Space((2,), "real"), Split(x))
    >>> hidden.by_mean(torch.tensor([[2.0, torch.nan]])).tolist()
    [[2.0, 1.0]]
    """

    def __init__(self, space: Space, train: Split) -> None:
        few = subset(train, MOST_ROWS, seed=0)
        self.rows, self.vectors = few.x, Vectors(space, train.x)
        self.space = space

    @cached_property
    def mean(self) -> Tensor:
        """The mean of every entry in data units, (*shape) in float64."""
        total = sum(part.double().sum(0) for part in self.rows.split(ROWS_AT_ONCE))
        assert isinstance(total, Tensor)
        return total / len(self.rows)

    def by_mean(self, x: Tensor) -> Tensor:
        """x with means where it is NaN."""
        return torch.where(x.isnan(), self.mean.to(x), x)

    def for_model(self, model: Model, x: Tensor) -> Tensor:
        """x as a model takes it: with NaN, or with means where it takes none."""
        return x if model.takes_missing else self.by_mean(x)

    @property
    def linear(self) -> bool:
        """Whether there is a linear guess: not of large x, nor of columns of several kinds."""
        return self.space.dimension <= LARGEST and not self.space.columns

    def examples(self, levels: int) -> int:
        """How many examples to measure the linear guess on at so many levels."""
        if not self.linear:
            return MOST
        each = max(1, self.space.dimension**3 // 24 * levels)  # the dearest mask hides a half
        return min(MOST, max(LEAST, WORK // each))

    def errors(self, found: Tensor, seen: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of each row the sum of the squared errors of ``found`` where ``seen`` is NaN, and of how
        many entries it is; what was never known is no error."""
        hidden = (seen.isnan() & ~x.to(seen.device).isnan()).cpu()
        squares = torch.where(hidden, self.vectors.squares(found, x), 0.0)
        return squares.flatten(1).sum(1), hidden.flatten(1).sum(1).double()

    def linear_errors(self, seen: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """``errors`` of the linear guess."""
        hidden = seen.isnan().cpu().flatten(1)
        apart = self.vectors(x) - self._center
        guessed = torch.stack([self._guess(*row) for row in zip(apart, hidden, strict=True)])
        known = hidden & ~x.cpu().flatten(1).isnan()
        squares = torch.where(known, (guessed - apart).square(), 0.0)
        return squares.sum(1), known.sum(1).double()

    def _guess(self, apart: Tensor, hidden: Tensor) -> Tensor:
        """x − μ (D,) with its hidden entries guessed; of Σ or its inverse, by the smaller part."""
        gone, there = hidden.nonzero()[:, 0], (~hidden).nonzero()[:, 0]
        found = apart.clone()
        if len(gone) < len(there):
            by = self._precision[gone]
            found[gone] = -torch.linalg.solve(by[:, gone], by[:, there] @ apart[there])
        elif len(there):
            by = self._covariance[there]
            found[gone] = by[:, gone].T @ torch.linalg.solve(by[:, there], apart[there])
        else:
            found[gone] = 0.0
        return found

    @cached_property
    def _center(self) -> Tensor:
        return self.vectors(self.mean[None])[0]

    @cached_property
    def _covariance(self) -> Tensor:
        """Of training vectors, (D, D), with its ridge."""
        n, d = len(self.rows), self.space.dimension
        second = torch.zeros(d, d, dtype=torch.float64)
        fourth = 0.0
        for part in self.rows.split(ROWS_AT_ONCE):
            apart = self.vectors(part) - self._center
            second.addmm_(apart.T, apart)
            fourth += apart.square().sum(1).square().sum().item()
        plain = second / n
        level = plain.diagonal().mean()
        target = level * torch.eye(d, dtype=torch.float64)
        distance = (plain - target).square().sum()
        spread = (fourth / n - plain.square().sum()) / n  # of S about the true covariance
        share = (spread / distance.clamp(min=torch.finfo(torch.float64).tiny)).clamp(0, 1)
        tiny = torch.finfo(torch.float64).eps * d * level  # what never varies has an inverse still
        return (1 - share) * plain + share * target + tiny * torch.eye(d, dtype=torch.float64)

    @cached_property
    def _precision(self) -> Tensor:
        return torch.linalg.inv(self._covariance)
