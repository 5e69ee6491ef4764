"""Convolutional networks between images and grids of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_SIDE = 4  # of images that have a grid of codes
LARGEST_GRID = 8  # the side at which halving stops where nobody says how often


def halved(side: int, times: int) -> int:
    """A side that is halved so often, each time rounded up.

    >>> halved(28, 2), halved(33, 3)
    (7, 5)
    """
    return -(-side >> times)


def usual_halvings(height: int, width: int) -> int:
    """How often images are halved by default: once, and until the shorter side is at most 8.

    >>> usual_halvings(8, 8), usual_halvings(28, 28), usual_halvings(64, 80)
    (1, 2, 3)
    """
    times = 1
    while halved(min(height, width), times) > LARGEST_GRID:
        times += 1
    return times


def check_halvings(height: int, width: int, times: int) -> None:
    """ValueError where images are too small, or their grid would be of single vectors."""
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"space: expected images of {SMALLEST_SIDE} x {SMALLEST_SIDE} or more, got "
            f"{height} x {width}; as vectors (flattened) they have tokens"
        )
    if halved(min(height, width), times) < 2:
        raise ValueError(
            f"downsampling: expected a grid of 2 x 2 or more, got {halved(height, times)} x "
            f"{halved(width, times)} after {times} halvings of {height} x {width}; take fewer"
        )


class ResidualBlock(nn.Module):
    """x + 1 × 1 (relu 3 × 3 (relu x)), with a quarter of the channels inside.

    Shape: (B, C, H, W) → the same.

    Reference: van den Oord et al. 2017, section 4.1.
    https://arxiv.org/abs/1711.00937

    >>> ResidualBlock(8)(torch.zeros(2, 8, 5, 4)).shape
    torch.Size([2, 8, 5, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 4, 1)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, inner, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def residual_blocks(channels: int, blocks: int) -> nn.Sequential:
    """Blocks one after the other, and a rectifier."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)), nn.ReLU())


class GridEncoder(nn.Module):
    """Halvings by convolutions of stride 2, residual blocks, and vectors by a linear map.

    Args:
        inputs: channels of x.
        outputs: D, of the vectors.
        channels: of the inner layers; the first halving of several has half as many.
        blocks: residual blocks.
        times: halvings; every side is rounded up.

    Shape: (B, inputs, H, W) → (B, D, ⌈H / 2^times⌉, ⌈W / 2^times⌉).

    >>> GridEncoder(3, 5, 8, 1, times=2)(torch.zeros(2, 3, 9, 28)).shape
    torch.Size([2, 5, 3, 7])
    """

    def __init__(self, inputs: int, outputs: int, channels: int, blocks: int, times: int) -> None:
        super().__init__()
        widths = [inputs, *[max(channels // 2, 1)] * min(times - 1, 1), *[channels] * times]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths[: times + 1]):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(widths[times], channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers, residual_blocks(channels, blocks))
        self.head = nn.Conv2d(channels, outputs, 1)
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """What the last layer reads, (B, channels, H', W')."""
        height, width = x.shape[2:]
        step = 2**self.times
        # Rows and columns that make sides divisible: else windows of 4 would leave some out.
        x = F.pad(x, (0, -width % step, 0, -height % step), mode="replicate")
        return self.layers(x)


class GridDecoder(nn.Module):
    """The mirror of ``GridEncoder``: from vectors to numbers for every entry of a larger grid.

    Every doubling is a convolution to four times the channels, which become blocks of 2 × 2: no
    checkerboard at first, as all four start out equal. What is over the wanted size is cut off.

    Args:
        inputs: D, of the vectors.
        outputs: numbers for each entry of the larger grid.
        grid: (H, W) of what is given back.
        channels: of the inner layers.
        blocks: residual blocks.
        times: doublings.

    Shape: (B, D, ⌈H / 2^times⌉, ⌈W / 2^times⌉) → (B, outputs, H, W).

    Reference: Shi et al. 2016, section 3.2; Aitken et al. 2017, for the start.
    https://arxiv.org/abs/1609.05158, https://arxiv.org/abs/1707.02937

    >>> GridDecoder(5, 3, (9, 28), 8, 1, times=2)(torch.zeros(2, 5, 3, 7)).shape
    torch.Size([2, 3, 9, 28])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        grid: Sequence[int],
        channels: int,
        blocks: int,
        times: int,
    ) -> None:
        super().__init__()
        half = max(channels // 2, 1)
        self.first = nn.Conv2d(inputs, channels, 3, padding=1)
        self.blocks = residual_blocks(channels, blocks)
        widths = [channels, *[channels] * (times - 2), *[half] * min(times - 1, 1), outputs]
        convs = [nn.Conv2d(a, 4 * b, 3, padding=1) for a, b in pairwise(widths)]
        with torch.no_grad():
            for parameter in (p for conv in convs for p in conv.parameters()):
                parameter.copy_(parameter[::4].repeat_interleave(4, 0))
        self.doublings = nn.ModuleList(convs)
        self.grid = tuple(grid)

    def forward(self, z: Tensor) -> Tensor:
        h = self.blocks(self.first(z))
        for index, conv in enumerate(self.doublings):
            h = F.pixel_shuffle(conv(F.relu(h) if index else h), 2)
        height, width = self.grid
        return h[..., :height, :width]
