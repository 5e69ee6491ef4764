"""Normalizing flows: their options, and presets that are nothing but compositions of bijections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from reparam.bijections.actnorm import ActNorm
from reparam.bijections.autoregressive import AutoregressiveTransform
from reparam.bijections.base import Bijection, Chain, Inverse
from reparam.bijections.coupling import alternating
from reparam.bijections.dequantization import Dequantization, Uniform, Variational
from reparam.bijections.logit import Logit
from reparam.bijections.mixing import LULinear
from reparam.bijections.multiscale import MultiScale
from reparam.bijections.own import Elementwise, Own
from reparam.bijections.planar import Planar, Radial
from reparam.bijections.shape import Reverse
from reparam.bijections.transforms import Additive, Affine, Spline
from reparam.config import TrainConfig
from reparam.distributions.priors import (
    ClassConditional,
    MixturePrior,
    Prior,
    SquashedUniform,
    StandardNormal,
)
from reparam.limits import Count, Limited, Positive
from reparam.model import Space
from reparam.models.flow import Flow
from reparam.nets.masked import MADE
from reparam.presets.flow_parts import Scales, coupling, flat, noise_flow
from reparam.presets.registry import PURE, Accepts, preset
from reparam.presets.steps import LARGEST_STEPS
from reparam.space import ColumnKind

FAMILY = "Normalizing flows"
OBJECTIVE = "max log p(z) + log |det ∂z/∂x|, z = f(x)"
COLUMNS: tuple[ColumnKind, ...] = ("real", "log", "levels", "binary")  # names have no order
VECTORS, BOTH = Accepts(images=False, columns=COLUMNS), Accepts(columns=COLUMNS)
SQUEEZED, LINES = replace(BOTH, even=True), replace(VECTORS, one=True)
IMAGES = Accepts(PURE, vectors=False, even=True)


def steps(space: Space) -> TrainConfig:
    """Of points of the plane the best of a few; of images not searched.

    The few are in benchmarks/results-densities.md, "Learning rates". Networks of images learn few
    by heart, 8 × 8 digits in a sixth of the usual steps.
    """
    if space.is_image:
        return TrainConfig(lr=1e-3, schedule="cosine", patience=8)
    return TrainConfig(lr=3e-3, schedule="cosine")


Layers = Callable[[int], Sequence[Bijection]]  # of the numbers of the context
Hidden = tuple[Count, ...]


@dataclass(frozen=True)
class FlowOptions(Limited):
    """What all flows have.

    Args:
        base: of the noise: standard normal, uniform in a cube behind a logistic function, a learned
            mixture of normals, or a learned normal for every class.
        components: of the mixture.
        dequantize: of binary and levels data, uniform noise or a learned one.
        alpha: of these data, α of the logit that they are mapped by; none: 0.05 of images, 1e-6 of
            vectors.
        conditional: on the class label, or on the attributes where there are any.
    """

    base: Literal["normal", "uniform", "mixture", "class"] = "normal"
    components: Count = 10
    dequantize: Literal["uniform", "variational"] = "uniform"
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] | None = None
    conditional: bool = False

    def build(self, space: Space, layers: Layers) -> Flow:
        """Logits and their scale, where data are no reals, then the layers."""
        context = (space.attributes or space.classes or 0) if self.conditional else 0
        before: list[Bijection] = []
        if space.level_count is not None:
            usual = 0.05 if space.is_image else 1e-6
            before.append(Logit(usual if self.alpha is None else self.alpha))
        if space.kind != "real":
            before.append(ActNorm(space.shape))
        bijection = Chain(*before, *layers(context), context="shared")
        return Flow(
            space, bijection, self._base(space), self._noise(space, context), self.conditional
        )

    def _base(self, space: Space) -> Prior:
        if self.base == "mixture":
            return MixturePrior(space.dimension, self.components)
        if self.base != "class":
            usual = StandardNormal if self.base == "normal" else SquashedUniform
            return usual(space.dimension)
        if not self.conditional or space.classes is None or space.attributes is not None:
            raise ValueError("base: class needs conditional=true and data with class labels")
        return ClassConditional(space.dimension, space.classes)

    def _noise(self, space: Space, context: int) -> Dequantization | None:
        if space.reals.all():
            return None
        if self.dequantize == "uniform":
            return Uniform(space)
        return Variational(space, noise_flow(space, context))


@dataclass(frozen=True)
class BendOptions(FlowOptions):
    """What planar and radial flows have.

    Args:
        layers: how many.
        closed_form: the direction that is; the other one is found by bisection.
    """

    layers: Count = 16
    closed_form: Literal["density", "samples"] = "density"

    def bend(self, space: Space, kind: type[Planar] | type[Radial]) -> Flow:
        def members(context: int) -> list[Bijection]:
            found = [Own(kind(space.dimension), context) for _ in range(self.layers)]
            return [Inverse(b) for b in found] if self.closed_form == "density" else [*found]

        return self.build(space, members)


@preset(
    "planar-flow",
    paper="Rezende & Mohamed 2015, Variational inference with normalizing flows",
    train=LARGEST_STEPS,
    exact=("real",),
    small={"layers": 1},
    when="To see what a flow does, one bend at a time.",
)
def planar_flow(space: Annotated[Space, VECTORS], options: BendOptions) -> Flow:
    """Planar layers, each bending space along one direction."""
    return options.bend(space, Planar)


@preset(
    "radial-flow",
    paper="Rezende & Mohamed 2015, Variational inference with normalizing flows",
    train=LARGEST_STEPS,
    exact=("real",),
    small={"layers": 1},
    when="To see what a flow does, one center at a time.",
)
def radial_flow(space: Annotated[Space, VECTORS], options: BendOptions) -> Flow:
    """Radial layers, each pulling or pushing around one center."""
    return options.bend(space, Radial)


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
        couplings = [coupling(Additive(), split, hidden, context) for split in splits]
        return [*flat(space), *couplings, Elementwise(Affine(), (size,))]

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
            block = Scales(Affine(), blocks, channels, context).checkered
            return [MultiScale(space.shape, scales, block)]
        splits = [alternating(space.dimension, i % 2 == 1) for i in range(layers)]
        return [coupling(Affine(), split, hidden, context) for split in splits]

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
    split_prior: bool = True,
) -> Flow:
    """Steps of ActNorm, an invertible 1×1 convolution and an affine coupling, at several scales.

    Args:
        scales: none: as many as the sides allow.
        layers: steps at every scale.
        channels: of the convolutions.
        split_prior: whether what is done at a scale has means and deviations by what goes on.
    """

    def members(context: int) -> list[Bijection]:
        parts = Scales(Affine(), layers, channels, context)
        prior = parts.prior if split_prior else None
        return [MultiScale(space.shape, scales, parts.steps, prior)]

    return options.build(space, members)


@dataclass(frozen=True)
class MaskedOptions(FlowOptions):
    """What affine autoregressive flows have.

    Args:
        layers: how many, in alternating orders.
        hidden: widths of their masked networks.
    """

    layers: Count = 5
    hidden: Hidden = (128, 128)

    def members(self, space: Space, context: int) -> list[Bijection]:
        affine, size = Affine(), space.dimension
        found: list[Bijection] = []
        for index in range(self.layers):
            network = MADE((size,), affine.parameters, self.hidden, context=context, gain=0.0)
            found += [Reverse()] if index else []
            found.append(AutoregressiveTransform(affine, network))
        return found


@preset(
    "maf",
    paper="Papamakarios et al. 2017, Masked autoregressive flow for density estimation",
    train=steps,
    exact=("real",),
    small={"layers": 2},
    when="For log p(x) of tables in one pass; samples take a step for every entry.",
)
def maf(space: Annotated[Space, VECTORS], options: MaskedOptions) -> Flow:
    """Affine autoregressive layers whose density takes one pass."""
    return options.build(space, lambda context: options.members(space, context))


@preset(
    "iaf",
    paper="Kingma et al. 2016, Improved variational inference with inverse autoregressive flow",
    train=steps,
    exact=("real",),
    small={"layers": 2},
    when="For samples of tables in one pass; log p(x) takes a step for every entry.",
)
def iaf(space: Annotated[Space, VECTORS], options: MaskedOptions) -> Flow:
    """``maf`` turned round: samples take one pass."""
    return options.build(space, lambda context: list(map(Inverse, options.members(space, context))))


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
    """Couplings by monotone rational-quadratic splines, between learned linear maps.

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
            block = Scales(spline, layers, channels, context).steps
            return [MultiScale(space.shape, scales, block)]
        found: list[Bijection] = []
        for index in range(layers):
            split = alternating(size, index % 2 == 1)
            found += [LULinear(size), coupling(spline, split, hidden, context)]
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
    """Autoregressive splines in alternating orders, between learned linear maps.

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
            found += [Reverse()] if found else []  # a matrix starts as the identity
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
    return options.build(space, lambda context: [Elementwise(Spline(bins, bound), (1,), context)])
