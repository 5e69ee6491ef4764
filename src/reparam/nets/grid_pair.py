"""Two grids of codes, a coarse one and a fine one that is told about it, as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam.limits import Count, limited
from reparam.nets.autoregressive_network import AutoregressiveNetwork, Draw
from reparam.nets.codes import code_index


class GridPair(AutoregressiveNetwork):
    """p(top) p(bottom | top): the bottom's network is told the top's codes, embedded and enlarged.

    x is one vector of codes: the top grid (1, h, w) row by row, then the bottom grid (1, H, W).
    Each position of the top stands for the 2 × 2 of the bottom below it; where H or W is odd, the
    last ones stand for less.

    Args:
        top: a network of (1, h, w) with h = ⌈H/2⌉ and w = ⌈W/2⌉; its context is that of the pair.
        bottom: a network of (1, H, W) whose context differs from position to position:
            ``features`` numbers, and those of the pair after them.
        codes: K of the top.
        features: numbers per position that the bottom's network is told about the top.

    Shape: x (B, h·w + H·W) in network units, context (B, F) → (B, P, h·w + H·W).

    Reference: Razavi et al. 2019, "Generating diverse high-fidelity images with VQ-VAE-2", section
    3.2.
    https://arxiv.org/abs/1906.00446

    >>> import reparam as rp
    >>> top = rp.CausalTransformer((1, 2, 2), 5, width=8, layers=1, heads=2, codes=5)
    >>> bottom = rp.PixelCNN((1, 3, 4), 5, width=8, layers=1, codes=5, context=6)
    >>> GridPair(top, bottom, codes=5, features=6)(torch.zeros(2, 16)).shape
    torch.Size([2, 5, 16])
    """

    @limited
    def __init__(
        self,
        top: AutoregressiveNetwork,
        bottom: AutoregressiveNetwork,
        codes: Count,
        features: Count,
    ) -> None:
        super().__init__()
        given, told = top.context_features, features + top.context_features
        self._check("bottom", bottom, bottom.shape, told)
        if not bottom.context_by_position:
            raise ValueError(
                "bottom: expected a network that takes a context by position, as PixelCNN and "
                f"CausalTransformer do, got {type(bottom).__name__}"
            )
        half = (1, *((side + 1) // 2 for side in bottom.shape[1:]))
        self._check("top", top, half, given)
        self.top, self.bottom, self.codes = top, bottom, codes
        self.sizes = [half[1] * half[2], bottom.shape[1] * bottom.shape[2]]
        self.shape, self.context_features = (sum(self.sizes),), given
        self.embedding = nn.Embedding(codes, features)

    @staticmethod
    def _check(
        name: str, network: AutoregressiveNetwork, shape: tuple[int, ...], context: int
    ) -> None:
        whole = network.whole_pixels or network.members > 1
        grid = len(network.shape) == 3 and network.shape[0] == 1
        if whole or not grid or (network.shape, network.context_features) != (shape, context):
            wanted = shape if len(shape) == 3 and shape[0] == 1 else "(1, H, W)"
            raise ValueError(
                f"{name}: expected a network of the single entries, in one order, of a grid "
                f"{wanted} with a context of {context} numbers, got {type(network).__name__} of "
                f"{network.shape} with {network.context_features}"
            )

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        top, bottom = x.split(self.sizes, 1)
        of_top = self.top(top.view(-1, *self.top.shape), context)
        of_bottom = self.bottom(bottom.view(-1, *self.bottom.shape), self._told(top, context))
        return torch.cat([of_top.flatten(2), of_bottom.flatten(2)], 2)

    def ranks_of(self, member: int = 0) -> Tensor:
        return torch.cat([self.top.ranks_of(), self.sizes[0] + self.bottom.ranks_of()])

    @torch.no_grad()
    def generate(
        self, rows: int, draw: Draw, context: Tensor | None = None, member: int = 0
    ) -> None:
        top = self.embedding.weight.new_zeros(rows, self.sizes[0])

        def draw_top(parameters: Tensor, sites: slice) -> Tensor:
            top[:, sites] = draw(parameters, sites)
            return top[:, sites]

        def draw_bottom(parameters: Tensor, sites: slice) -> Tensor:
            first = self.sizes[0]
            return draw(parameters, slice(sites.start + first, sites.stop + first, sites.step))

        self.top.generate(rows, draw_top, context)
        self.bottom.generate(rows, draw_bottom, self._told(top, context))

    def _told(self, top: Tensor, context: Tensor | None) -> Tensor:
        """The context of the bottom's network, (B, features + F, H, W)."""
        _, height, width = self.bottom.shape
        codes = code_index(top, self.codes).view(-1, *self.top.shape[1:])
        codes = codes.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]
        told = self.embedding(codes).movedim(3, 1)
        if context is None or not self.context_features:
            return told
        return torch.cat([told, context[:, :, None, None].expand(-1, -1, height, width)], 1)
