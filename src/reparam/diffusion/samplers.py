"""Samplers: how x is drawn by undoing noise, frozen values that any diffusion model takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import is_small
from reparam.diffusion.flow import Method, check_method, flow_step, passes_of, velocity_of
from reparam.diffusion.schedules import Schedule
from reparam.diffusion.steps import Estimate, Process, ReverseVariance, over, step_back
from reparam.limits import Count, Limited, NonNegative, Positive, Share
from reparam.news import tell
from reparam.space import Space

Noise = torch.Generator | None
USUAL_STEPS, SDE_STEPS = 50, 500


class State(NamedTuple):
    """x_t on the way from noise to data, with the time (1,) and what x seems to be, but at the end.

    The time is a tensor on the device, as reading it would wait for all that was begun.
    """

    t: Tensor
    state: Tensor
    x: Tensor | None


@dataclass(frozen=True)
class Sampler(Limited, ABC):
    """How x_0 is drawn, from noise x_1 down a grid of times.

    Args:
        steps: how many; None: all the times that the model has.
        guidance: w of ε_∅ + w (ε_c − ε_∅), the noise estimated without and with the condition: 1
            is the model's own p(x|c), 0 ignores c, more exaggerates it and draws of no p(x|c).
            Ho & Salimans 2022 write w for what is w − 1 here.
    """

    steps: Count | None = None
    guidance: NonNegative = 1.0

    @abstractmethod
    def back(
        self, process: Process, state: Tensor, t: Tensor, s: Tensor, last: bool, generator: Noise
    ) -> tuple[Tensor, Tensor]:
        """x_s of x_t, and x̂ at t; t and s are single times, (1,), and s is 0 in the last step."""

    def walk(self, process: Process, noise: Tensor, generator: Noise = None) -> Iterator[State]:
        """The states from x_1, which is ``noise`` times the prior's scale, down to x_0."""
        state = noise * process.schedule.prior_scale.to(noise)
        times = process.schedule.grid(self.steps)
        steps = len(times) - 1
        for index, (t, s) in enumerate(pairwise(times.split(1))):
            tell(index / steps)
            moved, x = self.back(process, state, t, s, index + 1 == steps, generator)
            yield State(t, state, x)
            state = moved
        yield State(times[-1:], state, None)

    def passes(self, times: int | None) -> int:
        """Passes of the network, one after the other, that a draw takes."""
        steps = self.steps or times
        assert steps is not None
        return steps * self._passes_of_a_step

    _passes_of_a_step = 1


def _estimate(process: Process, state: Tensor, t: Tensor) -> Estimate:
    return process.estimate(state, t.expand(len(state)))


def ancestral(
    process: Process,
    state: Tensor,
    t: Tensor,
    s: Tensor,
    last: bool,
    variance: ReverseVariance,
    generator: Noise,
) -> tuple[Tensor, Tensor]:
    """x_s ~ N(keep · x_t + pull · x̂, σ²), and x̂; x̂ itself in the last step, where s is 0."""
    x, step = _estimate(process, state, t).x, step_back(process.schedule, t, s)
    mean = over(step.keep, state) * state + over(step.pull, state) * x
    if last:
        return mean, x
    scale = step.variance(variance, process.error(t)).sqrt()
    return mean + over(scale, state) * numerics.noise(state, "normal", generator), x


@dataclass(frozen=True)
class DDPM(Sampler):
    """Ancestral sampling: x_s ~ N(keep · x_t + pull · x̂, σ²), σ² as the model has it.

    With all steps these are draws of the model whose bound ``log_prob`` gives.

    Args:
        steps: how many; None: all the times that the model has.
        guidance: as of every ``Sampler``.

    Reference: Ho et al. 2020, algorithm 2.
    https://arxiv.org/abs/2006.11239

    >>> DDPM(steps=10).passes(times=1000)
    10
    """

    def back(
        self, process: Process, state: Tensor, t: Tensor, s: Tensor, last: bool, generator: Noise
    ) -> tuple[Tensor, Tensor]:
        return ancestral(process, state, t, s, last, process.variance, generator)


@dataclass(frozen=True)
class DDIM(Sampler):
    """x_s = α_s x̂ + √(σ_s² − η² β̃) ε̂ + η √β̃ z: with η = 0 a map without noise.

    η = 1 is ancestral sampling with the variances β̃.

    Args:
        steps: how many; None: all the times that the model has.
        guidance: as of every ``Sampler``.
        eta: η, from 0 to 1.

    Reference: Song et al. 2021, "Denoising diffusion implicit models", eq. 12 and 16.
    https://arxiv.org/abs/2010.02502

    >>> DDIM(steps=20).eta
    0.0
    """

    eta: Share = 0.0

    def back(
        self, process: Process, state: Tensor, t: Tensor, s: Tensor, last: bool, generator: Noise
    ) -> tuple[Tensor, Tensor]:
        found = _estimate(process, state, t)
        early = process.schedule(s)
        mean = over(early.signal, state) * found.x
        if self.eta == 0 or last:
            return mean + over(early.noise, state) * found.noise, found.x
        added = self.eta**2 * step_back(process.schedule, t, s).posterior
        kept = over((early.noise.square() - added).clamp(min=0).sqrt(), state)
        noise = numerics.noise(state, "normal", generator)
        return mean + kept * found.noise + over(added.sqrt(), state) * noise, found.x


@dataclass(frozen=True)
class ReverseSDE(Sampler):
    """The reverse-time stochastic differential equation in so many steps.

    A step is x_s = (x_t + β ∇log p(x_t))/α_ts + √β z, β the variance of q(x_t | x_s): ancestral
    sampling with variances β.

    Args:
        steps: how many; None: all the times that the model has.
        guidance: as of every ``Sampler``.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", eq. 46.
    https://arxiv.org/abs/2011.13456

    >>> ReverseSDE(steps=100).passes(times=None)
    100
    """

    def back(
        self, process: Process, state: Tensor, t: Tensor, s: Tensor, last: bool, generator: Noise
    ) -> tuple[Tensor, Tensor]:
        return ancestral(process, state, t, s, last, "beta", generator)


@dataclass(frozen=True)
class PredictorCorrector(Sampler):
    """``ReverseSDE`` with steps of Langevin dynamics after every step.

    A correction at time s is x ← x + δ ∇log p(x) + √(2δ) z with δ = 2 (α_ts · snr · σ_s)²: of the
    published ratio of norms ‖z‖/‖∇log p(x)‖, which are means over a batch, it is what they are
    where the score is that of noise alone. So rows do not depend on each other, nor the step on a
    score that happens to be near 0.

    Args:
        steps: how many; None: all the times that the model has.
        guidance: as of every ``Sampler``.
        corrections: after every step.
        snr: signal-to-noise ratio of a correction.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", algorithms 4 and 5.
    https://arxiv.org/abs/2011.13456

    >>> PredictorCorrector(steps=100, corrections=2).passes(times=None)
    300
    """

    corrections: Count = 1
    snr: Positive = 0.16

    def back(
        self, process: Process, state: Tensor, t: Tensor, s: Tensor, last: bool, generator: Noise
    ) -> tuple[Tensor, Tensor]:
        moved, x = ancestral(process, state, t, s, last, "beta", generator)
        if last:
            return moved, x
        early = process.schedule(s)
        ratio = process.schedule(t).signal / early.signal
        delta = over(2 * (ratio * self.snr * early.noise).square(), moved)
        for _ in range(self.corrections):
            score = -_estimate(process, moved, s).noise / over(early.noise, moved)
            z = numerics.noise(moved, "normal", generator)
            moved = moved + delta * score + (2 * delta).sqrt() * z
        return moved, x

    @property
    def _passes_of_a_step(self) -> int:  # type: ignore[override]
        return 1 + self.corrections


@dataclass(frozen=True)
class ProbabilityFlow(Sampler):
    """The ordinary differential equation whose marginals are those of the noised data.

    In y = x_t/√(α² + σ²) and φ = arctan(σ/α) it is dy/dφ = v(y, φ), the velocity.

    Args:
        steps: how many; None: all the times that the model has.
        guidance: as of every ``Sampler``.
        method: heun (second order, two passes a step), ddim (first order, one pass), or rk4
            (fourth order, four passes, where time is continuous).

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", eq. 13; in these
    variables Salimans & Ho 2022, section 4 and appendix D.
    https://arxiv.org/abs/2011.13456, https://arxiv.org/abs/2202.00512

    >>> ProbabilityFlow(steps=25).passes(times=None)
    50
    """

    method: Method = "heun"

    def back(
        self, process: Process, state: Tensor, t: Tensor, s: Tensor, last: bool, generator: Noise
    ) -> tuple[Tensor, Tensor]:
        late, early = process.schedule(t), process.schedule(s)
        seen: list[Tensor] = []

        def estimate(state: Tensor, t: Tensor) -> Estimate:
            seen.append((found := process.estimate(state, t)).x)
            return found

        velocity = velocity_of(process.schedule, estimate)
        unit = state / over(late.norm, state)
        moved = flow_step(velocity, process.schedule, unit, t, s, self.method)
        return moved * over(early.norm, state), seen[0]

    @property
    def _passes_of_a_step(self) -> int:  # type: ignore[override]
        return passes_of(self.method)


SAMPLERS: dict[str, type[Sampler]] = {
    "ddpm": DDPM,
    "ddim": DDIM,
    "reverse-sde": ReverseSDE,
    "predictor-corrector": PredictorCorrector,
    "ode": ProbabilityFlow,
}


def usual_sampler(space: Space, schedule: Schedule) -> Sampler:
    """All steps, 500 in continuous time, for small x; 50 deterministic ones for others.

    >>> from reparam.diffusion.schedules import cosine
    >>> usual_sampler(Space((1, 28, 28), "binary"), cosine(1000))
    DDIM(steps=50, guidance=1.0, eta=0.0)
    """
    small = is_small(space)
    if schedule.times is None:
        return ReverseSDE(steps=SDE_STEPS) if small else ProbabilityFlow(steps=USUAL_STEPS)
    return DDPM() if small or schedule.times <= USUAL_STEPS else DDIM(steps=USUAL_STEPS)


def check_sampler(
    sampler: Sampler, schedule: Schedule, conditional: bool, drop_condition: float
) -> None:
    """ValueError where a model of such a schedule and condition has not what a sampler needs."""
    if not isinstance(sampler, Sampler):
        raise ValueError(f"sampler: expected a Sampler, such as DDIM(steps=20), got {sampler!r}")
    if sampler.guidance != 1 and not conditional:
        raise ValueError(
            f"guidance: expected 1 for a model without a condition, got {sampler.guidance:g}; "
            "train one with conditional=true"
        )
    if sampler.guidance != 1 and drop_condition == 0:
        raise ValueError(
            f"guidance: expected 1 for a model that always saw c, got {sampler.guidance:g}; "
            "train one with drop_condition above 0"
        )
    if isinstance(sampler, ProbabilityFlow):
        check_method(sampler.method, schedule)
    schedule.grid(sampler.steps)
