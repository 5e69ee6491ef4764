"""Controllers: the weight of the rate moved by feedback until the rate is what was asked for."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from reparam.limits import Count, NonNegative, limited
from reparam.model import Keeps
from reparam.objectives.weightings import Weighting, steps_left

SMOOTHED = 5  # steps over which the rate is averaged
NEAR = 0.1  # of the rate that was asked for: an error that counts as settled


class _Controller(Weighting):
    """β as a buffer that follows e = C − rate, the rate's batch mean.

    It has settled where e, averaged over a few steps, is within a tenth of C (of a nat, where C is
    less than one): DynamicVAE's β takes thousands of steps down to where the rate answers, and a
    target beyond the limits of β is never reached.
    """

    linear, moves = True, True
    keeps: Keeps = "last"

    @limited
    def __init__(
        self,
        target: NonNegative,
        p_gain: NonNegative,
        i_gain: NonNegative,
        low: NonNegative,
        high: float,
        first: float,
    ) -> None:
        super().__init__()
        if not high > low:
            raise ValueError(f"high: expected more than low = {low}, got {high}")
        self.target, self.p_gain, self.i_gain = target, p_gain, i_gain
        self.low, self.high = low, high
        self.register_buffer("weight", torch.tensor(float(first)))
        self.register_buffer("error", torch.tensor(float(target)))  # as of a rate of 0
        self.weight: Tensor
        self.error: Tensor

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        return (distortion + self.weight * rate.sum(1)).mean()

    def beta(self) -> Tensor:
        return self.weight

    @property
    def unsettled(self) -> str:
        error, beta = self.error.item(), self.weight.item()
        if abs(error) <= NEAR * max(self.target, 1.0):
            return ""
        limit = ", its least" if beta <= self.low else ", its largest" if beta >= self.high else ""
        asked = f"where {self.target:g} were asked for"
        return f"the rate is {self.target - error:.3g} nats {asked}, beta {beta:.3g}{limit}"

    def statistics(self, distortion: Tensor, rate: Tensor) -> dict[str, Tensor]:
        total = rate.detach().sum()
        return {"rate": total, "rows": torch.full_like(total, len(rate))}

    @torch.no_grad()
    def after_step(self, statistics: dict[str, Tensor], player: str) -> None:
        if player == "model":
            self.follow((statistics["rate"] / statistics["rows"]).to(self.weight))

    @abstractmethod
    def follow(self, rate: Tensor) -> None:
        """Move β after a step whose mean rate was this, in nats; what is not finite is ignored."""


class PIController(_Controller):
    """distortion + β · rate, β from a PI controller that holds the rate at C (ControlVAE).

    With e = C − rate: I ← I − K_i e, β = clamp(β_min + K_p/(1 + eᵉ) + I, β_min, β_max). I is held
    only where β is outside its range already *and* the step would push it further out; held
    whenever β is at a limit, it would never leave it. Near the set-point, where the rate answers β
    with slope f′, it converges for K_i|f′| + ½K_p|f′| < 2.

    Args:
        target: C, in nats.
        steps: over which C rises from 0.
        p_gain: K_p.
        i_gain: K_i.
        low: β_min; 1 to disentangle, 0 to generate.
        high: β_max.

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Shao et al. 2020, "ControlVAE", eq. 6 and algorithm 1, but for the anti-windup.
    https://arxiv.org/abs/2004.06988

    >>> controller = PIController(target=5.0, steps=1)
    >>> controller.after_step({"rate": torch.tensor(900.0), "rows": torch.tensor(100.0)}, "model")
    >>> round(controller.beta().item(), 4)  # 4 nats too many: 1 + 0.01 σ(4) + 0.001 · 4
    1.0138
    """

    @limited
    def __init__(
        self,
        target: float = 16.0,
        steps: Count = 1000,
        p_gain: float = 0.01,
        i_gain: float = 0.001,
        low: float = 1.0,
        high: float = 100.0,
    ) -> None:
        super().__init__(target, p_gain, i_gain, low, high, first=low)
        self.steps = steps
        self.register_buffer("integral", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.integral: Tensor
        self.count: Tensor

    @property
    def unsettled(self) -> str:
        return steps_left(self.count, self.steps) or super().unsettled

    def follow(self, rate: Tensor) -> None:
        self.count += 1
        finite = rate.isfinite()  # not after a skipped step
        share = (self.count.to(rate.dtype) / self.steps).clamp(max=1)
        error = torch.where(finite, self.target * share - rate, 0.0)
        held = self.low + self.p_gain * torch.sigmoid(-error) + self.integral
        step = -self.i_gain * error
        outwards = ((held > self.high) & (step > 0)) | ((held < self.low) & (step < 0))
        self.integral += torch.where(outwards, 0.0, step)
        moved = self.low + self.p_gain * torch.sigmoid(-error) + self.integral
        self.weight.copy_(torch.where(finite, moved.clamp(self.low, self.high), self.weight))
        self.error.lerp_(torch.where(finite, error, self.error), 1 / SMOOTHED)


class IncrementalPIController(_Controller):
    """distortion + β · rate, β moved by increments from above until the rate is C (DynamicVAE).

    β ← clamp(β + K_p (g(e) − g(e₋)) − K_i e, β_min, β_max) with g(e) = 1/(1 + eᵉ), e = C − rate
    and e₋ the e before it, the rate averaged over the last 5 steps. β starts at β_max, so that
    dimensions open one after another. Being an increment, it cannot wind up.

    Args:
        target: C, in nats.
        p_gain: K_p.
        i_gain: K_i.
        low: β_min.
        high: β_max, where β starts.

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Shao et al. 2022, "Rethinking controllable variational autoencoders", eq. 7.

    >>> controller = IncrementalPIController(target=5.0)
    >>> controller.after_step({"rate": torch.tensor(100.0), "rows": torch.tensor(100.0)}, "model")
    >>> round(controller.beta().item(), 3)  # 4 nats too few: 50 − 0.005 · 4
    49.98
    """

    def __init__(
        self,
        target: float = 16.0,
        p_gain: float = 0.01,
        i_gain: float = 0.005,
        low: float = 0.1,
        high: float = 50.0,
    ) -> None:
        super().__init__(target, p_gain, i_gain, low, high, first=high)
        self.register_buffer("recent", torch.zeros(SMOOTHED))  # rates, newest first
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.recent: Tensor
        self.count: Tensor

    def follow(self, rate: Tensor) -> None:
        finite = rate.isfinite()  # not after a skipped step
        pushed = torch.cat([rate.reshape(1), self.recent[:-1]])
        self.recent.copy_(torch.where(finite, pushed, self.recent))
        self.count += finite
        known = self.count.clamp(1, SMOOTHED)
        error = self.target - self.recent.sum() / known
        before = torch.where(self.count > 1, self.error, error)
        change = self.p_gain * (torch.sigmoid(-error) - torch.sigmoid(-before))
        moved = (self.weight + change - self.i_gain * error).clamp(self.low, self.high)
        self.weight.copy_(torch.where(finite, moved, self.weight))
        self.error.copy_(torch.where(finite, error, self.error))
