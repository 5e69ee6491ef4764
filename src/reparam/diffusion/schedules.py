"""Schedules of noise: how much of x and how much noise there is at every time."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.buffers import Float64Buffers
from reparam.limits import Count, Positive, limited

SMALLEST_VE = 0.01  # σ(0) of a variance-exploding schedule, in network units
VP_LOW, VP_HIGH = 0.1, 20.0  # β(0) and β(1)
LINEAR_LOW, LINEAR_HIGH = 0.1, 20.0  # T·β of the first and of the last of T times
COSINE_SHIFT, COSINE_MOST = 0.008, 0.999


class Level(NamedTuple):
    """α(t) and σ(t) of x_t = α x + σ ε, float64 in the shape of t."""

    signal: Tensor
    noise: Tensor

    @property
    def norm(self) -> Tensor:
        """√(α² + σ²): by it networks get states of about unit variance."""
        return torch.hypot(self.signal, self.noise)

    @property
    def angle(self) -> Tensor:
        """φ = arctan(σ/α), from about 0 (data) to about π/2 (noise)."""
        return torch.atan2(self.noise, self.signal)


class Schedule(Float64Buffers):
    """x_t = α(t) x + σ(t) ε, ε ~ N(0, I), for times t from 0 (data) to 1 (noise)."""

    times: int | None = None  # T, where time is discrete: t is one of 0, 1/T, … 1
    first = 1e-5  # the earliest time that networks see

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # says the device
        self.anchor: Tensor

    @property
    def prior_scale(self) -> Tensor:
        """x_1 is drawn from N(0, prior_scale² I)."""
        return self.anchor.new_ones((), dtype=torch.float64)

    @abstractmethod
    def forward(self, t: Tensor) -> Level:
        """α(t) and σ(t) at times of any shape."""

    @abstractmethod
    def grid(self, steps: int | None = None) -> Tensor:
        """Times from 1 down to 0 in so many steps, (steps + 1,); None: all there are.

        Raises:
            ValueError: more steps than times, or None of a schedule of all times.
        """


class ContinuousSchedule(Schedule):
    """A schedule of all times, whose grids are even in φ: so solvers' errors are the smallest."""

    @abstractmethod
    def time_at(self, angle: Tensor) -> Tensor:
        """The time at which φ = arctan(σ/α) is so much."""

    def grid(self, steps: int | None = None) -> Tensor:
        if steps is None:
            raise ValueError("steps: expected a number, as time is continuous, got None")
        ends = self.anchor.new_ones(()), self.anchor.new_zeros(())
        late, early = (self(end).angle for end in ends)
        share = torch.linspace(0, 1, steps + 1, dtype=late.dtype, device=late.device)
        inner = self.time_at(torch.lerp(late, early, share[1:-1]))
        return torch.cat([inner.new_ones(1), inner, inner.new_zeros(1)])


class DiscreteSchedule(Schedule):
    """T times with β_t each: α_t² = ᾱ_t = Π_{s ≤ t} (1 − β_s), σ_t² = 1 − ᾱ_t.

    Args:
        betas: β_1 … β_T, float64, each above 0 and below 1.

    Reference: Ho et al. 2020, eq. 2 and 4.
    https://arxiv.org/abs/2006.11239

    >>> DiscreteSchedule(torch.tensor([0.5, 0.5], dtype=torch.float64))(torch.tensor([0.0, 1.0]))
    Level(signal=tensor([1.0000, 0.5000], dtype=torch.float64), noise=tensor([0.0000, 0.8660], dtype=torch.float64))
    """  # noqa: E501

    def __init__(self, betas: Tensor) -> None:
        super().__init__()
        self.times, self.first = len(betas), 1 / max(len(betas), 1)
        if self.times < 2:
            raise ValueError(f"times: expected at least 2, got {self.times}")
        if not ((betas > 0) & (betas < 1)).all():
            ends = f"{betas.min().item():g} to {betas.max().item():g}"
            raise ValueError(f"betas: expected above 0 and below 1, got {ends}")
        logs = torch.log1p(-betas.double()).cumsum(0)
        self.register_buffer("log_kept", torch.cat([logs.new_zeros(1), logs]))  # ln ᾱ
        self.log_kept: Tensor

    def forward(self, t: Tensor) -> Level:
        assert self.times is not None
        log_kept = self.log_kept.take((t * self.times).round().long())
        return Level((0.5 * log_kept).exp(), torch.expm1(log_kept).abs().sqrt())

    def grid(self, steps: int | None = None) -> Tensor:
        assert self.times is not None
        steps = self.times if steps is None else steps
        if steps > self.times:
            raise ValueError(
                f"steps: expected at most {self.times}, the model's times, got {steps}"
            )
        device = self.anchor.device
        line = torch.linspace(0, self.times, steps + 1, dtype=torch.float64, device=device)
        return line.round().flip(0) / self.times


@limited
def linear(times: Count) -> DiscreteSchedule:
    """β rising evenly from 0.1/T to 20/T: 0.0001 to 0.02 at T = 1000.

    Raises:
        ValueError: a T of 20 or less, of which the last β would not be below 1.

    Reference: Ho et al. 2020, section 4, for T = 1000.
    https://arxiv.org/abs/2006.11239

    >>> linear(1000).times
    1000
    """
    if times <= LINEAR_HIGH:
        raise ValueError(
            f"times: expected at least {LINEAR_HIGH + 1:.0f} for a linear schedule, whose last "
            f"beta is {LINEAR_HIGH:.0f}/T, got {times}; take schedule=cosine"
        )
    ends = LINEAR_LOW / times, LINEAR_HIGH / times
    return DiscreteSchedule(torch.linspace(*ends, times, dtype=torch.float64))


@limited
def cosine(times: Count) -> DiscreteSchedule:
    """ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + s)/(1 + s) · π/2), s = 0.008, every β at most 0.999.

    Reference: Nichol & Dhariwal 2021, eq. 17.
    https://arxiv.org/abs/2102.09672

    >>> cosine(10)(torch.tensor(0.5, dtype=torch.float64)).signal.item().__round__(4)
    0.7027
    """
    t = torch.linspace(0, 1, times + 1, dtype=torch.float64)
    kept = torch.cos((t + COSINE_SHIFT) / (1 + COSINE_SHIFT) * math.pi / 2) ** 2
    return DiscreteSchedule((1 - kept[1:] / kept[:-1]).clamp(max=COSINE_MOST))


def _vp_time(log_kept: Tensor) -> Tensor:
    """The time at which −∫β is so much."""
    slope = VP_HIGH - VP_LOW
    return ((VP_LOW**2 - 2 * slope * log_kept).sqrt() - VP_LOW) / slope


class VP(ContinuousSchedule):
    """Variance preserving: α² = exp(−∫β), σ² = 1 − α², β(t) = 0.1 + 19.9 t.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", eq. 11 and 33.
    https://arxiv.org/abs/2011.13456

    >>> [round(value.item(), 4) for value in VP()(torch.tensor(1.0))]
    [0.0066, 1.0]
    """

    def forward(self, t: Tensor) -> Level:
        t = t.double()
        log_kept = -(VP_LOW * t + 0.5 * (VP_HIGH - VP_LOW) * t.square())
        return Level((0.5 * log_kept).exp(), torch.expm1(log_kept).abs().sqrt())

    def time_at(self, angle: Tensor) -> Tensor:
        return _vp_time(2 * angle.double().cos().log())


class SubVP(VP):
    """As ``VP``, with σ = 1 − α² in the place of its root: less noise at every time.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", eq. 12 and 29.
    https://arxiv.org/abs/2011.13456

    >>> [round(value.item(), 4) for value in SubVP()(torch.tensor(0.1))]
    [0.9467, 0.1037]
    """

    def forward(self, t: Tensor) -> Level:
        signal, noise = super().forward(t)
        return Level(signal, noise.square())

    def time_at(self, angle: Tensor) -> Tensor:
        half = 0.5 * angle.double().tan()  # (1 − α²)/α is twice as much
        return _vp_time(2 * ((half.square() + 1).sqrt() - half).log())


class VE(ContinuousSchedule):
    """Variance exploding: α = 1, σ geometric from 0.01 to ``largest``.

    What it gives at t = 0 are data with noise of deviation 0.01 left in them.

    Args:
        largest: σ(1), best about the largest distance between two training examples, in the units
            of networks.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", eq. 9 and 30; Song
    & Ermon 2020, technique 1, for the largest σ.
    https://arxiv.org/abs/2011.13456, https://arxiv.org/abs/2006.09011

    >>> [round(value.item(), 4) for value in VE(50.0)(torch.tensor(0.5))]
    [1.0, 0.7071]
    """

    @limited
    def __init__(self, largest: Positive = 50.0) -> None:
        super().__init__()
        self.register_buffer("largest", torch.tensor(float(largest), dtype=torch.float64))
        self.largest: Tensor

    @property
    def prior_scale(self) -> Tensor:
        return self.largest

    def forward(self, t: Tensor) -> Level:
        noise = SMALLEST_VE * (self.largest / SMALLEST_VE) ** t.double()
        return Level(torch.ones_like(noise), noise)

    def time_at(self, angle: Tensor) -> Tensor:
        return (angle.double().tan() / SMALLEST_VE).log() / (self.largest / SMALLEST_VE).log()
