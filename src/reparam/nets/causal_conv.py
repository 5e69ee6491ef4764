"""Causal convolutions: all positions at once, or some positions from cached activations.

Positions are computed along lines: a pixel or a row. Activations are cached channels last, with
margins of zeros, so that the windows of a line are one strided view of the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.nets.codes import as_tables, product

# By rows upwards, the farthest column to the right (negative: to the left) that is seen there.
Reach = Mapping[int, int]
# What a convolution sees of its own row: the columns before and, at its own column, the channels
# before ("A") or these and its own ("B"); or all of the row (van den Oord et al. 2016).
Mask = Literal["A", "B", "none"]


def compose(*reaches: Reach) -> dict[int, int]:
    """The reach of layers one after the other: offsets add up.

    >>> compose({0: -1, 1: 3}, {0: 0, 1: 1})
    {0: -1, 1: 3, 2: 4}
    """
    total: dict[int, int] = {0: 0}
    for reach in reaches:
        longer: dict[int, int] = {}
        for up, right in total.items():
            for more, farther in reach.items():
                known = longer.get(up + more, right + farther)
                longer[up + more] = max(known, right + farther)
        total = longer
    return dict(sorted(total.items()))


def widest(*reaches: Reach) -> dict[int, int]:
    """The reach of layers side by side, whose outputs are added.

    >>> widest({0: 0}, {0: -1, 1: 3})
    {0: 0, 1: 3}
    """
    ups = sorted({up for reach in reaches for up in reach})
    return {up: max(reach[up] for reach in reaches if up in reach) for up in ups}


def channel_groups(units: int, channels: int) -> Tensor:
    """Which channel of x each unit belongs to, as evenly as can be, in order.

    >>> channel_groups(5, 3).tolist()
    [0, 0, 1, 1, 2]
    """
    return torch.arange(units) * channels // units


@dataclass(frozen=True)
class Line:
    """``count`` positions from (row, column) on, each ``down`` and ``right`` of the one before."""

    row: int
    column: int
    count: int = 1
    down: int = 0
    right: int = 1

    def sites(self, width: int, plane: int = 0) -> slice:
        """Their places in an image of that width, flattened; ``plane`` entries lie before it."""
        first = plane + self.row * width + self.column
        stride = self.down * width + self.right if self.count > 1 else 1
        return slice(first, first + (self.count - 1) * stride + 1, stride)


class Cache:
    """Activations (B, H, W, C) within margins of zeros: rows above, columns left and right."""

    def __init__(
        self,
        rows: int,
        grid: Sequence[int],
        channels: int,
        margins: Sequence[int],
        like: Tensor,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.up, self.left, right = margins
        self.width, self.channels = grid[1] + self.left + right, channels
        self.values = like.new_zeros((rows, grid[0] + self.up, self.width, channels), dtype=dtype)
        self.rows, self.row_stride = rows, self.width * channels

    def windows(self, line: Line, up: int, height: int, left: int, width: int) -> Tensor:
        """Windows from ``up`` and ``left`` of every position on, (B, n, height, width · C)."""
        corner = (line.row + self.up - up) * self.row_stride
        corner += (line.column + self.left - left) * self.channels
        return self.values.as_strided(
            (self.rows, line.count, height, width * self.channels),
            (
                self.values.stride(0),
                line.down * self.row_stride + line.right * self.channels,
                self.row_stride,
                1,
            ),
            corner,
        )

    def at(self, line: Line) -> Tensor:
        """The activations themselves, (B, n, C), to be read or written."""
        return self.windows(line, 0, 1, 0, 1).squeeze(2)


@dataclass
class ConvState:
    """What a convolution keeps while it is stepped; lists run over the groups of its outputs."""

    cache: Cache | None  # none where it sees nothing but the position itself
    weights: list[Tensor]  # (what is seen at a step, outputs), or tables of codes
    biases: list[Tensor]  # (B or 1, H·W or 1, outputs)


class CausalConv(nn.Module):
    """A convolution that sees ``up`` rows above its own, and of its own what its mask says.

    Units belong to channels of x, in whose order a pixel is drawn: a unit of channel g sees at its
    own position units of channels up to g (or below g, with mask A).

    Args:
        inputs: the channel of every input unit, or how many units of one channel.
        outputs: the same of the output units.
        kernel: k, the odd width of the window; it has k // 2 rows above.
        mask: A, B or none, of its own row.
        rows_above: whether it sees rows above at all.
        context: F, numbers of a context that is added through weights of its own.
        codes: K, where the inputs are the codes of channels, one-hot, and what comes in are these:
            1 + k of (0 … K−1), as 0 is what lies outside. Weights are gathered then.

    Shape: x (B, inputs or inputs/K, H, W), context (B, F) or (B, F, H, W) → (B, outputs, H, W).

    Reference: van den Oord et al. 2016, "Pixel recurrent neural networks", section 3.4; for caches
    Ramachandran et al. 2017, "Fast generation for convolutional autoregressive models".
    https://arxiv.org/abs/1601.06759, https://arxiv.org/abs/1704.06001

    >>> CausalConv(1, 8, 3, "A")(torch.zeros(2, 1, 5, 4)).shape
    torch.Size([2, 8, 5, 4])
    """

    def __init__(
        self,
        inputs: Tensor | int,
        outputs: Tensor | int,
        kernel: int,
        mask: Mask = "B",
        *,
        rows_above: bool = True,
        context: int = 0,
        codes: int = 0,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel: expected an odd width, got {kernel}")
        inputs = torch.zeros(inputs, dtype=torch.int64) if isinstance(inputs, int) else inputs
        outputs = torch.zeros(outputs, dtype=torch.int64) if isinstance(outputs, int) else outputs
        self.side, self.up = kernel // 2, kernel // 2 if rows_above else 0
        self.right = self.side if mask == "none" or self.up else 0  # columns kept right of its own
        self.mask_type = mask
        shape = (len(outputs), len(inputs), self.up + 1, self.side + 1 + self.right)
        seen = torch.ones(shape)
        if mask != "none":
            allowed = inputs < outputs[:, None] if mask == "A" else inputs <= outputs[:, None]
            seen[:, :, -1, self.side] = allowed.float()
            seen[:, :, -1, self.side + 1 :] = 0
        self.register_buffer("mask", seen, persistent=False)
        self.mask: Tensor
        bound = seen.flatten(1).sum(1).clamp(min=1).rsqrt()  # of what a unit really sees
        self.weight = nn.Parameter((2 * torch.rand(shape) - 1) * bound[:, None, None, None])
        self.bias = nn.Parameter((2 * torch.rand(len(outputs)) - 1) * bound)
        self.context = nn.Linear(context, len(outputs), bias=False) if context else None
        self.sizes = outputs.unique(return_counts=True)[1].tolist()
        # A buffer: indices on another device would be waited for, and moved, at every use.
        self.register_buffer("by_group", outputs.argsort(stable=True), persistent=False)
        self.by_group: Tensor
        share = max(codes, 1)
        self.codes, self.inputs = codes, len(inputs) // share  # what comes in at a position
        self.taken = [slice(run.start // share, run.stop // share) for run in _runs(inputs)]
        self.positions = int(seen.amax((0, 1)).sum())  # of a window, the first ones that are seen

    @property
    def groups(self) -> tuple[Tensor, ...]:
        """The outputs of each channel."""
        return self.by_group.split(self.sizes)

    @property
    def reach(self) -> Reach:
        own = {"A": -1, "B": 0, "none": self.side}[self.mask_type]
        return {0: own} | {up: self.side for up in range(1, self.up + 1)}

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        y = self._gather(x) if self.codes else self._convolve(x)
        return y if self.context is None or context is None else y + self._added(context)

    def _convolve(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # Padding both ends and leaving out the ends not wanted is cheaper than padding one end.
        y = F.conv2d(x, self.weight * self.mask, self.bias, padding=(self.up, self.side))
        return y[:, :, :height, :width]

    def _gather(self, x: Tensor) -> Tensor:
        """The same of codes (B, C, H, W), of which weights are gathered."""
        wide = F.pad(x, (self.side, self.right, self.up, 0))
        height, width = self.weight.shape[2:]
        windows = wide.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, H, W, h, w)
        windows = windows.movedim(1, 5).flatten(3, 4)[..., : self.positions, :]
        kernel = (self.weight * self.mask).permute(2, 3, 1, 0).flatten(0, 1)[: self.positions]
        y = product(windows.flatten(3).flatten(0, 2), as_tables(kernel.flatten(0, 1), self.codes))
        y = (y + self.bias).view(len(x), *x.shape[2:], -1)
        return y.movedim(3, 1)

    def _added(self, context: Tensor) -> Tensor:
        """What the context adds, (B, outputs, H or 1, W or 1)."""
        assert self.context is not None
        if context.ndim == 2:
            return self.context(context)[:, :, None, None]
        return F.conv2d(context, self.context.weight[:, :, None, None])

    def biases(self, context: Tensor | None) -> Tensor:
        """The bias and what the context adds, (B or 1, H·W or 1, outputs)."""
        bias = self.bias[None, None]
        if self.context is None or context is None:
            return bias
        return bias + self._added(context).flatten(2).transpose(1, 2)

    def state(self, rows: int, grid: Sequence[int], context: Tensor | None) -> ConvState:
        """A state for ``rows`` examples without any activation yet."""
        alone = self.up == self.side == 0 and len(self.taken) == 1
        margins = (self.up, self.side, self.right)
        dtype = torch.int32 if self.codes else None
        cache = None if alone else Cache(rows, grid, self.inputs, margins, self.weight, dtype)
        bias = self.biases(context)
        return ConvState(cache, self.kernels(), [bias[..., group] for group in self.groups])

    def kernels(self) -> list[Tensor]:
        """Of every group the weights of its windows, (what is seen, outputs), or their tables."""
        kernel = (self.weight * self.mask).permute(2, 3, 1, 0)  # as windows lie: (h, w, in, out)
        return [
            as_tables(kernel[..., group].flatten(0, 2), self.codes).contiguous()
            for group in self.groups
        ]

    def step(
        self, state: ConvState, h: Tensor | None, line: Line, width: int, group: int = 0
    ) -> Tensor:
        """Outputs of one group along a line of a grid of that width, (B, n, units).

        h (B, n, inputs of the group) is what came in at the line; None: it is in the cache already.
        """
        cache, weight, windows = state.cache, state.weights[group], h
        if cache is not None:
            if h is not None:
                self.put(state, h, line, group)
            columns = self.side + 1 + self.right
            windows = cache.windows(line, self.up, self.up + 1, self.side, columns)
        assert windows is not None
        y = product(windows.reshape(-1, len(weight)), weight).view(*windows.shape[:2], -1)
        bias = state.biases[group]
        return y.add_(bias if bias.shape[1] == 1 else bias[:, line.sites(width)])

    def put(self, state: ConvState, h: Tensor, line: Line, group: int = 0) -> None:
        """Keep the inputs of one group at a line, (B, n, units)."""
        assert state.cache is not None
        at = state.cache.at(line)
        at = at if len(self.taken) == 1 else at[..., self.taken[group]]
        at.copy_(h)


def _runs(groups: Tensor) -> list[slice]:
    """The units of each group; those of a group lie together."""
    assert (groups.diff() >= 0).all()
    ends = groups.unique(return_counts=True)[1].cumsum(0).tolist()
    return [slice(a, b) for a, b in pairwise([0, *ends])]
