"""What presets of flows are composed of: couplings with their networks, and scales of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.bijections.actnorm import ActNorm
from reparam.bijections.base import Bijection, Chain, Shape
from reparam.bijections.coupling import Coupling, alternating, checkerboard, coupled_shapes
from reparam.bijections.coupling import channels as by_channels
from reparam.bijections.dequantization import beside
from reparam.bijections.mixing import Invertible1x1
from reparam.bijections.shape import Flatten, Squeeze
from reparam.bijections.transforms import Affine, Transform
from reparam.model import Space
from reparam.nets.coupling import CouplingMLP
from reparam.nets.coupling_conv import CouplingConv

NOISE_CHANNELS, NOISE_HIDDEN = 16, (32,)  # of the small flow that dequantizes


def flat(space: Space) -> list[Bijection]:
    """What makes vectors of images, before layers of vectors."""
    return [Flatten(space.shape)] if space.is_image else []


def noise_flow(space: Space, context: int) -> Chain:
    """Two couplings of the noise of dequantization, which see what is dequantized, too."""
    if space.is_image:
        halves = [checkerboard(space.shape, odd) for odd in (False, True)]
        width = NOISE_CHANNELS
        parts = [image_coupling(Affine(), beside(half), width, context) for half in halves]
    elif space.dimension == 1:
        parts = [coupling(Affine(), beside(torch.tensor([False])), NOISE_HIDDEN, context)]
    else:
        halves = [alternating(space.dimension, odd) for odd in (False, True)]
        parts = [coupling(Affine(), beside(half), NOISE_HIDDEN, context) for half in halves]
    return Chain(*parts, context="shared")


def coupling(
    transform: Transform, split: Tensor, hidden: tuple[int, ...], context: int
) -> Coupling:
    """One of vectors."""
    if len(split) == 1:
        raise ValueError(
            "space: expected two entries or more, as couplings keep some and move others, got one; "
            "use spline-1d, of a vector"
        )
    (kept,), (moved,) = coupled_shapes(split)
    network = CouplingMLP(kept, transform.parameters * moved, hidden, context)
    return Coupling(transform, network, split)


def image_coupling(transform: Transform, split: Tensor, width: int, context: int) -> Coupling:
    """One of images."""
    seen, moved = coupled_shapes(split)
    network = CouplingConv(seen, transform.parameters * moved[0], width, context)
    return Coupling(transform, network, split)


@dataclass(frozen=True)
class Scales:
    """How images become vectors, scale by scale: ActNorm, mixing and couplings, glow's steps."""

    transform: Transform
    layers: int
    width: int
    context: int

    def steps(self, shape: Shape, scale: int) -> Bijection:
        squeeze = Squeeze(shape)
        shape = squeeze.gives
        members: list[Bijection] = [squeeze]
        for index in range(self.layers):
            # The halves take turns, as a matrix starts as the identity.
            split = by_channels(shape, index % 2 == 1)
            members += [ActNorm(shape), Invertible1x1(shape), self._coupling(split)]
        return Chain(*members, context="shared")

    def checkered(self, shape: Shape, scale: int) -> Bijection:
        """RealNVP's block: couplings over the checkerboard, then over channels."""
        squeeze = Squeeze(shape)
        members: list[Bijection] = []
        for index in range(self.layers):
            members += self._normed(shape, checkerboard(shape, index % 2 == 1))
        members.append(squeeze)
        for index in range(self.layers):
            members += self._normed(squeeze.gives, by_channels(squeeze.gives, index % 2 == 1))
        return Chain(*members, context="shared")

    def prior(self, shape: Shape, scale: int) -> Bijection:
        """Of what is done at a scale, given what goes on to the next."""
        return image_coupling(Affine(), by_channels(shape), self.width, self.context)

    def _normed(self, shape: Shape, split: Tensor) -> list[Bijection]:
        return [ActNorm(shape), self._coupling(split)]

    def _coupling(self, split: Tensor) -> Coupling:
        return image_coupling(self.transform, split, self.width, self.context)
