"""Presets of autoencoders."""

from __future__ import annotations

from typing import Literal

from torch import nn

from reparam import nets
from reparam.model import Space, positive_count
from reparam.models.autoencoder import Autoencoder
from reparam.models.gaussian_mixture import GaussianMixture
from reparam.models.two_stage import TwoStage
from reparam.nets.sparse import KSparse, Tied
from reparam.objectives.code_penalties import CodePenalty, Contraction, Sparsity
from reparam.objectives.corruptions import Corruption, CorruptionName, make_corruption
from reparam.presets.registry import preset

LossName = Literal["auto", "squared_error", "cross_entropy"]
Network = Literal["auto", "mlp", "conv"]


def compose(
    space: Space,
    latent_dim: int,
    hidden: tuple[int, ...],
    network: Network,
    loss: LossName,
    corruption: Corruption | None = None,
) -> Autoencoder:
    """An autoencoder with networks by shape."""
    positive_count("latent_dim", latent_dim)
    encoder = nets.encoder(space.shape, (latent_dim,), hidden, network)
    decoder = nets.decoder((latent_dim,), (1, *space.shape), space.shape, hidden, network)
    return Autoencoder(space, encoder, decoder, latent_dim, loss, corruption)


def tied(
    space: Space,
    latent_dim: int,
    activation: nn.Module,
    loss: LossName,
    penalty: CodePenalty | None = None,
) -> Autoencoder:
    """An autoencoder of one layer, whose decoder has the encoder's weights."""
    positive_count("latent_dim", latent_dim)
    linear = nn.Linear(space.dimension, latent_dim)
    encoder = nn.Sequential(nn.Flatten(), linear, activation)
    decoder = Tied(linear, space.shape)
    return Autoencoder(space, encoder, decoder, latent_dim, loss, penalty=penalty)


@preset("ae", paper="Hinton & Salakhutdinov 2006, Reducing the dimensionality of data")
def ae(
    space: Space,
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    loss: LossName = "auto",
) -> Autoencoder:
    """An autoencoder: a code and its reconstruction, no likelihood.

    Args:
        latent_dim: entries of the code.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        loss: what is minimized; auto is cross_entropy for binary data, else squared_error.
    """
    return compose(space, latent_dim, hidden, network, loss)


@preset("linear-ae", paper="Baldi & Hornik 1989, Neural networks and principal component analysis")
def linear_ae(space: Space, *, latent_dim: int = 20) -> Autoencoder:
    """One linear layer each side and squared error: the projector of PCA, found by descent.

    Args:
        latent_dim: entries of the code.
    """
    return compose(space, latent_dim, (), "mlp", "squared_error")


@preset("denoising-ae", paper="Vincent et al. 2008, Extracting and composing robust features")
def denoising_ae(
    space: Space,
    *,
    corruption: CorruptionName = "masking",
    amount: float = 0.25,
    independent: bool = False,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    loss: LossName = "auto",
) -> Autoencoder:
    """An autoencoder that finds the clean x behind a corrupted one.

    Args:
        corruption: entries set to 0, normal noise, or entries set to an end of the range (of real
            data: two standard deviations from the mean).
        amount: share of the entries of each example that are changed, so many in each; or the
            standard deviation of normal noise in network units (the range of levels is 1, real
            columns have deviation 1).
        independent: draw each entry by itself, with probability amount, instead of so many.
        latent_dim: entries of the code.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        loss: what is minimized, as for ae.
    """
    noise = make_corruption(corruption, amount, space, independent)
    return compose(space, latent_dim, hidden, network, loss, noise)


@preset("sparse-ae", paper="Ng 2011, Sparse autoencoder (lecture notes)")
def sparse_ae(
    space: Space,
    *,
    beta: float = 3.0,
    rho: float = 0.25,
    latent_dim: int = 100,
    hidden: tuple[int, ...] = (),
    loss: LossName = "auto",
) -> Autoencoder:
    """An autoencoder of sigmoid units that are on in a share rho of the examples.

    Args:
        beta: weight of the penalty.
        rho: mean activation wanted of each unit of every hidden layer, the code among them.
        latent_dim: entries of the code.
        hidden: widths of the other hidden layers of the encoder; the decoder mirrors it.
        loss: what is minimized besides, as for ae.
    """
    positive_count("latent_dim", latent_dim)
    encoder = nets.encoder(space.shape, (latent_dim,), hidden, "mlp", activation=nn.Sigmoid)
    decoder = nets.decoder(
        (latent_dim,), (1, *space.shape), space.shape, hidden, "mlp", activation=nn.Sigmoid
    )
    encoder = nn.Sequential(encoder, nn.Sigmoid())
    return Autoencoder(space, encoder, decoder, latent_dim, loss, penalty=Sparsity(beta, rho))


@preset("k-sparse-ae", paper="Makhzani & Frey 2013, k-sparse autoencoders")
def k_sparse_ae(
    space: Space,
    *,
    k: int = 25,
    alpha: float = 1.0,
    threshold: bool = False,
    latent_dim: int = 1000,
    loss: LossName = "auto",
) -> Autoencoder:
    """A linear autoencoder with tied weights that keeps the k largest units of the code.

    Args:
        k: units kept, at most latent_dim.
        alpha: after training alpha times as many units are kept.
        threshold: whether kept units below 0 become 0.
        latent_dim: entries of the code.
        loss: what is minimized, as for ae.
    """
    if k > latent_dim:
        raise ValueError(f"k: expected at most latent_dim {latent_dim}, got {k}")
    return tied(space, latent_dim, KSparse(k, alpha, threshold), loss)


@preset("contractive-ae", paper="Rifai et al. 2011, Contractive auto-encoders")
def contractive_ae(
    space: Space, *, weight: float = 0.1, latent_dim: int = 100, loss: LossName = "auto"
) -> Autoencoder:
    """A layer of sigmoid units, tied weights, and a penalty on how much the code moves with x.

    Args:
        weight: of the squared norm of the Jacobian of the code.
        latent_dim: entries of the code.
        loss: what is minimized besides, as for ae.
    """
    return tied(space, latent_dim, nn.Sigmoid(), loss, Contraction(weight))


@preset("ae-gmm", paper="Ghosh et al. 2020, From variational to deterministic autoencoders")
def ae_gmm(
    space: Space,
    *,
    components: int = 10,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    loss: LossName = "auto",
) -> TwoStage:
    """An autoencoder made a generator by a Gaussian mixture on its codes; no likelihood.

    Args:
        components: of the mixture, fitted after the autoencoder.
        latent_dim: entries of the code.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        loss: what is minimized, as for ae.
    """
    codec = compose(space, latent_dim, hidden, network, loss)
    return TwoStage(codec, GaussianMixture(codec.code_space, components))
