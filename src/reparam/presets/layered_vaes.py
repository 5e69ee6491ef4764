"""Presets of VAEs with several stochastic layers."""

from __future__ import annotations

from typing import Literal

from reparam import nets
from reparam.distributions.hierarchies import (
    BottomUpPosterior,
    LadderPosterior,
    LayeredPrior,
    ResidualPosterior,
)
from reparam.distributions.likelihoods import make_likelihood
from reparam.model import Space, positive_count
from reparam.models.vae import VAE
from reparam.nets.hierarchy import BottomUp, FinestDecoder, LadderEncoder, TopDown
from reparam.nets.very_deep import DeepDecoder, DeepEncoder, DeepEvidence, DeepTopDown
from reparam.objectives.bounds import ELBO, IWAE, Objective
from reparam.objectives.weightings import FreeBits, Schedule
from reparam.presets.registry import Accepts, preset
from reparam.presets.vaes import LikelihoodName, Network, rising


@preset("hierarchical-vae", paper="Rezende et al. 2014, Stochastic backpropagation")
def hierarchical_vae(
    space: Space,
    *,
    latent_dims: tuple[int, ...] = (32, 16),
    between: tuple[int, ...] = (64,),
    k: int = 1,
    steps: int = 0,
    conditional: bool = False,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    batch_norm: bool = False,
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE with several stochastic layers whose posterior goes up: q(z1|x) q(z2|z1) ...

    Args:
        latent_dims: entries of each layer, the one next to x first.
        between: widths of the networks between the layers.
        k: draws per example; above 1 the bound is importance weighted (Burda et al. 2016).
        steps: optimizer steps over which the weight of the rate rises to 1; 0: it is 1 at once.
        conditional: on the class label, or on the attributes where there are any: x and the
            posterior of z1 depend on it, the prior and the layers above do not.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        batch_norm: normalize the batch before every activation.
        likelihood: of x given z1, as for vae.
    """
    _refuse_sizes(latent_dims, between)
    p_x, finest = make_likelihood(likelihood, space), latent_dims[0]
    given, outputs = space if conditional else None, p_x.parameter_shape
    more: nets.Options = {"condition": given, "normalize": batch_norm}
    encoder = nets.encoder(space.shape, (2 * finest,), hidden, network, **more)
    decoder = nets.decoder((finest,), outputs, space.shape, hidden, network, **more)
    q_z = BottomUpPosterior(BottomUp(latent_dims, between, batch_norm), 2 * finest)
    p_z = LayeredPrior(TopDown(latent_dims[::-1], between, batch_norm))
    positive_count("k", k)
    objective: Objective = ELBO(rising(steps)) if k == 1 else IWAE(k, rising(steps))
    return VAE(
        space, encoder, FinestDecoder(finest, decoder), q_z, p_z, p_x, objective, conditional
    )


@preset("ladder-vae", paper="Sønderby et al. 2016, Ladder variational autoencoders")
def ladder_vae(
    space: Space,
    *,
    latent_dims: tuple[int, ...] = (32, 16, 8),
    between: tuple[int, ...] = (64,),
    steps: int = 1000,
    conditional: bool = False,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    batch_norm: bool = True,
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE with several stochastic layers whose posterior goes down, prior times evidence.

    Args:
        latent_dims: entries of each layer, the one next to x first.
        between: widths of the networks between the layers.
        steps: optimizer steps over which the weight of the rate rises to 1.
        conditional: on the class label, or on the attributes where there are any: x and the
            evidence depend on it, the prior does not.
        hidden: widths of the hidden layers of the encoder, the last also of the way up.
        network: fully connected, convolutional, or by the size of the data.
        batch_norm: normalize the batch before every activation; without it, and without a rise of
            the rate's weight, upper layers collapse (Sønderby et al. 2016, section 3.2).
        likelihood: of x given z1, as for vae.
    """
    _refuse_sizes(latent_dims, between)
    p_x, finest, sizes = make_likelihood(likelihood, space), latent_dims[0], latent_dims[::-1]
    width = hidden[-1] if hidden else 2 * finest
    given, outputs = space if conditional else None, p_x.parameter_shape
    more: nets.Options = {"condition": given, "normalize": batch_norm}
    features = nets.encoder(space.shape, (width,), hidden, network, **more)
    decoder = nets.decoder((finest,), outputs, space.shape, hidden, network, **more)
    path = TopDown(sizes, between, batch_norm)
    q_z = LadderPosterior(path)
    p_z, objective = LayeredPrior(path), ELBO(Schedule(steps=steps))
    encoder = LadderEncoder(features, sizes, width, batch_norm)
    return VAE(
        space, encoder, FinestDecoder(finest, decoder), q_z, p_z, p_x, objective, conditional
    )


@preset(
    "very-deep-vae",
    paper="Child 2021, Very deep VAEs generalize autoregressive models",
    accepts=Accepts(vectors=False),
)
def very_deep_vae(
    space: Space,
    *,
    channels: int = 32,
    latent_channels: int = 4,
    blocks: int = 2,
    weighting: Literal["warm-up", "free-bits"] = "warm-up",
    steps: int = 1000,
    nats: float = 1.0,
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A convolutional VAE with layers of z on every grid from small to large, top down.

    Args:
        channels: of the feature maps.
        latent_channels: of z on every grid.
        blocks: layers of z on every grid, and residual blocks of the encoder.
        weighting: of the rate: rising to 1, or free of cost up to some nats a layer.
        steps: optimizer steps of the rise.
        nats: free of cost in every layer.
        likelihood: of x given z, as for vae.
    """
    counts = {"channels": channels, "latent_channels": latent_channels, "blocks": blocks}
    for name, value in counts.items():
        positive_count(name, value)
    p_x = make_likelihood(likelihood, space)
    path = DeepTopDown(space.shape, channels, latent_channels, blocks)
    encoder = DeepEncoder(space.shape, channels, blocks)
    decoder = DeepDecoder(path, channels, p_x.parameter_shape)
    q_z = ResidualPosterior(path, DeepEvidence(path, channels), encoder.features)
    p_z = LayeredPrior(path, owned=False)
    objective = ELBO(FreeBits(nats) if weighting == "free-bits" else Schedule(steps=steps))
    return VAE(space, encoder, decoder, q_z, p_z, p_x, objective)


def _refuse_sizes(latent_dims: tuple[int, ...], between: tuple[int, ...]) -> None:
    if not latent_dims:
        raise ValueError("latent_dims: expected at least one layer, got none")
    for size in latent_dims:
        positive_count("latent_dims", size)
    for width in between:
        positive_count("between", width)
