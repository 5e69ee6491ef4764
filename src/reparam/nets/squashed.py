"""Outputs that stay within a range."""

from __future__ import annotations

from torch import Tensor, nn


class Squashed(nn.Module):
    """A network whose outputs go through σ, into (0, 1): in the middle where it gives 0.

    >>> import torch
    >>> Squashed(nn.Identity())(torch.zeros(1))
    tensor([0.5000])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.network(*inputs)
        return output.sigmoid()
