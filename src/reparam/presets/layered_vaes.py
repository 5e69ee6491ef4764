"""Presets of VAEs with several stochastic layers."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from reparam.distributions.deep_layers import (
    DeepDecoder,
    DeepDescent,
    DeepEncoder,
    DeepPosterior,
)
from reparam.distributions.layers import (
    Ascent,
    Descent,
    LadderDescent,
    LadderEvidence,
    LayeredPosterior,
    LayeredPrior,
)
from reparam.limits import Count, NonNegative, Whole
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.objectives.bounds import ELBO, IWAE, Objective
from reparam.objectives.weightings import FreeBits, Schedule
from reparam.presets.likelihoods import LikelihoodOptions
from reparam.presets.registry import Accepts, preset
from reparam.presets.vaes import LayeredOptions, rising


class Finest(nn.Module):
    """The decoder of models whose p(x|z) depends on the finest layer z_1 alone."""

    def __init__(self, size: int, network: nn.Module) -> None:
        super().__init__()
        self.size, self.network = size, network

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.network(z[:, -self.size :], c)


class Conditioned(nn.Sequential):
    """Networks one after the other, of which the first takes the condition."""

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        first, *others = self
        h = first(x, c)
        for network in others:
            h = network(h)
        return h


@preset("hierarchical-vae", paper="Rezende et al. 2014, Stochastic backpropagation")
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
    q_z = LayeredPosterior(Ascent(sizes, between, normalize), 2 * finest)
    p_z = LayeredPrior(Descent(sizes[::-1], between, normalize))
    objective: Objective = ELBO(rising(steps)) if k == 1 else IWAE(k, rising(steps))
    finest_decoder = Finest(finest, decoder)
    return VAE(space, encoder, finest_decoder, q_z, p_z, p_x, objective, options.conditional)


@preset(
    "ladder-vae",
    paper="Sønderby et al. 2016, Ladder variational autoencoders",
    defaults={"latent_dims": (32, 16, 8), "batch_norm": True},
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
    path = Descent(sizes, between, normalize)
    q_z = LayeredPosterior(LadderDescent(path), 2 * sum(sizes))
    p_z, objective = LayeredPrior(path), ELBO(Schedule(steps=steps))
    encoder = Conditioned(features, LadderEvidence(sizes, width, normalize))
    finest_decoder = Finest(finest, decoder)
    return VAE(space, encoder, finest_decoder, q_z, p_z, p_x, objective, options.conditional)


@preset("very-deep-vae", paper="Child 2021, Very deep VAEs generalize autoregressive models")
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
    path = DeepDescent(space.shape, channels, latent_channels, blocks)
    encoder = DeepEncoder(space.shape, channels, blocks)
    decoder = DeepDecoder(path, channels, p_x.parameter_shape)
    q_z = LayeredPosterior(DeepPosterior(path, channels), encoder.features)
    p_z = LayeredPrior(path, owned=False)
    objective = ELBO(FreeBits(nats) if weighting == "free-bits" else Schedule(steps=steps))
    return VAE(space, encoder, decoder, q_z, p_z, p_x, objective)
