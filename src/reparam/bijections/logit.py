"""Bijections from the interval of dequantized levels to the whole line."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.bijections.base import OF_ENTRIES, Bijection


class Rescale(Bijection):
    """z = y / K: dequantized levels, y in [0, K), into [0, 1).

    Args:
        k: K, the number of levels.

    Shape: (B, *shape) both ways, ladj (B,).

    >>> z, ladj = Rescale(4)(torch.tensor([[0.5, 3.0]]))
    >>> z.tolist(), round(ladj.item(), 3)  # −2 ln 4
    ([[0.125, 0.75]], -2.773)
    """

    costs = OF_ENTRIES

    def __init__(self, k: float) -> None:
        super().__init__()
        if not (math.isfinite(k) and k > 0):
            raise ValueError(f"k: expected a positive number, got {k}")
        self.k = k

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x / self.k, self._ladj(x, -1.0)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * self.k, self._ladj(z, 1.0)

    def _ladj(self, x: Tensor, sign: float) -> Tensor:
        return x.new_full((), sign * x[0].numel() * math.log(self.k)).expand(x.shape[0])


class Logit(Bijection):
    """z = log p − log(1 − p) with p = α + (1 − 2α) y.

    Both p and 1 − p are computed from the side of y on which they are small: in float32 1 − p of a
    rounded p is off by percents near 1. Of α > 0 the interval that is mapped reaches α/(1 − 2α)
    beyond 0 and 1, and y = 0 has a finite z.

    Args:
        alpha: α in [0, ½).

    Shape: (B, *shape) both ways, y in (0, 1), ladj (B,).

    Reference: Dinh et al. 2017, section 4.1, with α at one end; Papamakarios et al. 2017, at both.
    https://arxiv.org/abs/1605.08803, https://arxiv.org/abs/1705.07057

    >>> z, ladj = Logit(0.0)(torch.tensor([[0.5]]))
    >>> z.item(), round(ladj.item(), 3)  # ln 4
    (0.0, 1.386)
    """

    costs = OF_ENTRIES

    def __init__(self, alpha: float = 0.0) -> None:
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise ValueError(f"alpha: expected a number from 0 to below 0.5, got {alpha}")
        self.alpha, self.width = alpha, 1 - 2 * alpha

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        low = torch.log(self.alpha + self.width * x)
        high = torch.log(self.alpha + self.width * (1 - x))
        return low - high, (math.log(self.width) - low - high).flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        near = (torch.sigmoid(-z.abs()) - self.alpha) / self.width  # to 0 or to 1
        ladj = F.logsigmoid(z) + F.logsigmoid(-z) - math.log(self.width)
        return torch.where(z > 0, 1 - near, near), ladj.flatten(1).sum(1)
