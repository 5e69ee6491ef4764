"""Presets of autoencoders."""

from __future__ import annotations

from typing import Literal

from reparam import nets
from reparam.model import Space, positive_count
from reparam.models.autoencoder import Autoencoder
from reparam.presets.registry import preset


@preset("ae", paper="Hinton & Salakhutdinov 2006, Reducing the dimensionality of data")
def ae(
    space: Space,
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Literal["auto", "mlp", "conv"] = "auto",
    loss: Literal["auto", "squared_error", "cross_entropy"] = "auto",
) -> Autoencoder:
    """An autoencoder: a code and its reconstruction, no likelihood.

    Args:
        latent_dim: entries of the code.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        loss: what is minimised; auto is cross_entropy for binary data, else squared_error.
    """
    positive_count("latent_dim", latent_dim)
    encoder = nets.encoder(space.shape, (latent_dim,), hidden, network)
    decoder = nets.decoder((latent_dim,), (1, *space.shape), space.shape, hidden, network)
    return Autoencoder(space, encoder, decoder, latent_dim, loss)
