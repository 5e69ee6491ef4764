"""Layers of PixelCNN++: shifted convolutions and gated residual blocks, and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from reparam.nets.causal_conv import Cache, Line


class ShiftedConv(nn.Module):
    """A convolution whose window ends at its own row: ``down`` around its column, else up to it.

    Weights are normalized, w = g v / ‖v‖. With stride 2 it halves the grid, rounding up.

    Args:
        inputs, outputs: units.
        height, width: of the window, which ends at row i.
        down: whether columns j − ⌊width/2⌋ … j + ⌊width/2⌋ are seen, or j − width + 1 … j.
        stride: 1 or 2.

    Shape: (B, inputs, H, W) → (B, outputs, H / stride, W / stride).

    Reference: Salimans et al. 2017, "PixelCNN++", section 2.
    https://arxiv.org/abs/1701.05517

    >>> ShiftedConv(1, 4, 2, 3, down=True, stride=2)(torch.zeros(2, 1, 5, 4)).shape
    torch.Size([2, 4, 3, 2])
    """

    def __init__(
        self, inputs: int, outputs: int, height: int, width: int, down: bool, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = weight_norm(nn.Conv2d(inputs, outputs, (height, width), stride))
        self.inputs, self.height, self.width, self.stride = inputs, height, width, stride
        self.left = width // 2 if down else width - 1
        self.right = width - 1 - self.left

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.left, self.right, self.height - 1, 0)))

    def state(self, rows: int, grid: Sequence[int]) -> ConvCache:
        """A cache of inputs on that grid."""
        weight = self.conv.weight
        margins = (self.height - 1, self.left, self.right)
        cache = Cache(rows, grid, self.inputs, margins, weight)
        kernel = weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()
        return ConvCache(cache, kernel, self.bias)

    @property
    def bias(self) -> Tensor:
        assert self.conv.bias is not None
        return self.conv.bias

    def step(self, state: ConvCache, h: Tensor | None, line: Line) -> Tensor:
        """Outputs where windows end at the line's positions, h (B, n, inputs) having come in there.

        With h None they are in the cache.
        """
        if h is not None:
            state.cache.at(line)[...] = h
        windows = state.cache.windows(line, self.height - 1, self.height, self.left, self.width)
        flat = windows.reshape(-1, windows.shape[2] * windows.shape[3])
        y = torch.addmm(state.bias, flat, state.kernel)
        return y.view(len(windows), line.count, -1)


@dataclass
class ConvCache:
    """What a shifted convolution keeps: its inputs, and its kernel as windows lie."""

    cache: Cache
    kernel: Tensor
    bias: Tensor


class GatedResidual(nn.Module):
    """x + a ⊙ σ(b), (a, b) from two convolutions with an input from aside between, and dropout.

    Activations are ELUs of x and of −x, side by side.

    Shape: x (B, width, H, W), aside (B, aside, H, W), context (B, F) or (B, F, H, W) →
        (B, width, H, W).

    Reference: Salimans et al. 2017, section 2.5; their code, ``gated_resnet``.
    https://arxiv.org/abs/1701.05517

    >>> block = GatedResidual(4, 2, down=False, dropout=0.0)
    >>> block(torch.zeros(1, 4, 3, 3), torch.zeros(1, 2, 3, 3)).shape
    torch.Size([1, 4, 3, 3])
    """

    def __init__(
        self, width: int, aside: int, down: bool, dropout: float, context: int = 0
    ) -> None:
        super().__init__()
        window = (2, 3) if down else (2, 2)
        self.first = ShiftedConv(2 * width, width, *window, down)
        self.aside = weight_norm(nn.Linear(2 * aside, width)) if aside else None
        self.dropout = nn.Dropout(dropout)
        self.second = ShiftedConv(2 * width, 2 * width, *window, down)
        self.context = nn.Linear(context, 2 * width, bias=False) if context else None

    def forward(
        self, x: Tensor, aside: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        h = self.first(elus(x, 1))
        if self.aside is not None and aside is not None:
            h = h + self.aside(elus(aside, 1).movedim(1, -1)).movedim(-1, 1)
        h = self.second(self.dropout(elus(h, 1)))
        if self.context is not None and context is not None:
            h = h + self.added(context)
        a, b = h.chunk(2, 1)
        return x + a * torch.sigmoid(b)

    def added(self, context: Tensor) -> Tensor:
        """What the context adds, (B, 2 · width, H or 1, W or 1)."""
        assert self.context is not None
        if context.ndim == 2:
            return self.context(context)[:, :, None, None]
        return F.conv2d(context, self.context.weight[:, :, None, None])

    def state(self, rows: int, grid: Sequence[int], context: Tensor | None) -> ResidualState:
        added = None
        if self.context is not None and context is not None:
            added = self.added(context).flatten(2).transpose(1, 2)
        return ResidualState(
            self.first.state(rows, grid), self.second.state(rows, grid), added, grid[1]
        )

    def step(
        self, state: ResidualState, x: Tensor, line: Line, aside: Tensor | None = None
    ) -> Tensor:
        """The same along a line, channels last: (B, n, ·)."""
        h = self.first.step(state.first, elus(x, 2), line)
        if self.aside is not None and aside is not None:
            h = h + self.aside(elus(aside, 2))
        h = self.second.step(state.second, elus(h, 2), line)
        if state.context is not None:
            everywhere = state.context.shape[1] == 1
            h = h + (state.context if everywhere else state.context[:, line.sites(state.width)])
        a, b = h.chunk(2, 2)
        return x + a * torch.sigmoid(b)


@dataclass
class ResidualState:
    """What a residual block keeps: the caches of its convolutions, and what the context adds."""

    first: ConvCache
    second: ConvCache
    context: Tensor | None  # (B, H·W or 1, 2 · width)
    width: int  # of the grid


def elus(x: Tensor, dim: int) -> Tensor:
    """ELUs of x and of −x, side by side."""
    return F.elu(torch.cat([x, -x], dim))


class RowConv:
    """A convolution of 2 × 2, after ELUs of x and of −x, for one pixel of a row after the other.

    Inputs are those of the present row up to the pixel, then those of the row before, of which
    ``begin`` sums what all pixels of the row see.

    Args:
        conv: not down, of stride 1.
        rows: B.
        columns: W.
    """

    def __init__(self, conv: ShiftedConv, rows: int, columns: int) -> None:
        above, own = conv.conv.weight.permute(2, 3, 1, 0).flatten(1, 2)  # (2 · inputs, outputs)
        self.above, self.own, self.bias = above.T.contiguous(), own.contiguous(), conv.bias
        inputs = own.new_zeros(rows, 1 + columns, conv.inputs)
        self.at = inputs[:, 1:].unflatten(2, (2, -1)).unbind(1)  # x and −x, (B, 2, units)
        shape, strides = (rows, columns, 2 * conv.inputs), inputs.stride()
        self.windows = inputs.as_strided(shape, strides)
        self.window_at = self.windows.unbind(1)
        self.sums = own.new_empty(rows, columns, len(conv.bias))
        self.sums_at = self.sums.unbind(1)
        self.signs = own.new_ones(2, 1)
        self.signs[1].neg_()

    def begin(self) -> None:
        """Sum what the pixels of the next row see of the one that is complete."""
        self.sums.copy_(F.linear(self.windows, self.above, self.bias))

    def step(self, x: Tensor, column: int) -> Tensor:
        """The outputs (B, outputs) at a column of the row, given its x (B, units)."""
        at = self.at[column]
        F.elu_(torch.mul(x.unsqueeze(1), self.signs, out=at))
        return self.sums_at[column].addmm_(self.window_at[column], self.own)


class RowResidual:
    """A residual block that is not down, for one pixel of a row after the other.

    Args:
        block: its aside being one of rows that are known as they begin, and of pixels or nothing.
        rows: B.
        columns: W.
        context: (B, F) or (B, F, H, W).
    """

    def __init__(
        self, block: GatedResidual, rows: int, columns: int, context: Tensor | None
    ) -> None:
        self.first, self.second = (RowConv(c, rows, columns) for c in (block.first, block.second))
        self.context: Tensor | None = None  # (B, H·W or 1, 2 · width)
        if block.context is not None and context is not None:
            self.context = block.added(context).flatten(2).transpose(1, 2)
        assert block.aside is not None
        width = block.first.inputs // 2
        weight = block.aside.weight.unflatten(1, (2, -1, width))  # (·, x and −x, row and pixel, ·)
        self.of_row, self.bias = weight[:, :, 0].flatten(1), block.aside.bias
        self.of_pixel = weight[:, :, -1].flatten(1).T.contiguous()
        self.aside = weight.new_empty(rows, 2 * width)
        self.asides = self.aside.view(rows, 2, width)
        self.halves = [sums.chunk(2, 1) for sums in self.second.sums_at]

    def begin(self, row: int, aside: Tensor) -> None:
        """Go to a row, given what stands aside of it, (B, W, width)."""
        self.first.begin()
        self.first.sums.add_(F.linear(elus(aside, 2), self.of_row, self.bias))
        self.second.begin()
        if self.context is not None:
            columns = aside.shape[1]
            everywhere = self.context.shape[1] == 1
            sites = slice(None) if everywhere else slice(row * columns, (row + 1) * columns)
            self.second.sums.add_(self.context[:, sites])

    def step(self, x: Tensor, column: int, aside: Tensor | None = None) -> Tensor:
        """The same as ``GatedResidual`` at a column of the row, (B, width) each."""
        h = self.first.step(x, column)
        if aside is not None:
            F.elu_(torch.mul(aside.unsqueeze(1), self.first.signs, out=self.asides))
            h.addmm_(self.aside, self.of_pixel)
        self.second.step(h, column)
        a, b = self.halves[column]
        return torch.addcmul(x, a, b.sigmoid_())


class Doubled(nn.Module):
    """Every position becomes 2 × 2, each by its own linear map; cut to an odd grid.

    The original's transposed convolution of the vertical stream is wider by a column either side.

    >>> Doubled(4)(torch.zeros(1, 4, 2, 2), (3, 4)).shape
    torch.Size([1, 4, 3, 4])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = weight_norm(nn.ConvTranspose2d(width, width, 2, stride=2), dim=1)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        return self.conv(x)[:, :, : grid[0], : grid[1]]

    def step(self, h: Tensor, row: int, column: int) -> Tensor:
        """At (row, column) of the finer grid, h (B, n, width) being the coarser one's there."""
        weight, bias = self.conv.weight[:, :, row % 2, column % 2], self.conv.bias
        return h @ weight if bias is None else h @ weight + bias
