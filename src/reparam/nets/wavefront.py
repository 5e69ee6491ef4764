"""Wavefronts: pixels that do not see each other, and stacks of convolutions stepped along them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from reparam.nets.causal_conv import CausalConv, Line, Reach
from reparam.nets.codes import as_tables, product


def wavefront_slope(reach: Reach) -> int:
    """The least s for which pixels of equal j + s·i do not see each other: right < s·up for all.

    >>> wavefront_slope({0: -1, 1: 3, 2: 4})
    4
    """
    return max([1, *(right // up + 1 for up, right in reach.items() if up > 0)])


@cache
def wavefronts(height: int, width: int, slope: int) -> tuple[Line, ...]:
    """Lines of pixels of equal column + slope · row, each after all that it sees.

    A slope of the width gives single pixels in raster order, and so do steeper ones.

    >>> [(line.row, line.column, line.count) for line in wavefronts(2, 3, 2)]
    [(0, 0, 1), (0, 1, 1), (0, 2, 2), (1, 1, 1), (1, 2, 1)]
    """
    lines, slope = [], min(slope, width)
    for time in range(width + slope * (height - 1)):
        first = max(0, -((width - 1 - time) // slope))
        last = min(height - 1, time // slope)
        lines.append(Line(first, time - slope * first, last - first + 1, 1, -slope))
    return tuple(lines)


class Stack:
    """Convolutions of one shape and their inputs so far, stepped along wavefronts of a slope s.

    Inputs are kept where the pixels of a wavefront, times the examples, are the evenly spaced rows
    of a matrix: column j of row i of example b lies at (i B + b) P + s i + j, for time t = s i + j
    at (i B + b) P + t. What pixels see in one row lies together, so that products read windows in
    place. Where one row above is seen, P is the number of wavefronts for which an input is, so that
    the example before takes its place over, P wavefronts later; margins of zeros are then renewed.
    Elsewhere P is the width with its margins.

    At a line, ``begin`` sums what its pixels see in the row above, of all layers in one batched
    product; ``step`` adds what a layer sees of their own row, once the layers before have computed
    it. Windows taller than two rows are copied in ``step`` instead. The outputs are those of
    ``CausalConv``, group by group.

    Args:
        convs: of equal shape.
        rows: B, the number of examples.
        grid: (H, W).
        slope: s, at most W.
        context: as ``CausalConv`` takes it.
    """

    def __init__(
        self,
        convs: Sequence[CausalConv],
        rows: int,
        grid: Sequence[int],
        slope: int,
        context: Tensor | None,
    ) -> None:
        conv = convs[0]
        self.rows, self.width, self.up, self.side = rows, grid[1], conv.up, conv.side
        self.codes = conv.codes
        self.layers, self.inputs, self.taken = len(convs), conv.inputs, conv.taken
        self._read(convs, context)
        line = self.width + 2 * self.side
        seen_for = line if self.above is None else min(slope + 2 * self.side + 1, line)
        self.pitch = seen_for * self.inputs
        self.row_stride = rows * self.pitch + slope * self.inputs
        # What sees nothing but the position itself has its input from the layer before.
        self.alone = self.up == self.side == 0 and len(self.taken) == 1
        size = (grid[0] + self.up) * self.row_stride + line * self.inputs
        self.size = 0 if self.alone else size
        dtype = torch.int32 if self.codes else None
        self.values = conv.weight.new_zeros(self.layers * self.size, dtype=dtype)
        self.sums = self._sums(Line(0, 0))

    def _read(self, convs: Sequence[CausalConv], context: Tensor | None) -> None:
        """Weights as windows lie, outputs ordered by group."""
        order, ends = convs[0].by_group, accumulate(convs[0].sizes, initial=0)
        self.made = [slice(a, b) for a, b in pairwise(ends)]
        kernel = torch.stack([conv.weight * conv.mask for conv in convs])[:, order]
        kernel = kernel.permute(0, 3, 4, 2, 1)  # (L, h, w, in, out)
        bias = torch.stack([conv.biases(context) for conv in convs])[..., order]
        self.bias = bias.transpose(1, 2)  # (L, H·W or 1, B or 1, outputs)
        self.constant = self.bias.shape[1] == self.bias.shape[2] == 1  # of all lines
        self.bias = self.bias[:, 0] if self.constant else self.bias
        self.above, own = None, kernel
        if self.up == 1:
            self.above, own = kernel[:, 0].flatten(1, 2), kernel[:, 1:, : self.side + 1]
            if self.codes:
                self.above = torch.stack([as_tables(part, self.codes) for part in self.above])
        self.height, self.columns = own.shape[1:3]
        own = own.flatten(1, 3)
        self.own = [
            [as_tables(part, self.codes).contiguous() for part in own[..., units]]
            for units in self.made
        ]

    def begin(self, line: Line) -> None:
        """Go to a line: sum what it sees above, find its inputs and windows."""
        if self.above is not None:
            self._clear(line)
        if self.above is not None or not self.constant:
            self.sums = self._sums(line)
        if not self.alone:
            columns = self.columns * self.inputs
            size = (self.height, columns) if self.height > 1 else (columns,)
            self.windows = self._strided(line, self.height - 1, 0, *size).unbind()
            own = self.side * self.inputs  # where a window of its row holds the position itself
            self.at = [
                self._strided(line, 0, own + units.start, units.stop - units.start).unbind()
                for units in self.taken
            ]

    def step(self, layer: int, h: Tensor | None, group: int) -> Tensor:
        """Outputs of a group along the line, (n·B, units), of rectified inputs h; None: as put."""
        if self.alone:
            assert h is not None
            window = h.relu()
        else:
            if h is not None:
                torch.clamp_min(h, 0, out=self.at[group][layer])
            window = self.windows[layer]
            window = window.flatten(1) if self.height > 1 else window  # of several rows a copy
        sums, weight = self.sums[group][layer], self.own[group][layer]
        if self.codes:
            return sums + product(window, weight)
        if self.above is None:  # biases, which are those of other lines too
            return torch.addmm(sums, window, weight)
        return sums.addmm_(window, weight)

    def put(self, x: Tensor, group: int) -> None:
        """Keep the first layer's inputs of a group along the line, (n·B, units)."""
        self.at[group][0].copy_(x)

    def _clear(self, line: Line) -> None:
        """Renew the margins that are seen from this line on: right of a row that ends, and above.

        What they held was seen by earlier lines only.
        """
        if line.column == self.width - 1:
            end, units = Line(line.row, self.width), self.side * self.inputs
            self._strided(end, 0, units, units).zero_()
        if line.row == 0:
            above = Line(-1, line.column + self.side)
            self._strided(above, 0, self.side * self.inputs, self.inputs).zero_()

    def _strided(self, line: Line, up: int, offset: int, *size: int) -> Tensor:
        """Windows from ``up`` rows above on, (L, n·B, *size): numbers, or rows of numbers."""
        corner = (line.row + self.up - up) * self.row_stride + line.column * self.inputs + offset
        strides = (self.size, self.pitch, *[self.row_stride] * (len(size) - 1), 1)
        return self.values.as_strided((self.layers, line.count * self.rows, *size), strides, corner)

    def _sums(self, line: Line) -> list[tuple[Tensor, ...]]:
        """The biases and what is seen above, by group and layer: (1 or n·B, units)."""
        sums = self.bias
        if not self.constant:
            by_site = sums.shape[1] > 1
            sums = (
                sums[:, line.sites(self.width)] if by_site else sums.expand(-1, line.count, -1, -1)
            )
            sums = sums.flatten(1, 2)
        if self.above is not None:
            seen = self._strided(line, 1, 0, (2 * self.side + 1) * self.inputs)
            if self.codes:
                parts = zip(seen, self.above, strict=True)
                sums = sums + torch.stack([product(*part) for part in parts])
            else:
                sums = torch.baddbmm(sums, seen, self.above)
        own = [sums] if len(self.made) == 1 else [sums[..., units] for units in self.made]
        return [of_group.unbind() for of_group in own]
