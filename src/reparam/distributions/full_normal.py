"""The normal with a full covariance as a distribution of z."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import numerics
from reparam.distributions.factorized import Factorized, StandardNormalDensity
from reparam.model import Distribution


@dataclass(frozen=True)
class FullNormalDensity(Factorized):
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

    def kl(self, other: Distribution) -> Tensor | None:
        if not isinstance(other, StandardNormalDensity):
            return None
        squares = self.factor.square().sum((1, 2)) + self.mean.square().sum(1)
        kl = 0.5 * (squares - self.mean.shape[1]) - self._log_det()
        return kl.unsqueeze(1)

    def _log_det(self) -> Tensor:
        return self.factor.diagonal(dim1=1, dim2=2).log().sum(1)
