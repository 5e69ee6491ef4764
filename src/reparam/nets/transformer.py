"""A causal transformer over the entries of x, with cached keys and values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.limits import Count, Whole, limited
from reparam.model import Column
from reparam.nets.attention import Attention, AttentionBlock
from reparam.nets.autoregressive_network import AutoregressiveNetwork, Draw, raster_ranks
from reparam.nets.codes import CodeEmbedding
from reparam.nets.column_inputs import ColumnEmbedding


class _Steps:
    """A block of causal attention for one place after the other: (B, width) → (B, width).

    Keys and values of the places so far are kept as products read them, those of every head in a
    matrix: keys with the places innermost, values with their entries. All else of a step is
    computed in the same buffers, of which views are made once.
    """

    def __init__(self, block: AttentionBlock, rows: int, places: int) -> None:
        attention = block.attention
        linear = [layer for layer in block.mlp if isinstance(layer, nn.Linear)]
        self.first, self.out = _as_read(linear[0]), _as_read(attention.out)
        width = len(attention.out.weight)
        heads, self.width = attention.heads, (width,)
        batch, size = rows * heads, width // heads
        bias, weight = _as_read(attention.project)
        self.bias = bias.view(3, 1, width)  # of queries, keys and values
        self.project = weight.view(width, 3, width).transpose(0, 1).contiguous()
        for part in (self.bias, self.project):
            part[0] *= size**-0.5  # instead of products with keys
        # GELU(√2 h) = (h + h erf h) / √2
        for part in self.first:
            part.mul_(0.5**0.5)
        bias, weight = _as_read(linear[1])
        self.second = torch.cat([weight.mul_(0.5**0.5), bias[None]])
        norms = [norm for norm in block.norms if isinstance(norm, nn.LayerNorm)]
        self.norms = [(norm.weight, norm.bias, norm.eps) for norm in norms]
        self.keys = weight.new_empty(batch, size, places)
        self.values = weight.new_empty(batch, places, size)
        self.key_at, self.value_at = self.keys.unbind(2), self.values.unbind(1)
        self.split = weight.new_empty(3, rows, width)
        query, self.key, self.value = self.split.view(3, batch, size).unbind()
        self.query = query.unsqueeze(1)
        self.read = weight.new_empty(rows, width)
        self.read_by_head = self.read.view(batch, 1, size)
        self.hidden = weight.new_ones(rows, 4 * width + 1)  # and a 1, whose weights are a bias
        self.units = self.hidden[:, :-1]

    def step(self, h: Tensor, place: int) -> Tensor:
        """The output at a place, all before it having been stepped."""
        n = torch.layer_norm(h, self.width, *self.norms[0])
        torch.baddbmm(self.bias, n.expand(3, -1, -1), self.project, out=self.split)
        self.key_at[place].copy_(self.key)
        self.value_at[place].copy_(self.value)
        shares = torch.bmm(self.query, self.keys.narrow(2, 0, place + 1)).softmax(2)
        torch.bmm(shares, self.values.narrow(1, 0, place + 1), out=self.read_by_head)
        h = torch.addmm(self.out[0], self.read, self.out[1]).add_(h)
        n = torch.layer_norm(h, self.width, *self.norms[1])
        n = torch.addmm(self.first[0], n, self.first[1])
        torch.addcmul(n, n, n.erf(), out=self.units)
        return torch.addmm(h, self.hidden, self.second)


def _as_read(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """A bias and a weight (inputs, outputs) of one's own."""
    return layer.bias.clone(), layer.weight.T.clone(memory_format=torch.contiguous_format)


class CausalTransformer(AutoregressiveNetwork):
    """Place t sees a start token and the values of the places before it, through attention.

    Entries come row by row, channels innermost. Every place has a learned embedding, the sum of
    those of its row, column and channel.

    Args:
        shape: of x, images or vectors.
        parameters: P, numbers per entry.
        width: of every layer.
        layers: how many blocks.
        heads: of attention, a divisor of the width.
        dropout: share of units dropped in training.
        context: F, numbers of the context, added at every place: (B, F), or of images (B, F, H, W),
            where all channels of a pixel share it.
        columns: of mixed x, whose values are embedded by ``ColumnEmbedding``.
        codes: K, where entries are codes without an order: every channel embeds its own; 0: as
            numbers.

    Shape: x (B, *shape), context (B, F) or (B, F, H, W) → (B, P, *shape).

    Cost: attention between all D²/2 pairs of entries; drawing computes every pair once.

    Reference: Parmar et al. 2018, "Image transformer", section 3; here with attention to all places
    before instead of to blocks, as in Chen et al. 2020, "Generative pretraining from pixels".
    https://arxiv.org/abs/1802.05751

    >>> CausalTransformer((3, 2, 4), 1, width=8, layers=1, heads=2)(torch.zeros(2, 3, 2, 4)).shape
    torch.Size([2, 1, 3, 2, 4])
    """

    @limited
    def __init__(
        self,
        shape: Sequence[int],
        parameters: int,
        width: Count = 64,
        layers: Whole = 4,
        heads: Count = 4,
        dropout: float = 0.0,
        context: int = 0,
        columns: Sequence[Column] | None = None,
        codes: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.width, self.context_features = tuple(shape), width, context
        self.context_by_position = len(shape) == 3
        ranks = raster_ranks(shape)
        self.order = ranks.argsort().tolist()
        self.value: nn.Module
        if codes:
            channels = shape[0] if len(shape) == 3 else 1
            tables = [place % channels for place in range(math.prod(shape))]
            self.value = CodeEmbedding(tables, codes, width)
        elif columns:
            self.value = ColumnEmbedding(columns, width)
        else:
            self.value = nn.Linear(1, width, bias=False)
        sizes = shape if len(shape) == 3 else (1, 1, *shape)
        axes = (nn.Parameter(0.02 * torch.randn(size, width)) for size in sizes)
        self.axes = nn.ParameterList(axes)  # channels, rows, columns
        self.begin = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(
            AttentionBlock(width, Attention(width, heads, causal=True), dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, parameters)
        self.context = nn.Linear(context, width, bias=False) if context else None
        self.register_buffer("ranks", ranks, persistent=False)
        self.register_buffer("places", torch.tensor(self.order), persistent=False)
        self.ranks: Tensor
        self.places: Tensor

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        before = self._values(x.flatten(1)[:, self.places[:-1]], slice(0, -1))  # (B, D−1, width)
        begin = self.begin.expand(x.shape[0], 1, -1)
        h = torch.cat([begin, before], 1) + self._places(context)
        for block in self.blocks:
            h = block(h)
        y = self.head(self.norm(h))[:, self.ranks]  # (B, D, P)
        return y.transpose(1, 2).reshape(x.shape[0], -1, *self.shape)

    @torch.inference_mode()
    def generate(
        self, rows: int, draw: Draw, context: Tensor | None = None, member: int = 0
    ) -> None:
        places = self._places(context).unbind(1)
        count = len(places)
        blocks = [
            _Steps(block, rows, count) for block in self.blocks if isinstance(block, AttentionBlock)
        ]
        h = self.begin.expand(rows, -1)
        for place, entry in enumerate(self.order):
            h = h + places[place]
            for block in blocks:
                h = block.step(h, place)
            y = self.head(self.norm(h)).unsqueeze(2)  # (B, P, 1)
            x = draw(y, slice(entry, entry + 1))
            h = self._values(x, slice(place, place + 1)).squeeze(1)

    def _values(self, x: Tensor, places: slice) -> Tensor:
        """The embeddings of the values (B, n) at some places, (B, n, width)."""
        if isinstance(self.value, (ColumnEmbedding, CodeEmbedding)):
            return self.value(x, places)
        embedded: Tensor = self.value(x.unsqueeze(2))
        return embedded

    def _places(self, context: Tensor | None) -> Tensor:
        """The embeddings of all places in order, with the context, (1 or B, D, width)."""
        channels, rows, columns = self.axes
        grid = channels[:, None, None] + rows[:, None] + columns  # (C, H, W, width)
        places = grid.flatten(0, 2)[self.places][None]
        if self.context is None or context is None:
            return places
        if context.ndim == 2:
            return places + self.context(context)[:, None]
        added = self.context(context.flatten(2).transpose(1, 2))  # (B, H·W, width)
        return places + added.repeat_interleave(self.shape[0], 1)
