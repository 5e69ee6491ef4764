"""Transformers over the patches of x: of all, of the visible ones, and to patches again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.limits import Count, limited
from reparam.nets.attention import Attention, AttentionBlock
from reparam.nets.patches import Patches, put, taken


class PlaceEmbedding(nn.Module):
    """A learned vector for each place of a grid: the sum of those of its frame, row and column.

    Shape: () → (N, width), places in the order of ``Patches``.

    >>> PlaceEmbedding((1, 3, 2), 8)().shape
    torch.Size([6, 8])
    """

    def __init__(self, grid: Sequence[int], width: int) -> None:
        super().__init__()
        self.axes = nn.ParameterList(nn.Parameter(0.02 * torch.randn(n, width)) for n in grid)

    def forward(self) -> Tensor:
        frames, rows, columns = self.axes
        return (frames[:, None, None] + rows[:, None] + columns).flatten(0, 2)


class VisionTransformer(nn.Module):
    """A token for each patch of x: a linear map, the embedding of its place, attention blocks.

    Args:
        patches: how x is cut.
        width: of the tokens.
        layers: how many blocks.
        heads: of attention, a divisor of the width.

    Shape: patches (B, N, P) → tokens (B, N, width).

    Cost: attention between all N² pairs of patches.

    Reference: Dosovitskiy et al. 2021, "An image is worth 16x16 words", eq. 1–4, without a class
    token. https://arxiv.org/abs/2010.11929

    >>> VisionTransformer(Patches((1, 4, 4), (1, 2, 2)), 8, 1, 2)(torch.zeros(3, 4, 4)).shape
    torch.Size([3, 4, 8])
    """

    @limited
    def __init__(
        self, patches: Patches, width: Count = 64, layers: Count = 4, heads: Count = 4
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(patches.entries, width)
        self.places = PlaceEmbedding(patches.grid, width)
        self.blocks = _blocks(width, layers, heads)
        self.norm = nn.LayerNorm(width)
        self.width, self.count = width, patches.count

    @property
    def stack(self) -> tuple[nn.Module, ...]:
        """Its layers from the input to the output."""
        first = nn.ModuleList([self.embed, self.places])
        last = nn.ModuleList([self.blocks[-1], self.norm])
        return (first, *self.blocks[:-1], last)

    def forward(self, patches: Tensor) -> Tensor:
        return self.run(self.embed(patches) + self.places())

    def run(self, h: Tensor, seen: Tensor | None = None) -> Tensor:
        """The blocks, over tokens (B, n, width) of which some are seen."""
        for block in self.blocks:
            h = block(h, seen)
        return self.norm(h)

    def attention(self, patches: Tensor) -> Tensor:
        """How much each patch reads from each other in the last block, (B, heads, N, N)."""
        h = self.embed(patches) + self.places()
        for block in self.blocks[:-1]:
            h = block(h)
        last = self.blocks[-1]
        assert isinstance(last, AttentionBlock)
        return last.weights(h)


class _WithMaskToken(VisionTransformer):
    """A transformer with a learned token for patches that are hidden."""

    def __init__(self, patches: Patches, width: int = 64, layers: int = 4, heads: int = 4) -> None:
        super().__init__(patches, width, layers, heads)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))


class VisibleEncoder(_WithMaskToken):
    """A transformer that never sees hidden patches; one learned token stands in their places.

    Shape: patches (B, N, P), hidden bool (B, N) → tokens (B, N, width). Where all rows have as
    many visible patches, their number is given, and only so many tokens pass the blocks.

    Reference: He et al. 2022, "Masked autoencoders are scalable vision learners", section 3; the
    token of hidden patches has the encoder's width, and is mapped to the decoder's with the others.
    https://arxiv.org/abs/2111.06377

    >>> encoder = VisibleEncoder(Patches((1, 4, 4), (1, 2, 2)), 8, 1, 2)
    >>> hidden = torch.tensor([[True, False, False, True]])
    >>> encoder(torch.zeros(1, 4, 4), hidden, visible=2).shape
    torch.Size([1, 4, 8])
    """

    def forward(
        self, patches: Tensor, hidden: Tensor | None = None, visible: int | None = None
    ) -> Tensor:
        if hidden is None:
            return super().forward(patches)
        if visible is None:  # rows differ: all tokens pass the blocks, and none reads a hidden one
            seen = ~hidden | hidden.all(1, keepdim=True)  # softmax over nothing is NaN
            h = self.run(self.embed(patches) + self.places(), seen[:, None, None])
            return torch.where(hidden[..., None], self.mask_token, h)
        index = hidden.byte().argsort(dim=1, stable=True)[:, :visible]
        h = self.run(self.embed(taken(patches, index)) + self.places()[index])
        return put(h, index, self.mask_token.to(h), self.count)


class MaskTokenEncoder(_WithMaskToken):
    """A transformer that sees one learned token, and the place, of every hidden patch.

    Shape: patches (B, N, P), hidden bool (B, N) → tokens (B, N, width).

    Reference: Xie et al. 2022, "SimMIM: a simple framework for masked image modeling", section 3.2.
    https://arxiv.org/abs/2111.09886

    >>> encoder = MaskTokenEncoder(Patches((1, 4, 4), (1, 2, 2)), 8, 1, 2)
    >>> encoder(torch.zeros(1, 4, 4), torch.tensor([[True, False, False, True]])).shape
    torch.Size([1, 4, 8])
    """

    def forward(
        self, patches: Tensor, hidden: Tensor | None = None, visible: int | None = None
    ) -> Tensor:
        h = self.embed(patches)
        if hidden is not None:
            h = torch.where(hidden[..., None], self.mask_token.to(h), h)
        return self.run(h + self.places())


class PatchDecoder(nn.Module):
    """A small transformer from the tokens of all places to what patches hold.

    Args:
        patches: how x is cut.
        inputs: width of the tokens.
        width: of its own.
        layers: how many blocks.
        heads: of attention, a divisor of the width.

    Shape: tokens (B, N, inputs) → patches (B, N, P).

    Reference: He et al. 2022, section 3. https://arxiv.org/abs/2111.06377

    >>> PatchDecoder(Patches((1, 4, 4), (1, 2, 2)), 8, 4, 1, 2)(torch.zeros(3, 4, 8)).shape
    torch.Size([3, 4, 4])
    """

    def __init__(self, patches: Patches, inputs: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.places = PlaceEmbedding(patches.grid, width)
        self.blocks = _blocks(width, layers, heads)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, patches.entries)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.embed(tokens) + self.places()
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


def _blocks(width: int, layers: int, heads: int) -> nn.ModuleList:
    return nn.ModuleList(AttentionBlock(width, Attention(width, heads)) for _ in range(layers))
