"""Densities of real vectors and of x: normal ones, full and mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from reparam import numerics
from reparam.distribution import Visit
from reparam.model import Distribution


@dataclass(frozen=True)
class Parametric(Distribution):
    """What families share whose fields are parameters, those that are tensors being (B, …)."""

    @property
    def rows(self) -> int:
        return max(value.shape[0] for value in self._parameters())

    def repeat(self, k: int) -> Self:
        return self._map(lambda value: value.repeat_interleave(k, 0))

    def detach(self) -> Self:
        return self._map(Tensor.detach)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Of a draw of one row."""
        return tuple(torch.broadcast_shapes(*(value.shape[1:] for value in self._parameters())))

    def some(self, rows: slice) -> Self:
        """Of these rows alone."""
        return self._map(lambda value: value if len(value) == 1 else value[rows])

    def rounded(self, bits: int) -> Self:
        return self._map(lambda value: (value * 2**bits).round() / 2**bits)

    def _parameters(self) -> list[Tensor]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, Tensor)]

    def _map(self, function: Callable[[Tensor], Tensor]) -> Self:
        changed = {
            field.name: function(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **changed)


@dataclass(frozen=True)
class NormalDensity(Parametric):
    """N(mean, exp(log_scale)²) in every entry; the KL between two has a closed form.

    KL = ½ Σ (σ₁²/σ₂² + (μ₁−μ₂)²/σ₂² − 1) + ln σ₂ − ln σ₁, one column per entry.

    Likelihood: exact.

    >>> q = NormalDensity(torch.zeros(1, 2), torch.zeros(1, 2))
    >>> q.kl(q).sum().item()
    0.0
    """

    mean: Tensor
    log_scale: Tensor

    @property
    def center(self) -> Tensor:
        return self.mean

    @property
    def variance(self) -> Tensor:
        return torch.exp(2 * self.log_scale).expand_as(self.mean)

    @property
    def by_entry(self) -> Self:
        return self

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = numerics.noise(self.mean, "normal", generator)
        return torch.addcmul(self.mean, self.log_scale.exp(), noise)

    def rsample_with_log_prob_terms(
        self, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        noise = numerics.noise(self.mean, "normal", generator)
        z = torch.addcmul(self.mean, self.log_scale.exp(), noise)
        return z, (numerics.standard_normal_log_prob(noise) - self.log_scale).flatten(1)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return numerics.normal_log_prob(x, self.mean, self.log_scale).flatten(1)

    def kl(self, other: Distribution) -> Tensor | None:
        if isinstance(other, StandardNormalDensity):
            half = 0.5 * torch.addcmul(torch.expm1(2 * self.log_scale), self.mean, self.mean)
            return (half - self.log_scale).flatten(1)
        if not isinstance(other, NormalDensity):
            return None
        ratio = self.log_scale - other.log_scale
        distance = (self.mean - other.mean) * torch.exp(-other.log_scale)
        return (0.5 * (torch.exp(2 * ratio) + distance.square() - 1) - ratio).flatten(1)


@dataclass(frozen=True)
class StandardNormalDensity(Parametric):
    """N(0, I), ``zeros`` giving shape, dtype and device. Likelihood: exact."""

    zeros: Tensor

    @property
    def center(self) -> Tensor:
        return self.zeros

    @property
    def variance(self) -> Tensor:
        return torch.ones_like(self.zeros)

    @property
    def by_entry(self) -> Self:
        return self

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return numerics.noise(self.zeros, "normal", generator)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return numerics.standard_normal_log_prob(x).flatten(1)


@dataclass(frozen=True)
class StandardUniformDensity(Parametric):
    """Uniform on (0, 1) in every entry, ``zeros`` giving shape, dtype and device; exact.

    Both ends count as inside, as what rounds to them came from within.

    >>> StandardUniformDensity(torch.zeros(1, 2)).log_prob(torch.tensor([[0.5, 1.0], [0.5, 1.5]]))
    tensor([0., -inf])
    """

    zeros: Tensor

    @property
    def center(self) -> Tensor:
        return self.zeros + 0.5

    @property
    def variance(self) -> Tensor:
        return torch.full_like(self.zeros, 1 / 12)

    @property
    def by_entry(self) -> Self:
        return self

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        info = torch.finfo(self.zeros.dtype)
        return numerics.noise(self.zeros, "uniform", generator).clamp(info.tiny, 1 - info.eps)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        outside = (x - 0.5).abs() > 0.5
        return torch.zeros_like(x).masked_fill(outside, -torch.inf).flatten(1)


@dataclass(frozen=True)
class FullNormalDensity(Parametric):
    """N(mean, C Cᵀ) with C = ``factor`` (B, L, L), lower triangular with a positive diagonal.

    ``log_prob`` is (B, 1). The KL to N(0, I) is ½ (‖C‖²_F + ‖μ‖² − L) − Σ ln C_ii.

    Likelihood: exact.

    >>> q = FullNormalDensity(torch.zeros(1, 2), torch.eye(2)[None])
    >>> round(q.log_prob_terms(torch.zeros(1, 2)).item(), 4)  # −ln 2π
    -1.8379
    """

    mean: Tensor
    factor: Tensor

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.mean.shape[1:])

    @property
    def center(self) -> Tensor:
        return self.mean

    @property
    def variance(self) -> Tensor:
        return self.factor.square().sum(2)

    @property
    def covariance(self) -> Tensor:
        return self.factor @ self.factor.mT

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = numerics.noise(self.mean, "normal", generator)
        return self.mean + (self.factor @ noise.unsqueeze(2)).squeeze(2)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        away = (x - self.mean).unsqueeze(2)
        noise = torch.linalg.solve_triangular(self.factor, away, upper=False).squeeze(2)
        log_prob = numerics.standard_normal_log_prob(noise).sum(1) - self._log_det()
        return log_prob.unsqueeze(1)

    def walk(self, visit: Visit) -> Tensor:
        """Entry by entry: z_i ~ N(μ_i + Σ_{j<i} C_ij ε_j, C_ii²), ε the noise of those before."""
        mean, log_scale = self.mean, self.factor.diagonal(dim1=1, dim2=2).log()
        drawn: list[Tensor] = []
        for i in range(mean.shape[1]):
            site = slice(i, i + 1)
            p = NormalDensity(mean[:, site], log_scale[:, site])
            drawn.append(visit(p, site))
            noise = (drawn[-1] - p.mean) * torch.exp(-p.log_scale)
            mean = mean + self.factor[:, :, i] * noise
        return torch.cat(drawn, 1)

    def part(self, x: Tensor, sites: slice) -> Tensor:
        return x[:, sites]

    def kl(self, other: Distribution) -> Tensor | None:
        if not isinstance(other, StandardNormalDensity):
            return None
        squares = self.factor.square().sum((1, 2)) + self.mean.square().sum(1)
        kl = 0.5 * (squares - self.mean.shape[1]) - self._log_det()
        return kl.unsqueeze(1)

    def _log_det(self) -> Tensor:
        return self.factor.diagonal(dim1=1, dim2=2).log().sum(1)


@dataclass(frozen=True)
class NormalMixtureDensity(Parametric):
    """Σ_k w_k N(μ_k, diag σ_k²), each row with components of its own.

    ``mean`` and ``log_scale`` are (B, K, L), ``log_weights`` (B, K), normalized; ``log_prob`` is
    (B, 1), since a mixture has no factors. Draws are differentiable in means and scales, not in the
    weights: a component is chosen, not blended.

    Likelihood: exact.

    >>> one = torch.zeros(1, 1, 2)
    >>> p = NormalMixtureDensity(one, one, torch.zeros(1, 1))  # a single component, N(0, I)
    >>> round(p.log_prob_terms(torch.zeros(3, 2))[0].item(), 4)  # −ln 2π
    -1.8379
    """

    mean: Tensor
    log_scale: Tensor
    log_weights: Tensor

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.mean.shape[2:])

    def rounded(self, bits: int) -> Self:
        found = super().rounded(bits)
        return replace(found, log_weights=found.log_weights.log_softmax(1))

    @property
    def by_entry(self) -> Self | None:
        """Entries tell of their component, and so of each other: it is itself of one entry."""
        return self if self.mean.shape[2] == 1 else None

    @property
    def center(self) -> Tensor:
        return (self.log_weights.exp().unsqueeze(2) * self.mean).sum(1)

    @property
    def variance(self) -> Tensor:
        """Within the components and between them; E z² − (E z)² would cancel far from 0."""
        between = (self.mean - self.center.unsqueeze(1)).square()
        weights = self.log_weights.exp().unsqueeze(2)
        return (weights * (torch.exp(2 * self.log_scale) + between)).sum(1)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        rows = self.mean[:, 0]
        uniform = numerics.noise(rows[:, 0], "uniform", generator)
        edges = self.log_weights.detach().exp().cumsum(1)
        chosen = torch.searchsorted(edges / edges[:, -1:], uniform.unsqueeze(1), right=True)
        chosen = chosen.clamp(max=edges.shape[1] - 1)  # weights that are NaN choose none
        chosen = chosen.unsqueeze(2).expand(-1, 1, rows.shape[1])
        mean, log_scale = (t.gather(1, chosen).squeeze(1) for t in (self.mean, self.log_scale))
        return mean + log_scale.exp() * numerics.noise(rows, "normal", generator)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        each = numerics.normal_log_prob(x.unsqueeze(1), self.mean, self.log_scale).sum(2)
        return (self.log_weights + each).logsumexp(1, keepdim=True)

    def walk(self, visit: Visit) -> Tensor:
        """Entry by entry, each a mixture with the weights w_k N(z_<i; μ_k, σ_k²), normalized."""
        log_weights, drawn = self.log_weights, list[Tensor]()
        for i in range(self.mean.shape[2]):
            site = slice(i, i + 1)
            mean, log_scale = self.mean[:, :, site], self.log_scale[:, :, site]
            z = visit(NormalMixtureDensity(mean, log_scale, log_weights), site)
            each = numerics.normal_log_prob(z.unsqueeze(1), mean, log_scale).squeeze(2)
            log_weights = (log_weights + each).log_softmax(1)
            drawn.append(z)
        return torch.cat(drawn, 1)

    def part(self, x: Tensor, sites: slice) -> Tensor:
        return x[:, sites]
