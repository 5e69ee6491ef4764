"""Normalization that is set once, by the first rows, and learned from there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.base import OF_ENTRIES, Bijection, Shape


class ActNorm(Bijection):
    """z = (x − shift) / scale, by column of vectors and by channel of images, scale = exp(log s).

    ``learn`` sets both so that z of the rows it saw has mean 0 and variance 1; from there they are
    parameters as others. What is constant in these rows, up to rounding, is only shifted.

    Args:
        shape: (D,) or (C, H, W).

    Shape: (B, *shape) both ways, ladj (B,).

    Reference: Kingma & Dhariwal 2018, section 3.1.
    https://arxiv.org/abs/1807.03039

    >>> norm = ActNorm((2,))
    >>> norm.learn(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    tensor([[-1.,  0.],
            [ 1.,  0.]], grad_fn=<DivBackward0>)
    """

    costs = OF_ENTRIES

    learns = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.takes = tuple(shape)
        by_channel = (shape[0],) + (1,) * (len(shape) - 1)
        self.shift = nn.Parameter(torch.zeros(by_channel))
        self.log_scale = nn.Parameter(torch.zeros(by_channel))

    @torch.no_grad()
    def _set(self, x: Tensor) -> None:
        columns = x.detach().to(numerics.accumulator(x)).movedim(1, -1).flatten(0, -2)
        variance, mean = torch.var_mean(columns, 0, correction=0)
        scale = variance.sqrt()
        constant = scale <= torch.finfo(x.dtype).eps * mean.abs()
        scale = torch.where(constant, 1.0, scale)
        self.shift.copy_(mean.view_as(self.shift))
        self.log_scale.copy_(scale.log().view_as(self.log_scale))

    def learn(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self._set(x)
        return super().learn(x, context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.shift) / self.log_scale.exp(), -self._ladj(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.shift + z * self.log_scale.exp(), self._ladj(z)

    def _ladj(self, x: Tensor) -> Tensor:
        return self.log_scale.expand(x.shape[1:]).sum().expand(x.shape[0])
