"""Likelihoods p(x|z): modules from the decoder's output to a Distribution of x.

A likelihood says which ``parameter_shape`` it wants of the decoder and returns x in the data's own
units. ``Normal`` on real data is the exception: its units are those of ``Standardise``, which the
model that holds the scale undoes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.distributions.factorised import (
    BernoulliMass,
    DequantisedNormalDensity,
    DiscretizedLogisticMass,
    NormalDensity,
)
from reparam.model import Distribution, Space


class Likelihood(nn.Module, ABC):
    """p(x|z) given ``parameter_shape`` = (P, *space.shape) numbers from the decoder."""

    kinds: tuple[str, ...]  # the kinds of data it is a likelihood of

    def __init__(self, space: Space, parameters_per_entry: int) -> None:
        super().__init__()
        if space.kind not in self.kinds:
            raise ValueError(
                f"likelihood: {type(self).__name__} is one of {' or '.join(self.kinds)} data, "
                f"got {space.kind} data"
            )
        self.space = space
        self.parameter_shape = (parameters_per_entry, *space.shape)

    def forward(self, parameters: Tensor) -> Distribution:
        if math.prod(parameters.shape[1:]) != math.prod(self.parameter_shape):
            raise ValueError(
                f"decoder: {type(self).__name__} expects outputs of shape "
                f"(B, {', '.join(map(str, self.parameter_shape))}), got {tuple(parameters.shape)}"
            )
        return self.distribution(parameters.reshape(len(parameters), *self.parameter_shape))

    @abstractmethod
    def distribution(self, parameters: Tensor) -> Distribution:
        """From parameters of shape (B, *parameter_shape)."""


class Bernoulli(Likelihood):
    """P(x=1) = σ(l), l the decoder's outputs.

    Shape: (B, 1, *shape) → binary x (B, *shape). Likelihood: exact.

    >>> from reparam.model import Space
    >>> Bernoulli(Space((3,), "binary"))(torch.zeros(1, 3)).log_prob(torch.ones(1, 3)).exp()
    tensor([[0.5000, 0.5000, 0.5000]])
    """

    kinds = ("binary",)

    def __init__(self, space: Space) -> None:
        super().__init__(space, 1)

    def distribution(self, parameters: Tensor) -> BernoulliMass:
        return BernoulliMass(parameters.squeeze(1))  # indexing would copy in the backward pass


class DiscretizedLogistic(Likelihood):
    """A logistic per entry, integrated over each level's bin with open end bins.

    The decoder gives a location, 0 meaning the middle of the range and ±1 its ends, and a
    log-scale, 0 meaning an eighth of the range.

    Shape: (B, 2, *shape) → levels x (B, *shape). Likelihood: exact.

    Reference: Kingma et al. 2016 (IAF), appendix; Salimans et al. 2017, eq. 2, without its midpoint
    approximation for narrow bins.

    >>> from reparam.model import Space
    >>> p = DiscretizedLogistic(Space((1,), "levels", levels=4))(torch.zeros(1, 2))
    >>> round(sum(p.log_prob(torch.tensor([[float(k)]])).exp().item() for k in range(4)), 5)
    1.0
    """

    kinds = ("levels",)

    def __init__(self, space: Space) -> None:
        super().__init__(space, 2)
        assert space.levels is not None
        self.levels = space.levels

    def distribution(self, parameters: Tensor) -> DiscretizedLogisticMass:
        location, log_scale = parameters.unbind(1)
        half_range = (self.levels - 1) / 2
        log_scale = log_scale + math.log(half_range / 4)
        # The narrowest logistic puts all but e⁻¹⁶ of its mass on one level.
        log_scale = numerics.bound_softly(log_scale, -math.log(32), math.log(8 * self.levels))
        return DiscretizedLogisticMass(half_range * (1 + location), log_scale, self.levels)


class Normal(Likelihood):
    """N(m, σ²) with m from the decoder.

    Args:
        space: real data, or binary and levels data, which are then dequantised.
        scale: ``"shared"``, one learned σ; ``"per-dimension"``, one learned σ for each entry;
            ``"fixed"``, σ = ``fixed``.
        fixed: σ of ``scale="fixed"``, and where learning starts otherwise, in network units
            (standardised real data, levels divided by K−1).

    Shape: (B, 1, *shape) → x (B, *shape).

    Likelihood: exact for real data; a lower bound for binary and levels data, by uniform
    dequantisation with its expectation in closed form.

    Reference: Kingma & Welling 2014, appendix C.2; Rybkin et al. 2021 (σ-VAE) for the shared σ.

    >>> from reparam.model import Space
    >>> Normal(Space((3,), "real"))(torch.zeros(1, 3)).sample().shape
    torch.Size([1, 3])
    """

    kinds = ("real", "levels", "binary")

    def __init__(
        self,
        space: Space,
        scale: Literal["shared", "per-dimension", "fixed"] = "shared",
        fixed: float = 1.0,
    ) -> None:
        super().__init__(space, 1)
        if scale not in ("shared", "per-dimension", "fixed"):
            raise ValueError(f"scale: expected shared, per-dimension or fixed, got {scale!r}")
        if not fixed > 0:
            raise ValueError(f"fixed: expected a positive σ, got {fixed}")
        shape = space.shape if scale == "per-dimension" else (1,) * len(space.shape)
        self.log_scale = nn.Parameter(
            torch.full((1, *shape), math.log(fixed)), requires_grad=scale != "fixed"
        )

    def distribution(self, parameters: Tensor) -> Distribution:
        mean = parameters.squeeze(1)
        log_scale: Tensor = self.log_scale
        if log_scale.requires_grad:  # the floor keeps a constant column from an infinite density
            log_scale = numerics.bound_softly(log_scale, -7.0, 7.0)
        log_scale = log_scale.expand_as(mean)
        levels = self.space.level_count
        if levels is None:
            return NormalDensity(mean, log_scale)
        # Level k covers [k, k+1): the network's range [0, 1] maps to the bins' middles.
        top = levels - 1
        return DequantisedNormalDensity(mean * top + 0.5, log_scale + math.log(top), levels)


def default_likelihood(space: Space) -> Likelihood:
    """The likelihood that fits the data's kind without approximation."""
    if space.kind == "binary":
        return Bernoulli(space)
    return DiscretizedLogistic(space) if space.kind == "levels" else Normal(space)
