"""Presets of VAEs with several stochastic layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from reparam.distributions.hierarchies import (
    BottomUpPosterior,
    LadderPosterior,
    LayeredPrior,
    ResidualPosterior,
)
from reparam.limits import Count, NonNegative, Whole
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.nets.hierarchy import BottomUp, FinestDecoder, LadderEncoder, TopDown
from reparam.nets.very_deep import DeepDecoder, DeepEncoder, DeepEvidence, DeepTopDown
from reparam.objectives.bounds import ELBO, IWAE, Objective
from reparam.objectives.weightings import FreeBits, Schedule
from reparam.presets.likelihoods import LikelihoodOptions
from reparam.presets.registry import Accepts, preset
from reparam.presets.steps import small_steps_of_reals
from reparam.presets.vaes import NetworkOptions, rising

FAMILY = "VAEs of several layers"
OBJECTIVE = "max E_q log p(x|z) − Σₗ KL(q(zₗ) ‖ p(zₗ | z above))"


@dataclass(frozen=True)
class LayeredOptions(LikelihoodOptions, NetworkOptions):
    """What VAEs of several stochastic layers of vectors take.

    Args:
        latent_dims: entries of each layer, the one next to x first.
        between: widths of the networks between the layers.
    """

    latent_dims: Annotated[tuple[Count, ...], Meta(min_length=1)] = (32, 16)
    between: tuple[Count, ...] = (64,)


@preset(
    "hierarchical-vae",
    paper="Rezende et al. 2014, Stochastic backpropagation",
    train=small_steps_of_reals,
    small={"latent_dims": (3, 2), "between": (6,)},
    when="To see what further layers of z carry, and how easily they collapse.",
)
def hierarchical_vae(
    space: Space, options: LayeredOptions, *, k: Count = 1, steps: Whole = 0
) -> VAE:
    """A VAE with several stochastic layers whose posterior goes up: q(z1|x) q(z2|z1) ...

    Of a conditional one, x and the posterior of z1 depend on c, the prior and the layers above do
    not.

    Args:
        k: draws per example; above 1 the bound is importance weighted (Burda et al. 2016).
        steps: optimizer steps over which the weight of the rate rises to 1; 0: it is 1 at once.
    """
    sizes, between, normalize = options.latent_dims, options.between, options.batch_norm
    p_x, finest = options.p_x(space), sizes[0]
    encoder = options.encoder(space, (2 * finest,))
    decoder = options.decoder((finest,), p_x.parameter_shape, space)
    q_z = BottomUpPosterior(BottomUp(sizes, between, normalize), 2 * finest)
    p_z = LayeredPrior(TopDown(sizes[::-1], between, normalize))
    objective: Objective = ELBO(rising(steps)) if k == 1 else IWAE(k, rising(steps))
    finest_decoder = FinestDecoder(finest, decoder)
    return VAE(space, encoder, finest_decoder, q_z, p_z, p_x, objective, options.conditional)


@preset(
    "ladder-vae",
    paper="Sønderby et al. 2016, Ladder variational autoencoders",
    defaults={"latent_dims": (32, 16, 8), "batch_norm": True},
    small={"latent_dims": (3, 2, 2), "between": (6,)},
    when="For codes on several levels of abstraction that are all used.",
)
def ladder_vae(space: Space, options: LayeredOptions, *, steps: Count = 1000) -> VAE:
    """A VAE with several stochastic layers whose posterior goes down, prior times evidence.

    Without batch normalization, and without a rise of the rate's weight, upper layers collapse
    (Sønderby et al. 2016, section 3.2). Of a conditional one, x and the evidence depend on c, the
    prior does not.

    Args:
        steps: optimizer steps over which the weight of the rate rises to 1.
    """
    between, normalize, hidden = options.between, options.batch_norm, options.hidden
    p_x, finest, sizes = options.p_x(space), options.latent_dims[0], options.latent_dims[::-1]
    width = hidden[-1] if hidden else 2 * finest
    features = options.encoder(space, (width,))
    decoder = options.decoder((finest,), p_x.parameter_shape, space)
    path = TopDown(sizes, between, normalize)
    q_z = LadderPosterior(path)
    p_z, objective = LayeredPrior(path), ELBO(Schedule(steps=steps))
    encoder = LadderEncoder(features, sizes, width, normalize)
    finest_decoder = FinestDecoder(finest, decoder)
    return VAE(space, encoder, finest_decoder, q_z, p_z, p_x, objective, options.conditional)


@preset(
    "very-deep-vae",
    paper="Child 2021, Very deep VAEs generalize autoregressive models",
    small={"channels": 4, "latent_channels": 2, "blocks": 1},
    when="For the best likelihoods of a VAE on images, where there is time to train.",
)
def very_deep_vae(
    space: Annotated[Space, Accepts(vectors=False)],
    options: LikelihoodOptions,
    *,
    channels: Count = 32,
    latent_channels: Count = 4,
    blocks: Count = 2,
    weighting: Literal["warm-up", "free-bits"] = "warm-up",
    steps: Count = 1000,
    nats: NonNegative = 1.0,
) -> VAE:
    """A convolutional VAE with layers of z on every grid from small to large, top down.

    Args:
        channels: of the feature maps.
        latent_channels: of z on every grid.
        blocks: layers of z on every grid, and residual blocks of the encoder.
        weighting: of the rate: rising to 1, or free of cost up to some nats a layer.
        steps: optimizer steps of the rise.
        nats: free of cost in every layer.
    """
    p_x = options.p_x(space)
    path = DeepTopDown(space.shape, channels, latent_channels, blocks)
    encoder = DeepEncoder(space.shape, channels, blocks)
    decoder = DeepDecoder(path, channels, p_x.parameter_shape)
    q_z = ResidualPosterior(path, DeepEvidence(path, channels), encoder.features)
    p_z = LayeredPrior(path, owned=False)
    objective = ELBO(FreeBits(nats) if weighting == "free-bits" else Schedule(steps=steps))
    return VAE(space, encoder, decoder, q_z, p_z, p_x, objective)
