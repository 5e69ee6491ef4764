"""Presets of VAEs whose rate is weighted: by schedule, by learning, by feedback."""

from __future__ import annotations

from reparam.distributions.likelihoods import make_likelihood
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.objectives.bounds import ELBO
from reparam.objectives.controllers import IncrementalPIController, PIController
from reparam.objectives.learned_weights import DimensionwiseLearnedWeights, LearnedWeights
from reparam.objectives.weightings import Capacity, Curve, FreeBits, Schedule, Weighting
from reparam.presets.registry import Accepts, preset
from reparam.presets.vaes import LikelihoodName, Network, compose


def _weighted(
    space: Space,
    latent_dim: int,
    hidden: tuple[int, ...],
    network: Network,
    likelihood: LikelihoodName,
    weighting: Weighting,
) -> VAE:
    p_x = make_likelihood(likelihood, space)
    return compose(space, latent_dim, hidden, network, p_x, ELBO(weighting))


@preset("annealed-vae", paper="Bowman et al. 2016, Generating sentences from a continuous space")
def annealed_vae(
    space: Space,
    *,
    curve: Curve = "linear",
    steps: int = 1000,
    start: float = 0.0,
    end: float = 1.0,
    cycles: int = 4,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose rate is weighted by a beta that rises while training.

    Args:
        curve: of the rise: linear, cosine, or cyclic (Fu et al. 2019).
        steps: optimizer steps that it takes; weights are judged from then on.
        start: beta of the first step.
        end: beta at the end; 1 is the VAE.
        cycles: rises of the cyclic curve.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    weighting = Schedule(curve, steps, start, end, cycles)
    return _weighted(space, latent_dim, hidden, network, likelihood, weighting)


@preset("capacity-vae", paper="Burgess et al. 2018, Understanding disentangling in beta-VAE")
def capacity_vae(
    space: Space,
    *,
    capacity: float = 25.0,
    gamma: float = 10.0,
    steps: int = 1000,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose rate is pulled to a capacity that rises while training.

    Args:
        capacity: the rate at the end, in nats.
        gamma: weight of the distance from it.
        steps: optimizer steps until the capacity is reached; weights are judged from then on.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    weighting = Capacity(capacity, gamma, steps)
    return _weighted(space, latent_dim, hidden, network, likelihood, weighting)


@preset("free-bits-vae", paper="Kingma et al. 2016, Improving variational inference with IAF")
def free_bits_vae(
    space: Space,
    *,
    nats: float = 0.1,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE in which every latent dimension may carry some nats at no cost, against collapse.

    Args:
        nats: free of cost in every dimension, on average over a batch.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    return _weighted(space, latent_dim, hidden, network, likelihood, FreeBits(nats))


@preset(
    "l-vae",
    paper="Mogultay Ozcan et al. 2025, L-VAE: variational autoencoder with learnable beta",
    accepts=Accepts(kinds=("binary", "levels")),
)
def l_vae(
    space: Space,
    *,
    steps: int = 1000,
    weights_lr: float = 10.0,
    floor: float = 2.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE that learns the weights of distortion and rate: beta ends at their root ratio.

    Args:
        steps: optimizer steps as a VAE before the weights are learned.
        weights_lr: learning rate of the weights, as a multiple of the model's.
        floor: least sigma² of the rate. A rate below its square gets the weight 1 / floor, and beta
            is at most the root of the distortion over it; small images collapse if it is too low
            (digits at 1).
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    weighting = LearnedWeights(steps, weights_lr, floor)
    return _weighted(space, latent_dim, hidden, network, likelihood, weighting)


@preset(
    "dl-vae",
    paper="Mogultay Ozcan et al. 2025, L-VAE: variational autoencoder with learnable beta",
    accepts=Accepts(kinds=("binary", "levels")),
)
def dl_vae(
    space: Space,
    *,
    steps: int = 1000,
    weights_lr: float = 10.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE that learns a weight for the distortion and for the rate of every latent dimension.

    Args:
        steps: optimizer steps as a VAE before the weights are learned.
        weights_lr: learning rate of the weights, as a multiple of the model's.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    weighting = DimensionwiseLearnedWeights(latent_dim, steps, weights_lr)
    return _weighted(space, latent_dim, hidden, network, likelihood, weighting)


@preset("control-vae", paper="Shao et al. 2020, ControlVAE: controllable variational autoencoder")
def control_vae(
    space: Space,
    *,
    target: float = 16.0,
    steps: int = 1000,
    p_gain: float = 0.01,
    i_gain: float = 0.001,
    low: float = 1.0,
    high: float = 100.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose beta a PI controller moves until the rate is what was asked for.

    Args:
        target: the rate wanted, in nats.
        steps: optimizer steps over which it rises from 0.
        p_gain: of the error itself.
        i_gain: of its sum.
        low: least beta; 1 to disentangle, 0 to generate.
        high: largest beta.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    weighting = PIController(target, steps, p_gain, i_gain, low, high)
    return _weighted(space, latent_dim, hidden, network, likelihood, weighting)


@preset("dynamic-vae", paper="Shao et al. 2022, Rethinking controllable variational autoencoders")
def dynamic_vae(
    space: Space,
    *,
    target: float = 16.0,
    p_gain: float = 0.01,
    i_gain: float = 0.005,
    low: float = 0.1,
    high: float = 50.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
) -> VAE:
    """A VAE whose beta falls from far above, step by step, until the rate is what was asked for.

    Args:
        target: the rate wanted, in nats.
        p_gain: of the change of the error.
        i_gain: of the error itself.
        low: least beta.
        high: beta of the first step, and the largest.
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    weighting = IncrementalPIController(target, p_gain, i_gain, low, high)
    return _weighted(space, latent_dim, hidden, network, likelihood, weighting)
