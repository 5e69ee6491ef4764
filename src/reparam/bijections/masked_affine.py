"""Autoregressive bijections: every entry is mapped given the entries before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.base import Bijection
from reparam.nets.masked import MADE

LOG_SCALE_BOUNDS = (-6.0, 6.0)


class MaskedAffine(Bijection):
    """z_i = (x_i − m_i(x_<i)) / s_i(x_<i), with m and log s from a masked network.

    Data → noise takes one pass (masked autoregressive flow), noise → data L of them; turned round
    by ``Inverse`` it is the inverse autoregressive flow of posteriors.

    Args:
        features: L.
        hidden: widths of the masked network; () is linear.
        context: F, numbers for every row that the network sees beside x.

    Shape: (B, L), context (B, F) → (B, L), ladj (B,).

    Reference: Papamakarios et al. 2017 (MAF), eq. 3 to 5; Kingma et al. 2016 (IAF), section 3.
    https://arxiv.org/abs/1606.04934, https://arxiv.org/abs/1705.07057

    >>> z, ladj = MaskedAffine(3)(torch.zeros(2, 3))
    >>> z.shape, ladj.shape
    (torch.Size([2, 3]), torch.Size([2]))
    """

    def __init__(self, features: int, hidden: Sequence[int] = (64,), context: int = 0) -> None:
        super().__init__()
        self.features, self.context_features = features, context
        # Near the identity at first.
        self.network = MADE((features,), 2, hidden, context=context, gain=0.1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._given(x, context)
        return (x - shift) * torch.exp(-log_scale), -log_scale.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = torch.zeros_like(z)
        log_scale = x
        for _ in range(self.features):  # after i passes the first i entries are right
            shift, log_scale = self._given(x, context)
            x = shift + z * log_scale.exp()
        return x, log_scale.sum(1)

    def _given(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        # Whatever the network computes in: a Jacobian summed in bfloat16 is off by up to a nat.
        shift, log_scale = self.network(x, context).to(x).unbind(1)
        return shift, numerics.bound_softly(log_scale, *LOG_SCALE_BOUNDS)
