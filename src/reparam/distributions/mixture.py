"""Mixtures of diagonal normals as distributions of z."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import numerics
from reparam.distributions.factorized import Factorized


@dataclass(frozen=True)
class NormalMixtureDensity(Factorized):
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
        chosen = chosen.unsqueeze(2).expand(-1, 1, rows.shape[1])
        mean, log_scale = (t.gather(1, chosen).squeeze(1) for t in (self.mean, self.log_scale))
        return mean + log_scale.exp() * numerics.noise(rows, "normal", generator)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        each = numerics.normal_log_prob(x.unsqueeze(1), self.mean, self.log_scale).sum(2)
        return (self.log_weights + each).logsumexp(1, keepdim=True)
