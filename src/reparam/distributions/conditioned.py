"""Entries that are independent, given what a degradation leaves of them: p(x | A x = y)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.degradation import Degradation
from reparam.distributions.densities import NormalDensity
from reparam.distributions.transformed import Transformed
from reparam.model import Distribution

MOST_ROWS = 2000  # of y, between which a system of equations is solved at every step


class Groups(NamedTuple):
    """Entries of x by the entry of y that they are part of, where each is part of one at most.

    Args:
        members: (M, n), which entries of x an entry of y is the sum of; −1 where it has fewer.
        weights: (M, n), by which they are multiplied there, 0 where it has fewer.
    """

    members: Tensor
    weights: Tensor

    def of(self, x: Tensor) -> Tensor:
        """Values of entries (R, D) by group, (R, M, n), 0 where there is none."""
        there = self.members >= 0
        return torch.where(there, x[:, self.members.clamp(min=0)], 0.0)

    def back(self, values: Tensor, x: Tensor) -> Tensor:
        """x (R, D) with the values (R, M, n) of those entries that are part of a group."""
        there = self.members >= 0
        x = x.clone()
        x[:, self.members[there]] = values[:, there].to(x)
        return x


def groups_of(given: Degradation) -> Groups | None:
    """The groups of a degradation; None where an entry of x is part of several of y.

    >>> from reparam.degradation import degradation
    >>> groups_of(degradation("downscale:2", (3,)))
    Groups(members=tensor([[ 0,  1],
            [ 2, -1]]), weights=tensor([[0.5000, 0.5000],
            [1.0000, 0.0000]], dtype=torch.float64))
    >>> groups_of(degradation("blur:1", (3,))) is None
    True
    """
    sums, entries = math.prod(given.given), math.prod(given.shape)
    ones = torch.ones(1, *given.given, dtype=torch.float64, device=given.known.device)
    numbers = ones.flatten().cumsum(0).view_as(ones)  # 1, 2, …
    weight = given.adjoint(ones).flatten()
    # Of an entry that is part of one sum alone Aᵀ gives the number of that sum, times its weight.
    part = torch.where(weight == 0, 0, given.adjoint(numbers).flatten() / weight).round().long()
    if part.min() < 0 or part.max() > sums:
        return None
    x = torch.rand(entries, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.to(given.known.device)
    summed = x.new_zeros(sums + 1).index_add(0, part, weight * x)[1:]
    if not torch.allclose(summed, given(x.view(1, *given.shape)).flatten(), rtol=0, atol=1e-9):
        return None
    counts = torch.bincount(part, minlength=sums + 1)
    order = part.argsort(stable=True)[counts[0] :]  # without those that are part of none
    chosen = part[order] - 1
    place = (
        torch.arange(len(order), device=order.device) - (counts[1:].cumsum(0) - counts[1:])[chosen]
    )
    members = order.new_full((sums, max(1, int(counts[1:].max()))), -1)
    weights = x.new_zeros(members.shape)
    members[chosen, place], weights[chosen, place] = order, weight[order]
    return Groups(members, weights)


class Conditioned(ABC):
    """p(x | A x = y) for any x whose entries are independent, and p(y).

    Args:
        given: the degradation.
        y: (R, *given.given), what it left.
    """

    def __init__(self, given: Degradation, y: Tensor) -> None:
        self.given, self.y = given, y

    def draw(
        self, law: Distribution, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """x (R, *shape) of which y is left, by the law of its entries, and log p(y), (R,)."""
        flat, evidence = self._draw(law, generator)
        return self.given.keep(flat.view(-1, *self.given.shape), self.y), evidence

    @abstractmethod
    def log_prob(self, law: Distribution) -> Tensor:
        """log p(y) up to a constant, (R,)."""

    @abstractmethod
    def _draw(
        self, law: Distribution, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]: ...


def normal_entries(law: Distribution) -> tuple[Tensor, Tensor] | None:
    """Means and variances (R, *shape) of entries that are normal; None where they are not.

    >>> from reparam.distributions.masses import BernoulliMass
    >>> normal_entries(BernoulliMass(torch.zeros(1, 2))) is None
    True
    """
    base = law.base if isinstance(law, Transformed) else law
    variance = law.variance
    if not isinstance(base, NormalDensity) or variance is None:
        return None
    wide = numerics.accumulator(law.center)
    return law.center.to(wide), variance.to(wide)


class NormalSums(Conditioned):
    """Normal x_i of which weighted sums of disjoint groups are given, in closed form.

    With m and v the means and variances and V = Σ w² v of a group, x = e + v w / V (y − Σ w e) for
    e ~ N(m, v), and y ~ N(Σ w m, V). A group of constants says nothing, and stays.

    Args:
        given: the degradation.
        y: (R, *given.given).
        groups: of the degradation.

    >>> from reparam.degradation import degradation
    >>> half = degradation("downscale:2", (2,))
    >>> law = NormalDensity(torch.zeros(5, 2), torch.tensor([[0.0, 1.0]]).expand(5, 2))
    >>> x, _ = NormalSums(half, torch.full((5, 1), 3.0), groups_of(half)).draw(law)
    >>> torch.allclose(x.mean(1), torch.tensor(3.0).double())
    True
    """

    def __init__(self, given: Degradation, y: Tensor, groups: Groups) -> None:
        super().__init__(given, y)
        self.groups = groups

    def log_prob(self, law: Distribution) -> Tensor:
        mean, variance = self._moments(law)
        spread = (self.groups.weights.square() * self.groups.of(variance)).sum(2)
        return self._evidence(self._left(mean), spread)

    def _draw(self, law: Distribution, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        mean, variance = self._moments(law)
        noise = numerics.noise(mean, "normal", generator)
        free = mean + variance.sqrt() * noise
        weights, parts = self.groups.weights, self.groups.of(variance)
        spread = (weights.square() * parts).sum(2)
        gain = weights * parts / torch.where(spread > 0, spread, 1).unsqueeze(2)
        moved = self.groups.of(free) + gain * self._left(free).unsqueeze(2)
        return self.groups.back(moved, free), self._evidence(self._left(mean), spread)

    def _moments(self, law: Distribution) -> tuple[Tensor, Tensor]:
        found = normal_entries(law)
        assert found is not None
        mean, variance = (part.flatten(1) for part in found)
        return mean, variance.expand_as(mean)

    def _left(self, x: Tensor) -> Tensor:
        """y − A x by group, (R, M)."""
        return self.y.to(x).flatten(1) - (self.groups.weights * self.groups.of(x)).sum(2)

    def _evidence(self, left: Tensor, spread: Tensor) -> Tensor:
        there = spread > 0
        log_scale = 0.5 * torch.where(there, spread, 1).log()
        terms = numerics.normal_log_prob(left, torch.zeros_like(left), log_scale)
        return torch.where(there, terms, 0.0).sum(1)


class NormalImage(Conditioned):
    """Normal x of which A x is given for any A, by a system of equations for each row.

    With B the orthonormal rows of A's right singular vectors, t = B A⁺ y and C = B diag(v) Bᵀ:
    x = e + diag(v) Bᵀ C⁻¹ (t − B e) for e ~ N(m, diag(v)), and t ~ N(B m, C).

    Args:
        given: the degradation, of at most ``MOST_ROWS`` entries of y.
        y: (R, *given.given).
    """

    def __init__(self, given: Degradation, y: Tensor) -> None:
        super().__init__(given, y)
        entries = math.prod(given.shape)
        units = torch.eye(entries, dtype=torch.float64, device=y.device)
        matrix = given(units.view(-1, *given.shape)).flatten(1).T
        _, singular, rows = torch.linalg.svd(matrix, full_matrices=False)
        tiny = singular[0] * entries * torch.finfo(singular.dtype).eps
        self.rows = rows[singular > tiny]
        self.told = given.pseudo_inverse(y.to(matrix)).flatten(1) @ self.rows.T

    def log_prob(self, law: Distribution) -> Tensor:
        mean, _, factor = self._parts(law)
        return self._evidence(mean, factor)

    def _draw(self, law: Distribution, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        mean, variance, factor = self._parts(law)
        free = mean + variance.sqrt() * numerics.noise(mean, "normal", generator)
        left = (self.told - free @ self.rows.T).unsqueeze(2)
        solved = torch.cholesky_solve(left, factor).squeeze(2)
        return free + variance * (solved @ self.rows), self._evidence(mean, factor)

    def _parts(self, law: Distribution) -> tuple[Tensor, Tensor, Tensor]:
        """Means, variances, and the Cholesky factor of C, a single one where all rows have it."""
        found = normal_entries(law)
        assert found is not None
        mean, variance = (part.to(self.rows).flatten(1) for part in found)
        one = variance[:1] if bool((variance == variance[:1]).all()) else variance
        covariance = (self.rows * one.unsqueeze(1)) @ self.rows.T
        # Of constants of the data nothing varies, which a little on the diagonal leaves so.
        small = 1e-12 * covariance.diagonal(0, 1, 2).amax(1).clamp(min=1e-300)
        eye = torch.eye(len(self.rows)).to(covariance)
        factor = torch.linalg.cholesky(covariance + small.view(-1, 1, 1) * eye)
        return mean, variance.expand_as(mean), factor

    def _evidence(self, mean: Tensor, factor: Tensor) -> Tensor:
        left = (self.told - mean @ self.rows.T).unsqueeze(2)
        whole = factor.expand(len(mean), -1, -1)
        solved = torch.linalg.solve_triangular(whole, left, upper=False).squeeze(2)
        return -0.5 * solved.square().sum(1) - factor.diagonal(0, 1, 2).log().sum(1)
