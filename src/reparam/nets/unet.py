"""A small U-Net for images of any size: down to a coarse grid, and up beside what was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.nets.condition import Beside
from reparam.nets.conv import halvings

STEM_ABOVE = 16  # sides above which 2 × 2 pixels are gathered first
WIDEST = 4  # times the width of the finest grid
GROUP = 8  # channels that are normalized together


class UNet(nn.Module):
    """Residual blocks on every grid, attention on the coarsest, the time by scale and shift.

    Above 16 × 16 pixels of 2 × 2 are gathered into channels first, which costs a quarter of what
    the finest grid would. Grids halve, rounding up, down to a side of 4. Group normalization, so
    that rows do not see each other; the last layer starts at 0.

    Args:
        shape: (C, H, W) of images.
        width: channels of the finest grid; twice as many on the next, at most four times.
        moment: module from (t, c, kept) to what scales and shifts, (B, 4 · width).
        given: shape of an image beside y, which c then is and which the first convolution sees.

    Shape: y (B, C, H, W), t (B,), c, kept (B,) → (B, C, H, W).

    Reference: Ho et al. 2020, appendix B; Dhariwal & Nichol 2021, section 3, for scale and shift.
    https://arxiv.org/abs/2006.11239, https://arxiv.org/abs/2105.05233

    >>> from reparam.nets.denoiser import denoiser
    >>> denoiser((3, 17, 30), width=8)(torch.zeros(2, 3, 17, 30), torch.zeros(2)).shape
    torch.Size([2, 3, 17, 30])
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        moment: nn.Module,
        given: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        channels, height, width_of_x = shape
        self.block = 2 if max(height, width_of_x) > STEM_ABOVE else 1
        grid = -(-height // self.block), -(-width_of_x // self.block)
        self.grids, self.moment = halvings(*grid), moment
        widths = [min(2**i, WIDEST) * width for i in range(len(self.grids))]
        inputs, of_moment = channels * self.block**2, 4 * width
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.beside = None if given is None else Beside(given, width, self.block)
        pairs = list(zip([width, *widths[:-1]], widths, strict=True))
        self.down = nn.ModuleList(Residual(a, b, of_moment) for a, b in pairs)
        self.halve = nn.ModuleList(nn.Conv2d(w, w, 3, stride=2, padding=1) for w in widths[:-1])
        self.middle = Residual(widths[-1], widths[-1], of_moment)
        self.attention = Attention(widths[-1])
        ups = zip([widths[-1], *widths[::-1]], widths[::-1], strict=False)
        self.up = nn.ModuleList(Residual(a + b, b, of_moment) for a, b in ups)
        self.norm, self.last = _norm(width), nn.Conv2d(width, inputs, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)
        self.products = self._products()

    def forward(
        self, y: Tensor, t: Tensor, c: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        height, width = y.shape[2:]
        moment = F.silu(self.moment(t, None if self.beside is not None else c, kept))
        h = self.first(self._gathered(y))
        if self.beside is not None and c is not None:
            added = self.beside(c)
            h = h + (added if kept is None else added * kept.to(added).view(-1, 1, 1, 1))
        seen = []
        for index, down in enumerate(self.down):
            if index:
                h = self.halve[index - 1](h)
            h = down(h, moment)
            seen.append(h)
        h = self.attention(self.middle(h, moment))
        for up, beside in zip(self.up, reversed(seen), strict=True):
            h = up(torch.cat([_enlarged(h, beside), beside], 1), moment)
        h = self.last(F.silu(self.norm(h)))
        h = h if self.block == 1 else F.pixel_shuffle(h, self.block)
        return h[..., :height, :width]

    def _gathered(self, y: Tensor) -> Tensor:
        """Blocks of pixels as channels; odd sides are padded."""
        if self.block == 1:
            return y
        height, width = y.shape[2:]
        return F.pixel_unshuffle(F.pad(y, (0, width % 2, 0, height % 2)), self.block)

    def _products(self) -> int:
        """Products of numbers of a pass of one row, about."""
        total = 0
        layers = [
            *zip(self.down, self.grids, strict=True),
            *zip(self.up, self.grids[::-1], strict=True),
        ]
        layers += [(self.middle, self.grids[-1]), (self.attention, self.grids[-1])]
        layers += [(self.first, self.grids[0]), (self.last, self.grids[0])]
        for layer, grid in layers:
            kernels = (p.numel() for p in layer.parameters() if p.ndim == 4)
            total += math.prod(grid) * sum(kernels)
        return total


class Restorer(nn.Module):
    """A ``UNet`` of an image beside an x of zeros, at no time.

    Args:
        shape: (C, H, W) of what is made.
        width: channels of the finest grid.
        given: shape of the image that it is made of.

    Shape: c (B, *given) → (B, *shape).

    >>> Restorer((3, 9, 8), 8, (4, 9, 8))(torch.zeros(2, 4, 9, 8)).shape
    torch.Size([2, 3, 9, 8])
    """

    def __init__(self, shape: Sequence[int], width: int, given: tuple[int, ...]) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"network: unet needs images (C, H, W), got shape {tuple(shape)}")
        self.shape = tuple(shape)
        self.unet = UNet(shape, width, Constant(4 * width), given)
        self.unet.first.weight.requires_grad_(False)  # of zeros it makes nothing

    def forward(self, c: Tensor) -> Tensor:
        x = c.new_zeros(c.shape[0], *self.shape)
        return self.unet(x, c.new_zeros(c.shape[0]), c)


class Constant(nn.Module):
    """A moment that is the same at all times, and learned."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1, width))

    def forward(self, t: Tensor, c: Tensor | None, kept: Tensor | None) -> Tensor:
        return self.value.expand(t.shape[0], -1)


class Residual(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x)))) · (1 + scale) + shift)), x projected to the width.

    Shape: (B, C, H, W) and (B, moment) → (B, outputs, H, W).
    """

    def __init__(self, inputs: int, outputs: int, moment: int) -> None:
        super().__init__()
        self.norm, self.first = _norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second_norm, self.last = _norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.moment = nn.Linear(moment, 2 * outputs)
        self.project = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, moment: Tensor) -> Tensor:
        h = self.first(F.silu(self.norm(x)))
        scale, shift = self.moment(moment)[..., None, None].chunk(2, 1)
        h = F.silu(self.second_norm(h) * (1 + scale) + shift)
        return self.project(x) + self.last(h)


class Attention(nn.Module):
    """Every place sees every other one: x + W softmax(qᵀk/√d) v, four heads at most.

    Shape: (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(h for h in (4, 2, 1) if channels % h == 0)
        self.norm, self.three = _norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, height, width = x.shape
        parts = self.three(self.norm(x)).view(rows, 3, self.heads, channels // self.heads, -1)
        q, k, v = parts.transpose(-1, -2).unbind(1)  # (B, heads, H·W, C/heads)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return x + self.last(seen.reshape(rows, channels, height, width))


def _norm(channels: int) -> nn.GroupNorm:
    """Groups of about eight channels.

    >>> _norm(32).num_groups, _norm(6).num_groups
    (4, 1)
    """
    groups = max(1, channels // GROUP)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)


def _enlarged(h: Tensor, like: Tensor) -> Tensor:
    return h if h.shape[2:] == like.shape[2:] else F.interpolate(h, size=like.shape[2:])
