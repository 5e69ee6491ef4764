"""Presets of VAEs with penalties: on total correlation, on covariances, on discrepancy."""

from __future__ import annotations

from typing import Literal

from reparam.distributions.likelihoods import make_likelihood
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.objectives.bounds import ELBO
from reparam.objectives.latent_penalties import (
    DIP,
    MMD,
    CriticTotalCorrelation,
    LatentPenalty,
    TotalCorrelation,
)
from reparam.objectives.weightings import Beta
from reparam.presets.registry import preset
from reparam.presets.vaes import LikelihoodName, Network, compose


def _penalized(
    space: Space,
    latent_dim: int,
    hidden: tuple[int, ...],
    network: Network,
    likelihood: LikelihoodName,
    penalty: LatentPenalty,
    beta: float = 1.0,
) -> VAE:
    p_x = make_likelihood(likelihood, space)
    objective = ELBO(Beta(beta), penalties=(penalty,))
    return compose(space, latent_dim, hidden, network, p_x, objective)


@preset("beta-tcvae", paper="Chen et al. 2018, Isolating sources of disentanglement in VAEs")
def beta_tcvae(
    space: Space,
    *,
    beta: float = 6.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose total correlation is weighted by beta, the other parts of its rate by 1.

    Args:
        beta: weight of the total correlation; 1 is the VAE.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    if not beta >= 1:
        raise ValueError(f"beta: expected at least 1, got {beta}")
    penalty = TotalCorrelation(beta - 1)
    return _penalized(space, latent_dim, hidden, network, likelihood, penalty)


@preset("factor-vae", paper="Kim & Mnih 2018, Disentangling by factorizing")
def factor_vae(
    space: Space,
    *,
    gamma: float = 10.0,
    critic: tuple[int, ...] = (256, 256),
    critic_lr: float = 1.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE with a penalty on the total correlation of its codes, as a critic estimates it.

    Args:
        gamma: weight of the total correlation.
        critic: widths of the critic's hidden layers.
        critic_lr: its learning rate, as a multiple of the model's.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    penalty = CriticTotalCorrelation(latent_dim, gamma, critic, critic_lr)
    return _penalized(space, latent_dim, hidden, network, likelihood, penalty)


@preset("dip-vae", paper="Kumar et al. 2018, Variational inference of disentangled concepts")
def dip_vae(
    space: Space,
    *,
    codes: Literal["means", "draws"] = "means",
    off_diagonal: float = 10.0,
    diagonal: float = 10.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose codes are to be uncorrelated and of variance one.

    Args:
        codes: posterior means (DIP-VAE-I) or draws (DIP-VAE-II).
        off_diagonal: weight of the squared covariances.
        diagonal: weight of the squared deviations of the variances from 1.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    penalty = DIP(codes, off_diagonal, diagonal)
    return _penalized(space, latent_dim, hidden, network, likelihood, penalty)


@preset("info-vae", paper="Zhao et al. 2019, InfoVAE: balancing learning and inference")
def info_vae(
    space: Space,
    *,
    alpha: float = 0.0,
    weight: float = 100.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose aggregate posterior is pulled to the prior, so that the rate may weigh less.

    Args:
        alpha: of the paper, at most 1: the rate is weighted by 1 - alpha.
        weight: of the squared maximum mean discrepancy.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    if not alpha <= 1:
        raise ValueError(f"alpha: expected at most 1, got {alpha}")
    return _penalized(space, latent_dim, hidden, network, likelihood, MMD(weight), 1 - alpha)


@preset("wae", paper="Tolstikhin et al. 2018, Wasserstein auto-encoders")
def wae(
    space: Space,
    *,
    weight: float = 100.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE without rate: only the aggregate posterior is pulled to the prior.

    Args:
        weight: of the squared maximum mean discrepancy.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    return _penalized(space, latent_dim, hidden, network, likelihood, MMD(weight), 0.0)
