"""PixelRNN: recurrent layers over the rows or the diagonals of an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.limits import limited
from reparam.nets.causal_conv import CausalConv, Line, channel_groups
from reparam.nets.pixelcnn import check_sizes
from reparam.nets.pixels import PixelNetwork, Pointwise, Walk

Recurrence = Literal["row", "diagonal"]


def lstm(gates: Tensor, cell: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """State and cell from the gates (o, f, i, g) along ``dim`` and the cell before.

    c = σ(f) c' + σ(i) tanh(g), h = σ(o) tanh(c): van den Oord et al. 2016, eq. 3.
    """
    o, f, i, g = gates.chunk(4, dim)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


class RecurrentLayer(nn.Module, ABC):
    """A layer of an LSTM over the image with its input added, x + 1 × 1 (h).

    Shape: (B, width, H, W) → (B, width, H, W).
    """

    def __init__(self, width: int, channels: int, kernel: int, context: int) -> None:
        super().__init__()
        units = channel_groups(width, channels)
        self.input_to_state = CausalConv(
            units, units.repeat(4), kernel, rows_above=False, context=context
        )
        self.out = CausalConv(units, units, 1)
        self.width = width

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor: ...

    @abstractmethod
    def of_states_above(self) -> Tensor:
        """The weights of what gates see of states in the row above, (4 width, ·)."""

    @abstractmethod
    def walk(self, rows: int, grid: Sequence[int], context: Tensor | None) -> RecurrentWalk: ...


class _Cell(NamedTuple):
    """Views of the gates (B, 4 n) of n units as ``lstm`` takes them, activated in place."""

    all: Tensor
    three: Tensor  # o, f, i
    g: Tensor
    o: Tensor
    f: Tensor
    i: Tensor

    @classmethod
    def of(cls, gates: Tensor) -> _Cell:
        o, f, i, g = gates.chunk(4, 1)
        return cls(gates, gates[:, : -g.shape[1]], g, o, f, i)

    def advance(self, before: Tensor, cell: Tensor, h: Tensor) -> None:
        """Write cell and state, given the cell before: what ``lstm`` returns."""
        self.three.sigmoid_()
        torch.mul(self.f, before, out=cell).addcmul_(self.i, self.g.tanh_())
        torch.mul(self.o, cell.tanh(), out=h)


class _Place(NamedTuple):
    """Views of a column's buffers, of the units of a channel or, marked so, of all."""

    cell: _Cell
    x: Tensor
    seen: Tensor  # all
    cell_before: Tensor
    cell_now: Tensor
    h: Tensor
    states: Tensor  # all
    added: Tensor


class RecurrentWalk(ABC):
    """A layer on its way through an image, in buffers of a row that the next row overwrites.

    Buffers are ``sums`` (B, W, 4 width) of what gates add up before the row begins, by channel;
    ``added`` (B, W, width), what the output adds; and those of ``_buffers``. Units of channels
    after the present one are of the row before, and meet weights of 0.
    """

    def __init__(
        self, layer: RecurrentLayer, rows: int, grid: Sequence[int], context: Tensor | None
    ) -> None:
        conv, out = layer.input_to_state, layer.out
        self.columns, self.width = grid[1], layer.width
        self.own, self.out = conv.kernels(), out.kernels()
        self.bias = conv.biases(context)[..., conv.by_group]
        self.above = layer.of_states_above()[conv.by_group]
        self.sums = out.weight.new_empty(rows, self.columns, 4 * self.width)
        self.added = out.bias.expand(rows, self.columns, -1).clone()
        self.x, self.seen, self.before, self.cell, self.h = self._buffers(layer)
        self.places = [
            [self._place(column, units) for column in range(self.columns)] for units in out.taken
        ]

    @abstractmethod
    def _buffers(self, layer: RecurrentLayer) -> tuple[Tensor, ...]:
        """Inputs, what gates see of them and of states, cells before, cells and states.

        Each is (B, W, width), what gates see (B, W, ·) as the rows of ``own`` lie.
        """

    def _place(self, column: int, units: slice) -> _Place:
        parts = (self.x, self.before, self.cell, self.h, self.added)
        x, before, cell, h, added = (part[:, column, units] for part in parts)
        gates = self.sums[:, column, 4 * units.start : 4 * units.stop]
        states = self.h[:, column]
        return _Place(_Cell.of(gates), x, self.seen[:, column], before, cell, h, states, added)

    @abstractmethod
    def begin_row(self, row: int) -> None:
        """What the row needs of those above."""

    def _sum(self, row: int, states: Tensor) -> None:
        """Start the row's sums from the biases and the states above that gates see, (B, W, ·)."""
        sites = slice(row * self.columns, (row + 1) * self.columns)
        bias = self.bias if self.bias.shape[1] == 1 else self.bias[:, sites]
        torch.add(F.linear(states, self.above), bias, out=self.sums)

    def step(self, x: Tensor, column: int, group: int) -> Tensor:
        """The output of a group of units at one pixel, (B, units)."""
        at = self.places[group][column]
        at.x.copy_(x)
        at.cell.all.addmm_(at.seen, self.own[group])
        at.cell.advance(at.cell_before, at.cell_now, at.h)
        return torch.addmm(at.added, at.states, self.out[group]).add_(x)


class RowLSTM(RecurrentLayer):
    """Rows one after the other: states of three pixels above, inputs of three up to the pixel.

    What it sees above is a triangle, so that it has a blind spot.

    Reference: van den Oord et al. 2016, "Pixel recurrent neural networks", section 3.1.
    https://arxiv.org/abs/1601.06759

    >>> RowLSTM(4, 1)(torch.zeros(2, 4, 5, 6)).shape
    torch.Size([2, 4, 5, 6])
    """

    def __init__(self, width: int, channels: int, context: int = 0) -> None:
        super().__init__(width, channels, 3, context)
        self.state_to_state = nn.Conv1d(width, 4 * width, 3, padding=1, bias=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        gates = self.input_to_state(x, context)  # (B, 4 width, H, W)
        h = cell = torch.zeros_like(x[:, :, 0])
        rows = []
        for row in gates.unbind(2):
            h, cell = lstm(row + self.state_to_state(h), cell, 1)
            rows.append(h)
        return x + self.out(torch.stack(rows, 2))

    def of_states_above(self) -> Tensor:
        return self.state_to_state.weight.transpose(1, 2).flatten(1)  # column by column

    def walk(self, rows: int, grid: Sequence[int], context: Tensor | None) -> RecurrentWalk:
        return _RowWalk(self, rows, grid, context)


class _RowWalk(RecurrentWalk):
    def _buffers(self, layer: RecurrentLayer) -> tuple[Tensor, ...]:
        shape = len(self.added), 1 + self.columns + 1, self.width  # with margins of zeros
        x, h = self.added.new_zeros(shape), self.added.new_zeros(shape)
        cell, self.states = torch.zeros_like(self.added), _side_by_side(h, 3)
        return x[:, 1:-1], _side_by_side(x[:, :-1], 2), cell, cell, h[:, 1:-1]

    def begin_row(self, row: int) -> None:
        self._sum(row, self.states)


def _side_by_side(row: Tensor, count: int) -> Tensor:
    """Views of so many consecutive columns of (B, W, n), (B, W − count + 1, count · n)."""
    return row.unfold(1, count, 1).transpose(2, 3).flatten(2)


class Diagonal(nn.Module):
    """An LSTM that goes along diagonals: its state and cell come from the left, a state from above.

    Shape: gates of the input (B, 4 width, H, W) → states (B, width, H, W).

    >>> Diagonal(4)(torch.zeros(2, 16, 5, 6)).shape
    torch.Size([2, 4, 5, 6])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left = nn.Linear(width, 4 * width, bias=False)
        self.above = nn.Linear(width, 4 * width, bias=False)
        nn.init.uniform_(self.left.weight, -((2 * width) ** -0.5), (2 * width) ** -0.5)
        nn.init.uniform_(self.above.weight, -((2 * width) ** -0.5), (2 * width) ** -0.5)

    def forward(self, gates: Tensor) -> Tensor:
        height, width = gates.shape[2:]
        skewed = _skew(gates)  # column d holds the diagonal i + j = d, (B, 4 width, H, H + W − 1)
        h = cell = torch.zeros_like(gates[:, : gates.shape[1] // 4, :, 0].transpose(1, 2))
        diagonals = []
        for diagonal in skewed.unbind(3):
            up = F.pad(h, (0, 0, 1, 0))[:, :-1]  # (B, H, width), row i − 1 at row i
            h, cell = lstm(diagonal.transpose(1, 2) + self.left(h) + self.above(up), cell, 2)
            diagonals.append(h)
        return _unskew(torch.stack(diagonals, 3).transpose(1, 2), width)


def _skew(x: Tensor) -> Tensor:
    """Row i moved i to the right: (B, C, H, W) → (B, C, H, H + W − 1).

    What lies left of the image then gets gates of 0, and states of 0, as it should.
    """
    height, width = x.shape[2:]
    longer = F.pad(x, (0, height)).flatten(2)[:, :, : height * (height + width - 1)]
    return longer.view(*x.shape[:2], height, height + width - 1)


def _unskew(x: Tensor, width: int) -> Tensor:
    """The inverse of ``_skew``, from (B, C, H, H + W − 1)."""
    height = x.shape[2]
    longer = F.pad(x.flatten(2), (0, height)).view(*x.shape[:2], height, height + width)
    return longer[..., :width]


class DiagonalBiLSTM(RecurrentLayer):
    """Two LSTMs along the diagonals, from the left and from the right: all of the rows above.

    The one from the right is read one row further down, where nothing it saw is in the future. The
    last pixel of the row just above is the exception: it is seen where the first convolution's
    window reaches it, as the features at a pixel have not seen the pixel.

    Reference: van den Oord et al. 2016, "Pixel recurrent neural networks", section 3.2 and 3.3.
    https://arxiv.org/abs/1601.06759

    >>> DiagonalBiLSTM(4, 1)(torch.zeros(2, 4, 5, 6)).shape
    torch.Size([2, 4, 5, 6])
    """

    def __init__(self, width: int, channels: int, context: int = 0) -> None:
        super().__init__(width, channels, 1, context)
        self.from_left, self.from_right = Diagonal(width), Diagonal(width)
        self.right_input = nn.Conv2d(width, 4 * width, 1)
        self.right_out = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        left = self.from_left(self.input_to_state(x, context))
        right = self.from_right(self.right_input(x.flip(3))).flip(3)
        below = F.pad(self.right_out(right), (0, 0, 1, 0))[:, :, :-1]
        return x + self.out(left) + below

    def of_states_above(self) -> Tensor:
        return self.from_left.above.weight

    def walk(self, rows: int, grid: Sequence[int], context: Tensor | None) -> RecurrentWalk:
        return _DiagonalWalk(self, rows, grid, context)


class _DiagonalWalk(RecurrentWalk):
    def _buffers(self, layer: RecurrentLayer) -> tuple[Tensor, ...]:
        assert isinstance(layer, DiagonalBiLSTM)
        self.layer, shape = layer, (len(self.added), 1 + self.columns, self.width)
        left = layer.from_left.left.weight.T
        groups = layer.input_to_state.groups
        self.own = [torch.cat([k, left[:, g]]) for k, g in zip(self.own, groups, strict=True)]
        # At a column the input and the state left of it, side by side; left of the first one 0.
        seen = self.added.new_zeros(*shape[:2], 2 * self.width)
        x, h = seen.split(self.width, 2)
        cell = self.added.new_zeros(shape)
        self.right = torch.zeros_like(self.added)  # states from the right of the row before
        self.from_right = torch.zeros_like(self.sums)
        self.right_cells = [_Cell.of(gates) for gates in self.from_right.unbind(1)]
        return x[:, :-1], seen[:, :-1], cell[:, :-1], cell[:, 1:], h[:, 1:]

    def begin_row(self, row: int) -> None:
        if row:
            self._sweep_from_the_right()
        self._sum(row, self.h)

    def _sweep_from_the_right(self) -> None:
        """States from the right of the row that is complete now, and what the next adds of them."""
        layer, recurrence, conv = self.layer, self.layer.from_right, self.layer.right_input
        own = F.linear(self.x, conv.weight[:, :, 0, 0], conv.bias)
        torch.add(own, recurrence.above(self.right), out=self.from_right)
        left, cell = recurrence.left.weight.T, self.right.new_zeros(len(self.x), self.width)
        h: Tensor | None = None
        states = self.right.unbind(1)
        for gates, now in zip(reversed(self.right_cells), reversed(states), strict=True):
            if h is not None:
                gates.all.addmm_(h, left)
            gates.advance(cell, cell, now)
            h = now
        below = F.linear(self.right, layer.right_out.weight[:, :, 0, 0])
        torch.add(below, layer.out.bias, out=self.added)


class PixelRNN(PixelNetwork):
    """A masked convolution, recurrent layers over the image, and two 1 × 1 layers.

    It is drawn row by row, pixel by pixel.

    Args:
        shape: of x, (C, H, W).
        parameters: P, numbers per entry.
        width: units of every layer.
        layers: how many recurrent ones.
        recurrence: ``"diagonal"`` (Diagonal BiLSTM) or ``"row"`` (Row LSTM).
        first_kernel: width of the first convolution's window.
        context: F, numbers of a context, added in every layer.
        codes: K, where entries are codes without an order, as ``PixelCNN`` takes it.

    Shape: x (B, C, H, W) → (B, P, C, H, W).

    Cost: layers are sequential in H rows, or in H + W − 1 diagonals twice.

    Reference: van den Oord et al. 2016, "Pixel recurrent neural networks", table 1.
    https://arxiv.org/abs/1601.06759

    >>> PixelRNN((3, 6, 5), 2, width=6, layers=1)(torch.zeros(2, 3, 6, 5)).shape
    torch.Size([2, 2, 3, 6, 5])
    """

    @limited
    def __init__(
        self,
        shape: Sequence[int],
        parameters: int,
        width: int = 32,
        layers: int = 2,
        recurrence: Recurrence = "diagonal",
        first_kernel: int = 7,
        context: int = 0,
        codes: int = 0,
    ) -> None:
        super().__init__(shape, codes, context)
        check_sizes(width, layers, first_kernel, self.channels)
        layers_of: dict[Recurrence, type[RowLSTM] | type[DiagonalBiLSTM]]
        layers_of = {"row": RowLSTM, "diagonal": DiagonalBiLSTM}
        units, layer = channel_groups(width, self.channels), layers_of[recurrence]
        outputs = torch.arange(self.channels).repeat(parameters)
        seen = channel_groups(self.channels * max(codes, 1), self.channels)
        self.first = CausalConv(
            seen, units, first_kernel, "A", context=context, codes=self.gathered
        )
        self.layers = nn.ModuleList(layer(width, self.channels, context) for _ in range(layers))
        self.head = nn.ModuleList([CausalConv(units, units, 1), CausalConv(units, outputs, 1)])

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        h = self.first(self.seen(x), context)
        for layer in self.layers:
            h = layer(h, context)
        for conv in self.head:
            h = conv(F.relu(h))
        return h.view(x.shape[0], -1, *self.shape)

    def walk(self, rows: int, context: Tensor | None) -> Walk:
        return _RecurrentNetworkWalk(self, rows, context)


class _RecurrentNetworkWalk(Walk):
    def __init__(self, network: PixelRNN, rows: int, context: Tensor | None) -> None:
        grid, self.width = network.shape[1:], network.width
        self.entries = network.entries
        self.first = network.first
        self.first_state = self.first.state(rows, grid, context)
        layers = [layer for layer in network.layers if isinstance(layer, RecurrentLayer)]
        self.layers = [layer.walk(rows, grid, context) for layer in layers]
        heads = [conv for conv in network.head if isinstance(conv, CausalConv)]
        self.head = [Pointwise(conv, rows, None) for conv in heads]

    def begin_row(self, row: int) -> None:
        for layer in self.layers:
            layer.begin_row(row)

    def step(self, line: Line, channel: int) -> Tensor:
        h = self.first.step(self.first_state, None, line, self.width, channel).squeeze(1)
        for layer in self.layers:
            h = layer.step(h, line.column, channel)
        for conv in self.head:
            h = conv.step(h, 0, channel)
        return h.unsqueeze(2)

    def put(self, line: Line, channel: int, x: Tensor) -> None:
        self.first.put(self.first_state, self.entries(x), line, channel)
