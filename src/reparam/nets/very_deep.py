"""Convolutions of the very deep VAE, whose many layers of z lie on grids from small to large."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.nets.conv import halvings
from reparam.nets.hierarchy import Evidence, Normal, Path

Grid = tuple[int, int]


def latent_grids(height: int, width: int) -> list[Grid]:
    """Where z lies, coarsest first: every halving but the full size, which adds noise only.

    >>> latent_grids(28, 28)
    [(4, 4), (7, 7), (14, 14)]
    """
    grids = halvings(height, width)
    return grids[:0:-1] or grids


class ResidualConv(nn.Module):
    """h + a small convolutional network of h, with half as many channels inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.network = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, inner, 1),
            nn.SiLU(),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, h: Tensor) -> Tensor:
        return h + self.network(h)


class DeepEncoder(nn.Module):
    """Residual blocks on ever smaller grids, the features of each flattened, coarsest first.

    Args:
        shape: (C, H, W).
        channels: of the features.
        blocks: on each grid.

    Shape: (B, C, H, W) → (B, Σ channels · H_g · W_g).

    >>> DeepEncoder((1, 12, 8), 4)(torch.zeros(2, 1, 12, 8)).shape[1] == 4 * 6 * 4
    True
    """

    def __init__(self, shape: Sequence[int], channels: int, blocks: int = 1) -> None:
        super().__init__()
        grids = latent_grids(shape[1], shape[2])
        self.features = sum(channels * h * w for h, w in grids)
        self.halve = tuple(shape[1:]) != grids[-1]
        self.first = nn.Conv2d(shape[0], channels, 3, 2 if self.halve else 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in grids[1:])
        self.blocks = nn.ModuleList(
            nn.Sequential(*(ResidualConv(channels) for _ in range(blocks))) for _ in grids
        )

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.blocks[0](self.first(x))
        found = [h]
        for down, block in zip(self.down, self.blocks[1:], strict=True):
            h = block(down(h))
            found.append(h)
        return torch.cat([h.flatten(1) for h in found[::-1]], 1)


class DeepTopDown(Path):
    """A generative path over grids: h gathers what is drawn, and says what comes next.

    p(z_l|z_<l) = N(μ(h), σ(h)²); then h ← residual(h + projection(z_l)), enlarged by nearest
    neighbors where the next layer lies on a larger grid. h starts learned.

    Args:
        shape: (C, H, W) of x.
        channels: of h.
        latent_channels: of z on every grid.
        blocks: layers of z on every grid.

    Reference: Child 2021, "Very deep VAEs generalize autoregressive models", section 3
    (https://arxiv.org/abs/2011.10650).
    """

    def __init__(
        self, shape: Sequence[int], channels: int, latent_channels: int, blocks: int
    ) -> None:
        super().__init__()
        grids, self.latent_channels = latent_grids(shape[1], shape[2]), latent_channels
        self.first = nn.Parameter(0.1 * torch.randn(1, channels, *grids[0]))
        self.heads, self.projections, self.residuals = (nn.ModuleList() for _ in range(3))
        for _ in range(blocks * len(grids)):
            self.heads.append(nn.Conv2d(channels, 2 * latent_channels, 1))
            self.projections.append(nn.Conv2d(latent_channels, channels, 1))
            self.residuals.append(ResidualConv(channels))
        self.grids = [grid for grid in grids for _ in range(blocks)]
        self.sizes = tuple(latent_channels * h * w for h, w in self.grids)

    def first_state(self, given: Tensor) -> Tensor:
        return self.first.expand(given.shape[0], -1, -1, -1)

    def layer(self, index: int, state: Tensor) -> Normal:
        return numerics.mean_and_log_scale(self.heads[index](state).to(state))

    def next_state(self, index: int, state: Tensor, z: Tensor) -> Tensor:
        h = state + self.projections[index](z.view(-1, self.latent_channels, *self.grids[index]))
        h = self.residuals[index](h)
        following = self.grids[index + 1] if index + 1 < len(self.grids) else self.grids[index]
        return h if following == self.grids[index] else F.interpolate(h, size=following)


class DeepEvidence(Evidence):
    """What an encoder says of each layer, given its features and h: a change of the prior's normal.

    Args:
        path: the generative path.
        channels: of h and of the features.

    Reference: Vahdat & Kautz 2020, "NVAE", section 3.2 (https://arxiv.org/abs/2007.03898).
    """

    def __init__(self, path: DeepTopDown, channels: int) -> None:
        super().__init__()
        self.channels, self.grids = channels, path.grids
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * channels, channels, 1),
                nn.SiLU(),
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(channels, 2 * path.latent_channels, 1),
            )
            for _ in path.grids
        )

    def by_layer(self, outputs: Tensor) -> list[Tensor]:
        """The feature map of every layer, (B, channels, H, W)."""
        grids = list(dict.fromkeys(self.grids))
        parts = outputs.split([self.channels * math.prod(grid) for grid in grids], 1)
        maps = {g: p.view(-1, self.channels, *g) for p, g in zip(parts, grids, strict=True)}
        return [maps[grid] for grid in self.grids]

    def forward(self, index: int, of_layer: Tensor, state: Tensor) -> Normal:
        return numerics.mean_and_log_scale(
            self.heads[index](torch.cat([state, of_layer], 1)).to(state)
        )


class DeepDecoder(nn.Module):
    """All layers of z → h → parameters of p(x|z); owner of the generative path.

    Args:
        path: the generative path.
        channels: of h.
        outputs: (P, C, H, W).

    Shape: (B, Σ sizes) → (B, P, C, H, W).
    """

    def __init__(self, path: DeepTopDown, channels: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.path, self.outputs = path, tuple(outputs)
        self.last = nn.Sequential(
            ResidualConv(channels),
            nn.SiLU(),
            nn.Conv2d(channels, math.prod(outputs[:-2]), 3, padding=1),
        )

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.path.first_state(z)
        for index, part in enumerate(z.split(self.path.sizes, 1)):
            h = self.path.next_state(index, h, part)
        if tuple(h.shape[2:]) != self.outputs[-2:]:
            h = F.interpolate(h, size=self.outputs[-2:])
        return self.last(h).view(-1, *self.outputs)
