"""Presets of autoregressive models."""

from __future__ import annotations

from typing import Literal

from reparam.config import TrainConfig
from reparam.distributions.autoregressive_likelihood import AutoregressiveLikelihood
from reparam.distributions.channel_mixture import ChannelMixture
from reparam.distributions.likelihoods import CONDITIONALS, make_likelihood
from reparam.model import Space, positive_count
from reparam.models.autoregressive import Autoregressive
from reparam.models.vae import VAE
from reparam.nets.masked import MADE, NADE
from reparam.nets.pixelcnn import GatedPixelCNN, PixelCNN
from reparam.nets.pixelcnnpp import PixelCNNPlusPlus
from reparam.nets.pixelrnn import PixelRNN
from reparam.nets.transformer import CausalTransformer
from reparam.objectives.bounds import ELBO
from reparam.presets.registry import Accepts, preset
from reparam.presets.vaes import Network, compose

LikelihoodName = Literal["auto", "bernoulli", "categorical", "discretized-logistic", "normal"]
Inputs = Literal["numbers", "one-hot"]
# Logits of entries that are nearly certain have to grow large: at 0.001 they had not when training
# ended, and tables of flags were 11 % short (benchmarks/README.md, Training defaults).
QUICKER = TrainConfig(lr=3e-3)


def context_size(space: Space, conditional: bool) -> int:
    """F, the numbers of the one-hot label or the attributes; 0 for a model that uses none."""
    return (space.attributes or space.classes or 0) if conditional else 0


def codes_of(space: Space, inputs: Inputs) -> int:
    """K, the codes that a network sees one-hot; 0 for one that sees numbers."""
    if inputs == "numbers":
        return 0
    if space.level_count is None:
        raise ValueError(f"inputs: {inputs} is for binary or levels data, got {space.kind} data")
    return space.level_count


@preset(
    "fvbn",
    paper="Frey 1998, Graphical models for machine learning and digital communication",
    train=QUICKER,
)
def fvbn(
    space: Space, *, conditional: bool = False, likelihood: LikelihoodName = "auto"
) -> Autoregressive:
    """A fully visible belief network: a masked logistic regression of every entry on those before.

    Args:
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, a discretized logistic, or a normal.
    """
    p_x = make_likelihood(likelihood, space, among=CONDITIONALS)
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
        likelihood: of an entry; auto is Bernoulli, a discretized logistic, or a normal.
    """
    p_x = make_likelihood(likelihood, space, among=CONDITIONALS)
    context = context_size(space, conditional)
    network = NADE(space.shape, p_x.parameter_shape[0], hidden, context=context)
    return Autoregressive(space, network, p_x, conditional)


@preset(
    "made",
    paper="Germain et al. 2015, MADE: Masked autoencoder for distribution estimation",
    train=QUICKER,
)
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
        likelihood: of an entry; auto is Bernoulli, a discretized logistic, or a normal.
    """
    p_x = make_likelihood(likelihood, space, among=CONDITIONALS)
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
    inputs: Inputs = "numbers",
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
        inputs: how the network sees entries: one-hot for codes without an order, as in the grids of
            vector-quantized autoencoders, else as numbers.
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """
    p_x = make_likelihood(likelihood, space, among=CONDITIONALS, of_levels="categorical")
    network = PixelCNN(
        space.shape,
        p_x.parameter_shape[0],
        width,
        layers,
        kernel,
        first_kernel,
        residual,
        context_size(space, conditional),
        codes_of(space, inputs),
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
    inputs: Inputs = "numbers",
    conditional: bool = False,
    likelihood: LikelihoodName = "auto",
) -> Autoregressive:
    """A vertical and a horizontal stack of gated convolutions over images: no blind spot.

    Args:
        width: units of every layer.
        layers: how many follow the first one.
        kernel: width of their windows.
        first_kernel: width of the first one's.
        inputs: how the network sees entries: one-hot for codes without an order, as in the grids of
            vector-quantized autoencoders, else as numbers.
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """
    p_x = make_likelihood(likelihood, space, among=CONDITIONALS, of_levels="categorical")
    network = GatedPixelCNN(
        space.shape,
        p_x.parameter_shape[0],
        width,
        layers,
        kernel,
        first_kernel,
        context_size(space, conditional),
        codes_of(space, inputs),
    )
    return Autoregressive(space, network, p_x, conditional)


@preset(
    "pixel-cnn++",
    paper="Salimans et al. 2017, PixelCNN++",
    accepts=Accepts(kinds=("binary", "levels"), vectors=False),
)
def pixel_cnn_plus_plus(
    space: Space,
    *,
    width: int = 64,
    blocks: int = 2,
    scales: int = 2,
    components: int = 10,
    dropout: float = 0.5,
    conditional: bool = False,
) -> Autoregressive:
    """Residual streams on several scales, and a mixture of logistics over whole pixels.

    Args:
        width: units of every layer.
        blocks: residual blocks per scale, on the way down and on the way up.
        scales: how many times the grid is halved.
        components: of the mixture.
        dropout: share of units dropped in training.
        conditional: on the class label, or on the attributes where there are any.
    """
    p_x = ChannelMixture(space, components)
    context = context_size(space, conditional)
    network = PixelCNNPlusPlus(
        space.shape, p_x.parameter_shape[0], width, blocks, scales, dropout, context
    )
    return Autoregressive(space, network, p_x, conditional)


@preset(
    "pixel-rnn",
    paper="van den Oord et al. 2016, Pixel recurrent neural networks",
    accepts=Accepts(vectors=False),
)
def pixel_rnn(
    space: Space,
    *,
    width: int = 32,
    layers: int = 2,
    recurrence: Literal["diagonal", "row"] = "diagonal",
    first_kernel: int = 7,
    conditional: bool = False,
    likelihood: LikelihoodName = "auto",
) -> Autoregressive:
    """LSTMs over the rows or the diagonals of an image; slow to train, as they are sequential.

    Args:
        width: units of every layer.
        layers: how many recurrent ones.
        recurrence: Diagonal BiLSTM, which sees all before a pixel but for the last one of the row
            above, or Row LSTM, which sees a triangle of the rows above.
        first_kernel: width of the first convolution's window.
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """
    p_x = make_likelihood(likelihood, space, among=CONDITIONALS, of_levels="categorical")
    network = PixelRNN(
        space.shape,
        p_x.parameter_shape[0],
        width,
        layers,
        recurrence,
        first_kernel,
        context_size(space, conditional),
    )
    return Autoregressive(space, network, p_x, conditional)


@preset("image-transformer", paper="Parmar et al. 2018, Image transformer")
def image_transformer(
    space: Space,
    *,
    width: int = 64,
    layers: int = 4,
    heads: int = 4,
    dropout: float = 0.0,
    conditional: bool = False,
    likelihood: LikelihoodName = "auto",
) -> Autoregressive:
    """A small causal transformer over the entries, with cached keys and values when it draws.

    Args:
        width: of every layer.
        layers: how many blocks of attention and perceptron.
        heads: of attention.
        dropout: share of units dropped in training.
        conditional: on the class label, or on the attributes where there are any.
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """
    p_x = make_likelihood(likelihood, space, among=CONDITIONALS, of_levels="categorical")
    context = context_size(space, conditional)
    network = CausalTransformer(
        space.shape, p_x.parameter_shape[0], width, layers, heads, dropout, context
    )
    return Autoregressive(space, network, p_x, conditional)


@preset(
    "pixel-vae",
    paper="Gulrajani et al. 2017, PixelVAE",
    accepts=Accepts(vectors=False),
)
def pixel_vae(
    space: Space,
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    features: int = 16,
    width: int = 32,
    layers: int = 2,
    kernel: int = 3,
    first_kernel: int = 5,
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose p(x|z) is a PixelCNN told about z: pixels near each other need no z.

    Args:
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: of encoder and decoder: fully connected, convolutional, or by size.
        features: numbers per pixel that the decoder tells the PixelCNN.
        width: units of the PixelCNN's layers.
        layers: of the PixelCNN, after the first one.
        kernel: width of their windows.
        first_kernel: width of the first one's.
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """
    positive_count("features", features)
    entry = make_likelihood(likelihood, space, among=CONDITIONALS, of_levels="categorical")
    pixels = PixelCNN(
        space.shape,
        entry.parameter_shape[0],
        width,
        layers,
        kernel,
        first_kernel,
        context=features,
    )
    p_x = AutoregressiveLikelihood(space, pixels, entry, features)
    return compose(space, latent_dim, hidden, network, p_x, ELBO())
