"""Presets of autoregressive models."""

from __future__ import annotations

from typing import Literal

from reparam.distributions.conditionals import find_conditional
from reparam.model import Space
from reparam.models.autoregressive import Autoregressive
from reparam.nets.masked import MADE, NADE
from reparam.nets.pixelcnn import GatedPixelCNN, PixelCNN
from reparam.presets.registry import Accepts, preset

LikelihoodName = Literal["auto", "bernoulli", "categorical", "discretized-logistic", "normal"]


def context_size(space: Space, conditional: bool) -> int:
    """F, the numbers of the one-hot label or the attributes; 0 for a model that uses none."""
    return (space.attributes or space.classes or 0) if conditional else 0


@preset("fvbn", paper="Frey 1998, Graphical models for machine learning and digital communication")
def fvbn(
    space: Space, *, conditional: bool = False, likelihood: LikelihoodName = "auto"
) -> Autoregressive:
    """A fully visible belief network: a masked logistic regression of every entry on those before.

    Args:
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, a discretised logistic, or a normal.
    """
    p_x = find_conditional(likelihood, space)
    context = context_size(space, conditional)
    network = MADE(space.shape, p_x.parameter_shape[0], (), context=context)
    return Autoregressive(space, network, p_x, conditional)


@preset("nade", paper="Larochelle & Murray 2011, The neural autoregressive distribution estimator")
def nade(
    space: Space,
    *,
    hidden: int = 500,
    conditional: bool = False,
    likelihood: LikelihoodName = "auto",
) -> Autoregressive:
    """One hidden layer per entry with tied weights, all of them in O(HD).

    Args:
        hidden: width H of the hidden layers.
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, a discretised logistic, or a normal.
    """
    p_x = find_conditional(likelihood, space)
    context = context_size(space, conditional)
    network = NADE(space.shape, p_x.parameter_shape[0], hidden, context=context)
    return Autoregressive(space, network, p_x, conditional)


@preset("made", paper="Germain et al. 2015, MADE: Masked autoencoder for distribution estimation")
def made(
    space: Space,
    *,
    hidden: tuple[int, ...] = (500,),
    orders: int = 1,
    masks: int = 1,
    direct: bool = True,
    conditional: bool = False,
    likelihood: LikelihoodName = "auto",
) -> Autoregressive:
    """A masked autoencoder as a density; several orders or masks make an ensemble.

    Args:
        hidden: widths of the hidden layers.
        orders: how many orders of the entries; their probabilities are averaged.
        masks: how many draws of the hidden connections; their probabilities are averaged.
        direct: whether inputs reach the outputs directly as well.
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, a discretised logistic, or a normal.
    """
    p_x = find_conditional(likelihood, space)
    network = MADE(
        space.shape,
        p_x.parameter_shape[0],
        hidden,
        orders=orders,
        masks=masks,
        direct=direct,
        context=context_size(space, conditional),
    )
    return Autoregressive(space, network, p_x, conditional)


@preset(
    "pixel-cnn",
    paper="van den Oord et al. 2016, Pixel recurrent neural networks",
    accepts=Accepts(vectors=False),
)
def pixel_cnn(
    space: Space,
    *,
    width: int = 64,
    layers: int = 5,
    kernel: int = 3,
    first_kernel: int = 7,
    residual: bool = False,
    conditional: bool = False,
    likelihood: LikelihoodName = "auto",
) -> Autoregressive:
    """A stack of masked convolutions over images, with a blind spot; drawn along wavefronts.

    Args:
        width: units of every layer.
        layers: how many follow the first one.
        kernel: width of their windows.
        first_kernel: width of the first one's.
        residual: whether the layers are residual blocks with half as many units inside.
        conditional: on the class label.
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """
    p_x = find_conditional(likelihood, space, levels="categorical")
    network = PixelCNN(
        space.shape,
        p_x.parameter_shape[0],
        width,
        layers,
        kernel,
        first_kernel,
        residual,
        context_size(space, conditional),
    )
    return Autoregressive(space, network, p_x, conditional)


@preset(
    "gated-pixel-cnn",
    paper="van den Oord et al. 2016, Conditional image generation with PixelCNN decoders",
    accepts=Accepts(vectors=False),
)
def gated_pixel_cnn(
    space: Space,
    *,
    width: int = 64,
    layers: int = 7,
    kernel: int = 3,
    first_kernel: int = 7,
    conditional: bool = False,
    likelihood: LikelihoodName = "auto",
) -> Autoregressive:
    """A vertical and a horizontal stack of gated convolutions over images: no blind spot.

    Args:
        width: units of every layer.
        layers: how many follow the first one.
        kernel: width of their windows.
        first_kernel: width of the first one's.
        conditional: on the class label.
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """
    p_x = find_conditional(likelihood, space, levels="categorical")
    network = GatedPixelCNN(
        space.shape,
        p_x.parameter_shape[0],
        width,
        layers,
        kernel,
        first_kernel,
        context_size(space, conditional),
    )
    return Autoregressive(space, network, p_x, conditional)
