"""PixelCNN++: two streams of shifted convolutions on several scales, with short-cuts across."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from reparam.limits import Count, Whole, limited
from reparam.nets.causal_conv import Cache, Line
from reparam.nets.grids import halved
from reparam.nets.pixels import PixelNetwork, Walk
from reparam.nets.shifted_conv import (
    ConvCache,
    Doubled,
    GatedResidual,
    ResidualState,
    RowResidual,
    ShiftedConv,
)


class PixelCNNPlusPlus(PixelNetwork):
    """A vertical stream over the rows above and a horizontal one, down and up again in scale.

    The parameters are those of whole pixels: how the channels of a pixel depend on each other is
    the likelihood's part. All of the rows above is seen, so that there are no wavefronts: it is
    drawn row by row, the vertical stream of a row at once, coarse positions when they are due.

    Args:
        shape: of x, (C, H, W).
        parameters: P, numbers per pixel.
        width: units of every layer.
        blocks: residual blocks per scale, on the way down and on the way up.
        scales: how many times the grid is halved (the original: 2).
        dropout: share of units dropped in training.
        context: F, numbers of the context, (B, F) or (B, F, H, W), added in every block; on coarser
            grids that of every second pixel, of every fourth and so on.

    Shape: x (B, C, H, W) → (B, P, H, W).

    Reference: Salimans et al. 2017, "PixelCNN++: Improving the PixelCNN with discretized logistic
    mixture likelihood and other modifications", section 2 and figure 2.
    https://arxiv.org/abs/1701.05517

    >>> net = PixelCNNPlusPlus((3, 5, 6), 10, width=4, blocks=1, scales=1)
    >>> net(torch.zeros(2, 3, 5, 6)).shape
    torch.Size([2, 10, 5, 6])
    """

    whole_pixels = True

    @limited
    def __init__(
        self,
        shape: Sequence[int],
        parameters: int,
        width: Count = 64,
        blocks: Count = 2,
        scales: Whole = 2,
        dropout: float = 0.5,
        context: int = 0,
    ) -> None:
        super().__init__(shape, context=context)
        self.scales = scales
        inputs = self.channels + 1  # and ones, which tell the image from its margins
        self.above = ShiftedConv(inputs, width, 2, 3, down=True)  # read one row further down
        self.above_too = ShiftedConv(inputs, width, 1, 3, down=True)
        self.before = ShiftedConv(inputs, width, 2, 1, down=False)  # read one column further right

        def residuals(aside: int, down: bool, count: int) -> list[GatedResidual]:
            return [GatedResidual(width, aside, down, dropout, context) for _ in range(count)]

        # By scale; ``parts`` is where they are registered.
        self.down_v = [residuals(0, True, blocks) for _ in range(scales + 1)]
        self.down_h = [residuals(width, False, blocks) for _ in range(scales + 1)]
        ups = [blocks + (s < scales) for s in range(scales + 1)]  # one more for what was halved
        self.up_v = [residuals(width, True, count) for count in ups]
        self.up_h = [residuals(2 * width, False, count) for count in ups]
        self.halve_v = [ShiftedConv(width, width, 2, 3, True, 2) for _ in range(scales)]
        self.halve_h = [ShiftedConv(width, width, 2, 2, False, 2) for _ in range(scales)]
        self.double_v = [Doubled(width) for _ in range(scales)]
        self.double_h = [Doubled(width) for _ in range(scales)]
        streams = (*self.down_v, *self.down_h, *self.up_v, *self.up_h)
        self.parts = nn.ModuleList(
            [*(block for stream in streams for block in stream), *self.halve_v, *self.halve_h]
            + [*self.double_v, *self.double_h]
        )
        self.head = weight_norm(nn.Linear(width, parameters))
        sides = (self.height, self.width)
        self.grids = [tuple(halved(side, s) for side in sides) for s in range(scales + 1)]

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        x = torch.cat([2 * x - 1, torch.ones_like(x[:, :1])], 1)
        v = _down(self.above(x))
        h = _down(self.above_too(x)) + _right(self.before(x))
        vs, hs, told = [v], [h], self.by_scale(context)
        for scale in range(self.scales + 1):
            for block_v, block_h in zip(self.down_v[scale], self.down_h[scale], strict=True):
                v = block_v(v, None, told[scale])
                h = block_h(h, v, told[scale])
                vs.append(v)
                hs.append(h)
            if scale < self.scales:
                v, h = self.halve_v[scale](v), self.halve_h[scale](h)
                vs.append(v)
                hs.append(h)
        v, h = vs.pop(), hs.pop()
        for scale in reversed(range(self.scales + 1)):
            for block_v, block_h in zip(self.up_v[scale], self.up_h[scale], strict=True):
                v = block_v(v, vs.pop(), told[scale])
                h = block_h(h, torch.cat([v, hs.pop()], 1), told[scale])
            if scale:
                grid = self.grids[scale - 1]
                v, h = self.double_v[scale - 1](v, grid), self.double_h[scale - 1](h, grid)
        return self.head(F.elu(h).movedim(1, -1)).movedim(-1, 1)

    def by_scale(self, context: Tensor | None) -> list[Tensor | None]:
        """The context on the grid of every scale."""
        if context is None or context.ndim == 2:
            return [context] * (self.scales + 1)
        return [context[..., :: 2**scale, :: 2**scale] for scale in range(self.scales + 1)]

    def walk(self, rows: int, context: Tensor | None) -> Walk:
        return _PlusWalk(self, rows, context)


def _down(x: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]


def _right(x: Tensor) -> Tensor:
    return F.pad(x, (1, 0))[..., :-1]


class _PlusWalk(Walk):
    """Row by row; at scale s only rows and columns that are multiples of 2^s are new.

    ``vs`` and ``hs`` hold, in the order of ``forward``, what the way down leaves for the way up: of
    the vertical stream the present row of every scale, of the horizontal one the present position.
    """

    def __init__(self, network: PixelCNNPlusPlus, rows: int, context: Tensor | None) -> None:
        self.network, self.rows, self.told = network, rows, network.by_scale(context)
        net, grids = network, network.grids
        weight = net.head.weight
        self.x = Cache(rows, grids[0], net.channels + 1, (1, 1, 1), weight)
        self.first = [
            ConvCache(self.x, conv.state(1, (1, 1)).kernel, conv.bias)
            for conv in (net.above, net.above_too, net.before)
        ]
        self.state_v, self.state_up_v = self._states(net.down_v), self._states(net.up_v)
        self.down_h, self.up_h = self._in_rows(net.down_h), self._in_rows(net.up_h)
        halves = range(net.scales)
        self.halve_v = [net.halve_v[scale].state(rows, grids[scale]) for scale in halves]
        self.halve_h = [net.halve_h[scale].state(rows, grids[scale]) for scale in halves]
        kept = 1 + sum(len(blocks) for blocks in net.down_v) + net.scales
        self.vs = [weight.new_empty(0)] * kept
        self.hs = [weight.new_empty(0)] * kept
        self.up_vs = [[weight.new_empty(0)] * len(blocks) for blocks in net.up_v]
        self.coarse = [weight.new_empty(rows, w, weight.shape[1]) for _, w in grids]
        self.head = (weight, net.head.bias)
        # What each block on the way up takes from the way down: the latest first.
        taken = iter(reversed(range(kept - 1)))
        self.takes = {
            scale: [next(taken) for _ in net.up_v[scale]]
            for scale in reversed(range(net.scales + 1))
        }

    def begin_row(self, row: int) -> None:
        net, width = self.network, self.network.width
        line = Line(row - 1, 0, width)
        if row:
            v = net.above.step(self.first[0], None, line)
            self.above = net.above_too.step(self.first[1], None, line)
        else:
            v = self.above = self.x.values.new_zeros(self.rows, width, self.head[0].shape[1])
        self.vs[0], at = v, 0
        for scale in range(net.scales + 1):
            if row % 2**scale:
                return self._up_row(row, scale)
            line = Line(row >> scale, 0, net.grids[scale][1])
            for block, state in zip(net.down_v[scale], self.state_v[scale], strict=True):
                v, at = block.step(state, v, line), at + 1
                self.vs[at] = v
            first = at + 1 - len(self.down_h[scale])
            for index, in_row in enumerate(self.down_h[scale]):
                in_row.begin(line.row, self.vs[first + index])
            if scale < net.scales:
                self.halve_v[scale].cache.at(line)[...] = v
                if row % 2 ** (scale + 1) == 0:
                    every_other = Line(row >> scale, 0, net.grids[scale + 1][1], 0, 2)
                    v = net.halve_v[scale].step(self.halve_v[scale], None, every_other)
                    at += 1
                    self.vs[at] = v
        self._up_row(row, net.scales + 1)

    def _up_row(self, row: int, scales: int) -> None:
        """The way up of the vertical stream through the scales that have a new row."""
        net = self.network
        for scale in reversed(range(scales)):
            line = Line(row >> scale, 0, net.grids[scale][1])
            if scale == net.scales:
                v = self.vs[-1]
            else:
                coarse, double = self.up_vs[scale + 1][-1], net.double_v[scale]
                pair = [double.step(coarse, line.row, column) for column in (0, 1)]
                v = torch.stack(pair, 2).flatten(1, 2)[:, : line.count]
            blocks = zip(net.up_v[scale], self.state_up_v[scale], self.takes[scale], strict=True)
            for index, (block, state, taken) in enumerate(blocks):
                v = block.step(state, v, line, self.vs[taken])
                self.up_vs[scale][index] = v
                self.up_h[scale][index].begin(line.row, v)

    def step(self, line: Line, channel: int) -> Tensor:
        net, row, column = self.network, line.row, line.column
        h = self.above[:, column]
        if column:
            h = h + net.before.step(self.first[2], None, Line(row, column - 1)).squeeze(1)
        self.hs[0], at, scales = h, 0, net.scales + 1
        for scale in range(net.scales + 1):
            if (row | column) % 2**scale:
                scales = scale
                break
            for block in self.down_h[scale]:
                h, at = block.step(h, column >> scale), at + 1
                self.hs[at] = h
            if scale < net.scales:
                line = Line(row >> scale, column >> scale)
                self.halve_h[scale].cache.at(line)[:, 0] = h
                if (row | column) % 2 ** (scale + 1) == 0:
                    h = net.halve_h[scale].step(self.halve_h[scale], None, line).squeeze(1)
                    at += 1
                    self.hs[at] = h
        return F.linear(F.elu(self._up(row, column, scales)), *self.head).unsqueeze(2)

    def _up(self, row: int, column: int, scales: int) -> Tensor:
        """The way up of the horizontal stream through the scales that have a new position."""
        net = self.network
        h = self.hs[-1]
        for scale in reversed(range(scales)):
            i, j = row >> scale, column >> scale
            if scale < net.scales:
                h = net.double_h[scale].step(self.coarse[scale + 1][:, j >> 1], i, j)
            for block, taken in zip(self.up_h[scale], self.takes[scale], strict=True):
                h = block.step(h, j, self.hs[taken])
            self.coarse[scale][:, j] = h
        return h

    def put(self, line: Line, channel: int, x: Tensor) -> None:
        x = x.transpose(1, 2)  # (B, 1, C)
        self.x.at(line)[...] = torch.cat([2 * x - 1, torch.ones_like(x[..., :1])], 2)

    def _states(self, scales: list[list[GatedResidual]]) -> list[list[ResidualState]]:
        grids = self.network.grids
        return [
            [block.state(self.rows, grid, told) for block in blocks]
            for blocks, grid, told in zip(scales, grids, self.told, strict=True)
        ]

    def _in_rows(self, scales: list[list[GatedResidual]]) -> list[list[RowResidual]]:
        grids = self.network.grids
        return [
            [RowResidual(block, self.rows, columns, told) for block in blocks]
            for blocks, (_, columns), told in zip(scales, grids, self.told, strict=True)
        ]
