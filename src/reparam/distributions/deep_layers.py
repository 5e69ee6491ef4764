"""Many convolutional layers of z from a small grid to a large one: the very deep VAE's parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.distributions.factorized import NormalDensity
from reparam.distributions.layers import PosteriorWalk, Walk
from reparam.distributions.posteriors import LOG_SCALE_BOUNDS
from reparam.nets.conv import halvings

Grid = tuple[int, int]


def latent_grids(height: int, width: int) -> list[Grid]:
    """Where z lies, coarsest first: every halving but the full size, which adds noise only.

    >>> latent_grids(28, 28)
    [(4, 4), (7, 7), (14, 14)]
    """
    grids = halvings(height, width)
    return grids[:0:-1] or grids


class Residual(nn.Module):
    """h + a small convolutional network of h."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
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
            nn.Sequential(*(Residual(channels, max(1, channels // 2)) for _ in range(blocks)))
            for _ in grids
        )

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.blocks[0](self.first(x))
        found = [h]
        for down, block in zip(self.down, self.blocks[1:], strict=True):
            h = block(down(h))
            found.append(h)
        return torch.cat([h.flatten(1) for h in found[::-1]], 1)


class DeepDescent(Walk):
    """A generative path over grids: h gathers what is drawn, and says what comes next.

    p(z_l|z_<l) = N(μ(h), σ(h)²); then h ← residual(h + projection(z_l)), enlarged by nearest
    neighbors where the next layer lies on a larger grid. h starts learned.

    Args:
        shape: (C, H, W) of x.
        channels: of h.
        latent_channels: of z on every grid.
        blocks: layers of z on every grid.

    Reference: Child 2021, "Very deep VAEs generalize autoregressive models", section 3.
    """

    def __init__(
        self, shape: Sequence[int], channels: int, latent_channels: int, blocks: int
    ) -> None:
        super().__init__()
        self.grids = [g for g in latent_grids(shape[1], shape[2]) for _ in range(blocks)]
        self.latent_channels = latent_channels
        self.sizes = tuple(latent_channels * h * w for h, w in self.grids)
        self.first = nn.Parameter(0.1 * torch.randn(1, channels, *self.grids[0]))
        self.heads, self.projections, self.residuals = (nn.ModuleList() for _ in range(3))
        for _ in self.grids:
            self.heads.append(nn.Conv2d(channels, 2 * latent_channels, 1))
            self.projections.append(nn.Conv2d(latent_channels, channels, 1))
            self.residuals.append(Residual(channels, max(1, channels // 2)))

    def start(self, given: Tensor) -> Tensor:
        return self.first.expand(len(given), -1, -1, -1)

    def layer(self, index: int, state: Tensor) -> NormalDensity:
        return flat_normal(self.heads[index](state).to(state))

    def advance(self, index: int, state: Tensor, z: Tensor) -> Tensor:
        h = state + self.projections[index](
            z.view(len(z), self.latent_channels, *self.grids[index])
        )
        h = self.residuals[index](h)
        following = self.grids[index + 1] if index + 1 < len(self.grids) else self.grids[index]
        return h if following == self.grids[index] else F.interpolate(h, size=following)


def flat_normal(parameters: Tensor) -> NormalDensity:
    """Means and log-scales by channel, (B, 2C, H, W), as a normal of (B, C·H·W)."""
    mean, log_scale = parameters.chunk(2, 1)
    log_scale = numerics.bound_softly(log_scale, *LOG_SCALE_BOUNDS)
    return NormalDensity(mean.flatten(1), log_scale.flatten(1))


class DeepPosterior(PosteriorWalk):
    """Down the generative path with the encoder's features of each grid: q relative to p.

    μ = μ_p + δμ, σ = σ_p δσ with δμ, δσ from (h, features), so that the KL of a layer is
    ½ (δμ²/σ_p² + δσ² − ln δσ² − 1), zero exactly where nothing is said.

    Args:
        path: the generative walk, which belongs to the decoder.
        channels: of h and of the features.

    Reference: Vahdat & Kautz 2020 (NVAE), eq. 2.
    """

    def __init__(self, path: DeepDescent, channels: int) -> None:
        super().__init__()
        self.paths, self.sizes = (path,), path.sizes
        self.channels = channels
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

    def start(self, given: Tensor) -> tuple[Tensor, dict[Grid, Tensor]]:
        grids = list(dict.fromkeys(self.paths[0].grids))
        parts = given.split([self.channels * math.prod(grid) for grid in grids], 1)
        views = (p.view(len(given), self.channels, *g) for p, g in zip(parts, grids, strict=True))
        return self.paths[0].start(given), dict(zip(grids, views, strict=True))

    def pair(
        self, index: int, state: tuple[Tensor, dict[Grid, Tensor]]
    ) -> tuple[NormalDensity, NormalDensity]:
        h, features = state
        both = torch.cat([h, features[self.paths[0].grids[index]]], 1)
        change, prior = flat_normal(self.heads[index](both).to(h)), self.paths[0].layer(index, h)
        return relative(change, prior), prior

    def advance(
        self, index: int, state: tuple[Tensor, dict[Grid, Tensor]], z: Tensor
    ) -> tuple[Tensor, dict[Grid, Tensor]]:
        return self.paths[0].advance(index, state[0], z), state[1]


def relative(change: NormalDensity, prior: NormalDensity) -> NormalDensity:
    """N(μ_p + δμ, (σ_p δσ)²), ``change`` holding δμ and log δσ."""
    return NormalDensity(prior.mean + change.mean, prior.log_scale + change.log_scale)


class DeepDecoder(nn.Module):
    """All layers of z → h → parameters of p(x|z); owner of the generative path.

    Args:
        path: the generative walk.
        channels: of h.
        outputs: (P, C, H, W).

    Shape: (B, Σ sizes) → (B, P, C, H, W).
    """

    def __init__(self, path: DeepDescent, channels: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.path, self.outputs = path, tuple(outputs)
        self.last = nn.Sequential(
            Residual(channels, max(1, channels // 2)),
            nn.SiLU(),
            nn.Conv2d(channels, math.prod(outputs[:-2]), 3, padding=1),
        )

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.path.start(z)
        for index, part in enumerate(z.split(self.path.sizes, 1)):
            h = self.path.advance(index, h, part)
        if tuple(h.shape[2:]) != self.outputs[-2:]:
            h = F.interpolate(h, size=self.outputs[-2:])
        return self.last(h).view(-1, *self.outputs)
