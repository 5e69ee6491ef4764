"""Annealed importance sampling: runs from a density that can be drawn of to one that is meant."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from reparam import numerics
from reparam.chains.kernels import Noise, Point, Tempered, hamiltonian
from reparam.exchange import LogPartition

State = TypeVar("State")
ACCEPTED, REJECTED = 1.02, 0.9  # by which a pilot's size moves: about five in six are accepted


def ramp(temperatures: int) -> list[float]:
    """β from 0 to 1 in so many steps, evenly in a sigmoid: the ends take the smallest ones.

    >>> [round(beta, 3) for beta in ramp(4)]
    [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    rise = torch.sigmoid(torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64))
    return [float(beta) for beta in (rise - rise[0]) / (rise[-1] - rise[0])]


def annealed(
    state: State,
    betas: Sequence[float],
    gained: Callable[[State, float, float], Tensor],
    move: Callable[[State, float], State],
) -> Tensor:
    """Log-weights of runs (N,), whose mean weight is the ratio of the normalizers, Z_1 / Z_0.

    Args:
        state: draws of the density at the first β.
        betas: of the densities on the way.
        gained: (state, before, now) → log f_now − log f_before of each run, (N,).
        move: (state, β) → a state by a kernel that leaves the density at β as it is.

    Reference: Neal 2001, "Annealed importance sampling", eq. 4 to 11.
    https://arxiv.org/abs/physics/9803008

    >>> annealed(torch.zeros(2), [0.0, 1.0], lambda y, b, n: y + (n - b), lambda y, b: y).tolist()
    [1.0, 1.0]
    """
    total: Tensor | None = None
    for before, now in pairwise(betas):
        step = gained(state, before, now)
        total = step.to(numerics.accumulator(step)) if total is None else total + step
        if now < betas[-1]:  # no weight follows the last density
            state = move(state, now)
    assert total is not None  # there are two densities
    return total


def tempered_gain(point: Point, before: float, now: float) -> Tensor:
    """What a run gains between two densities of ``Tempered``: −(β' − β) E(y)."""
    return (before - now) * point.energy


def find_sizes(
    target: Tempered,
    start: Tensor,
    betas: Sequence[float],
    size: float,
    leapfrogs: int,
    generator: Noise = None,
) -> list[Tensor]:
    """Sizes of Hamiltonian steps (N,) by β, which follow the acceptance of these pilots.

    The pilots are thrown away: steps that followed a run's own past would not leave its densities
    as they are.
    """
    sizes = [torch.full_like(start.flatten(1)[:, 0], size)]

    def move(point: Point, beta: float) -> Point:
        point, accepted = hamiltonian(target, point, beta, sizes[-1], leapfrogs, generator)
        sizes.append(sizes[-1] * torch.where(accepted, ACCEPTED, REJECTED))
        return point

    annealed(target.at(start), betas, tempered_gain, move)
    return sizes


def hamiltonian_runs(
    target: Tempered,
    start: Tensor,
    betas: Sequence[float],
    sizes: Sequence[Tensor],
    leapfrogs: int,
    generator: Noise = None,
) -> Tensor:
    """Log-weights (N,) of runs by Hamiltonian steps.

    Args:
        target: the densities.
        start: draws of the base, (N, *shape).
        betas: from 0 to 1.
        sizes: of the steps by β, each (N,) or (1,), as ``find_sizes`` finds them.
        leapfrogs: of a step.
        generator: of all draws.
    """
    turn = iter(sizes)

    def move(point: Point, beta: float) -> Point:
        return hamiltonian(target, point, beta, next(turn), leapfrogs, generator)[0]

    return annealed(target.at(start), betas, tempered_gain, move)


def summary(log_weights: Tensor, temperatures: int) -> LogPartition:
    """log Z of the mean weight, with what the spread of the weights says of its error.

    The variance of a mean of weights, over its square, is 1/ESS − 1/n, where ESS = (Σ w)² / Σ w².

    >>> found = summary(torch.tensor([0.0, 0.0]), 10)
    >>> found.value.item(), found.effective_samples.item(), found.stderr.item()
    (0.0, 2.0, 0.0)
    """
    log_weights, runs = log_weights.to(numerics.accumulator(log_weights)), len(log_weights)
    value = log_weights.logsumexp(0) - math.log(runs)
    effective = (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()
    # Of n runs the spread is estimated by n − 1 differences.
    variance = (1 / effective - 1 / runs).clamp(min=0) * runs / max(runs - 1, 1)
    return LogPartition(value, variance.sqrt(), effective, runs, temperatures)
