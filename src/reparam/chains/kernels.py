"""Kernels of Markov chains whose density is tempered: π_β(y) ∝ base(y) exp(−β E(y))."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics

Noise = torch.Generator | None


class Point(NamedTuple):
    """Where chains stand, and all that a kernel asks of the densities there, at every β.

    y (N, *shape); log base(y) and E(y), (N,); their gradients, (N, *shape).
    """

    y: Tensor
    log_base: Tensor
    energy: Tensor
    base_slope: Tensor
    energy_slope: Tensor

    def log_density(self, beta: float) -> Tensor:
        """log base(y) − β E(y), (N,)."""
        return self.log_base - beta * self.energy

    def slope(self, beta: float) -> Tensor:
        """The gradient of ``log_density``, (N, *shape)."""
        return self.base_slope - beta * self.energy_slope

    def where(self, chosen: Tensor, other: Point) -> Point:
        """These chains where ``chosen`` (N,), the others elsewhere."""
        pairs = zip(self, other, strict=True)
        return Point(*(torch.where(beside(chosen, mine), mine, its) for mine, its in pairs))


class Tempered(NamedTuple):
    """π_β(y) ∝ base(y) exp(−β E(y)), from the base at β = 0 to the density that is meant at 1.

    Args:
        log_base: (N, *shape) → (N,), differentiable in y.
        energy: (N, *shape) → (N,), differentiable in y.
        boxed: whether y stays within [−1, 1].
        base_slope: the gradient of ``log_base``, (N, *shape), where it is known; else by autograd.
        scale: in which each entry moves, (*shape), so that narrow ones take small steps.

    >>> target = Tempered(lambda y: 0 * y.sum(1), lambda y: 0.5 * y.square().sum(1))
    >>> target.at(torch.tensor([[2.0]])).slope(0.5)
    tensor([[-1.]])
    """

    log_base: Callable[[Tensor], Tensor]
    energy: Callable[[Tensor], Tensor]
    boxed: bool = False
    base_slope: Callable[[Tensor], Tensor] | None = None
    scale: Tensor | float = 1.0

    def at(self, y: Tensor) -> Point:
        """Both densities at y, with their gradients."""
        if self.base_slope is None:
            log_base, base_slope = _with_slope(self.log_base, y)
        else:
            log_base, base_slope = self.log_base(y), self.base_slope(y)
        energy, energy_slope = _with_slope(self.energy, y)
        return Point(y.detach(), log_base.detach(), energy, base_slope, energy_slope)

    def slope(self, y: Tensor, beta: float) -> Tensor:
        """The gradient of log base(y) − β E(y)."""
        known = self.base_slope
        of_base = _with_slope(self.log_base, y)[1] if known is None else known(y)
        return of_base - beta * _with_slope(self.energy, y)[1]

    def drift(self, y: Tensor, speed: Tensor) -> tuple[Tensor, Tensor]:
        """y + speed, and the sign of each entry's momentum after it.

        In a box what passes a wall is folded back and its momentum is flipped. This is how a free
        particle moves between walls: the way back is the same, and volume is kept. Nothing piles
        up at the walls, as it would where positions were clipped.
        """
        moved = y + speed
        if not self.boxed:
            return moved, torch.ones_like(moved)
        place = torch.remainder(moved + 1, 4)  # there and back again is 4 long
        back = place > 2
        return torch.where(back, 3 - place, place - 1), 1 - 2 * back.to(moved)


def _with_slope(function: Callable[[Tensor], Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """A function of rows at y, (N,), and its gradient, neither with a graph."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        values = function(y)
        (slope,) = torch.autograd.grad(values.sum(), y, allow_unused=True, materialize_grads=True)
    return values.detach(), slope


def beside(values: Tensor, rows: Tensor) -> Tensor:
    """A number for each row (N,) as one that goes with its entries (N, *shape)."""
    return values.view(-1, *[1] * (rows.ndim - 1))


def trajectory(
    target: Tempered, start: Point, momentum: Tensor, beta: float, size: Tensor, leapfrogs: int
) -> tuple[Point, Tensor]:
    """So many leapfrog steps of a size (N,) or (1,): where they end, and with which momentum.

    Momenta are in units of 1/``scale``, which is the same as a mass for each entry.
    """
    size, point, speed = beside(size, start.y) * target.scale, start, momentum
    for _ in range(leapfrogs):
        speed = speed + 0.5 * size * point.slope(beta)
        moved, sign = target.drift(point.y, size * speed)
        point = target.at(moved)
        speed = sign * speed + 0.5 * size * point.slope(beta)
    return point, speed


def hamiltonian(
    target: Tempered,
    start: Point,
    beta: float,
    size: Tensor,
    leapfrogs: int = 1,
    generator: Noise = None,
) -> tuple[Point, Tensor]:
    """One Metropolis-corrected Hamiltonian step, which leaves π_β as it is, and who accepted, (N,).

    With one leapfrog it is Langevin's step, corrected.

    Args:
        target: the densities.
        start: where the chains stand.
        beta: β.
        size: of a leapfrog, (N,) or (1,).
        leapfrogs: of a step, each a gradient.
        generator: of the momenta, and of what is accepted.

    Reference: Neal 2011, "MCMC using Hamiltonian dynamics", section 3.2; walls in section 5.1.
    https://arxiv.org/abs/1206.1901

    >>> target = Tempered(lambda y: 0 * y.sum(1), lambda y: 0.5 * y.square().sum(1))
    >>> start, size = target.at(torch.zeros(3, 2)), torch.tensor([0.1])
    >>> point, accepted = hamiltonian(target, start, 1.0, size)
    >>> point.y.shape, accepted.shape
    (torch.Size([3, 2]), torch.Size([3]))
    """
    momentum = numerics.noise(start.y, "normal", generator)
    end, speed = trajectory(target, start, momentum, beta, size, leapfrogs)
    lost = 0.5 * (momentum.square() - speed.square()).flatten(1).sum(1)
    return _accepted(start, end, end.log_density(beta) - start.log_density(beta) + lost, generator)


def langevin(
    target: Tempered,
    y: Tensor,
    beta: float,
    step: float,
    noise: float,
    most: float = math.inf,
    generator: Noise = None,
) -> Tensor:
    """y/s + step · ∇ log π_β + noise · ε, uncorrected, in units of s, the ``scale`` of each entry.

    The gradient is with respect to y/s, and where its norm is above ``most`` it has that norm.

    With noise = √(2 step) and small steps it is about π_β that the chains go to; with less, a
    colder density.

    Reference: Du & Mordatch 2019, eq. 1; Nijkamp et al. 2020, section 3.
    https://arxiv.org/abs/1903.08689, https://arxiv.org/abs/1903.12370

    >>> target = Tempered(lambda y: 0 * y.sum(1), lambda y: y.sum(1), boxed=True)
    >>> langevin(target, torch.zeros(1, 2), 1.0, 0.25, 0.0)
    tensor([[-0.2500, -0.2500]])
    """
    slope = target.scale * target.slope(y, beta)
    if math.isfinite(most):
        norm = slope.flatten(1).norm(dim=1).clamp(min=most)
        slope = slope * beside(most / norm, slope)
    moved = step * slope + noise * numerics.noise(y, "normal", generator)
    return target.drift(y, target.scale * moved)[0]


def log_flips(point: Point, beta: float) -> Tensor:
    """Log-probabilities with which bits are proposed, (N, D): softmax of half of what a flip gains.

    What it gains is told by the gradient, ∇_d log π_β · (1 − 2 y_d), as if log π_β were linear.
    """
    gains = (1 - 2 * point.y) * point.slope(beta)
    return (0.5 * gains).flatten(1).log_softmax(1)


def flip(
    target: Tempered, start: Point, beta: float, generator: Noise = None
) -> tuple[Point, Tensor]:
    """One step of Gibbs-with-gradients on bits: one of each row may flip; and who accepted.

    Reference: Grathwohl et al. 2021, "Oops I took a gradient", algorithm 1.
    https://arxiv.org/abs/2102.04509

    >>> target = Tempered(lambda y: 0 * y.sum(1), lambda y: -20 * y.sum(1))
    >>> flip(target, target.at(torch.zeros(1, 1)), 1.0)[0].y
    tensor([[1.]])
    """
    there = log_flips(start, beta)
    index = numerics.categorical_draw(there, 1, generator).unsqueeze(1)
    end = flipped(target, start, index)
    back = log_flips(end, beta)
    ratio = (back.gather(1, index) - there.gather(1, index)).squeeze(1)
    return _accepted(start, end, end.log_density(beta) - start.log_density(beta) + ratio, generator)


def flipped(target: Tempered, start: Point, index: Tensor) -> Point:
    """The chains with the bit of an index (N, 1) the other one."""
    bits = torch.zeros_like(start.y.flatten(1)).scatter(1, index, 1.0).view_as(start.y)
    return target.at((start.y - bits).abs())


def _accepted(
    start: Point, end: Point, log_ratio: Tensor, generator: Noise
) -> tuple[Point, Tensor]:
    """By Metropolis' rule the end or the start; never an end without a density."""
    accepted = numerics.noise(log_ratio, "uniform", generator).log() < log_ratio
    return end.where(accepted, start), accepted
