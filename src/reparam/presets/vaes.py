"""Presets of variational autoencoders."""

from __future__ import annotations

from typing import Literal

from reparam import nets
from reparam.distributions.likelihoods import Likelihood, Normal, find_likelihood
from reparam.distributions.posteriors import DiagonalNormal
from reparam.distributions.priors import StandardNormal
from reparam.model import Space
from reparam.models.objectives import ELBO, IWAE, DReG, Objective
from reparam.models.vae import VAE
from reparam.models.weightings import Beta
from reparam.presets.registry import Accepts, preset

LikelihoodName = Literal[
    "auto", "bernoulli", "categorical", "discretized-logistic", "discretized-normal", "normal"
]
Network = Literal["auto", "mlp", "conv"]


def compose(
    space: Space,
    latent_dim: int,
    hidden: tuple[int, ...],
    network: Network,
    likelihood: Likelihood,
    objective: Objective,
    conditional: bool = False,
) -> VAE:
    """A VAE with a diagonal normal posterior, a standard normal prior and networks by shape."""
    posterior = DiagonalNormal(latent_dim)
    parameters, event = likelihood.parameter_shape, posterior.parameter_shape
    given = space if conditional else None
    return VAE(
        space,
        nets.encoder(space.shape, event, hidden, network, condition=given),
        nets.decoder((latent_dim,), parameters, space.shape, hidden, network, condition=given),
        posterior,
        StandardNormal(latent_dim),
        likelihood,
        objective,
        conditional,
    )


@preset("vae", paper="Kingma & Welling 2014, Auto-encoding variational Bayes")
def vae(
    space: Space,
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
    mixture: int = 1,
) -> VAE:
    """A variational autoencoder with a diagonal normal posterior and a standard normal prior.

    Args:
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z; auto fits the kind of the data. Normal has one learned scale.
        mixture: components of a discretized-logistic likelihood.
    """
    p_x = find_likelihood(likelihood, space, mixture)
    return compose(space, latent_dim, hidden, network, p_x, ELBO())


@preset("beta-vae", paper="Higgins et al. 2017, beta-VAE: Learning basic visual concepts")
def beta_vae(
    space: Space,
    *,
    beta: float = 4.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose rate is weighted by beta; its scores stay those of the unweighted bound.

    Args:
        beta: weight of the rate; 1 is the VAE.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    p_x = find_likelihood(likelihood, space)
    return compose(space, latent_dim, hidden, network, p_x, ELBO(Beta(beta)))


@preset("sigma-vae", paper="Rybkin et al. 2021, Simple and effective VAE training")
def sigma_vae(
    space: Space,
    *,
    scale: Literal["shared", "per-dimension", "optimal", "fixed"] = "optimal",
    sigma: float = 1.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
) -> VAE:
    """A VAE with a normal likelihood whose scale is learned: how sharp, the data decide.

    Args:
        scale: one learned, one learned per entry, the optimum (the mean squared error), or fixed.
        sigma: the fixed scale, and where learning starts, in network units.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
    """
    p_x = Normal(space, scale, sigma)
    return compose(space, latent_dim, hidden, network, p_x, ELBO())


@preset(
    "cvae",
    paper="Sohn et al. 2015, Learning structured output representation",
    accepts=Accepts(condition=True),
)
def cvae(
    space: Space,
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE given labels or attributes y: p(x|z, y), q(z|x, y), p(z); its score is log p(x|y).

    Args:
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z and y, as for vae.
    """
    p_x = find_likelihood(likelihood, space)
    return compose(space, latent_dim, hidden, network, p_x, ELBO(), conditional=True)


@preset("iwae", paper="Burda et al. 2016, Importance weighted autoencoders")
def iwae(
    space: Space,
    *,
    k: int = 5,
    gradient: Literal["standard", "dreg"] = "standard",
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE trained on the importance-weighted bound of k draws.

    Args:
        k: draws per example.
        gradient: of the encoder: standard, or doubly reparametrised (Tucker et al. 2019).
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    p_x = find_likelihood(likelihood, space)
    objective = IWAE(k) if gradient == "standard" else DReG(k)
    return compose(space, latent_dim, hidden, network, p_x, objective)
