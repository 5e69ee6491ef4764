"""Diffusion models of normal data, with the best denoiser in the place of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reparam.diffusion.schedules import Level, Schedule
from reparam.diffusion.steps import Prediction, at, target
from reparam.model import Space
from reparam.models.diffusion import Diffusion

F64 = torch.float64


@dataclass(frozen=True)
class Normal:
    """Data x ~ N(0, covariance), and E[x | x_t] of them."""

    covariance: Tensor

    @property
    def entropy(self) -> float:
        """−E log p(x)."""
        zero = torch.zeros(len(self.covariance), dtype=F64)
        law = torch.distributions.MultivariateNormal(zero, self.covariance)
        return law.entropy().item()

    def draw(self, rows: int, seed: int = 0) -> Tensor:
        noise = torch.randn(
            rows,
            len(self.covariance),
            dtype=F64,
            generator=torch.Generator().manual_seed(seed),
        )
        return noise @ torch.linalg.cholesky(self.covariance).T

    def of_state(self, level: Level) -> Tensor:
        """Cov x_t = α² S + σ² I, (…, D, D) of levels (…)."""
        signal, noise = (part[..., None, None] for part in level)
        return signal**2 * self.covariance + noise**2 * torch.eye(len(self.covariance), dtype=F64)

    def gain(self, level: Level) -> Tensor:
        """G of x̂ = G x_t, G = α (α² S + σ² I)⁻¹ S."""
        return torch.linalg.solve(
            self.of_state(level), level.signal[..., None, None] * self.covariance
        )

    def error(self, level: Level) -> Tensor:
        """The mean square of x − x̂, by entry, of levels (…)."""
        known = level.signal[..., None, None] * self.gain(level) @ self.covariance
        rest = (self.covariance - known).diagonal(dim1=-2, dim2=-1)
        return rest.mean(-1)


class Best(nn.Module):
    """The best denoiser of such data, as a network: from x_t/√(α² + σ²) and t to what it predicts.

    Under a condition c ∈ {0, 1, …} whose row is kept the data are shifted by ``shift`` · c.
    """

    def __init__(
        self, law: Normal, schedule: Schedule, prediction: Prediction, shift: float = 0.0
    ) -> None:
        super().__init__()
        self.law, self.prediction, self.shift = law, prediction, shift
        self.schedules = (schedule,)  # in a tuple: it is the model's
        self.calls: list[int] = []  # rows of each pass
        self.weight = nn.Parameter(torch.ones((), dtype=F64))

    def forward(
        self, y: Tensor, t: Tensor, c: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        self.calls.append(len(y))
        (schedule,) = self.schedules
        times, which = t.unique(return_inverse=True)
        gains = self.law.gain(schedule(times))[which]
        level = at(schedule(t), y)
        moved = torch.zeros_like(y)
        if c is not None:
            moved = self.shift * (c.double() if kept is None else c * kept)[:, None] + moved
        state = y * level.norm
        centered = state - level.signal * moved
        x = moved + (gains @ centered[:, :, None])[:, :, 0]
        noise = (state - level.signal * x) / level.noise
        return self.weight * target(self.prediction, x, noise, level)


def diffusion(
    law: Normal, schedule: Schedule, prediction: Prediction = "noise", **options: Any
) -> Diffusion:
    """A model of such data with its best denoiser, in float64."""
    space = Space((len(law.covariance),), "real", classes=3 if options.get("conditional") else None)
    network = Best(law, schedule, prediction, options.pop("shift", 0.0))
    return Diffusion(space, network, schedule, prediction, **options).double().eval()


def one(variance: float) -> Normal:
    """One dimension."""
    return Normal(torch.tensor([[variance]], dtype=F64))


def with_best_variances(model: Diffusion, law: Normal) -> Diffusion:
    """The model with the errors and the last scale that its data give."""
    assert model.bound is not None
    times = torch.arange(1, model.bound.times + 1, dtype=F64) / model.bound.times
    errors = law.error(model.schedule(times))
    model.bound.errors[1:] = errors
    model.bound.log_scale.fill_(0.5 * errors[0].log())
    return model
