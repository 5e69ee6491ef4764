"""PixelCNN and Gated PixelCNN: masked convolutions, and their steps from cached activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.nets.causal_conv import CausalConv, Line, Mask, Reach, channel_groups, compose, widest
from reparam.nets.codes import product
from reparam.nets.pixels import PixelNetwork, Pointwise, Walk
from reparam.nets.wavefront import Stack, wavefront_slope


class Block(nn.Module):
    """Masked convolutions, each after a rectifier; with ``residual`` the input is added.

    Shape: (B, width, H, W) → (B, width, H, W).

    Reference: van den Oord et al. 2016, "Pixel recurrent neural networks", figure 5 and table 1.
    https://arxiv.org/abs/1601.06759

    >>> Block(8, 1, 3, residual=True)(torch.zeros(2, 8, 5, 4)).shape
    torch.Size([2, 8, 5, 4])
    """

    def __init__(
        self, width: int, channels: int, kernel: int, residual: bool, context: int = 0
    ) -> None:
        super().__init__()
        outer = channel_groups(width, channels)
        if residual:  # half as many units inside
            inner = channel_groups(max(width // 2, channels), channels)
            convs = [
                CausalConv(outer, inner, 1, context=context),
                CausalConv(inner, inner, kernel, context=context),
                CausalConv(inner, outer, 1, context=context),
            ]
        else:
            convs = [CausalConv(outer, outer, kernel, context=context)]
        self.convs, self.residual = nn.ModuleList(convs), residual

    @property
    def reach(self) -> Reach:
        inside = compose(*(conv.reach for conv in self.parts))
        return widest({0: 0}, inside) if self.residual else inside

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = x
        for conv in self.convs:
            h = conv(F.relu(h), context)
        return x + h if self.residual else h

    @property
    def parts(self) -> list[CausalConv]:
        return [conv for conv in self.convs if isinstance(conv, CausalConv)]


class PixelCNN(PixelNetwork):
    """A stack of masked convolutions: the first sees what comes before, the others their own too.

    Its receptive field has a blind spot: pixels above and to the right that no stack of layers
    reaches. That is why pixels along a wavefront do not see each other.

    Args:
        shape: of x, (C, H, W).
        parameters: P, numbers per entry.
        width: units of every layer.
        layers: how many blocks follow the first convolution.
        kernel: width of their windows.
        first_kernel: width of the first one's.
        residual: whether blocks are residual, with half the units inside.
        context: F, numbers of a context, added in every layer: (B, F), or (B, F, H, W) by position.
        codes: K, where entries are codes without an order, as in the grids of vector-quantized
            autoencoders: the first layer sees them one-hot instead of as numbers. Of many its
            weights are gathered, which is the same sum.

    Shape: x (B, C, H, W) → (B, P, C, H, W).

    Cost: one pass of the convolutions. Drawing computes every activation once; along wavefronts in
    W + s (H − 1) steps.

    Reference: van den Oord et al. 2016, "Pixel recurrent neural networks", sections 3.4 to 3.6.
    https://arxiv.org/abs/1601.06759

    >>> PixelCNN((3, 6, 5), 2, width=6, layers=1)(torch.zeros(2, 3, 6, 5)).shape
    torch.Size([2, 2, 3, 6, 5])
    """

    def __init__(
        self,
        shape: Sequence[int],
        parameters: int,
        width: int = 64,
        layers: int = 5,
        kernel: int = 3,
        first_kernel: int = 7,
        residual: bool = False,
        context: int = 0,
        codes: int = 0,
    ) -> None:
        super().__init__(shape, codes, context)
        check_sizes(width, layers, first_kernel, self.channels)
        units = channel_groups(width, self.channels)
        outputs = torch.arange(self.channels).repeat(parameters)
        seen = channel_groups(self.channels * max(codes, 1), self.channels)
        self.first = CausalConv(
            seen, units, first_kernel, "A", context=context, codes=self.gathered
        )
        blocks = [Block(width, self.channels, kernel, residual, context) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.head = CausalConv(units, outputs, 1, context=context)
        self.reach = compose(self.first.reach, *(block.reach for block in blocks))
        # Of single layers: what one sees above must have been computed on an earlier wavefront.
        convs = [self.first, *(conv for block in blocks for conv in block.parts)]
        self.slope: int = max(wavefront_slope(conv.reach) for conv in convs)

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        h = self.first(self.seen(x), context)  # (B, width, H, W)
        for block in self.blocks:
            h = block(h, context)
        return self.head(F.relu(h), context).view(x.shape[0], -1, *self.shape)

    def walk(self, rows: int, context: Tensor | None) -> Walk:
        return _PlainWalk(self, rows, context)


class _PlainWalk(Walk):
    """Along wavefronts; convolutions at the same place of all blocks share their caches."""

    def __init__(self, network: PixelCNN, rows: int, context: Tensor | None) -> None:
        _, *grid = network.shape
        slope = min(network.slope, network.width)
        blocks = [block for block in network.blocks if isinstance(block, Block)]
        self.depth, self.rows, self.entries = len(blocks), rows, network.entries
        self.residual = any(block.residual for block in blocks)

        def stack(*convs: CausalConv) -> Stack:
            return Stack(convs, rows, grid, slope, context)

        self.first, self.head = stack(network.first), stack(network.head)
        self.inner = [stack(*convs) for convs in zip(*(b.parts for b in blocks), strict=True)]

    def step(self, line: Line, channel: int) -> Tensor:
        if channel == 0:
            for stack in (self.first, *self.inner, self.head):
                stack.begin(line)
        h = self.first.step(0, None, channel)
        for block in range(self.depth):
            x = h
            for stack in self.inner:
                h = stack.step(block, h, channel)
            h = x + h if self.residual else h
        y = self.head.step(0, h, channel)
        return y.view(line.count, self.rows, -1).permute(1, 2, 0)

    def put(self, line: Line, channel: int, x: Tensor) -> None:
        self.first.put(self.entries(x.T.flatten()), channel)


def check_sizes(width: int, layers: int, first_kernel: int, channels: int) -> None:
    """Refuse layers in which some channel would have no unit, and networks that see nothing."""
    if width < channels:
        raise ValueError(f"width: expected at least the {channels} channels of x, got {width}")
    if layers < 0:
        raise ValueError(f"layers: expected 0 or more, got {layers}")
    if first_kernel < 3:  # a window of 1 holds no pixel but its own
        raise ValueError(f"first_kernel: expected an odd width from 3, got {first_kernel}")


class GatedBlock(nn.Module):
    """Two stacks: one sees the rows above, the other its own row and, through a 1 × 1, the first.

    Both end in gates, y = tanh(a + context) ⊙ σ(b + context). The vertical stack sees all columns
    within its window, so that nothing above is hidden from it; it is shifted down by one row where
    the horizontal one reads it.

    Shape: v, h (B, width, H, W) → the same; in the first block v = h = x (B, C or C·K, H, W).

    Reference: van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders",
    section 2.2 and figure 2.
    https://arxiv.org/abs/1606.05328

    >>> block = GatedBlock(1, 8, 1, 3, first=True)
    >>> x = torch.zeros(2, 1, 5, 4)
    >>> [h.shape for h in block(x, x)]
    [torch.Size([2, 8, 5, 4]), torch.Size([2, 8, 5, 4])]
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        channels: int,
        kernel: int,
        first: bool,
        context: int = 0,
        codes: int = 0,
    ) -> None:
        super().__init__()
        units = channel_groups(width, channels)
        gates, seen = units.repeat(2), channel_groups(inputs, channels)
        self.vertical = CausalConv(inputs, 2 * width, kernel, "none", context=context, codes=codes)
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        mask: Mask = "A" if first else "B"
        self.horizontal = CausalConv(
            seen, gates, kernel, mask, rows_above=False, context=context, codes=codes
        )
        self.out = CausalConv(units, units, 1)
        self.first = first

    def forward(self, v: Tensor, h: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        above = self.vertical(v, context)  # (B, 2 width, H, W): rows up to its own
        link = F.pad(self.down(above), (0, 0, 1, 0))[:, :, :-1]
        y = self.out(_gate(self.horizontal(h, context) + link, 1))
        return _gate(above, 1), y if self.first else h + y


class GatedPixelCNN(PixelNetwork):
    """Blocks of a vertical and a horizontal stack of gated convolutions: no blind spot.

    Arguments, shape and cost are those of ``PixelCNN``. It is drawn row by row: the vertical stack
    of a row for all its pixels at once, the horizontal one pixel by pixel.

    Reference: van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders".
    https://arxiv.org/abs/1606.05328

    >>> GatedPixelCNN((3, 6, 5), 2, width=6, layers=1)(torch.zeros(2, 3, 6, 5)).shape
    torch.Size([2, 2, 3, 6, 5])
    """

    def __init__(
        self,
        shape: Sequence[int],
        parameters: int,
        width: int = 64,
        layers: int = 7,
        kernel: int = 3,
        first_kernel: int = 7,
        context: int = 0,
        codes: int = 0,
    ) -> None:
        super().__init__(shape, codes, context)
        check_sizes(width, layers, first_kernel, self.channels)
        units = channel_groups(width, self.channels)
        seen = self.channels * max(codes, 1)
        sizes = (seen, width, self.channels, first_kernel)
        first = GatedBlock(*sizes, True, context, self.gathered)
        rest = [
            GatedBlock(width, width, self.channels, kernel, False, context) for _ in range(layers)
        ]
        self.blocks = nn.ModuleList([first, *rest])
        self.head = nn.ModuleList(
            [
                CausalConv(units, units, 1, context=context),
                CausalConv(units, torch.arange(self.channels).repeat(parameters), 1),
            ]
        )

    @property
    def reach(self) -> Reach:
        """Of the horizontal stack, through which all else is seen."""
        vertical: Reach = {0: 0}
        horizontal: Reach = {0: 0}
        for block in self.blocks:
            assert isinstance(block, GatedBlock)
            vertical = compose(vertical, block.vertical.reach)
            horizontal = compose(horizontal, block.horizontal.reach)
            horizontal = widest(horizontal, compose(vertical, {1: 0}))
        return horizontal

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        v = h = self.seen(x)
        for block in self.blocks:
            v, h = block(v, h, context)
        h = F.relu(self.head[0](F.relu(h), context))
        return self.head[1](h).view(x.shape[0], -1, *self.shape)

    def walk(self, rows: int, context: Tensor | None) -> Walk:
        return _GatedWalk(self, rows, context)


class _GatedPlace(NamedTuple):
    """What the horizontal stack of a block reads and writes at a column for a channel."""

    window: Tensor
    own: Tensor  # weights of the window
    sums: Tensor  # (B, 2 n)
    a: Tensor  # its halves
    b: Tensor
    gates: Tensor  # of all channels, and a 1
    gated: Tensor  # of this one
    out: Tensor  # weights of the gates
    h: Tensor


class _GatedWalk(Walk):
    """Row by row: at the start of row i the vertical stack of row i − 1, of which all is known.

    The horizontal stack sees no row above, so that of its inputs only the present row is kept;
    what lies right of a pixel there is of the row before and out of its windows. The 1 × 1 layers
    after the gates have their biases as the weights of a 1 that stands beside the gates.
    """

    def __init__(self, network: GatedPixelCNN, rows: int, context: Tensor | None) -> None:
        grid, self.width, self.entries = network.shape[1:], network.width, network.entries
        self.blocks = [block for block in network.blocks if isinstance(block, GatedBlock)]
        self.vertical = [block.vertical.state(rows, grid, context) for block in self.blocks]
        self.own = [block.horizontal.kernels() for block in self.blocks]
        self.out = [_with_biases(block.out) for block in self.blocks]
        first, *rest = (block.horizontal for block in self.blocks)
        self.bias = [conv.biases(context)[..., conv.by_group] for conv in (first, *rest)]
        links = [(block.down.weight[:, :, 0, 0], block.down.bias) for block in self.blocks]
        order = first.by_group  # a and b of the first channel, of the second, …
        self.links = [(w[order], None if b is None else b[order]) for w, b in links]
        self.head = [
            Pointwise(conv, rows, context) for conv in network.head if isinstance(conv, CausalConv)
        ]
        self.x = _row_of(first, rows, self.width)
        self.h = torch.stack([_row_of(conv, rows, self.width) for conv in rest or [first]])
        self.seen, self.taken = first.taken, self.blocks[0].out.taken
        units = self.blocks[0].out.inputs
        self.sums = self.h.new_empty(self.width, len(self.blocks), rows, 2 * units)
        self.last = self.h.new_zeros(rows, units)  # h after the last block
        self.gates = self.h.new_ones(len(self.blocks), rows, units + 1).unbind()
        self.places = [
            [self._place(column, channel) for column in range(self.width)]
            for channel in range(network.channels)
        ]

    def begin_row(self, row: int) -> None:
        """What every pixel of the row adds in each block: the bias and what is seen above."""
        sites = slice(row * self.width, (row + 1) * self.width)
        for index, bias in enumerate(self.bias):
            own = bias if bias.shape[1] == 1 else bias[:, sites]
            self.sums[:, index] = own.transpose(0, 1)
        v, line = self.x[:, -self.width :], Line(row - 1, 0, self.width)
        for index, block in enumerate(self.blocks if row else []):
            above = block.vertical.step(self.vertical[index], v, line, self.width)
            self.sums[:, index] += F.linear(above, *self.links[index]).transpose(0, 1)
            v = _gate(above, 2)

    def step(self, line: Line, channel: int) -> Tensor:
        h: Tensor | None = None
        for at in self.places[channel][line.column]:
            if at.sums.dtype == at.window.dtype:
                at.sums.addmm_(at.window, at.own)
            else:  # of codes
                at.sums.add_(product(at.window, at.own))
            torch.mul(at.a.tanh_(), at.b.sigmoid_(), out=at.gated)
            if h is None:
                h = torch.mm(at.gates, at.out, out=at.h)
            else:
                h = torch.addmm(h, at.gates, at.out, out=at.h)
        assert h is not None
        for layer in self.head:
            h = layer.step(h, line.row * self.width + line.column, channel)
        return h.unsqueeze(2)

    def _place(self, column: int, channel: int) -> list[_GatedPlace]:
        units, places = self.taken[channel], []
        for index, gates in enumerate(self.gates):
            row, last = self.h[index - 1] if index else self.x, index + 1 == len(self.gates)
            h = self.last if last else self.h[index][:, column - self.width]
            sums = self.sums[column, index, :, 2 * units.start : 2 * units.stop]
            place = _GatedPlace(
                _window(row, column, self.width),
                self.own[index][channel],
                sums,
                sums[:, : sums.shape[1] // 2],
                sums[:, sums.shape[1] // 2 :],
                gates,
                gates[:, units],
                self.out[index][channel],
                h[:, units],
            )
            places.append(place)
        return places

    def put(self, line: Line, channel: int, x: Tensor) -> None:
        at = self.x[:, line.column - self.width, self.seen[channel]]
        at.copy_(self.entries(x).squeeze(1))


def _row_of(conv: CausalConv, rows: int, width: int) -> Tensor:
    """Zeros for the inputs of a row and of the margin to its left, (B, side + W, inputs)."""
    dtype = torch.int32 if conv.codes else None
    return conv.weight.new_zeros(rows, conv.side + width, conv.inputs, dtype=dtype)


def _window(row: Tensor, column: int, width: int) -> Tensor:
    """What a pixel sees in its row, itself the last: (B, side + W, n) → (B, (side + 1) · n)."""
    size, first = row.shape[1] - width + 1, row.storage_offset() + column * row.shape[2]
    return row.as_strided((len(row), size * row.shape[2]), (row.stride(0), 1), first)


def _with_biases(conv: CausalConv) -> list[Tensor]:
    """The kernel of every group with the bias as its last row."""
    biases = (conv.bias[group][None] for group in conv.groups)
    return [torch.cat(part) for part in zip(conv.kernels(), biases, strict=True)]


def _gate(h: Tensor, dim: int) -> Tensor:
    a, b = h.chunk(2, dim)
    return torch.tanh(a) * torch.sigmoid(b)
