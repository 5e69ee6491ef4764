"""Markov chains on the code of an x of which a degradation left y."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.distributions.conditioned import Conditioned
from reparam.model import Distribution, LatentVariable
from reparam.use.latent_chains import CompletingChains, Point


class RestoringChains(CompletingChains):
    """Chains on (z, x) with p(z, x | A x = y) as their target, for any q(z|x) and linear A.

    Metropolis within Gibbs. z′ ~ q(z|x) of the whole x is accepted by the ratio of
    w = p(x|z) p(z) / q(z|x), which leaves p(z | x) invariant whatever A is; then
    x ~ p(x | z, A x = y) is drawn exactly. Every tenth step the pair is proposed from
    p(z) p(x | z, A x = y): all cancels but p(y|z′) / p(y|z).

    Args:
        model: whose entries of x are independent given z.
        told: p(x | A x = y) of such entries, and p(y).
        x: (R, *shape), prepared, from which the data may differ anywhere.
        c: (R, …), for models that use a condition.
        generator: of all noise.
    """

    def __init__(
        self,
        model: LatentVariable,
        told: Conditioned,
        x: Tensor,
        c: Tensor | None,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(model, x, torch.zeros_like(x, dtype=torch.bool), c, generator)
        self.told = told

    def _evidence(self, law: Distribution) -> Tensor:
        return self.told.log_prob(law)

    def _complete(self, z: Tensor) -> Point:
        law = self._law(z)
        drawn, evidence = self.told.draw(law, self.generator)
        self.x = drawn.to(self.x)
        self._propose()
        return self._point(z, law, self.proposal.log_prob_terms(z), evidence)

    def _from_prior(self) -> Point:
        z = self.prior.sample(self.generator)
        law = self._law(z)
        return self._point(z, law, self.proposal.log_prob_terms(z), self._evidence(law))

    def _point(
        self, z: Tensor, law: Distribution, log_q: Tensor, evidence: Tensor | None = None
    ) -> Point:
        """The evidence is left at 0 where no step of the prior looks at it."""
        found = super()._point(z, law, log_q)
        return found if evidence is None else found._replace(evidence=evidence)
