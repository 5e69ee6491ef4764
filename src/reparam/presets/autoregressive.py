"""Presets of autoregressive models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from reparam.degradation import Degradation
from reparam.distributions.autoregressive_likelihood import AutoregressiveLikelihood
from reparam.distributions.channel_mixture import ChannelMixture
from reparam.distributions.likelihoods import Likelihood
from reparam.limits import Count, Limited, Share, Whole
from reparam.model import Space
from reparam.models.autoregressive import Autoregressive
from reparam.models.conditional import context_space
from reparam.models.multi_scale import HALVED, MultiScaleAutoregressive, sides_of_scales
from reparam.models.vae import VAE
from reparam.nets.condition import Surroundings
from reparam.nets.masked import MADE, NADE
from reparam.nets.pixelcnn import GatedPixelCNN, PixelCNN
from reparam.nets.pixelcnnpp import PixelCNNPlusPlus
from reparam.nets.pixelrnn import PixelRNN, Recurrence
from reparam.nets.transformer import CausalTransformer
from reparam.objectives.bounds import ELBO
from reparam.presets.given import GivenOptions
from reparam.presets.likelihoods import EntryOptions, PixelOptions
from reparam.presets.registry import KINDS, PURE, Accepts, preset
from reparam.presets.steps import QUICKER
from reparam.presets.vaes import LatentOptions

FAMILY = "Autoregressive models"
OBJECTIVE = "max Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)"

GIVEN_FEATURES = 32  # of every pixel, of what is given around it

Inputs = Literal["numbers", "one-hot"]
Options = TypeVar("Options", bound="PixelModelOptions")
IMAGES = Accepts(vectors=False)


@dataclass(frozen=True)
class ConditionOptions(Limited):
    """What every autoregressive model takes.

    Args:
        conditional: on the class label, or on the attributes where there are any.
    """

    conditional: bool = False

    def compose(
        self, space: Space, p_x: Likelihood, network: Callable[..., Any], **sizes: Any
    ) -> Autoregressive:
        """The model of a network that is made of shape, numbers per entry and sizes."""
        given = self.degradation(space)
        if given is not None:
            return self._given(space, given, p_x, network, sizes)
        context = (space.attributes or space.classes or 0) if self.conditional else 0
        sizes |= {"columns": space.columns} if space.columns else {}
        made = network(space.shape, p_x.parameter_shape[0], **sizes, context=context)
        return Autoregressive(space, made, p_x, self.conditional)

    def degradation(self, space: Space) -> Degradation | None:
        """Of x, what is left of which the network is given; None: it is given nothing."""
        return None

    def _given(
        self,
        space: Space,
        given: Degradation,
        p_x: Likelihood,
        network: Callable[..., Any],
        sizes: dict[str, Any],
    ) -> Autoregressive:
        """Of images the network sees features of what is given, of vectors all of it."""
        seen = context_space(space, given).given
        assert seen is not None
        features = Surroundings(seen, GIVEN_FEATURES) if space.is_image else None
        context = space.dimension if features is None else GIVEN_FEATURES
        made = network(space.shape, p_x.parameter_shape[0], **sizes, context=context)
        return Autoregressive(space, made, p_x, self.conditional, given, features)


@dataclass(frozen=True)
class AutoregressiveOptions(EntryOptions, ConditionOptions):
    """What autoregressive models with a likelihood of your choice take.

    Args:
        inputs: how the network sees entries: one-hot for codes without an order, as in the grids of
            vector-quantized autoencoders, else as numbers.
    """

    inputs: Inputs = "numbers"

    def build(self, space: Space, network: Callable[..., Any], **sizes: Any) -> Autoregressive:
        if self.inputs == "one-hot":
            if space.level_count is None:
                raise ValueError(
                    f"inputs: one-hot is for binary or levels data, got {space.kind} data"
                )
            sizes |= {"codes": space.level_count}
        return self.compose(space, self.p_x(space), network, **sizes)


@dataclass(frozen=True)
class GivenConditionOptions(GivenOptions, ConditionOptions):
    """What autoregressive models of images take, whatever their likelihood."""


@dataclass(frozen=True)
class PixelModelOptions(GivenOptions, PixelOptions, AutoregressiveOptions):
    """What autoregressive models of images take."""


@dataclass(frozen=True)
class ConvolutionOptions(PixelModelOptions):
    """What stacks of masked convolutions take.

    Args:
        width: units of every layer.
        kernel: width of the windows of the layers after the first.
        first_kernel: width of the first one's.
    """

    width: Count = 64
    kernel: Count = 3
    first_kernel: Count = 7

    def convolve(self, space: Space, network: Callable[..., Any], **sizes: Any) -> Autoregressive:
        """The model of a stack of convolutions."""
        sizes |= {"width": self.width, "kernel": self.kernel, "first_kernel": self.first_kernel}
        return self.build(space, network, **sizes)


@preset(
    "fvbn",
    paper="Frey 1998, Graphical models for machine learning and digital communication",
    train=QUICKER,
    exact=KINDS,
    when="The simplest exact likelihood of binary data, as a baseline.",
)
def fvbn(space: Space, options: AutoregressiveOptions) -> Autoregressive:
    """A fully visible belief network: a masked logistic regression of every entry on those before.

    It is ``made`` without a hidden layer.
    """
    return options.build(space, MADE, hidden=())


@preset(
    "nade",
    paper="Larochelle & Murray 2011, The neural autoregressive distribution estimator",
    exact=KINDS,
    small={"hidden": 8},
    when="For exact likelihoods of binary data and tables, and for completing examples.",
)
def nade(space: Space, options: AutoregressiveOptions, *, hidden: Count = 500) -> Autoregressive:
    """One hidden layer per entry with tied weights, all of them in O(HD).

    Args:
        hidden: width H of the hidden layers.
    """
    return options.build(space, NADE, hidden=hidden)


@preset(
    "made",
    paper="Germain et al. 2015, MADE: Masked autoencoder for distribution estimation",
    train=QUICKER,
    exact=KINDS,
    when="For exact likelihoods in one pass; samples take a pass for every entry.",
)
def made(
    space: Space,
    options: AutoregressiveOptions,
    *,
    hidden: tuple[Count, ...] = (500,),
    orders: Count = 1,
    masks: Count = 1,
    direct: bool = True,
) -> Autoregressive:
    """A masked autoencoder as a density; several orders or masks make an ensemble.

    Args:
        hidden: widths of the hidden layers.
        orders: how many orders of the entries; their probabilities are averaged.
        masks: how many draws of the hidden connections; their probabilities are averaged.
        direct: whether inputs reach the outputs directly as well.
    """
    ensemble = {"orders": orders, "masks": masks}
    return options.build(space, MADE, hidden=hidden, direct=direct, **ensemble)


@preset(
    "pixel-cnn",
    paper="van den Oord et al. 2016, Pixel recurrent neural networks",
    exact=PURE,
    small={"width": 6, "layers": 1, "first_kernel": 3},
    when="For exact likelihoods of small images, where gated-pixel-cnn would take too long.",
)
def pixel_cnn(
    space: Annotated[Space, IMAGES],
    options: ConvolutionOptions,
    *,
    layers: Whole = 5,
    residual: bool = False,
) -> Autoregressive:
    """A stack of masked convolutions over images, with a blind spot; drawn along wavefronts.

    Args:
        layers: how many follow the first one.
        residual: whether the layers are residual blocks with half as many units inside.
    """
    return options.convolve(space, PixelCNN, layers=layers, residual=residual)


@preset(
    "gated-pixel-cnn",
    paper="van den Oord et al. 2016, Conditional image generation with PixelCNN decoders",
    exact=PURE,
    small={"width": 4, "layers": 1, "first_kernel": 3},
    when="For the best likelihoods of small images for their training time.",
)
def gated_pixel_cnn(
    space: Annotated[Space, IMAGES], options: ConvolutionOptions, *, layers: Whole = 7
) -> Autoregressive:
    """A vertical and a horizontal stack of gated convolutions over images: no blind spot.

    Args:
        layers: how many follow the first one.
    """
    return options.convolve(space, GatedPixelCNN, layers=layers)


@preset(
    "pixel-cnn++",
    paper="Salimans et al. 2017, PixelCNN++",
    exact=("binary", "levels"),
    small={"width": 3, "blocks": 1, "scales": 1, "components": 2, "dropout": 0.0},
    when="For likelihoods of color images of many levels.",
)
def pixel_cnn_plus_plus(
    space: Annotated[Space, Accepts(kinds=("binary", "levels"), vectors=False)],
    options: GivenConditionOptions,
    *,
    width: Count = 64,
    blocks: Count = 2,
    scales: Whole = 2,
    components: Count = 10,
    dropout: Share = 0.5,
) -> Autoregressive:
    """Residual streams on several scales, and a mixture of logistics over whole pixels.

    Args:
        width: units of every layer.
        blocks: residual blocks per scale, on the way down and on the way up.
        scales: how many times the grid is halved.
        components: of the mixture.
        dropout: share of units dropped in training.
    """
    p_x, sizes = ChannelMixture(space, components), {"width": width, "blocks": blocks}
    return options.compose(space, p_x, PixelCNNPlusPlus, **sizes, scales=scales, dropout=dropout)


@preset(
    "pixel-rnn",
    paper="van den Oord et al. 2016, Pixel recurrent neural networks",
    exact=PURE,
    small={"width": 3, "layers": 1, "first_kernel": 3},
    when="To see what recurrence adds to masked convolutions, if time does not matter.",
)
def pixel_rnn(
    space: Annotated[Space, IMAGES],
    options: PixelModelOptions,
    *,
    width: Count = 32,
    layers: Whole = 2,
    recurrence: Recurrence = "diagonal",
    first_kernel: Count = 7,
) -> Autoregressive:
    """LSTMs over the rows or the diagonals of an image; slow to train, as they are sequential.

    Args:
        width: units of every layer.
        layers: how many recurrent ones.
        recurrence: Diagonal BiLSTM, which sees all before a pixel but for the last one of the row
            above, or Row LSTM, which sees a triangle of the rows above.
        first_kernel: width of the first convolution's window.
    """
    sizes = {"width": width, "layers": layers, "first_kernel": first_kernel}
    return options.build(space, PixelRNN, recurrence=recurrence, **sizes)


@preset(
    "multi-scale-pixel-rnn",
    paper="van den Oord et al. 2016, Pixel recurrent neural networks",
    fixed={"given": None},
    exact=PURE,
    small={"width": 3, "layers": 1, "first_kernel": 3, "scales": 2},
    when="To see what a small image first adds to a recurrent network, if time does not matter.",
)
def multi_scale_pixel_rnn(
    space: Annotated[Space, IMAGES],
    options: PixelModelOptions,
    *,
    scales: Count | None = None,
    width: Count = 32,
    layers: Whole = 2,
    recurrence: Recurrence = "diagonal",
    first_kernel: Count = 7,
) -> MultiScaleAutoregressive:
    """A small image, then ever larger ones that keep its pixels, each by a PixelRNN.

    Args:
        scales: how many; none: halved as long as no side gets shorter than 4 pixels.
        width: units of every layer.
        layers: how many recurrent ones.
        recurrence: Diagonal BiLSTM or Row LSTM, as for pixel-rnn.
        first_kernel: width of the first convolution's window.
    """
    sizes = {"width": width, "layers": layers, "first_kernel": first_kernel}
    return _on_scales(
        space, scales, options, lambda s, o: o.build(s, PixelRNN, recurrence=recurrence, **sizes)
    )


@preset(
    "multi-scale-pixel-cnn",
    paper="van den Oord et al. 2016, Pixel recurrent neural networks",
    fixed={"given": None},
    exact=PURE,
    small={"width": 4, "layers": 1, "first_kernel": 3, "scales": 2},
    when="Where the whole of an image should be settled before its details, by an exact density.",
)
def multi_scale_pixel_cnn(
    space: Annotated[Space, IMAGES],
    options: ConvolutionOptions,
    *,
    scales: Count | None = None,
    layers: Whole = 7,
) -> MultiScaleAutoregressive:
    """A small image, then ever larger ones that keep its pixels, each by gated convolutions.

    Args:
        scales: how many; none: halved as long as no side gets shorter than 4 pixels.
        layers: how many follow the first one, at each scale.
    """
    return _on_scales(
        space, scales, options, lambda s, o: o.convolve(s, GatedPixelCNN, layers=layers)
    )


def _on_scales(
    space: Space,
    scales: int | None,
    options: Options,
    build: Callable[[Space, Options], Autoregressive],
) -> MultiScaleAutoregressive:
    """The smallest image by labels if these are asked for, the others by the one before them."""
    channels, height, width = space.shape
    first, *others = (
        replace(space, shape=(channels, *sides))
        for sides in sides_of_scales((height, width), scales)
    )
    finer = replace(options, given=HALVED, conditional=False)
    return MultiScaleAutoregressive(
        [build(first, options), *(build(larger, finer) for larger in others)]
    )


@preset(
    "image-transformer",
    paper="Parmar et al. 2018, Image transformer",
    exact=KINDS,
    small={"width": 4, "layers": 1, "heads": 2},
    when="For dependences over long distances, on images or vectors that are not large.",
)
def image_transformer(
    space: Space,
    options: PixelModelOptions,
    *,
    width: Count = 64,
    layers: Whole = 4,
    heads: Count = 4,
    dropout: Share = 0.0,
) -> Autoregressive:
    """A small causal transformer over the entries, with cached keys and values when it draws.

    Args:
        width: of every layer.
        layers: how many blocks of attention and perceptron.
        heads: of attention.
        dropout: share of units dropped in training.
    """
    sizes = {"width": width, "layers": layers, "heads": heads}
    return options.build(space, CausalTransformer, dropout=dropout, **sizes)


@dataclass(frozen=True)
class PixelVAEOptions(PixelOptions, LatentOptions):
    """What a VAE takes whose p(x|z) is autoregressive."""


@preset(
    "pixel-vae",
    paper="Gulrajani et al. 2017, PixelVAE",
    small={"width": 3, "layers": 1, "first_kernel": 3, "features": 2},
    when="Where a code is wanted for what is global, and detail is left to the pixels.",
    objective="max E_q Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁, z) − KL(q(z|x) ‖ p(z))",
)
def pixel_vae(
    space: Annotated[Space, IMAGES],
    options: PixelVAEOptions,
    *,
    features: Count = 16,
    width: Count = 32,
    layers: Whole = 2,
    kernel: Count = 3,
    first_kernel: Count = 5,
) -> VAE:
    """A VAE whose p(x|z) is a PixelCNN told about z: pixels near each other need no z.

    Args:
        features: numbers per pixel that the decoder tells the PixelCNN.
        width: units of the PixelCNN's layers.
        layers: of the PixelCNN, after the first one.
        kernel: width of their windows.
        first_kernel: width of the first one's.
    """
    entry = options.p_x(space)
    sizes: dict[str, Any] = {"width": width, "layers": layers, "kernel": kernel}
    pixels = PixelCNN(
        space.shape, entry.parameter_shape[0], **sizes, first_kernel=first_kernel, context=features
    )
    return options.compose(space, AutoregressiveLikelihood(space, pixels, entry, features), ELBO())
