"""Priors p(z): modules from the condition to a Distribution."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.base import Bijection, Inverse
from reparam.bijections.logit import Logit
from reparam.distributions.autoregressive_likelihood import AutoregressiveDistribution
from reparam.distributions.densities import (
    NormalDensity,
    NormalMixtureDensity,
    StandardNormalDensity,
    StandardUniformDensity,
)
from reparam.distributions.likelihoods import ConditionalNormal
from reparam.distributions.masses import OneHotMass
from reparam.distributions.posteriors import DiagonalNormal, Posterior, Support
from reparam.distributions.transformed import Transformed
from reparam.limits import Count, limited
from reparam.model import Distribution, Space
from reparam.nets.autoregressive_network import AutoregressiveNetwork
from reparam.nets.norm import has_batch_norm


class Prior(nn.Module, ABC):
    """p(z) over draws of shape ``event_shape``: one row, or one for each row of a condition."""

    event_shape: tuple[int, ...]
    support: Support = "real"
    layers: tuple[int, ...] = ()  # their sizes in z, coarsest first; (): there is but one
    examples: int = 0  # how many training examples ``initialize`` is to be given
    factors: int | None = None  # columns of its density that are factors of z; None: one whole
    paths: tuple[nn.Module, ...] = ()  # the generative path of a hierarchy

    @abstractmethod
    def forward(self, c: Tensor | None = None) -> Distribution: ...

    def initialize(self, x: Tensor) -> None:  # noqa: B027
        """First values from ``examples`` training examples in network units."""

    def refuse(self, posterior: Posterior, conditional: bool) -> None:
        """ValueError where this is no prior for draws of the posterior."""
        if self.support != posterior.support:
            drawn = type(posterior).__name__
            raise ValueError(
                f"prior: expected one of {posterior.support} vectors, as {drawn} draws them, "
                f"got {type(self).__name__} of {self.support} ones"
            )
        if self.event_shape != posterior.event_shape:
            raise ValueError(
                f"prior: expected events of the posterior's shape {posterior.event_shape}, "
                f"got {self.event_shape}"
            )
        if posterior.paths and self.paths != posterior.paths:
            raise ValueError(
                "prior: expected the LayeredPrior of the path that the posterior goes down, got "
                f"{type(self).__name__}{' of another path' if self.paths else ''}"
            )


class StandardNormal(Prior):
    """p(z) = N(0, I) over L latent dimensions.

    >>> StandardNormal(2)().sample().shape
    torch.Size([1, 2])
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.event_shape, self.factors = (latent_dim,), latent_dim
        self.register_buffer("zeros", torch.zeros(1, latent_dim), persistent=False)
        self.zeros: Tensor

    def forward(self, c: Tensor | None = None) -> StandardNormalDensity:
        return StandardNormalDensity(self.zeros)


class SquashedUniform(Prior):
    """p(z): the logistic function of z is uniform on (0, 1), in each of L latent dimensions.

    That is the standard logistic distribution. Of a uniform density alone a z outside of its cube
    has log p(z) = −∞ and no gradient that would lead it back.

    >>> round(SquashedUniform(2)().log_prob(torch.zeros(1, 2)).item(), 4)  # −2 ln 4
    -2.7726
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.event_shape = (latent_dim,)
        self.squash = Inverse(Logit())
        self.register_buffer("zeros", torch.zeros(1, latent_dim), persistent=False)
        self.zeros: Tensor

    def forward(self, c: Tensor | None = None) -> Transformed:
        return Transformed(StandardUniformDensity(self.zeros), self.squash)


class UniformOneHot(Prior):
    """p(z): V categorical variables of K values, all equally probable, one-hot.

    >>> UniformOneHot(2, 4)().log_prob_terms(torch.tensor([[1.0, 0, 0, 0, 0, 1, 0, 0]])).exp()
    tensor([[0.2500, 0.2500]])
    """

    support = "one-hot"

    def __init__(self, variables: int, categories: int) -> None:
        super().__init__()
        self.event_shape, self.factors = (variables * categories,), variables
        zeros = torch.zeros(1, variables, categories)
        self.register_buffer("zeros", zeros, persistent=False)
        self.zeros: Tensor

    def forward(self, c: Tensor | None = None) -> OneHotMass:
        return OneHotMass(self.zeros)


class MixturePrior(Prior):
    """p(z) = Σ_k w_k N(μ_k, diag σ_k²), everything learned.

    Args:
        latent_dim: L.
        components: K.

    >>> MixturePrior(2, components=3)().log_prob_terms(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """

    @limited
    def __init__(self, latent_dim: int, components: Count = 10) -> None:
        super().__init__()
        self.event_shape = (latent_dim,)
        self.mean = nn.Parameter(torch.randn(1, components, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(1, components, latent_dim))
        self.logits = nn.Parameter(torch.zeros(1, components))

    def forward(self, c: Tensor | None = None) -> NormalMixtureDensity:
        log_scale = numerics.bound_softly(self.log_scale, *numerics.LOG_SCALE_BOUNDS)
        return NormalMixtureDensity(self.mean, log_scale, self.logits.log_softmax(1))


class VampPrior(Prior):
    """p(z) = 1/K Σ_k q(z|u_k), the mixture of the posteriors of K learned pseudo-inputs.

    The pseudo-inputs are in network units and start at training examples drawn at random.

    Args:
        encoder: the model's own.
        posterior: the model's own, a diagonal normal.
        shape: of x.
        components: K.

    Reference: Tomczak & Welling 2018, eq. 9.
    https://arxiv.org/abs/1705.07120

    >>> q = DiagonalNormal(2)
    >>> VampPrior(nn.Linear(5, 4), q, (5,), components=3)().log_prob_terms(torch.zeros(7, 2)).shape
    torch.Size([7, 1])
    """

    @limited
    def __init__(
        self,
        encoder: nn.Module,
        posterior: Posterior,
        shape: tuple[int, ...],
        components: Count = 100,
    ) -> None:
        super().__init__()
        if not isinstance(posterior, DiagonalNormal):
            raise ValueError(
                f"prior: VampPrior mixes diagonal normal posteriors, got {type(posterior).__name__}"
            )
        if has_batch_norm(encoder):
            raise ValueError(
                "prior: VampPrior needs an encoder without batch normalization, whose statistics "
                "would be those of pseudo-inputs as well; leave out batch_norm"
            )
        self.networks = (encoder, posterior)  # in a tuple: they are the model's, not this module's
        self.event_shape, self.examples = posterior.event_shape, components
        self.pseudo_inputs = nn.Parameter(torch.rand(components, *shape))

    def forward(self, c: Tensor | None = None) -> NormalMixtureDensity:
        encoder, posterior = self.networks
        q = posterior(encoder(self.pseudo_inputs).to(self.pseudo_inputs.dtype))
        weights = torch.full_like(q.mean[None, :, 0], -math.log(len(q.mean)))
        return NormalMixtureDensity(q.mean[None], q.log_scale[None], weights)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        rows = torch.arange(len(self.pseudo_inputs), device=x.device) % len(x)
        self.pseudo_inputs.copy_(x[rows])

    def refuse(self, posterior: Posterior, conditional: bool) -> None:
        super().refuse(posterior, conditional)
        if conditional:
            raise ValueError(
                "prior: VampPrior has pseudo-inputs without labels, got a conditional model"
            )
        if posterior is not self.networks[1]:
            raise ValueError("prior: VampPrior needs the model's own posterior, got another one")


class ClassConditional(Prior):
    """p(z|y) = N(μ_y, diag σ_y²), learned for every class.

    Args:
        latent_dim: L.
        classes: how many labels there are.

    >>> ClassConditional(2, classes=10)(torch.tensor([3, 1])).sample().shape
    torch.Size([2, 2])
    """

    def __init__(self, latent_dim: int, classes: int) -> None:
        super().__init__()
        self.event_shape, self.factors = (latent_dim,), latent_dim
        self.mean = nn.Parameter(torch.randn(classes, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(classes, latent_dim))

    def forward(self, c: Tensor | None = None) -> NormalDensity:
        if c is None:
            raise ValueError("c: expected a label for every row of a class-conditional prior")
        log_scale = numerics.bound_softly(self.log_scale[c], *numerics.LOG_SCALE_BOUNDS)
        return NormalDensity(self.mean[c], log_scale)

    def refuse(self, posterior: Posterior, conditional: bool) -> None:
        super().refuse(posterior, conditional)
        if not conditional:
            raise ValueError("prior: ClassConditional needs labels, got a model without condition")


class FlowPrior(Prior):
    """N(0, I) pulled back through a bijection z → noise.

    Args:
        latent_dim: L.
        bijection: of vectors of L, without context; its ``forward`` is used in training.

    >>> from reparam.bijections.masked_affine import MaskedAffine
    >>> FlowPrior(3, MaskedAffine(3))().log_prob_terms(torch.zeros(5, 3)).shape
    torch.Size([5, 1])
    """

    def __init__(self, latent_dim: int, bijection: Bijection) -> None:
        super().__init__()
        if bijection.context_features:
            raise ValueError(
                f"bijection: expected one without context, got {bijection.context_features} numbers"
            )
        self.event_shape = (latent_dim,)
        self.base, self.bijection = StandardNormal(latent_dim), bijection

    def forward(self, c: Tensor | None = None) -> Transformed:
        return Transformed(self.base(), self.bijection)


class AutoregressivePrior(Prior):
    """p(z) = Π_i N(z_i; μ_i(z_<i), σ_i(z_<i)²), means and scales from a masked network.

    Its density has a column for every dimension, log p(z_i | z_<i), so that under a diagonal
    normal posterior the rate of a dimension is that beyond those before it: log q(z_i|x) −
    log p(z_i|z_<i) of one draw, in expectation a KL divergence and at least 0.

    Args:
        network: of vectors of L, with two numbers per entry and without context. Outputs that
            start small (the ``gain`` of ``MADE``) start close to N(0, I).

    Shape: z (B, L) → (B, L). Likelihood: exact.

    Cost: one pass of the network for a density, and for all entries of a draw together, which
    come one after the other; no gradient passes through draws.

    Reference: Uria et al. 2013 (RNADE), eq. 7 to 9, with one component; Germain et al. 2015 (MADE)
    for the network. As a density it is one ``MaskedAffine`` flow (Papamakarios et al. 2017, eq. 3).
    https://arxiv.org/abs/1502.03509, https://arxiv.org/abs/1705.07057
    https://arxiv.org/abs/1306.0186

    >>> from reparam.nets.masked import MADE
    >>> AutoregressivePrior(MADE((3,), 2, (64,)))().log_prob_terms(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    def __init__(self, network: AutoregressiveNetwork) -> None:
        super().__init__()
        if len(network.shape) > 1 or network.context_features:
            raise ValueError(
                f"network: expected one of vectors without context, got one of {network.shape} "
                f"with {network.context_features} numbers"
            )
        self.event_shape, self.factors = network.shape, network.shape[0]
        self.network, self.conditional = network, ConditionalNormal(Space(network.shape, "real"))
        self.register_buffer("no_context", torch.zeros(1, 0), persistent=False)
        self.no_context: Tensor

    def forward(self, c: Tensor | None = None) -> AutoregressiveDistribution:
        return AutoregressiveDistribution(self.network, self.conditional, self.no_context, top=1)
