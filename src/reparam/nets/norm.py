"""Normalisation of activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOMENTUM = 0.1  # share of a batch in the running statistics


class BatchNorm(nn.Module):
    """y = γ (x − m)/√(v + ε) + β, m and v by channel: of the batch in training, else running ones.

    Of one single value per channel there is no variance: the running statistics serve then, too. A
    batch that is not finite leaves these as they were, as the step it spoils is skipped.

    Args:
        width: channels, dimension 1 of x.

    Shape: (B, width, …) → the same.

    Reference: Ioffe & Szegedy 2015, algorithms 1 and 2.

    >>> y = BatchNorm(3)(torch.arange(6.0).view(2, 3))
    >>> y.mean(0).abs().max().item() < 1e-6
    True
    """

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.mean: Tensor
        self.variance: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.numel() == len(self.mean):
            return F.batch_norm(x, self.mean, self.variance, self.scale, self.shift, eps=self.eps)
        mean, variance = self.mean.clone(), self.variance.clone()  # autograd keeps what it is given
        y = F.batch_norm(x, mean, variance, self.scale, self.shift, True, MOMENTUM, self.eps)
        self.mean.copy_(torch.where(mean.isfinite(), mean, self.mean))
        self.variance.copy_(torch.where(variance.isfinite(), variance, self.variance))
        return y


def batch_norm(width: int, wanted: bool) -> list[nn.Module]:
    """What goes before an activation: batch normalisation, or nothing."""
    return [BatchNorm(width)] if wanted else []
