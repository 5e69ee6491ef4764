"""Presets of autoencoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from reparam import nets
from reparam.limits import AtLeastOne, Count, Limited, NonNegative, ProperShare
from reparam.model import Space
from reparam.models.autoencoder import Autoencoder, Reconstruction
from reparam.models.gaussian_mixture import GaussianMixture
from reparam.models.two_stage import TwoStage
from reparam.nets.sparse import KSparse, Tied
from reparam.objectives.code_penalties import CodePenalty, Contraction, Sparsity
from reparam.objectives.column_errors import ColumnErrors
from reparam.objectives.corruptions import CorruptionName, make_corruption
from reparam.presets.registry import PURE, Accepts, preset
from reparam.presets.steps import (
    LARGE_STEPS,
    LARGEST_STEPS,
    QUICKER,
    small_steps,
    small_steps_of_tables,
)

FAMILY = "Autoencoders"
OBJECTIVE = "min ‖x − g(f(x))‖²"


@dataclass(frozen=True)
class CodeOptions(Limited):
    """What every autoencoder takes.

    Args:
        latent_dim: entries of the code.
        loss: what is minimized; auto is cross_entropy for binary data, else squared_error.
        corruption: of what the encoder sees in training: none, entries set to 0, normal noise, or
            entries set to an end of the range (of real data: two standard deviations from the
            mean).
        amount: share of the entries of each example that are changed, so many in each; or the
            standard deviation of normal noise in network units (the range of levels is 1, real
            columns have deviation 1).
        independent: draw each entry by itself, with probability amount, instead of so many.
    """

    latent_dim: Count = 20
    loss: Reconstruction = "auto"
    corruption: CorruptionName | None = None
    amount: NonNegative = 0.25
    independent: bool = False

    def build(
        self,
        space: Space,
        encoder: nn.Module,
        decoder: nn.Module,
        penalty: CodePenalty | None = None,
    ) -> Autoencoder:
        noise = None
        if self.corruption is not None:
            noise = make_corruption(self.corruption, self.amount, space, self.independent)
        return Autoencoder(space, encoder, decoder, self.latent_dim, self.loss, noise, penalty)

    def tied(
        self, space: Space, activation: nn.Module, penalty: CodePenalty | None = None
    ) -> Autoencoder:
        """An autoencoder of one layer, whose decoder has the encoder's weights."""
        linear = nn.Linear(space.dimension, self.latent_dim)
        encoder = nn.Sequential(nn.Flatten(), linear, activation)
        return self.build(space, encoder, Tied(linear, space.shape), penalty)


@dataclass(frozen=True)
class AutoencoderOptions(CodeOptions):
    """What autoencoders of several layers take.

    Args:
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
    """

    hidden: tuple[Count, ...] = (512, 256)
    network: nets.Network = "auto"

    def networks(
        self, space: Space, activation: type[nn.Module] = nn.ReLU
    ) -> tuple[nn.Module, nn.Module]:
        """Encoder and decoder by the shape of x."""
        shape, code = space.shape, (self.latent_dim,)
        form: tuple[tuple[int, ...], nets.Network] = (self.hidden, self.network)
        encoder = nets.encoder(shape, code, *form, activation=activation, columns=space.columns)
        outputs = ColumnErrors(space).parameter_shape if space.columns else (1, *shape)
        return encoder, nets.decoder(code, outputs, shape, *form, activation=activation)


@dataclass(frozen=True)
class MixtureOptions(Limited):
    """What a Gaussian mixture takes.

    Args:
        components: of the mixture, fitted after the autoencoder.
    """

    components: Count = 10


@preset(
    "ae",
    paper="Hinton & Salakhutdinov 2006, Reducing the dimensionality of data",
    train=small_steps,
    when="For small codes and good reconstructions, where no samples or probabilities are needed.",
)
def ae(space: Space, options: AutoencoderOptions) -> Autoencoder:
    """An autoencoder: a code and its reconstruction, no likelihood."""
    return options.build(space, *options.networks(space))


@preset(
    "linear-ae",
    paper="Baldi & Hornik 1989, Neural networks and principal component analysis",
    train=QUICKER,
    fixed={"hidden": (), "network": "mlp", "loss": "squared_error"},
    when="To see that an autoencoder without nonlinearities finds what PCA does.",
)
def linear_ae(space: Annotated[Space, Accepts(PURE)], options: AutoencoderOptions) -> Autoencoder:
    """One linear layer each side and squared error: the projector of PCA, found by descent."""
    return options.build(space, *options.networks(space))


@preset(
    "denoising-ae",
    paper="Vincent et al. 2008, Extracting and composing robust features",
    train=small_steps_of_tables,
    defaults={"corruption": "masking"},
    when="To clean corrupted data, and for features that noise does not change.",
    objective="min ‖x − g(f(x̃))‖², x̃ ~ M(x̃|x)",
)
def denoising_ae(space: Space, options: AutoencoderOptions) -> Autoencoder:
    """An autoencoder that finds the clean x behind a corrupted one."""
    return options.build(space, *options.networks(space))


@preset(
    "sparse-ae",
    paper="Ng 2011, Sparse autoencoder (lecture notes)",
    train=LARGEST_STEPS,
    defaults={"latent_dim": 100, "hidden": ()},
    fixed={"network": "mlp"},
    when="For features that each answer to one pattern, such as a stroke.",
    objective="min ‖x − g(f(x))‖² + β Σⱼ KL(ρ ‖ ρ̂ⱼ)",
)
def sparse_ae(
    space: Space,
    options: AutoencoderOptions,
    *,
    beta: NonNegative = 3.0,
    rho: ProperShare = 0.25,
) -> Autoencoder:
    """An autoencoder of sigmoid units that are on in a share rho of the examples.

    Args:
        beta: weight of the penalty.
        rho: mean activation wanted of each unit of every hidden layer, the code among them.
    """
    encoder, decoder = options.networks(space, nn.Sigmoid)
    encoder = nn.Sequential(encoder, nn.Sigmoid())
    return options.build(space, encoder, decoder, Sparsity(beta, rho))


@preset(
    "k-sparse-ae",
    paper="Makhzani & Frey 2013, k-sparse autoencoders",
    train=LARGE_STEPS,
    defaults={"latent_dim": 1000},
    small={"latent_dim": 5, "k": 2},
    when="For filters whose size k decides: many active units give strokes, few give whole shapes.",
)
def k_sparse_ae(
    space: Annotated[Space, Accepts(PURE)],
    options: CodeOptions,
    *,
    k: Count = 25,
    alpha: AtLeastOne = 1.0,
    threshold: bool = False,
) -> Autoencoder:
    """A linear autoencoder with tied weights that keeps the k largest units of the code.

    Args:
        k: units kept, at most latent_dim.
        alpha: after training alpha times as many units are kept.
        threshold: whether kept units below 0 become 0.
    """
    if k > options.latent_dim:
        raise ValueError(f"k: expected at most latent_dim {options.latent_dim}, got {k}")
    return options.tied(space, KSparse(k, alpha, threshold))


@preset(
    "contractive-ae",
    paper="Rifai et al. 2011, Contractive auto-encoders",
    train=LARGE_STEPS,
    defaults={"latent_dim": 100},
    when="For codes that small changes of x leave where they are.",
    objective="min ‖x − g(f(x))‖² + λ ‖∂f/∂x‖²",
)
def contractive_ae(
    space: Annotated[Space, Accepts(PURE)], options: CodeOptions, *, weight: NonNegative = 0.1
) -> Autoencoder:
    """A layer of sigmoid units, tied weights, and a penalty on how much the code moves with x.

    Args:
        weight: of the squared norm of the Jacobian of the code.
    """
    return options.tied(space, nn.Sigmoid(), Contraction(weight))


@preset(
    "ae-gmm",
    paper="Ghosh et al. 2020, From variational to deterministic autoencoders",
    train=small_steps,
    small={
        "codec.latent_dim": 2,
        "codec.hidden": (8,),
        "codec.network": "mlp",  # convolutions give all pixels one bias, perhaps below 0
        "generator.components": 2,
    },
    when="For samples from an autoencoder that is trained without noise.",
    objective="min ‖x − g(f(x))‖², then max log p(f(x))",
)
def ae_gmm(space: Space, codec: AutoencoderOptions, generator: MixtureOptions) -> TwoStage:
    """An autoencoder made a generator by a Gaussian mixture on its codes; no likelihood."""
    first = ae(space, codec)
    return TwoStage(first, GaussianMixture(first.code_space, generator.components))
