"""Priors p(z): modules from the condition to a Distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam.distributions.factorised import StandardNormalDensity


class StandardNormal(nn.Module):
    """p(z) = N(0, I) over L latent dimensions.

    >>> StandardNormal(2)().sample().shape
    torch.Size([1, 2])
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.event_shape = (latent_dim,)
        self.register_buffer("zeros", torch.zeros(1, latent_dim), persistent=False)
        self.zeros: Tensor

    def forward(self, c: Tensor | None = None) -> StandardNormalDensity:
        return StandardNormalDensity(self.zeros)
