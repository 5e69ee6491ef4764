"""Posteriors q(z|x): modules from the encoder's output to a Distribution."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.base import Bijection
from reparam.distributions.densities import (
    FullNormalDensity,
    NormalDensity,
    NormalMixtureDensity,
)
from reparam.distributions.masses import OneHotMass
from reparam.distributions.transformed import Transformed
from reparam.limits import Count, Positive, limited
from reparam.model import Distribution

Support = Literal["real", "one-hot"]  # what draws of z are


class Posterior(nn.Module, ABC):
    """q(z|x): draws of shape ``event_shape`` from ``parameter_shape`` numbers of the encoder."""

    event_shape: tuple[int, ...]
    support: Support = "real"
    parameter_shape: tuple[int, ...]
    factors: int | None = None  # columns of its density that are factors of z; None: one whole
    relaxed: bool = False  # whether draws in training are relaxed, and so without a density
    paths: tuple[nn.Module, ...] = ()  # a generative path that it goes down, which is its prior's

    def forward(self, parameters: Tensor) -> Distribution:
        if tuple(parameters.shape[1:]) != self.parameter_shape:
            expected = ", ".join(["B", *map(str, self.parameter_shape)])
            raise ValueError(
                f"encoder: {type(self).__name__} expects outputs of shape ({expected}), "
                f"got {tuple(parameters.shape)}"
            )
        return self.distribution(parameters)

    @abstractmethod
    def distribution(self, parameters: Tensor) -> Distribution:
        """From parameters of shape (B, *parameter_shape)."""


class DiagonalNormal(Posterior):
    """q(z|x) = N(μ, diag σ²), the encoder's outputs being (μ, log σ).

    Args:
        latent_dim: L, the number of latent dimensions.

    Shape: (B, 2L) → a distribution of (B, L), whose KL to a normal prior factorizes.

    Reference: Kingma & Welling 2014, appendix C.2.
    https://arxiv.org/abs/1312.6114

    >>> import torch
    >>> DiagonalNormal(3)(torch.zeros(5, 6)).center.shape
    torch.Size([5, 3])
    """

    @limited
    def __init__(self, latent_dim: Count) -> None:
        super().__init__()
        self.event_shape, self.factors = (latent_dim,), latent_dim
        self.parameter_shape = (2 * latent_dim,)

    def distribution(self, parameters: Tensor) -> NormalDensity:
        return NormalDensity(*numerics.mean_and_log_scale(parameters))


class FullNormal(Posterior):
    """q(z|x) = N(μ, C Cᵀ), the encoder's outputs being μ, ln C_ii and the rows below the diagonal.

    Args:
        latent_dim: L.

    Shape: (B, L (L + 3) / 2) → a distribution of (B, L); its KL to N(0, I) has a closed form.

    >>> FullNormal(3)(torch.zeros(5, 9)).covariance[0].diagonal()
    tensor([1., 1., 1.])
    """

    @limited
    def __init__(self, latent_dim: Count) -> None:
        super().__init__()
        self.event_shape = (latent_dim,)
        self.parameter_shape = (latent_dim * (latent_dim + 3) // 2,)
        rows, columns = torch.tril_indices(latent_dim, latent_dim, -1)
        self.register_buffer("below", rows * latent_dim + columns, persistent=False)
        self.below: Tensor

    def distribution(self, parameters: Tensor) -> FullNormalDensity:
        (n,) = self.event_shape
        mean, log_scale, below = parameters.split([n, n, len(self.below)], 1)
        flat = parameters.new_zeros(parameters.shape[0], n * n)
        flat = flat.scatter(1, self.below.expand(parameters.shape[0], -1), below)
        scale = numerics.bound_softly(log_scale, *numerics.LOG_SCALE_BOUNDS).exp()
        return FullNormalDensity(mean, flat.view(-1, n, n) + torch.diag_embed(scale))


class NormalMixture(Posterior):
    """q(z|x) = 1/K Σ_k N(μ_k, diag σ_k²), the encoder's outputs being all μ and log σ.

    The weights are equal and fixed, so that the gradient of a draw is that of its component and the
    bound's is unbiased; components may lie on each other to weigh more.

    Args:
        latent_dim: L.
        components: K.

    Shape: (B, 2KL) → a distribution of (B, L), without a closed KL.

    >>> NormalMixture(3, components=2)(torch.zeros(5, 12)).log_prob_terms(torch.zeros(5, 3)).shape
    torch.Size([5, 1])
    """

    @limited
    def __init__(self, latent_dim: Count, components: Count = 5) -> None:
        super().__init__()
        self.event_shape, self.components = (latent_dim,), components
        self.parameter_shape = (2 * components * latent_dim,)

    def distribution(self, parameters: Tensor) -> NormalMixtureDensity:
        mean, log_scale = parameters.view(-1, 2, self.components, *self.event_shape).unbind(1)
        log_scale = numerics.bound_softly(log_scale, *numerics.LOG_SCALE_BOUNDS)
        weights = torch.full_like(mean[:, :, 0], -math.log(self.components))
        return NormalMixtureDensity(mean, log_scale, weights)


class FlowPosterior(Posterior):
    """A diagonal normal pushed through a bijection whose context is the encoder's as well.

    Args:
        latent_dim: L.
        bijection: of vectors of L, z → noise; its ``inverse`` is used in training and should be
            the fast way (``Planar``, ``Radial``, or ``Inverse(MaskedAffine(…))``, which is IAF).

    Shape: (B, 2L + bijection.context_features) → a distribution of (B, L), without a closed KL.

    Reference: Rezende & Mohamed 2015, eq. 15; Kingma et al. 2016, algorithm 1.
    https://arxiv.org/abs/1606.04934, https://arxiv.org/abs/1505.05770

    >>> from reparam.bijections.planar import Planar
    >>> FlowPosterior(3, Planar(3))(torch.zeros(5, 13)).sample().shape
    torch.Size([5, 3])
    """

    def __init__(self, latent_dim: int, bijection: Bijection) -> None:
        super().__init__()
        self.base, self.bijection = DiagonalNormal(latent_dim), bijection
        self.event_shape = (latent_dim,)
        self.parameter_shape = (2 * latent_dim + bijection.context_features,)

    def distribution(self, parameters: Tensor) -> Transformed:
        own = self.base.parameter_shape[0]
        context = parameters[:, own:] if self.bijection.context_features else None
        return Transformed(self.base(parameters[:, :own]), self.bijection, context)


class GumbelSoftmax(Posterior):
    """q(z|x): V categorical variables of K values, one-hot; relaxed while training.

    In training mode draws are softmax((logits + Gumbel noise) / τ), whose gradient reaches the
    encoder; in evaluation mode they are one-hot, and the bound is one. The KL is that of the
    categoricals in both.

    Args:
        variables: V.
        categories: K.
        temperature: τ > 0.

    Shape: (B, V·K) logits → a distribution of (B, V·K), V one-hot vectors in a row.

    Reference: Jang et al. 2017, eq. 2; Maddison et al. 2017.
    https://arxiv.org/abs/1611.01144, https://arxiv.org/abs/1611.00712

    >>> GumbelSoftmax(3, 4).eval()(torch.zeros(5, 12)).sample().sum(1)
    tensor([3., 3., 3., 3., 3.])
    """

    relaxed = True
    support = "one-hot"

    @limited
    def __init__(
        self, variables: Count, categories: Count = 10, temperature: Positive = 0.67
    ) -> None:
        super().__init__()
        self.variables, self.categories, self.temperature = variables, categories, temperature
        self.event_shape = self.parameter_shape = (variables * categories,)
        self.factors = variables

    def distribution(self, parameters: Tensor) -> OneHotMass:
        logits = parameters.view(-1, self.variables, self.categories)
        return OneHotMass(logits, self.temperature if self.training else None)
