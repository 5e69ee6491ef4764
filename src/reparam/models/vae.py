"""The variational autoencoder, a composition of its parts."""

from __future__ import annotations

from torch import Tensor, nn

from reparam.bijections.elementwise import Standardise
from reparam.distributions.likelihoods import Likelihood
from reparam.distributions.posteriors import Posterior
from reparam.distributions.priors import Prior
from reparam.distributions.transformed import Transformed
from reparam.model import Distribution, LatentVariable, Loss, Space, Stage
from reparam.models.objectives import ELBO


class VAE(LatentVariable):
    """p(x) = ∫ p(x|z) p(z) dz, learned through q(z|x) by a bound on log p(x).

    Args:
        space: what x is.
        encoder: network from x in network units (levels divided by K−1, real data standardised)
            to ``posterior.parameter_shape``.
        decoder: network from z to ``likelihood.parameter_shape``.
        posterior: module from the encoder's output to q(z|x).
        prior: module from the condition to p(z).
        likelihood: module from the decoder's output to p(x|z).
        objective: what is minimised; None: the negative ELBO.

    Shape: x (B, *space.shape), z (B, L).

    Likelihood: lower bound, importance weighted at ``samples`` > 1.

    Cost: one pass of encoder and decoder per loss, one of the decoder per importance sample.

    Reference: Kingma & Welling 2014, "Auto-encoding variational Bayes", eq. 7 and 10.

    >>> import torch
    >>> import reparam as rp
    >>> space = rp.Space((9,), "binary")
    >>> p_x = rp.Bernoulli(space)
    >>> model = rp.VAE(
    ...     space, nn.Linear(9, 4), nn.Linear(2, 9), rp.DiagonalNormal(2), rp.StandardNormal(2), p_x
    ... )
    >>> model.loss(torch.ones(5, 9)).terms["rate"].shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        space: Space,
        encoder: nn.Module,
        decoder: nn.Module,
        posterior: Posterior,
        prior: Prior,
        likelihood: Likelihood,
        objective: nn.Module | None = None,
    ) -> None:
        super().__init__(space)
        if likelihood.space != space:
            raise ValueError(f"likelihood: expected one of {space}, got one of {likelihood.space}")
        if posterior.event_shape != prior.event_shape:
            raise ValueError(
                f"prior: expected events of the posterior's shape {posterior.event_shape}, "
                f"got {prior.event_shape}"
            )
        self.standardise = Standardise(space)
        self.encoder, self.q_z = encoder, posterior
        self.decoder, self.p_x = decoder, likelihood
        self.p_z = prior
        self.objective = ELBO() if objective is None else objective

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.standardise.stages, *super().stages)

    @property
    def code_space(self) -> Space:
        return Space(self.q_z.event_shape, "real")

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        return self.objective(self, x, c)

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        x, c = self.prepare(x, c)
        return self.q_z(self.encoder(self.standardise.scaled(x)).to(self.anchor.dtype))

    def prior(self, c: Tensor | None = None) -> Distribution:
        return self.p_z(c)

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        p = self.p_x(self.decoder(z).to(self.anchor.dtype))  # probabilities never in bfloat16
        return Transformed(p, self.standardise) if self.space.kind == "real" else p
