"""Weightings: how distortion and rate become one objective, and how that moves while training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from reparam.distributions.posteriors import Posterior
from reparam.distributions.priors import Prior
from reparam.limits import Count, NonNegative, limited
from reparam.model import Keeps, Player, Space

Curve = Literal["linear", "cosine", "cyclic"]


class Weighting(nn.Module, ABC):
    """From distortion (B,) and rates (B, G), both in nats, to the objective, a scalar.

    What moves without gradients is a buffer that ``after_step`` moves; what is learned belongs to a
    player of its own. Neither reaches the terms of a loss, which are never weighted. What a
    weighting makes of means over the batch, each rank of several makes of those over its own rows.
    """

    by_factor: bool = False  # whether it needs a rate for each factor of the posterior
    nonnegative: bool = False  # whether it needs distortion ≥ 0
    linear: bool = False  # whether it is distortion + β · rate, which importance weights take too
    keeps: Keeps = "best"  # "last" where it is learned or controlled, and so never fixed
    weighs_rate: bool = True  # whether the rate has a weight at all in the end
    moves: bool = False  # whether β changes in training, so that there is something to log

    @abstractmethod
    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor: ...

    def beta(self) -> Tensor | None:
        """The weight of the rate relative to that of the distortion now; None where it has none."""
        return None

    @property
    def players(self) -> tuple[Player, ...]:
        return ()

    @property
    def unsettled(self) -> str:
        """What it still waits for, in a few words; empty once it is what it stays."""
        return ""

    def statistics(self, distortion: Tensor, rate: Tensor) -> dict[str, Tensor]:
        """Detached sums over rows that ``after_step`` needs."""
        return {}

    def after_step(self, statistics: dict[str, Tensor], player: str) -> None:  # noqa: B027
        """What moves once per optimizer step of a player, without gradients and branches."""

    def refuse(self, space: Space, posterior: Posterior, prior: Prior) -> None:
        """ValueError where the weighting means nothing for such parts."""
        name = type(self).__name__
        if self.nonnegative and space.has_reals:
            raise ValueError(
                f"weighting: {name} needs a distortion of at least 0, got real data, whose "
                "densities may exceed 1: its objective would have no lower bound"
            )
        if self.by_factor and (posterior.factors is None or posterior.factors != prior.factors):
            raise ValueError(
                f"weighting: {name} weighs the rate of every latent dimension, got "
                f"{type(posterior).__name__} under {type(prior).__name__}, whose rate does not "
                "factorize"
            )


class Beta(Weighting):
    """distortion + β · rate; β = 1 is the negative ELBO.

    Args:
        beta: β ≥ 0.

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Higgins et al. 2017, eq. 4.

    >>> Beta(2.0)(torch.tensor([90.0]), torch.tensor([[3.0, 4.0]]))
    tensor(104.)
    """

    linear = True

    @limited
    def __init__(self, beta: NonNegative = 1.0) -> None:
        super().__init__()
        self.coefficient, self.weighs_rate = beta, beta > 0
        self.register_buffer("anchor", torch.empty(0), persistent=False)
        self.anchor: Tensor

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        return torch.add(distortion, rate.sum(1), alpha=self.coefficient).mean()

    def beta(self) -> Tensor:
        return self.anchor.new_full((), self.coefficient)


class _Timed(Weighting):
    """What follows a count of optimizer steps."""

    @limited
    def __init__(self, steps: Count) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("anchor", torch.empty(0), persistent=False)
        self.count: Tensor
        self.anchor: Tensor

    def progress(self) -> Tensor:
        """The share of the steps that is done, from 0 to 1."""
        return (self.count.to(self.anchor.dtype) / self.steps).clamp(max=1)

    @property
    def unsettled(self) -> str:
        return steps_left(self.count, self.steps)

    def after_step(self, statistics: dict[str, Tensor], player: str) -> None:
        if player == "model":
            self.count += 1


def steps_left(count: Tensor, steps: int) -> str:
    """Which of so many steps was reached; nothing where all were.

    >>> steps_left(torch.tensor(3), 10)
    'step 3 of 10'
    """
    done = int(count.item())
    return f"step {done} of {steps}" if done < steps else ""


class Schedule(_Timed):
    """distortion + β(t) · rate, β rising from ``start`` to ``end`` over ``steps`` steps.

    linear: β = start + (end − start) t; cosine: with (1 − cos πt)/2 in place of t; cyclic: in each
    of ``cycles`` the linear rise takes the first half and ``end`` is held in the second. t is the
    share of the steps that is done.

    Args:
        curve: linear, cosine or cyclic.
        steps: optimizer steps until ``end`` is reached for good.
        start: β ≥ 0 of the first step.
        end: β ≥ 0 from then on; 1 ends at the negative ELBO.
        cycles: of the cyclic curve.

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Bowman et al. 2016, section 3.1; Fu et al. 2019, eq. 6 and 7 (cyclic, R = 0.5).
    https://arxiv.org/abs/1511.06349, https://arxiv.org/abs/1903.10145

    >>> half_way = Schedule("linear", steps=2)
    >>> half_way.after_step({}, "model")
    >>> half_way.beta()
    tensor(0.5000)
    """

    linear, moves = True, True

    @limited
    def __init__(
        self,
        curve: Curve = "linear",
        steps: Count = 1000,
        start: NonNegative = 0.0,
        end: NonNegative = 1.0,
        cycles: Count = 4,
    ) -> None:
        super().__init__(steps)
        self.curve, self.start_at, self.end_at, self.cycles = curve, start, end, cycles
        self.weighs_rate = end > 0

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        return (distortion + self.beta() * rate.sum(1)).mean()

    def beta(self) -> Tensor:
        share = self.progress()
        if self.curve == "cosine":
            rise = 0.5 * (1 - torch.cos(math.pi * share))
        elif self.curve == "cyclic":
            within = (share * self.cycles) % 1
            rise = torch.where(share < 1, (2 * within).clamp(max=1), 1.0)
        else:
            rise = share
        return self.start_at + (self.end_at - self.start_at) * rise


class Capacity(_Timed):
    """distortion + γ |mean rate − C(t)|, C rising linearly from 0 to ``capacity``.

    The mean is over the batch: the rate is to be C on average, not of every x.

    Args:
        capacity: C at the end, in nats.
        gamma: γ ≥ 0.
        steps: optimizer steps until C is reached.

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Burgess et al. 2018, eq. 8.
    https://arxiv.org/abs/1804.03599

    >>> Capacity(25.0, gamma=10.0)(torch.tensor([90.0]), torch.tensor([[3.0, 4.0]]))  # C is 0 yet
    tensor(160.)
    """

    @limited
    def __init__(
        self, capacity: NonNegative = 25.0, gamma: NonNegative = 10.0, steps: Count = 1000
    ) -> None:
        super().__init__(steps)
        self.capacity, self.gamma = capacity, gamma

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        excess = rate.sum(1).mean() - self.capacity * self.progress()
        return distortion.mean() + self.gamma * excess.abs()


class FreeBits(Weighting):
    """distortion + Σ_j max(λ, mean rate of factor j): up to λ nats a dimension cost nothing.

    The mean is over the batch, and the maximum of the mean: single examples may have less.

    Args:
        nats: λ ≥ 0, of each latent dimension (of each layer, in a top-down hierarchy).

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Kingma et al. 2016 (IAF), eq. 15.
    https://arxiv.org/abs/1606.04934

    >>> FreeBits(0.5)(torch.tensor([90.0]), torch.tensor([[0.2, 4.0]]))
    tensor(94.5000)
    """

    by_factor = True

    @limited
    def __init__(self, nats: NonNegative = 0.1) -> None:
        super().__init__()
        self.nats = nats

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        return distortion.mean() + rate.mean(0).clamp(min=self.nats).sum()
