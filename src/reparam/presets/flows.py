"""Normalizing flows: their options, and presets that are nothing but compositions of bijections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor

from reparam.bijections.actnorm import ActNorm
from reparam.bijections.autoregressive import AutoregressiveTransform
from reparam.bijections.base import Bijection, Chain, Inverse, Shape
from reparam.bijections.coupling import (
    Coupling,
    alternating,
    checkerboard,
    coupled_shapes,
)
from reparam.bijections.coupling import (
    channels as by_channels,
)
from reparam.bijections.dequantization import Dequantization, Uniform, Variational, beside
from reparam.bijections.logit import Logit
from reparam.bijections.mixing import Invertible1x1, LULinear
from reparam.bijections.multiscale import MultiScale
from reparam.bijections.own import Elementwise, Own
from reparam.bijections.planar import Planar, Radial
from reparam.bijections.shape import Flatten, Reverse, Squeeze
from reparam.bijections.transforms import Additive, Affine, Spline, Transform
from reparam.config import TrainConfig
from reparam.distributions.priors import ClassConditional, MixturePrior, Prior, StandardNormal
from reparam.limits import Count, Limited, Positive
from reparam.model import Space
from reparam.models.flow import Flow
from reparam.nets.coupling import CouplingMLP
from reparam.nets.coupling_conv import CouplingConv
from reparam.nets.masked import MADE
from reparam.presets.registry import PURE, Accepts, preset
from reparam.space import ColumnKind

FAMILY = "Normalizing flows"
COLUMNS: tuple[ColumnKind, ...] = ("real", "log", "levels", "binary")  # names have no order
VECTORS, BOTH = Accepts(images=False, columns=COLUMNS), Accepts(columns=COLUMNS)
SQUEEZED, LINES = replace(BOTH, even=True), replace(VECTORS, one=True)
IMAGES = Accepts(PURE, vectors=False, even=True)
NOISE_CHANNELS, NOISE_HIDDEN = 16, (32,)  # of the small flow that dequantizes


def steps(space: Space) -> TrainConfig:
    """Of points of the plane the best of a few (benchmarks/README.md); of images not searched."""
    return TrainConfig(lr=1e-3 if space.is_image else 3e-3, schedule="cosine")


Layers = Callable[[int], Sequence[Bijection]]  # of the numbers of the context
Hidden = tuple[Count, ...]


@dataclass(frozen=True)
class FlowOptions(Limited):
    """What all flows have.

    Args:
        base: of the noise: standard normal, a learned mixture of normals, or a learned normal for
            every class.
        components: of the mixture.
        dequantize: of binary and levels data, uniform noise or a learned one.
        alpha: of these data, α of the logit that they are mapped by; none: 0.05 of images, 1e-6 of
            vectors.
        conditional: on the class label, or on the attributes where there are any.
    """

    base: Literal["normal", "mixture", "class"] = "normal"
    components: Count = 10
    dequantize: Literal["uniform", "variational"] = "uniform"
    alpha: Annotated[float, Meta(ge=0, lt=0.5)] | None = None
    conditional: bool = False

    def build(self, space: Space, layers: Layers) -> Flow:
        """Logits and their scale, where data are no reals, then the layers."""
        context = (space.attributes or space.classes or 0) if self.conditional else 0
        before: list[Bijection] = []
        if space.level_count is not None:
            alpha = self.alpha or (0.05 if space.is_image else 1e-6)
            before.append(Logit(alpha))
        if space.kind != "real":
            before.append(ActNorm(space.shape))
        bijection = Chain(*before, *layers(context), context="shared")
        return Flow(
            space, bijection, self._base(space), self._noise(space, context), self.conditional
        )

    def _base(self, space: Space) -> Prior:
        if self.base == "mixture":
            return MixturePrior(space.dimension, self.components)
        if self.base == "normal":
            return StandardNormal(space.dimension)
        if not self.conditional or space.classes is None or space.attributes is not None:
            raise ValueError("base: class needs conditional=true and data with class labels")
        return ClassConditional(space.dimension, space.classes)

    def _noise(self, space: Space, context: int) -> Dequantization | None:
        if space.reals.all():
            return None
        if self.dequantize == "uniform":
            return Uniform(space)
        return Variational(space, _noise_flow(space, context))


def _flat(space: Space) -> list[Bijection]:
    return [Flatten(space.shape)] if space.is_image else []


def _noise_flow(space: Space, context: int) -> Chain:
    """Two couplings of the noise of dequantization, which see what is dequantized, too."""
    if space.is_image:
        halves = [checkerboard(space.shape, odd) for odd in (False, True)]
        width = NOISE_CHANNELS
        parts = [_image_coupling(Affine(), beside(half), width, context) for half in halves]
    elif space.dimension == 1:
        parts = [_coupling(Affine(), beside(torch.tensor([False])), NOISE_HIDDEN, context)]
    else:
        halves = [alternating(space.dimension, odd) for odd in (False, True)]
        parts = [_coupling(Affine(), beside(half), NOISE_HIDDEN, context) for half in halves]
    return Chain(*parts, context="shared")


def _coupling(transform: Transform, split: Tensor, hidden: Hidden, context: int) -> Coupling:
    """One of vectors."""
    if len(split) == 1:
        raise ValueError("couplings: expected two entries or more, got one; use spline-1d")
    (kept,), (moved,) = coupled_shapes(split)
    network = CouplingMLP(kept, transform.parameters * moved, hidden, context)
    return Coupling(transform, network, split)


def _image_coupling(transform: Transform, split: Tensor, width: int, context: int) -> Coupling:
    seen, moved = coupled_shapes(split)
    network = CouplingConv(seen, transform.parameters * moved[0], width, context)
    return Coupling(transform, network, split)


@dataclass(frozen=True)
class _Images:
    """How images become vectors, scale by scale: ActNorm, mixing and couplings, glow's steps."""

    transform: Transform
    layers: int
    width: int
    context: int

    def steps(self, shape: Shape, scale: int) -> Bijection:
        squeeze = Squeeze(shape)
        shape = squeeze.gives
        members: list[Bijection] = [squeeze]
        for _ in range(self.layers):
            coupling = _image_coupling(self.transform, by_channels(shape), self.width, self.context)
            members += [ActNorm(shape), Invertible1x1(shape), coupling]
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

    def _normed(self, shape: Shape, split: Tensor) -> list[Bijection]:
        return [ActNorm(shape), _image_coupling(self.transform, split, self.width, self.context)]


@preset(
    "planar-flow",
    paper="Rezende & Mohamed 2015, Variational inference with normalizing flows",
    train=steps,
    exact=("real",),
    small={"layers": 2},
    when="To see what a flow does, one bend at a time.",
)
def planar_flow(
    space: Annotated[Space, VECTORS],
    options: FlowOptions,
    *,
    layers: Count = 16,
    closed_form: Literal["density", "samples"] = "density",
) -> Flow:
    """Planar layers, each bending space along one direction.

    Args:
        layers: how many.
        closed_form: the direction that is; the other one is found by bisection.
    """
    return options.build(space, lambda context: _own(Planar, space, layers, closed_form, context))


@preset(
    "radial-flow",
    paper="Rezende & Mohamed 2015, Variational inference with normalizing flows",
    train=steps,
    exact=("real",),
    small={"layers": 2},
    when="To see what a flow does, one center at a time.",
)
def radial_flow(
    space: Annotated[Space, VECTORS],
    options: FlowOptions,
    *,
    layers: Count = 16,
    closed_form: Literal["density", "samples"] = "density",
) -> Flow:
    """Radial layers, each pulling or pushing around one center.

    Args:
        layers: how many.
        closed_form: the direction that is; the other one is found by bisection.
    """
    return options.build(space, lambda context: _own(Radial, space, layers, closed_form, context))


def _own(
    kind: type[Planar] | type[Radial], space: Space, layers: int, closed_form: str, context: int
) -> list[Bijection]:
    members = [Own(kind(space.dimension), context) for _ in range(layers)]
    return [Inverse(member) for member in members] if closed_form == "density" else [*members]


@preset(
    "nice",
    paper="Dinh et al. 2014, NICE: Non-linear independent components estimation",
    train=steps,
    exact=("real",),
    small={"layers": 2},
    when="The first flow of images, kept for comparison.",
)
def nice(
    space: Annotated[Space, BOTH],
    options: FlowOptions,
    *,
    layers: Count = 4,
    hidden: Hidden = (256, 256),
) -> Flow:
    """Additive couplings, which keep volumes, and a learned scale of every entry at the end.

    Args:
        layers: how many couplings.
        hidden: widths of their networks.
    """
    size = space.dimension

    def members(context: int) -> list[Bijection]:
        splits = [alternating(size, i % 2 == 1) for i in range(layers)]
        couplings = [_coupling(Additive(), split, hidden, context) for split in splits]
        return [*_flat(space), *couplings, Elementwise(Affine(), (size,))]

    return options.build(space, members)


@preset(
    "real-nvp",
    paper="Dinh et al. 2017, Density estimation using Real NVP",
    train=steps,
    exact=("real",),
    small={"layers": 1, "blocks": 1, "channels": 4},
    when="The plain flow of tables and images, fast in both directions.",
)
def real_nvp(
    space: Annotated[Space, SQUEEZED],
    options: FlowOptions,
    *,
    layers: Count = 8,
    hidden: Hidden = (128, 128),
    scales: Count | None = None,
    blocks: Count = 4,
    channels: Count = 64,
) -> Flow:
    """Affine couplings; of images over checkerboards and channels, at several scales.

    Args:
        layers: how many couplings of vectors.
        hidden: widths of their networks.
        scales: of images; none: as many as their sides allow.
        blocks: couplings of images of each kind at every scale.
        channels: of their convolutions.
    """

    def members(context: int) -> list[Bijection]:
        if space.is_image:
            block = _Images(Affine(), blocks, channels, context).checkered
            return [MultiScale(space.shape, scales, block)]
        splits = [alternating(space.dimension, i % 2 == 1) for i in range(layers)]
        return [_coupling(Affine(), split, hidden, context) for split in splits]

    return options.build(space, members)


@preset(
    "glow",
    paper="Kingma & Dhariwal 2018, Glow: Generative flow with invertible 1×1 convolutions",
    train=steps,
    exact=("real",),
    small={"layers": 1, "channels": 4},
    when="For images whose likelihood and codes both matter, and fast samples.",
)
def glow(
    space: Annotated[Space, IMAGES],
    options: FlowOptions,
    *,
    scales: Count | None = None,
    layers: Count = 8,
    channels: Count = 128,
) -> Flow:
    """Steps of ActNorm, an invertible 1×1 convolution and an affine coupling, at several scales.

    Args:
        scales: none: as many as the sides allow.
        layers: steps at every scale.
        channels: of the convolutions.
    """

    def members(context: int) -> list[Bijection]:
        block = _Images(Affine(), layers, channels, context).steps
        return [MultiScale(space.shape, scales, block)]

    return options.build(space, members)


@preset(
    "maf",
    paper="Papamakarios et al. 2017, Masked autoregressive flow for density estimation",
    train=steps,
    exact=("real",),
    small={"layers": 2},
    when="For log p(x) of tables in one pass; samples take a step for every entry.",
)
def maf(
    space: Annotated[Space, VECTORS],
    options: FlowOptions,
    *,
    layers: Count = 5,
    hidden: Hidden = (128, 128),
) -> Flow:
    """Affine autoregressive layers whose density takes one pass, in alternating orders.

    Args:
        layers: how many.
        hidden: widths of their masked networks.
    """
    return options.build(space, lambda context: _masked(space, layers, hidden, context))


@preset(
    "iaf",
    paper="Kingma et al. 2016, Improved variational inference with inverse autoregressive flow",
    train=steps,
    exact=("real",),
    small={"layers": 2},
    when="For samples of tables in one pass; log p(x) takes a step for every entry.",
)
def iaf(
    space: Annotated[Space, VECTORS],
    options: FlowOptions,
    *,
    layers: Count = 5,
    hidden: Hidden = (128, 128),
) -> Flow:
    """``maf`` turned round: samples take one pass.

    Args:
        layers: how many.
        hidden: widths of their masked networks.
    """

    def members(context: int) -> list[Bijection]:
        return [Inverse(b) for b in _masked(space, layers, hidden, context)]

    return options.build(space, members)


def _masked(space: Space, layers: int, hidden: Hidden, context: int) -> list[Bijection]:
    affine = Affine()
    members: list[Bijection] = []
    for index in range(layers):
        members += [Reverse()] if index else []
        network = MADE((space.dimension,), affine.parameters, hidden, context=context, gain=0.0)
        members.append(AutoregressiveTransform(affine, network))
    return members


@preset(
    "spline-coupling",
    paper="Durkan et al. 2019, Neural spline flows",
    train=steps,
    exact=("real",),
    small={"layers": 1, "bins": 3, "channels": 4},
    when="The strongest flow that is fast in both directions.",
)
def spline_coupling(
    space: Annotated[Space, SQUEEZED],
    options: FlowOptions,
    *,
    layers: Count = 6,
    bins: Count = 8,
    bound: Positive = 5.0,
    hidden: Hidden = (128, 128),
    scales: Count | None = None,
    channels: Count = 64,
) -> Flow:
    """Couplings by monotone rational-quadratic splines, between linear maps that mix all entries.

    Args:
        layers: couplings; of images at every scale.
        bins: of each spline.
        bound: beyond it splines are the identity, in training deviations.
        hidden: widths of the networks of vectors.
        scales: of images; none: as many as their sides allow.
        channels: of the convolutions of images.
    """
    spline, size = Spline(bins, bound), space.dimension

    def members(context: int) -> list[Bijection]:
        if space.is_image:
            block = _Images(spline, layers, channels, context).steps
            return [MultiScale(space.shape, scales, block)]
        found: list[Bijection] = []
        for index in range(layers):
            coupling = _coupling(spline, alternating(size, index % 2 == 1), hidden, context)
            found += [LULinear(size), coupling]
        return found

    return options.build(space, members)


@preset(
    "spline-autoregressive",
    paper="Durkan et al. 2019, Neural spline flows",
    train=steps,
    exact=("real",),
    small={"layers": 1, "bins": 3},
    when="The best log p(x) of small tables; samples take a step for every entry.",
)
def spline_autoregressive(
    space: Annotated[Space, VECTORS],
    options: FlowOptions,
    *,
    layers: Count = 3,
    bins: Count = 16,
    bound: Positive = 5.0,
    hidden: Hidden = (64, 64),
) -> Flow:
    """Autoregressive splines, between linear maps that mix all entries.

    Args:
        layers: how many.
        bins: of each spline.
        bound: beyond it splines are the identity, in training deviations.
        hidden: widths of the masked networks.
    """
    spline, size = Spline(bins, bound), space.dimension

    def members(context: int) -> list[Bijection]:
        found: list[Bijection] = []
        for _ in range(layers):
            network = MADE((size,), spline.parameters, hidden, context=context, gain=0.0)
            found += [LULinear(size), AutoregressiveTransform(spline, network)]
        return found

    return options.build(space, members)


@preset(
    "spline-1d",
    paper="Durkan et al. 2019, Neural spline flows",
    train=steps,
    exact=("real",),
    small={"bins": 4},
    when="The density of a single column.",
)
def spline_1d(
    space: Annotated[Space, LINES],
    options: FlowOptions,
    *,
    bins: Count = 32,
    bound: Positive = 5.0,
) -> Flow:
    """One monotone spline: the change of variables itself.

    Args:
        bins: of the spline.
        bound: beyond it the spline is the identity, in training deviations.
    """
    return options.build(space, lambda context: [Elementwise(Spline(bins, bound), (1,))])
