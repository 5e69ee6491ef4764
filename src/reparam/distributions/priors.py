"""Priors p(z): modules from the condition to a Distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from reparam.distributions.factorised import StandardNormalDensity
from reparam.model import Distribution


class Prior(nn.Module, ABC):
    """p(z) over draws of shape ``event_shape``: one row, or one for each row of a condition."""

    event_shape: tuple[int, ...]
    factors: int | None = None  # columns of its density that are factors of z; None: one whole

    @abstractmethod
    def forward(self, c: Tensor | None = None) -> Distribution: ...


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
