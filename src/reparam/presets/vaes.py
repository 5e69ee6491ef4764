"""Presets of variational autoencoders."""

from __future__ import annotations

from typing import Literal

from reparam import nets
from reparam.distributions.likelihoods import default_likelihood
from reparam.distributions.posteriors import DiagonalNormal
from reparam.distributions.priors import StandardNormal
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.presets.registry import preset


@preset("vae", paper="Kingma & Welling 2014, Auto-encoding variational Bayes")
def vae(
    space: Space,
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Literal["auto", "mlp", "conv"] = "auto",
) -> VAE:
    """A variational autoencoder with a diagonal normal posterior and a standard normal prior.

    The likelihood follows the data: Bernoulli for binary, discretised logistic for levels, normal
    with one learned scale for real data.

    Args:
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
    """
    posterior, likelihood = DiagonalNormal(latent_dim), default_likelihood(space)
    return VAE(
        space,
        nets.encoder(space.shape, posterior.parameter_shape, hidden, network),
        nets.decoder((latent_dim,), likelihood.parameter_shape, space.shape, hidden, network),
        posterior,
        StandardNormal(latent_dim),
        likelihood,
    )
