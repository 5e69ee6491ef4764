"""Bijections that move entries about."""

from __future__ import annotations

from torch import Tensor

from reparam.bijections.base import Bijection


class Reverse(Bijection):
    """The entries of a vector in reverse order: what came last in an order comes first in the next.

    Shape: (B, L) both ways, ladj 0.

    >>> import torch
    >>> Reverse()(torch.tensor([[1.0, 2.0, 3.0]]))
    (tensor([[3., 2., 1.]]), tensor([0.]))
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.flip(1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.forward(z)
