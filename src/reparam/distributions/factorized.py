"""Distributions whose entries are independent: densities of real x, masses of discrete x.

``log_prob`` keeps one column per entry, (B, D), so that D columns sum to log p(x).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics
from reparam.model import Distribution

WIDE = 4.0  # levels: the scale from which a sum over levels is its integral, with corrections
# σ⁽ⁿ⁾ for n = 1, 3, 5, 7, 9 as polynomials in w = σ(1−σ), from w upwards, each with its
# coefficient B_{n+1}(½) / (n+1)! in the Euler–Maclaurin formula for midpoints.
MIDPOINT_TERMS = (
    (-1 / 24, (1,)),
    (7 / 5760, (1, -6)),
    (-31 / 967680, (1, -30, 120)),
    (127 / 154828800, (1, -126, 1680, -5040)),
    (-73 / 3503554560, (1, -510, 17640, -151200, 362880)),
)


@dataclass(frozen=True)
class Factorized(Distribution):
    """What independent families share: every field is a parameter tensor (B, *event)."""

    @property
    def rows(self) -> int:
        return max(len(value) for value in self._parameters())

    def repeat(self, k: int) -> Self:
        return self._map(lambda value: value.repeat_interleave(k, 0))

    def detach(self) -> Self:
        return self._map(Tensor.detach)

    def _parameters(self) -> list[Tensor]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, Tensor)]

    def _map(self, function: object) -> Self:
        assert callable(function)
        changed = {
            field.name: function(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **changed)


@dataclass(frozen=True)
class NormalDensity(Factorized):
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
class StandardNormalDensity(Factorized):
    """N(0, I), ``zeros`` giving shape, dtype and device. Likelihood: exact."""

    zeros: Tensor

    @property
    def center(self) -> Tensor:
        return self.zeros

    @property
    def variance(self) -> Tensor:
        return torch.ones_like(self.zeros)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return numerics.noise(self.zeros, "normal", generator)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return numerics.standard_normal_log_prob(x).flatten(1)


@dataclass(frozen=True)
class BernoulliMass(Factorized):
    """P(x=1) = σ(logits) for x ∈ {0, 1}. Likelihood: exact."""

    logits: Tensor

    @property
    def center(self) -> Tensor:
        return torch.sigmoid(self.logits)

    @property
    def variance(self) -> Tensor:
        return torch.sigmoid(self.logits) * torch.sigmoid(-self.logits)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        uniform = numerics.noise(self.logits, "uniform", generator)
        return (uniform < torch.sigmoid(self.logits)).to(self.logits.dtype)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return numerics.bernoulli_log_prob(x, self.logits).flatten(1)

    def log_prob(self, x: Tensor) -> Tensor:
        if self.rows < len(x):
            return super().log_prob(x)
        return numerics.bernoulli_log_prob_sum(x, self.logits)


@dataclass(frozen=True)
class DiscretizedLogisticMass(Factorized):
    """A logistic in level units, integrated over each of ``levels`` bins, end bins open.

    Likelihood: exact, P(x) of x ∈ {0 … levels−1}.
    """

    location: Tensor
    log_scale: Tensor
    levels: int

    @property
    def center(self) -> Tensor:
        """E[x] = Σ_{k ≥ 1} P(x ≥ k), the mean of the discrete variable itself.

        Of many levels only those near a narrow logistic are added up; a wide one has a closed
        form. Either is exact to rounding.
        """
        top, scale = self.levels - 1, self.log_scale.exp()
        reach = math.ceil(WIDE * -math.log(torch.finfo(scale.dtype).eps))
        if top <= 2 * reach + 1:
            return _sum_of_tails(self.location, scale, torch.ones_like(self.location), top)
        first = (self.location.round() - reach).clamp(1, top - 2 * reach)
        narrow = _sum_of_tails(self.location, scale.clamp(max=WIDE), first, 2 * reach + 1)
        wide = _integral_of_tails(self.location, scale.clamp(min=WIDE), top)
        return torch.where(scale < WIDE, narrow + (first - 1), wide)

    @property
    def variance(self) -> Tensor:
        """Of the discrete variable itself, in ``levels`` steps."""
        scale = self.log_scale.exp()
        return _variance_of_levels(torch.sigmoid, self.location, scale, self.levels)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        uniform = numerics.noise(self.location, "uniform", generator)
        tiny = torch.finfo(uniform.dtype).eps
        draw = self.location + self.log_scale.exp() * torch.logit(uniform, eps=tiny)
        return draw.round().clamp(0, self.levels - 1) + 0.0  # 0, not −0

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return numerics.discretized_logistic_log_prob(
            x, self.location, self.log_scale, self.levels
        ).flatten(1)


def _sum_of_tails(location: Tensor, scale: Tensor, first: Tensor, count: int) -> Tensor:
    """Σ P(x ≥ k) of a logistic over ``count`` levels k from ``first`` on, level by level."""
    inverse_scale = 1 / scale
    start = location - first + 0.5
    total = torch.zeros_like(location)
    for step in range(count):
        total += torch.sigmoid((start - step) * inverse_scale)
    return total


def _variance_of_levels(
    cdf: Callable[[Tensor], Tensor], location: Tensor, scale: Tensor, levels: int
) -> Tensor:
    """Var x of a symmetric variable rounded to levels, by its tails about a, its middle level.

    E(x−a) = Σ_{k>a} P(x ≥ k) − Σ_{k≤a} P(x < k), and E(x−a)² is the sum of the same tails times
    |2(k−a) − 1|: around a nothing cancels, as it would around 0.
    """
    middle = location.round().clamp(0, levels - 1)
    first, second = torch.zeros_like(location), torch.zeros_like(location)
    for level in range(1, levels):
        side = torch.where(middle < level, 1.0, -1.0).to(location)
        tail = cdf(side * (location - level + 0.5) / scale)
        first += side * tail
        second += (2 * (level - middle) - 1).abs() * tail
    return second - first.square()


def _integral_of_tails(location: Tensor, scale: Tensor, top: int) -> Tensor:
    """Σ_{k=1}^{top} σ((m − k + ½)/s) for s ≥ ``WIDE``, by the Euler–Maclaurin formula.

    The integral over [½, top + ½] is s (softplus(m/s) − softplus((m−top)/s)); the corrections at
    its two ends are odd derivatives of σ. What remains after five is below 10⁻¹³ levels, and is
    least of all in the middle, where both ends are far.
    """
    lower, upper = location / scale, (location - top) / scale
    # Beyond the threshold softplus(u) is u; the default of 20 would show in float64.
    total = scale * (F.softplus(lower, threshold=40) - F.softplus(upper, threshold=40))
    for end, sign in ((lower, 1.0), (upper, -1.0)):
        slope = torch.sigmoid(end) * torch.sigmoid(-end)
        for index, (factor, polynomial) in enumerate(MIDPOINT_TERMS):
            value = torch.zeros_like(slope)
            for coefficient in reversed(polynomial):
                value = (value + coefficient) * slope
            total = total + sign * factor * value * scale ** (-2 * index - 1)
    return total


@dataclass(frozen=True)
class DiscretizedNormalMass(Factorized):
    """A normal in level units, integrated over each of ``levels`` bins, end bins open.

    Likelihood: exact, P(x) of x ∈ {0 … levels−1}.
    """

    mean: Tensor
    log_scale: Tensor
    levels: int

    @property
    def center(self) -> Tensor:
        """E[x] = Σ_{k ≥ 1} P(x ≥ k), the mean of the discrete variable itself."""
        inverse_scale = torch.exp(-self.log_scale)
        total = torch.zeros_like(self.mean)
        for level in range(1, self.levels):
            total += torch.special.ndtr((self.mean - level + 0.5) * inverse_scale)
        return total

    @property
    def variance(self) -> Tensor:
        """Of the discrete variable itself, in ``levels`` steps."""
        scale = self.log_scale.exp()
        return _variance_of_levels(torch.special.ndtr, self.mean, scale, self.levels)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        draw = self.mean + self.log_scale.exp() * numerics.noise(self.mean, "normal", generator)
        return draw.round().clamp(0, self.levels - 1) + 0.0  # 0, not −0

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return numerics.discretized_normal_log_prob(
            x, self.mean, self.log_scale, self.levels
        ).flatten(1)


@dataclass(frozen=True)
class CategoricalMass(Factorized):
    """P(x = k) = softmax(logits)_k over levels k, logits (B, K, *event). Likelihood: exact."""

    logits: Tensor

    @property
    def center(self) -> Tensor:
        levels = torch.arange(self.logits.shape[1], device=self.logits.device).to(self.logits)
        return torch.einsum("bk...,k->b...", self.logits.softmax(1), levels)

    @property
    def variance(self) -> Tensor:
        levels = torch.arange(self.logits.shape[1], device=self.logits.device).to(self.logits)
        levels = levels.view(-1, *[1] * (self.logits.ndim - 2))
        return (self.logits.softmax(1) * (levels - self.center.unsqueeze(1)).square()).sum(1)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return numerics.categorical_draw(self.logits, 1, generator).to(self.logits.dtype)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        chosen = x.long().unsqueeze(1)
        return self.logits.log_softmax(1).gather(1, chosen).squeeze(1).flatten(1)


@dataclass(frozen=True)
class DequantizedNormalDensity(Factorized):
    """A normal density as a distribution of integers: a lower bound on its mass.

    The mass of level x is ∫ N(x+u) du over u ∈ [0, 1). By Jensen it is at least
    E_u log N(x+u) = log N(x+½) − 1/(24 σ²), which has no noise.

    Likelihood: lower bound.
    """

    mean: Tensor
    log_scale: Tensor
    levels: int
    kind = "lower bound"

    @property
    def center(self) -> Tensor:
        # The level that u = ½ above it stands for.
        return (self.mean - 0.5).clamp(0, self.levels - 1)

    @property
    def variance(self) -> Tensor:
        """Of the levels that are drawn: rounding down is rounding to the nearest of x − ½."""
        return DiscretizedNormalMass(self.mean - 0.5, self.log_scale, self.levels).variance

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        draw = self.mean + self.log_scale.exp() * numerics.noise(self.mean, "normal", generator)
        return draw.floor().clamp(0, self.levels - 1)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        spread = torch.exp(-2 * self.log_scale) / 24
        middle = numerics.normal_log_prob(x + 0.5, self.mean, self.log_scale)
        return (middle - spread).flatten(1)


@dataclass(frozen=True)
class OptimalNormalDensity(Factorized):
    """A normal density whose σ² is the mean squared error of the very batch it is asked about.

    ``log_scale`` is the running value, for draws. Discrete x (``levels`` given) is dequantized as
    in ``DequantizedNormalDensity``, its noise counted in σ².

    Likelihood: none by itself, σ having seen x; the frozen σ of evaluation makes it one.
    """

    mean: Tensor
    log_scale: Tensor
    levels: int | None
    least: float  # σ² of a perfect fit
    varies: Tensor | None = None  # (B, *event): where the other entries of x are constants
    kind = "estimate"

    @property
    def center(self) -> Tensor:
        return self._frozen().center

    @property
    def variance(self) -> Tensor:
        return self._frozen().variance

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self._frozen().rsample(generator)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        errors = self._squared_errors(x)
        mean = errors.mean() if self.varies is None else errors.sum() / self._counted(errors)
        log_scale = 0.5 * mean.clamp(min=self.least).log()
        return replace(self, log_scale=log_scale.expand_as(self.mean))._frozen().log_prob_terms(x)

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        errors = self._squared_errors(x).detach()
        return {"squared_error": errors.sum(), "entries": self._counted(errors)}

    def _counted(self, errors: Tensor) -> Tensor:
        """How many entries the errors are of."""
        return (torch.ones_like(errors) if self.varies is None else self.varies.to(errors)).sum()

    def _squared_errors(self, x: Tensor) -> Tensor:
        if self.levels is not None:
            return (x + 0.5 - self.mean).square() + 1 / 12
        errors = (x - self.mean).square()
        return errors if self.varies is None else errors * self.varies

    def _frozen(self) -> NormalDensity | DequantizedNormalDensity:
        if self.levels is None:
            return NormalDensity(self.mean, self.log_scale)
        return DequantizedNormalDensity(self.mean, self.log_scale, self.levels)
