"""Normal densities of x that may be spread over levels: dequantized, and with the optimal σ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reparam import numerics
from reparam.distributions.densities import NormalDensity, Parametric
from reparam.distributions.masses import DiscretizedNormalMass


@dataclass(frozen=True)
class DequantizedNormalDensity(Parametric):
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
        scale = self.log_scale.exp()
        return numerics.discretized_variance(
            torch.special.ndtr, self.mean - 0.5, scale, self.levels
        )

    @property
    def by_entry(self) -> DiscretizedNormalMass:
        # Rounding down is rounding to the nearest of x − ½.
        return DiscretizedNormalMass(self.mean - 0.5, self.log_scale, self.levels)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        draw = self.mean + self.log_scale.exp() * numerics.noise(self.mean, "normal", generator)
        return draw.floor().clamp(0, self.levels - 1)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        spread = torch.exp(-2 * self.log_scale) / 24
        middle = numerics.normal_log_prob(x + 0.5, self.mean, self.log_scale)
        return (middle - spread).flatten(1)


@dataclass(frozen=True)
class OptimalNormalDensity(Parametric):
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

    @property
    def by_entry(self) -> NormalDensity | DiscretizedNormalMass:
        return self._frozen().by_entry

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
