"""Posteriors q(z|x): modules from the encoder's output to a Distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from reparam import numerics
from reparam.distributions.factorised import NormalDensity
from reparam.model import Distribution

LOG_SCALE_BOUNDS = (-8.0, 8.0)  # beyond them e^{2 log σ} over- or underflows in float32 arithmetic


class Posterior(nn.Module, ABC):
    """q(z|x): draws of shape ``event_shape`` from ``parameter_shape`` numbers of the encoder."""

    event_shape: tuple[int, ...]
    parameter_shape: tuple[int, ...]
    factors: int | None = None  # columns of its density that are factors of z; None: one whole
    relaxed: bool = False  # whether draws in training are relaxed, and so without a density

    @abstractmethod
    def forward(self, parameters: Tensor) -> Distribution: ...


class DiagonalNormal(Posterior):
    """q(z|x) = N(μ, diag σ²), the encoder's outputs being (μ, log σ).

    Args:
        latent_dim: L, the number of latent dimensions.

    Shape: (B, 2L) → a distribution of (B, L), whose KL to a normal prior factorises.

    Reference: Kingma & Welling 2014, appendix C.2.

    >>> import torch
    >>> DiagonalNormal(3)(torch.zeros(5, 6)).center.shape
    torch.Size([5, 3])
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim: expected a positive number, got {latent_dim}")
        self.latent_dim = latent_dim
        self.event_shape = (latent_dim,)
        self.parameter_shape = (2 * latent_dim,)
        self.factors = latent_dim

    def forward(self, parameters: Tensor) -> NormalDensity:
        if tuple(parameters.shape[1:]) != self.parameter_shape:
            raise ValueError(
                f"encoder: DiagonalNormal({self.latent_dim}) expects outputs of shape "
                f"(B, {2 * self.latent_dim}), means and log-scales, got {tuple(parameters.shape)}"
            )
        mean, log_scale = parameters.chunk(2, 1)
        return NormalDensity(mean, numerics.bound_softly(log_scale, *LOG_SCALE_BOUNDS))
