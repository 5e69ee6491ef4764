"""Presets of VAEs that weigh distortion and rate anew: by schedule, learned, or controlled."""

from __future__ import annotations

from typing import Annotated

from reparam.limits import Count, NonNegative, Positive, Whole
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.objectives.bounds import ELBO
from reparam.objectives.controllers import IncrementalPIController, PIController
from reparam.objectives.learned_weights import DimensionwiseLearnedWeights, LearnedWeights
from reparam.objectives.weightings import Capacity, Curve, FreeBits, Schedule
from reparam.presets.registry import Accepts, preset
from reparam.presets.steps import small_steps_of_reals
from reparam.presets.vaes import VAEOptions

FAMILY = "VAEs whose weights move"
OBJECTIVE = "max E_q log p(x|z) − β KL(q(z|x) ‖ p(z)), β moving"

DISCRETE = Accepts(kinds=("binary", "levels"))  # whose distortion is never negative


@preset(
    "annealed-vae",
    paper="Bowman et al. 2016, Generating sentences from a continuous space",
    train=small_steps_of_reals,
    when="Against a rate that collapses early in training.",
)
def annealed_vae(
    space: Space,
    options: VAEOptions,
    *,
    curve: Curve = "linear",
    steps: Count = 1000,
    start: NonNegative = 0.0,
    end: NonNegative = 1.0,
    cycles: Count = 4,
) -> VAE:
    """A VAE whose rate is weighted by a beta that rises while training.

    Args:
        curve: of the rise: linear, cosine, or cyclic (Fu et al. 2019).
        steps: optimizer steps that it takes; weights are judged from then on.
        start: beta of the first step.
        end: beta at the end; 1 is the VAE.
        cycles: rises of the cyclic curve.
    """
    return options.build(space, ELBO(Schedule(curve, steps, start, end, cycles)))


@preset(
    "capacity-vae",
    paper="Burgess et al. 2018, Understanding disentangling in beta-VAE",
    train=small_steps_of_reals,
    when="To see factors of variation enter the code one after the other.",
    objective="max E_q log p(x|z) − γ |KL(q(z|x) ‖ p(z)) − C|, C rising",
)
def capacity_vae(
    space: Space,
    options: VAEOptions,
    *,
    capacity: NonNegative = 25.0,
    gamma: NonNegative = 10.0,
    steps: Count = 1000,
) -> VAE:
    """A VAE whose rate is pulled to a capacity that rises while training.

    Args:
        capacity: the rate at the end, in nats.
        gamma: weight of the distance from it.
        steps: optimizer steps until the capacity is reached; weights are judged from then on.
    """
    return options.build(space, ELBO(Capacity(capacity, gamma, steps)))


@preset(
    "free-bits-vae",
    paper="Kingma et al. 2016, Improving variational inference with IAF",
    train=small_steps_of_reals,
    when="Where dimensions or all of z stay idle.",
    objective="max E_q log p(x|z) − Σⱼ max(λ, KL(q(zⱼ|x) ‖ p(zⱼ)))",
)
def free_bits_vae(space: Space, options: VAEOptions, *, nats: NonNegative = 0.1) -> VAE:
    """A VAE in which every latent dimension may carry some nats at no cost, against collapse.

    Args:
        nats: free of cost in every dimension, on average over a batch.
    """
    return options.build(space, ELBO(FreeBits(nats)))


@preset(
    "l-vae",
    paper="Mogultay Ozcan et al. 2025, L-VAE: variational autoencoder with learnable beta",
    small={"steps": 0},
    when="Where the balance of reconstruction and code is not to be searched by hand.",
)
def l_vae(
    space: Annotated[Space, DISCRETE],
    options: VAEOptions,
    *,
    steps: Whole = 1000,
    weights_lr: Positive = 10.0,
    floor: Positive = 2.0,
) -> VAE:
    """A VAE that learns the weights of distortion and rate: beta ends at their root ratio.

    Args:
        steps: optimizer steps as a VAE before the weights are learned.
        weights_lr: learning rate of the weights, as a multiple of the model's.
        floor: least sigma² of the rate. A rate below its square gets the weight 1 / floor, and beta
            is at most the root of the distortion over it; small images collapse if it is too low
            (digits at 1).
    """
    return options.build(space, ELBO(LearnedWeights(steps, weights_lr, floor)))


@preset(
    "dl-vae",
    paper="Mogultay Ozcan et al. 2025, L-VAE: variational autoencoder with learnable beta",
    small={"steps": 0},
    when="As l-vae, where dimensions differ much in what they carry.",
)
def dl_vae(
    space: Annotated[Space, DISCRETE],
    options: VAEOptions,
    *,
    steps: Whole = 1000,
    weights_lr: Positive = 10.0,
) -> VAE:
    """A VAE that learns a weight for the distortion and for the rate of every latent dimension.

    Args:
        steps: optimizer steps as a VAE before the weights are learned.
        weights_lr: learning rate of the weights, as a multiple of the model's.
    """
    weighting = DimensionwiseLearnedWeights(options.latent_dim, steps, weights_lr)
    return options.build(space, ELBO(weighting))


@preset(
    "control-vae",
    paper="Shao et al. 2020, ControlVAE: controllable variational autoencoder",
    when="Where the code is to carry so many nats and no others.",
)
def control_vae(
    space: Space,
    options: VAEOptions,
    *,
    target: NonNegative = 16.0,
    steps: Count = 1000,
    p_gain: NonNegative = 0.01,
    i_gain: NonNegative = 0.001,
    low: NonNegative = 1.0,
    high: NonNegative = 100.0,
) -> VAE:
    """A VAE whose beta a PI controller moves until the rate is what was asked for.

    Args:
        target: the rate wanted, in nats.
        steps: optimizer steps over which it rises from 0.
        p_gain: of the error itself.
        i_gain: of its sum.
        low: least beta; 1 to disentangle, 0 to generate.
        high: largest beta.
    """
    return options.build(space, ELBO(PIController(target, steps, p_gain, i_gain, low, high)))


@preset(
    "dynamic-vae",
    paper="Shao et al. 2022, Rethinking controllable variational autoencoders",
    when="As control-vae, for factors of variation: what is learned first stays apart.",
)
def dynamic_vae(
    space: Space,
    options: VAEOptions,
    *,
    target: NonNegative = 16.0,
    p_gain: NonNegative = 0.01,
    i_gain: NonNegative = 0.005,
    low: NonNegative = 0.1,
    high: NonNegative = 50.0,
) -> VAE:
    """A VAE whose beta falls from far above, step by step, until the rate is what was asked for.

    Args:
        target: the rate wanted, in nats.
        p_gain: of the change of the error.
        i_gain: of the error itself.
        low: least beta.
        high: beta of the first step, and the largest.
    """
    return options.build(space, ELBO(IncrementalPIController(target, p_gain, i_gain, low, high)))
