"""Bijections that move entries about: the values are the same, and ladj is 0."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from reparam.bijections.base import OF_MOVES, Bijection, Shape


class Reverse(Bijection):
    """The entries of a vector in reverse order: what came last in an order comes first in the next.

    Shape: (B, L) both ways, ladj 0.

    >>> import torch
    >>> Reverse()(torch.tensor([[1.0, 2.0, 3.0]]))
    (tensor([[3., 2., 1.]]), tensor([0.]))
    """

    costs = OF_MOVES

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.flip(1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.forward(z)


def even_sides(height: int, width: int) -> str:
    """The sides of an image, and how to make them even.

    >>> even_sides(13, 10).split(" (")[0]
    '13 × 10; bring image files to --size 14x10'
    """
    more = height + height % 2, width + width % 2
    return (
        f"{height} × {width}; bring image files to --size {more[0]}x{more[1]} (size={more}; --pad "
        "for bars rather than a cut), arrays by cutting or padding them yourself"
    )


class Squeeze(Bijection):
    """Blocks of 2 × 2 pixels become channels: half the height and width, four times the channels.

    The four pixels of a channel stand side by side, row by row.

    Args:
        shape: (C, H, W), H and W even.

    Shape: (B, C, H, W) → (B, 4C, H/2, W/2), ladj 0.

    Raises:
        ValueError: no image, or one with an odd side.

    Reference: Dinh et al. 2017, section 3.6.
    https://arxiv.org/abs/1605.08803

    >>> import torch
    >>> Squeeze((1, 2, 2))(torch.arange(4.0).view(1, 1, 2, 2))[0].flatten()
    tensor([0., 1., 2., 3.])
    """

    costs = OF_MOVES

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"shape: expected images (C, H, W), got {shape}")
        channels, height, width = self.takes = tuple(shape)
        if height % 2 or width % 2:
            remedy = f"{even_sides(height, width)}; or take fewer scales"
            raise ValueError(f"shape: expected even sides, as scales halve them, got {remedy}")
        self._gives = (4 * channels, height // 2, width // 2)

    @property
    def gives(self) -> Shape:
        return self._gives

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_shuffle(z, 2), z.new_zeros(z.shape[0])


class Flatten(Bijection):
    """Rows of any shape as vectors.

    Args:
        shape: of a row.

    Shape: (B, *shape) → (B, D), ladj 0.

    >>> Flatten((3, 4, 4)).gives
    (48,)
    """

    costs = OF_MOVES

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.takes = self.shape = tuple(shape)

    @property
    def gives(self) -> Shape:
        return (math.prod(self.shape),)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.unflatten(1, self.shape), z.new_zeros(z.shape[0])
