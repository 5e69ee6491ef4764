"""Mixtures of discretized logistics, every entry on its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import numerics
from reparam.distributions.factorized import DiscretizedLogisticMass, Factorized


@dataclass(frozen=True)
class LogisticMixtureMass(Factorized):
    """P(x) = Σ_k π_k ∫_bin logistic(m_k, s_k), the parameters (B, K, *event), π = softmax(logits).

    Everything is in level units, x ∈ {0 … levels−1}, the end bins open.

    Likelihood: exact.

    >>> zeros = torch.zeros(1, 2, 3)
    >>> p = LogisticMixtureMass(zeros, torch.tensor([0.0, 3.0])[None, :, None] + zeros, zeros, 4)
    >>> p.center
    tensor([[1.5000, 1.5000, 1.5000]])
    """

    logits: Tensor
    location: Tensor
    log_scale: Tensor
    levels: int

    @property
    def center(self) -> Tensor:
        return (self.logits.softmax(1) * self._components.center).sum(1)

    @property
    def variance(self) -> Tensor:
        """Within the components and between them."""
        between = (self._components.center - self.center.unsqueeze(1)).square()
        return (self.logits.softmax(1) * (self._components.variance + between)).sum(1)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        chosen = numerics.categorical_draw(self.logits, 1, generator).unsqueeze(1)
        location, log_scale = (v.gather(1, chosen)[:, 0] for v in (self.location, self.log_scale))
        return DiscretizedLogisticMass(location, log_scale, self.levels).rsample(generator)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        by_component = numerics.discretized_logistic_log_prob(
            x.unsqueeze(1), self.location, self.log_scale, self.levels
        )
        return (self.logits.log_softmax(1) + by_component).logsumexp(1).flatten(1)

    @property
    def _components(self) -> DiscretizedLogisticMass:
        return DiscretizedLogisticMass(self.location, self.log_scale, self.levels)
