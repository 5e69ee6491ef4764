"""One step back in time: what the posterior q(x_s | x_t, x) is, for any two times of a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.diffusion.schedules import Level, Schedule

Prediction = Literal["noise", "x", "velocity"]
ReverseVariance = Literal["beta", "posterior", "optimal"]


class Estimate(NamedTuple):
    """What a network makes of x_t: the x and the noise in it, x_t = α x + σ ε."""

    x: Tensor
    noise: Tensor


class Step(NamedTuple):
    """q(x_s | x_t, x) = N(keep · x_t + pull · x, β̃ I), and the variance β of q(x_t | x_s); float64.

    With α_ts = α_t/α_s: β = σ_t² − α_ts² σ_s², β̃ = β σ_s²/σ_t², keep = α_ts σ_s²/σ_t² and
    pull = α_s β/σ_t².
    """

    keep: Tensor
    pull: Tensor
    posterior: Tensor
    beta: Tensor

    def variance(self, kind: ReverseVariance, error: Tensor) -> Tensor:
        """σ² of p(x_s | x_t): β, β̃, or β̃ + pull² · error, ``error`` the mean square of x − x̂."""
        if kind == "beta":
            return self.beta
        return self.posterior if kind == "posterior" else self.posterior + self.pull**2 * error


class Process(NamedTuple):
    """What a sampler needs of a model: its schedule, its estimates and the variances of its steps.

    ``estimate`` takes states (B, …) and times (B,), ``error`` gives the mean square of x − x̂ at a
    time, by entry.
    """

    schedule: Schedule
    estimate: Callable[[Tensor, Tensor], Estimate]
    variance: ReverseVariance
    error: Callable[[Tensor], Tensor]


def step_back(schedule: Schedule, t: Tensor, s: Tensor) -> Step:
    """The step from t to an earlier s.

    Reference: Ho et al. 2020, eq. 6 and 7; Kingma et al. 2021, "Variational diffusion models",
    appendix A, for any two times.
    https://arxiv.org/abs/2006.11239, https://arxiv.org/abs/2107.00630
    """
    late, early = schedule(t), schedule(s)
    ratio = late.signal / early.signal
    share = (early.noise / late.noise).square()  # σ_s²/σ_t²
    beta = late.noise.square() - (ratio * early.noise).square()
    pull = early.signal * beta / late.noise.square()
    return Step(ratio * share, pull, beta * share, beta)


def target(prediction: Prediction, x: Tensor, noise: Tensor, level: Level) -> Tensor:
    """What a network is to return: ε, x, or v = (α ε − σ x)/√(α² + σ²).

    Reference: Salimans & Ho 2022, "Progressive distillation", section 4, for v.
    https://arxiv.org/abs/2202.00512
    """
    if prediction == "velocity":
        return (level.signal * noise - level.noise * x) / level.norm
    return noise if prediction == "noise" else x


def estimate(prediction: Prediction, output: Tensor, state: Tensor, level: Level) -> Estimate:
    """x and ε of what a network returned; ``level`` broadcasts over ``state``."""
    signal, noise, norm = level.signal, level.noise, level.norm
    if prediction == "noise":
        return Estimate((state - noise * output) / signal, output)
    if prediction == "x":
        return Estimate(output, (state - signal * output) / noise)
    cos, sin, unit = signal / norm, noise / norm, state / norm
    return Estimate(cos * unit - sin * output, sin * unit + cos * output)


def guess(
    process: Process, y: Tensor, t: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """x̂ of y that is noised to times (B,)."""
    level = at(process.schedule(t), y)
    state = level.signal * y + level.noise * numerics.noise(y, "normal", generator)
    return process.estimate(state, t.to(y)).x


def at(level: Level, like: Tensor) -> Level:
    """α and σ of times (B,) in the dtype of ``like`` (B, …), to be broadcast over it."""
    rows = [part.to(like).view(-1, *[1] * (like.ndim - 1)) for part in level]
    return Level(*rows)


def over(values: Tensor, like: Tensor) -> Tensor:
    """Numbers of times, () or (B,), in the dtype of ``like`` (B, …), to be broadcast over it."""
    return values.to(like).reshape(-1, *[1] * (like.ndim - 1))


def clipped(
    found: Estimate, state: Tensor, level: Level, low: float | Tensor, high: float | Tensor
) -> Estimate:
    """x̂ within what x can be, and the noise that goes with it."""
    x = found.x.clamp(torch.as_tensor(low).to(state), torch.as_tensor(high).to(state))
    noise = (state - level.signal * x) / torch.where(level.noise > 0, level.noise, 1)
    return Estimate(x, torch.where(level.noise > 0, noise, found.noise))
