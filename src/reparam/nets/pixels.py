"""Networks over the pixels of an image, and how their pixels are walked through when drawing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from reparam.nets.autoregressive_network import AutoregressiveNetwork, Draw
from reparam.nets.causal_conv import CausalConv, Line
from reparam.nets.codes import code_index
from reparam.nets.wavefront import wavefronts

GATHERED_FROM = 256  # codes, from which on weights are gathered instead of multiplied by 0 and 1


class Walk(ABC):
    """What a network keeps while it draws: cached activations, the next parameters from them."""

    def begin_row(self, row: int) -> None:  # noqa: B027
        """Without wavefronts: what all pixels of a row need of the rows above."""

    @abstractmethod
    def step(self, line: Line, channel: int) -> Tensor:
        """The parameters of a channel along a line, (B, P, n), all before it being known."""

    @abstractmethod
    def put(self, line: Line, channel: int, x: Tensor) -> None:
        """Keep the values that were drawn there, (B, n), or (B, C, n) of whole pixels."""


class Pointwise:
    """A 1 × 1 convolution after a rectifier, for one pixel after the other, channel by channel.

    What came in of a pixel is kept until the next one overwrites it: a channel's weights of those
    after it are 0.
    """

    def __init__(self, conv: CausalConv, rows: int, context: Tensor | None) -> None:
        self.kernels, bias = conv.kernels(), conv.biases(context)
        self.biases = [bias[..., group].unbind(1) for group in conv.groups]  # by site, or of all
        self.inputs = conv.weight.new_zeros(rows, conv.inputs)
        self.at = [self.inputs[:, units] for units in conv.taken]

    def step(self, h: Tensor, site: int, channel: int) -> Tensor:
        """Outputs of a channel at a site, (B, units), from what came in for it."""
        torch.clamp_min(h, 0, out=self.at[channel])
        biases = self.biases[channel]
        bias = biases[site if len(biases) > 1 else 0]
        return torch.addmm(bias, self.inputs, self.kernels[channel])


class PixelNetwork(AutoregressiveNetwork):
    """A network of images (C, H, W) in raster order, a pixel's channels one by one or together.

    ``slope`` is the s for which all pixels of equal column + s · row may be drawn together, along
    wavefronts; None where there is none: pixels are drawn one by one.

    Args:
        shape: of x, (C, H, W).
        codes: K, where entries are codes without an order, seen as unit vectors; 0: as numbers.
        context: F, numbers of its context.
    """

    slope: int | None = None
    context_by_position = True

    def __init__(self, shape: Sequence[int], codes: int = 0, context: int = 0) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"shape: expected images (C, H, W), got {tuple(shape)}")
        self.channels, self.height, self.width = self.shape = tuple(shape)
        self.codes, self.context_features = codes, context
        self.gathered = codes if codes >= GATHERED_FROM else 0  # as ``CausalConv`` is told

    def entries(self, x: Tensor) -> Tensor:
        """What layers see of entries in network units, innermost: (…) → (…, K or 1)."""
        if not self.codes:
            return x.unsqueeze(-1)
        code = code_index(x, self.codes).unsqueeze(-1)
        if self.gathered:
            return (code + 1).int()
        return (code == torch.arange(self.codes, device=x.device)).to(x.dtype)

    def seen(self, x: Tensor) -> Tensor:
        """The same as channels: (B, C, H, W) → (B, C or C·K, H, W)."""
        return self.entries(x).movedim(-1, 2).flatten(1, 2) if self.codes else x

    @abstractmethod
    def walk(self, rows: int, context: Tensor | None) -> Walk:
        """A walk of ``rows`` examples that has drawn nothing yet."""

    @torch.inference_mode()
    def generate(
        self, rows: int, draw: Draw, context: Tensor | None = None, member: int = 0
    ) -> None:
        with parametrize.cached():  # weights are normalized once, not at every pixel
            walk = self.walk(rows, context)
            for line in self._lines():
                if self.slope is None and line.column == 0:
                    walk.begin_row(line.row)
                for channel in range(1 if self.whole_pixels else self.channels):
                    sites = line.sites(self.width, channel * self.height * self.width)
                    walk.put(line, channel, draw(walk.step(line, channel), sites))

    def _lines(self) -> Iterable[Line]:
        if self.slope is not None:
            return wavefronts(self.height, self.width, self.slope)
        return (Line(i, j) for i in range(self.height) for j in range(self.width))
