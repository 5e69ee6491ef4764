"""The affine autoregressive bijection of posteriors and priors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from reparam import numerics
from reparam.bijections.autoregressive import AutoregressiveTransform
from reparam.bijections.transforms import Affine
from reparam.nets.masked import MADE

LOG_SCALE_BOUNDS = (-6.0, 6.0)


class MaskedAffine(AutoregressiveTransform):
    """z_i = (x_i − m_i(x_<i)) / s_i(x_<i), with m and log s from a masked network.

    Args:
        features: L.
        hidden: widths of the masked network; () is linear.
        context: F, numbers for every row that the network sees beside x.

    Shape: (B, L), context (B, F) → (B, L), ladj (B,).

    Reference: Papamakarios et al. 2017 (MAF), eq. 3 to 5; Kingma et al. 2016 (IAF), section 3.
    https://arxiv.org/abs/1606.04934, https://arxiv.org/abs/1705.07057

    >>> import torch
    >>> z, ladj = MaskedAffine(3)(torch.zeros(2, 3))
    >>> z.shape, ladj.shape
    (torch.Size([2, 3]), torch.Size([2]))
    """

    def __init__(self, features: int, hidden: Sequence[int] = (64,), context: int = 0) -> None:
        # Near the identity at first.
        network = MADE((features,), 2, hidden, context=context, gain=0.1)
        super().__init__(_SoftlyBounded(), network)


class _SoftlyBounded(Affine):
    """Log-scales bounded as those of normals are, by which it is one."""

    def log_scale(self, raw: Tensor) -> Tensor:
        return numerics.bound_softly(raw, *LOG_SCALE_BOUNDS)
