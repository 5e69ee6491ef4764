"""Convolutional encoder and decoder for images of any size and channel number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.nets.condition import Beside
from reparam.nets.norm import batch_norm

SMALLEST_SIDE = 4  # halving stops here
LARGEST_BLOCK = 8  # of pixels of an image beside the input that are channels of a coarser grid


def halvings(height: int, width: int) -> list[tuple[int, int]]:
    """The grids of an encoder of stride-2 layers, finest first, each side rounded up.

    >>> halvings(20, 28)
    [(20, 28), (10, 14), (5, 7), (3, 4)]
    """
    grids = [(height, width)]
    while min(grids[-1]) > SMALLEST_SIDE:
        height, width = grids[-1]
        grids.append(((height + 1) // 2, (width + 1) // 2))
    return grids


def _widths(count: int, widest: int) -> list[int]:
    """Channels of ``count`` layers: a sixteenth of ``widest``, 8 at least, doubled up to it.

    With twice as many a step took 1.9 times as long on photos of 64 × 64, of which a small folder
    then had too few (benchmarks/photos.py).

    >>> _widths(4, 256), _widths(3, 64), _widths(2, 4)
    ([16, 32, 64, 128], [8, 16, 32], [4, 4])
    """
    first = max(widest // 16, 8)
    return [min(first * 2**i, widest) for i in range(count)]


class ConvEncoder(nn.Module):
    """Stride-2 convolutions down to a small grid, then one hidden fully connected layer.

    ``condition`` maps c to what is added to that layer, (B, widest); of an image ``given`` beside x
    it is added to the first convolution. ``normalize`` normalizes the batch before every
    activation.

    Shape: (B, C, H, W) → (B, *outputs).

    >>> ConvEncoder((3, 20, 28), (6,), widest=64)(torch.zeros(2, 3, 20, 28)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        widest: int,
        condition: nn.Module | None = None,
        normalize: bool = False,
        given: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        channels, height, width = inputs
        grids = halvings(height, width)
        widths = [channels, *_widths(len(grids) - 1, widest)]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers.append(nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1))
            layers += [*batch_norm(fan_out, normalize), nn.SiLU()]
        flat = widths[-1] * math.prod(grids[-1])
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, widest))
        self.condition = condition
        self.beside = None if given is None else Beside(given, widths[1], block=2)
        last = nn.Linear(widest, math.prod(outputs))
        self.head = nn.Sequential(*batch_norm(widest, normalize), nn.SiLU(), last)
        self.outputs = tuple(outputs)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        if self.beside is None:
            h = self.layers(x)  # (B, widest)
        else:
            h = self.layers[1:](self.layers[0](x) + self.beside(c))
        if self.condition is not None:
            h = h + self.condition(c)
        return self.head(h).view(-1, *self.outputs)


class ConvDecoder(nn.Module):
    """The mirror of ``ConvEncoder``: each stage enlarges to the recorded size, odd ones too.

    Enlarging by nearest neighbors before a convolution, unlike a transposed convolution, leaves
    no checkerboard. The last stage, the dearest, is convolved before it is enlarged: to four times
    the channels, which become blocks of 2 × 2 pixels. They start out equal.

    Reference: Shi et al. 2016, section 3.2; Aitken et al. 2017, for the start.
    https://arxiv.org/abs/1609.05158, https://arxiv.org/abs/1707.02937

    Shape: (B, *inputs) → (B, *outputs), the last two of ``outputs`` being H and W.

    >>> ConvDecoder((6,), (2, 3, 20, 28), widest=64)(torch.zeros(2, 6)).shape
    torch.Size([2, 2, 3, 20, 28])
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        widest: int,
        condition: nn.Module | None = None,
        normalize: bool = False,
        given: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        *channels, height, width = outputs
        self.grids = halvings(height, width)[::-1]
        widths = _widths(len(self.grids) - 1, widest)[::-1] or [widest]
        self.first, self.condition = nn.Linear(math.prod(inputs), widest), condition
        self.dense = nn.Sequential(
            *batch_norm(widest, normalize),
            nn.SiLU(),
            nn.Linear(widest, widths[0] * math.prod(self.grids[0])),
            nn.Unflatten(1, (widths[0], *self.grids[0])),
            *batch_norm(widths[0], normalize),
            nn.SiLU(),
        )
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.Sequential(*batch_norm(b, normalize)) for b in widths[1:])
        self.block = 1 if len(self.grids) == 1 else 2
        self.output = nn.Conv2d(widths[-1], math.prod(channels) * self.block**2, 3, padding=1)
        with torch.no_grad():
            for parameter in self.output.parameters():
                of_block = parameter[:: self.block**2]
                parameter.copy_(of_block.repeat_interleave(self.block**2, 0))
        self.outputs = tuple(outputs)
        self.beside = nn.ModuleDict()  # by the number of a convolution
        if given is not None:
            convolutions = [*self.layers, self.output]
            for index, conv in enumerate(convolutions):  # the last one is where the one before is
                block = 2 ** max(len(self.layers) - index, 1)
                if block <= LARGEST_BLOCK:
                    self.beside[str(index)] = Beside(given, conv.out_channels, block)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.first(z.flatten(1))  # (B, widest)
        if self.condition is not None:
            h = h + self.condition(c)
        h = self.dense(h)  # (B, channels, H', W')
        stages = zip(self.layers, self.norms, self.grids[1:-1], strict=True)
        for index, (layer, norm, grid) in enumerate(stages):
            h = F.silu(norm(self._told(layer(F.interpolate(h, size=grid)), c, index)))
        height, width = self.grids[-1]
        h = self._told(self.output(h), c, len(self.layers))
        h = F.pixel_shuffle(h, self.block)[..., :height, :width]  # odd sides lose one
        return h.reshape(-1, *self.outputs)

    def _told(self, h: Tensor, c: Tensor | None, index: int) -> Tensor:
        """What a convolution gives, and what an image beside z adds to it."""
        return h + self.beside[str(index)](c) if str(index) in self.beside else h
