"""Random views of x, in network units: the same example, seen otherwise.

``numerics.noise`` is the one source of what is drawn, so that a view belongs to its example.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics
from reparam.limits import BelowOne, Limited, NonNegative
from reparam.model import Space

OF_AN_IMAGE = 8  # uniform numbers: window (side, top, left), shift (2), flip, factor, offset
OF_A_VECTOR = 2  # share that is hidden, factor; and one of each entry


@dataclass(frozen=True)
class Views(Limited):
    """How much a view of x differs from x; at strengths of 0 it is x itself.

    Images lose a border, are enlarged again and moved, all of it by one bilinear interpolation.
    The columns of a vector have no order, so that it has no border to lose and nowhere to move: of
    it entries are hidden one by one, each with the same probability, which is drawn for the vector
    and is the share of the sides that an image would lose. What is hidden is 0, which of
    standardized columns is the mean. Both then become x · factor + offset, of vectors x · factor,
    and get normal noise.

    Args:
        crop: largest share of the sides that an image loses, or of the entries that a vector does.
        shift: farthest that an image is moved along each side, as a share of it; pixels of the
            edge are repeated.
        noise: standard deviation of normal noise, in network units.
        brightness: b of a factor in 1 ± b.
        offset: farthest that all of an image becomes lighter or darker, in network units.
        flip: whether half of the views of images have left and right exchanged.

    Reference: Caron et al. 2021, "Emerging properties in self-supervised vision transformers",
    section 3.2, for views of photos by crops, colors, blurs and solarization.
    https://arxiv.org/abs/2104.14294

    >>> Views(crop=0.5).noise
    0.05
    """

    crop: BelowOne = 0.25
    shift: BelowOne = 0.05
    noise: NonNegative = 0.05
    brightness: BelowOne = 0.1
    offset: NonNegative = 0.02
    flip: bool = False

    def draw(self, x: Tensor, space: Space, count: int = 1) -> list[Tensor]:
        """So many views of each x (B, *space.shape) in network units."""
        # All numbers of a kind at once: a compiled graph may take several draws in another order.
        numbers = OF_AN_IMAGE if space.is_image else OF_A_VECTOR + x.shape[1]
        uniform = numerics.noise(x.new_empty(len(x), count, numbers), "uniform")
        normal = numerics.noise(x.new_empty(len(x), count, *x.shape[1:])) if self.noise else None
        change = self._image if space.is_image else self._vector
        seen = [change(x, one) for one in uniform.unbind(1)]
        if normal is None:
            return seen
        return [view + self.noise * e for view, e in zip(seen, normal.unbind(1), strict=True)]

    def _image(self, x: Tensor, uniform: Tensor) -> Tensor:
        side = 1 - self.crop * uniform[:, :1]
        first = (1 - side) * uniform[:, 1:3]
        moved = self.shift * (2 * uniform[:, 3:5] - 1)
        if self.crop or self.shift:
            x = window(x, first, side.expand_as(first), moved)
        if self.flip:
            x = torch.where((uniform[:, 5] < 0.5).view(-1, 1, 1, 1), x.flip(3), x)
        factor, offset = (2 * uniform[:, 6:] - 1).view(-1, 2, 1, 1, 1).unbind(1)
        return x * (1 + self.brightness * factor) + self.offset * offset

    def _vector(self, x: Tensor, uniform: Tensor) -> Tensor:
        hidden = uniform[:, OF_A_VECTOR:] < self.crop * uniform[:, :1]
        factor = 1 + self.brightness * (2 * uniform[:, 1:2] - 1)
        return torch.where(hidden, 0.0, x * factor)


def window(x: Tensor, first: Tensor, side: Tensor, moved: Tensor) -> Tensor:
    """A window of each image enlarged to its size, and moved.

    Bilinear interpolation between the pixels of the window alone, as if it had been cut out.

    Args:
        x: (B, C, H, W).
        first: where the window begins, down and across, (B, 2), as shares of the sides.
        side: how long it is, (B, 2), as shares.
        moved: how far the window is moved beyond where it is, (B, 2), as shares; pixels of the edge
            of the image are repeated.

    >>> x = torch.arange(4.0).view(1, 1, 1, 4)
    >>> zero = torch.zeros(1, 2)
    >>> window(x, torch.tensor([[0.0, 0.5]]), torch.tensor([[1.0, 0.5]]), zero).flatten().tolist()
    [2.0, 2.25, 2.75, 3.0]
    """
    places = [
        _places(x.shape[2 + axis], first[:, axis, None], side[:, axis, None]) + moved[:, axis, None]
        for axis in (0, 1)
    ]
    down, across = (2 * place - 1 for place in places)  # grid_sample's, from −1 to 1
    grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), 3)
    return F.grid_sample(x, grid.to(x), "bilinear", "border", align_corners=False)


def _places(count: int, first: Tensor, side: Tensor) -> Tensor:
    """Where so many pixels are taken from along an axis, (B, count), as shares of it."""
    at = (torch.arange(count, device=first.device).to(first) + 0.5) / count
    half = torch.minimum(0.5 * side, side.new_full((), 0.5 / count))  # of a pixel of the window
    return (first + side * at).clamp(first + half, first + side - half)
