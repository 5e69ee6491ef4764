"""Coders: an encoder, quantizers and a decoder around one or two grids of codes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.nets.grids import GridDecoder, GridEncoder, halved, residual_blocks
from reparam.nets.quantize import Quantized, Quantizer


class Coded(NamedTuple):
    """What a coder made of x.

    Args:
        vectors: of each grid, (B, D, *grid), codes with the gradient of what was quantized.
        code: their indices as one tensor, (B, *code_shape).
        terms: of all quantizers, (B,) each.
        statistics: of quantizer i behind the prefix ``quantizer_i_``.
    """

    vectors: tuple[Tensor, ...]
    code: Tensor
    terms: dict[str, Tensor]
    statistics: dict[str, Tensor]


class Coder(nn.Module, ABC):
    """From x to grids of indices, the coarsest first, and from these to what a likelihood takes.

    Args:
        quantizers: one of each grid, all of K codes.
        grids: their shapes (depth, *grid), of tokens without depth (tokens,).
    """

    def __init__(self, quantizers: Sequence[Quantizer], grids: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(quantizers)
        self.grids, self.codes = tuple(grids), quantizers[0].codes

    @property
    def quantizers(self) -> list[Quantizer]:
        return [part for part in self.parts if isinstance(part, Quantizer)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many indices each grid has."""
        return tuple(math.prod(grid) for grid in self.grids)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors of x are quantized for each grid."""
        pairs = zip(self.sizes, self.quantizers, strict=True)
        return tuple(size // quantizer.depth for size, quantizer in pairs)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """That of the only grid of an image, or of one vector of all indices."""
        first = self.grids[0]
        return first if len(self.grids) == 1 and len(first) == 3 else (sum(self.sizes),)

    @abstractmethod
    def quantized(self, x: Tensor) -> list[Quantized]:
        """What each quantizer makes of x in network units."""

    @abstractmethod
    def before(self, index: int, x: Tensor) -> Tensor:
        """The vectors that a quantizer is given for x, (B, D, *grid)."""

    @abstractmethod
    def decode(self, vectors: Sequence[Tensor]) -> Tensor:
        """What the likelihood takes, from the vectors of every grid."""

    def forward(self, x: Tensor) -> Coded:
        found = self.quantized(x)
        terms: dict[str, Tensor] = {}
        statistics: dict[str, Tensor] = {}
        for index, part in enumerate(found):
            for name, term in part.terms.items():
                terms[name] = terms[name] + term if name in terms else term
            prefix = f"quantizer_{index}_"
            statistics |= {prefix + name: value for name, value in part.statistics.items()}
        code = self.joined([part.indices for part in found])
        return Coded(tuple(part.vectors for part in found), code, terms, statistics)

    def lookup(self, code: Tensor) -> tuple[Tensor, ...]:
        """The vectors of indices (B, *code_shape), bit for bit those of ``forward``."""
        pairs = zip(self.quantizers, self.split(code), strict=True)
        return tuple(quantizer.lookup(indices) for quantizer, indices in pairs)

    def split(self, code: Tensor) -> list[Tensor]:
        """The indices of each grid, (B, depth, *grid)."""
        parts = code.flatten(1).split(self.sizes, 1)
        return [part.view(-1, *grid) for part, grid in zip(parts, self.grids, strict=True)]

    def joined(self, indices: Sequence[Tensor]) -> Tensor:
        return torch.cat([part.flatten(1) for part in indices], 1).view(-1, *self.code_shape)

    @torch.no_grad()
    def after_step(self, statistics: dict[str, Tensor]) -> None:
        for index, quantizer in enumerate(self.quantizers):
            prefix = f"quantizer_{index}_"
            own = {n.removeprefix(prefix): v for n, v in statistics.items() if n.startswith(prefix)}
            if own:
                quantizer.after_step(own)


class OneGrid(Coder):
    """x → encoder → quantizer → decoder.

    Args:
        encoder: from x to vectors (B, D, *grid).
        quantizer: of them.
        decoder: from the codes to what the likelihood takes.
        grid: (H', W'), or (tokens,) of vectors x.

    Shape: x (B, *shape) → code (B, depth, H', W'); of tokens (B, depth · tokens).

    >>> from reparam.nets.quantize import FiniteScalarQuantizer
    >>> encoder = nn.Sequential(nn.Linear(6, 4), nn.Unflatten(1, (2, 2)))
    >>> coder = OneGrid(encoder, FiniteScalarQuantizer((3, 2)), nn.Flatten(), (2,))
    >>> coder(torch.zeros(1, 6)).code
    tensor([[4, 4]])
    """

    def __init__(
        self, encoder: nn.Module, quantizer: Quantizer, decoder: nn.Module, grid: Sequence[int]
    ) -> None:
        flat = quantizer.depth == len(grid) == 1
        shape = tuple(grid) if flat else (quantizer.depth, *grid)
        super().__init__([quantizer], [shape])
        self.encoder, self.decoder, self.grid = encoder, decoder, tuple(grid)

    def quantized(self, x: Tensor) -> list[Quantized]:
        return [self.quantizers[0](self.encoder(x))]

    def before(self, index: int, x: Tensor) -> Tensor:
        vectors: Tensor = self.encoder(x)
        return vectors

    def lookup(self, code: Tensor) -> tuple[Tensor, ...]:
        quantizer = self.quantizers[0]
        return (quantizer.lookup(code.view(code.shape[0], quantizer.depth, *self.grid)),)

    def decode(self, vectors: Sequence[Tensor]) -> Tensor:
        decoded: Tensor = self.decoder(vectors[0])
        return decoded


class TwoGrids(Coder):
    """A coarse grid for what is global and one of twice its side for the rest, which it sees.

    h = E(x); the top is quantized from E'(h), the bottom from h beside D'(top), and the decoder
    sees the bottom beside the enlarged top.

    Args:
        shape: of x, (C, H, W).
        outputs: numbers of the likelihood for each channel of a pixel.
        top: quantizer of the coarse grid.
        bottom: quantizer of the fine one.
        channels: of the networks.
        blocks: residual blocks of each.
        times: halvings from x to the bottom.

    Shape: x (B, C, H, W) → code (B, N_top + N_bottom), the top first.

    Reference: Razavi et al. 2019, "Generating diverse high-fidelity images with VQ-VAE-2",
    section 3.1 and algorithm 1.
    https://arxiv.org/abs/1906.00446

    >>> from reparam.nets.quantize import VectorQuantizer
    >>> top, bottom = VectorQuantizer(4, 3), VectorQuantizer(4, 3)
    >>> TwoGrids((1, 16, 17), 1, top, bottom, 8, 1, 1)(torch.zeros(2, 1, 16, 17)).code.shape
    torch.Size([2, 92])
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        top: Quantizer,
        bottom: Quantizer,
        channels: int,
        blocks: int,
        times: int,
    ) -> None:
        depth, *sides = shape
        fine = tuple(halved(side, times) for side in sides)
        coarse = tuple(halved(side, 1) for side in fine)
        super().__init__([top, bottom], [(top.depth, *coarse), (bottom.depth, *fine)])
        self.encoder = GridEncoder(depth, channels, channels, blocks, times)
        self.coarser = GridEncoder(channels, top.width, channels, blocks, 1)
        self.finer = GridDecoder(top.width, channels, fine, channels, blocks, 1)
        self.beside = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            residual_blocks(channels, 1),
            nn.Conv2d(channels, bottom.width, 1),
        )
        both = top.width + bottom.width
        self.decoder = GridDecoder(both, outputs * depth, sides, channels, blocks, times)
        self.fine = fine

    def quantized(self, x: Tensor) -> list[Quantized]:
        h = self.encoder(x)
        top = self.parts[0](self.coarser(h))
        return [top, self.parts[1](self._beside(h, top.vectors))]

    def before(self, index: int, x: Tensor) -> Tensor:
        h = self.encoder(x)
        vectors: Tensor = self.coarser(h)
        return vectors if index == 0 else self._beside(h, self.parts[0](vectors).vectors)

    def _beside(self, h: Tensor, top: Tensor) -> Tensor:
        vectors: Tensor = self.beside(torch.cat([h, self.finer(top)], 1))
        return vectors

    def decode(self, vectors: Sequence[Tensor]) -> Tensor:
        top, bottom = vectors
        height, width = self.fine
        enlarged = F.interpolate(top, scale_factor=2.0, mode="nearest")[..., :height, :width]
        decoded: Tensor = self.decoder(torch.cat([bottom, enlarged], 1))
        return decoded
