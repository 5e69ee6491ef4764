"""The convolutional network of couplings of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CouplingConv(nn.Module):
    """Convolutions of 3 × 3, 1 × 1 and 3 × 3, on one grid; the last begins with zeros.

    Args:
        in_shape: (C, H, W).
        out_channels: of what it gives.
        channels: of the two hidden layers.
        context: F, numbers for every row, of which a linear map is added to each channel of the
            first hidden layer.

    Shape: (B, C, H, W), context (B, F) → (B, out_channels, H, W).

    Reference: Kingma & Dhariwal 2018, section 5 and appendix B.
    https://arxiv.org/abs/1807.03039

    >>> net = CouplingConv((3, 4, 6), 5, 8, context=2)
    >>> y = net(torch.ones(2, 3, 4, 6), torch.ones(2, 2))
    >>> y.shape, y.any().item()
    (torch.Size([2, 5, 4, 6]), False)
    """

    def __init__(
        self, in_shape: Sequence[int], out_channels: int, channels: int = 64, context: int = 0
    ) -> None:
        super().__init__()
        self.context_features = context
        self.first = nn.Conv2d(in_shape[0], channels, 3, padding=1)
        self.context = nn.Linear(context, channels, bias=False) if context else None
        self.second = nn.Conv2d(channels, channels, 1)
        self.last = nn.Conv2d(channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        # With channels last a step on a CPU takes two thirds of the time.
        h = self.first(x.contiguous(memory_format=torch.channels_last))
        if self.context is not None:
            h = h + self.context(context)[:, :, None, None]
        return self.last(F.silu(self.second(F.silu(h))))
