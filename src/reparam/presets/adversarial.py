"""Adversarial models: their options, and presets whose draws or codes a critic judges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import nn

from reparam import nets
from reparam.config import TrainConfig
from reparam.distributions.likelihoods import Bernoulli, Likelihood, Normal
from reparam.distributions.priors import MixturePrior, Prior, StandardNormal
from reparam.limits import Count, NonNegative, Positive
from reparam.model import Space
from reparam.models.aae import AdversarialAutoencoder
from reparam.models.gan import GAN
from reparam.models.vae import VAE
from reparam.nets.critic import Critic
from reparam.nets.squashed import Squashed
from reparam.objectives.adversarial_losses import AdversarialName
from reparam.objectives.bounds import ELBO
from reparam.objectives.latent_penalties import CriticPrior
from reparam.objectives.vae_gan import FeatureELBO
from reparam.objectives.weightings import Beta
from reparam.presets.autoencoders import AutoencoderOptions
from reparam.presets.given import GivenOptions
from reparam.presets.registry import PURE, Accepts, preset
from reparam.presets.vaes import LatentOptions, VAEOptions
from reparam.space import ColumnKind

FAMILY = "Adversarial models"
OBJECTIVE = "D: max E log D(x) + E log(1 − D(g(z))), g: max E log D(g(z))"
COLUMNS: tuple[ColumnKind, ...] = ("real", "log", "levels", "binary")  # names have no order
APART, NARROW = 2.0, 0.5  # between components of a prior, or from the middle, and their scale
# A mean of gradients follows a game too late: after 1 400 steps on digits draws of `gan` had a
# Fréchet distance of 7.6 with β₁ = 0.5, and of 3.7 with 0.
AVERAGED = TrainConfig(batch_size=64, betas=(0.0, 0.99), ema=0.999)


@dataclass(frozen=True)
class PlayerOptions(GivenOptions):
    """The two networks of a generative adversarial network.

    Args:
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the critic; the generator mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        conditional: on the class label, or on the attributes where there are any.
    """

    latent_dim: Count = 64
    hidden: tuple[Count, ...] = (256, 256)
    network: nets.Network = "auto"
    conditional: bool = False

    def build(
        self,
        space: Space,
        loss: AdversarialName,
        r1: NonNegative | Literal["auto"],
        dequantize: bool,
        critic_lr: Positive,
    ) -> GAN:
        """The model of these networks."""
        condition, shape = self.seen(space, self.conditional), space.shape
        form = (self.hidden, self.network)
        generator = nets.decoder((self.latent_dim,), shape, shape, *form, condition=condition)
        critic = Critic(shape, *form, condition)
        return GAN(
            space,
            generator,
            critic,
            self.latent_dim,
            loss,
            r1,
            dequantize,
            critic_lr,
            conditional=self.conditional,
            given=self.degradation(space),
        )


@preset(
    "gan",
    paper="Goodfellow et al. 2014, Generative adversarial nets",
    train=AVERAGED,
    small={"latent_dim": 2, "hidden": (8, 6)},
    when="For sharp samples in one pass, where no likelihood is needed.",
)
def gan(
    space: Annotated[Space, Accepts(columns=COLUMNS)],
    options: PlayerOptions,
    *,
    loss: AdversarialName = "non-saturating",
    r1: NonNegative | Literal["auto"] = "auto",
    dequantize: bool = False,
    critic_lr: Positive = 1.0,
) -> GAN:
    """A generator is trained against a critic that tells its draws from data.

    Args:
        loss: what both minimize; saturating is the minimax game itself.
        r1: weight of the squared slope of the critic at data; auto is 1, for wasserstein 0.
        dequantize: give the critic whole numbers with uniform noise, not as they are.
        critic_lr: learning rate of the critic, as a multiple of the generator's.
    """
    return options.build(space, loss, r1, dequantize, critic_lr)


@torch.no_grad()
def apart(prior: MixturePrior) -> MixturePrior:
    """The mixture with its components apart: side by side on a circle, or around a sphere.

    In one dimension they stand in a row; beyond two their directions are random ones.
    """
    components, latent_dim = prior.mean.shape[1:]
    places = torch.linspace(0, 2 * math.pi, components + 1)[:-1]
    if latent_dim == 1:
        means = APART * (torch.arange(components) - (components - 1) / 2)[:, None]
    elif latent_dim == 2:
        radius = APART * components / (2 * math.pi)
        means = radius * torch.stack([places.cos(), places.sin()], 1)
    else:
        means = APART * nn.functional.normalize(prior.mean[0], dim=1)
    prior.mean.copy_(means)
    prior.log_scale.fill_(math.log(NARROW))
    return prior


@preset(
    "aae",
    paper="Makhzani et al. 2016, Adversarial autoencoders",
    train=AVERAGED,
    fixed={"corruption": None, "amount": 0.25, "independent": False},
    small={"critic": (8,)},
    when="For codes that fill a prior of any form, and samples decoded from it.",
    objective="min ‖x − g(f(x))‖² with codes f(x) that a critic cannot tell from z ~ p(z)",
)
def aae(
    space: Space,
    options: AutoencoderOptions,
    *,
    weight: NonNegative = 1.0,
    prior: Literal["standard", "mixture"] = "standard",
    components: Count = 10,
    posterior: Literal["deterministic", "normal"] = "deterministic",
    critic: tuple[Count, ...] = (256, 256),
    critic_lr: Positive = 3.0,
) -> AdversarialAutoencoder | VAE:
    """An autoencoder whose codes a critic pulls to a prior; no likelihood.

    Args:
        weight: of what the critic says of the codes.
        prior: of the codes: standard normal, or a mixture of normals around a circle or sphere.
        components: of the mixture.
        posterior: deterministic codes, or normal ones, for which the model is a VAE whose rate has
            no weight, with a bound, and the likelihood says what is minimized.
        critic: widths of the hidden layers of the critic.
        critic_lr: its learning rate, as a multiple of the model's.
    """
    penalty = CriticPrior(options.latent_dim, weight, critic, critic_lr)
    if posterior == "normal":
        return _with_bound(space, options, penalty, prior, components)
    p_z: Prior = StandardNormal(options.latent_dim)
    if prior == "mixture":
        p_z = apart(MixturePrior(options.latent_dim, components))
    networks = options.networks(space)
    return AdversarialAutoencoder(space, *networks, p_z, penalty, options.loss)


def _with_bound(
    space: Space,
    options: AutoencoderOptions,
    penalty: CriticPrior,
    prior: Literal["standard", "mixture"],
    components: int,
) -> VAE:
    """The VAE of such codes, whose prior stays as it is."""
    if options.loss != "auto":
        raise ValueError(
            f"loss: expected auto with posterior=normal, whose likelihood is minimized, got "
            f"{options.loss}; take posterior=deterministic"
        )
    of_z = VAEOptions(
        latent_dim=options.latent_dim,
        hidden=options.hidden,
        network=options.network,
        prior=prior,
        components=components,
    )
    model = of_z.build(space, ELBO(Beta(0.0), penalties=(penalty,)))
    if isinstance(model.p_z, MixturePrior):
        apart(model.p_z)
    model.p_z.requires_grad_(False)
    return model


@preset(
    "vae-gan",
    paper="Larsen et al. 2016, Autoencoding beyond pixels using a learned similarity metric",
    train=AVERAGED,
    small={"critic": (8, 6), "sigma": 0.5},  # at first all x are alike
    when="For sharper samples and reconstructions than a VAE's, with codes of given images.",
    objective="min KL(q(z|x) ‖ p(z)) + ‖φ(x) − φ(g(z))‖², φ of a critic D",
)
def vae_gan(
    space: Annotated[Space, Accepts(PURE)],
    options: LatentOptions,
    *,
    beta: NonNegative = 1.0,
    gamma: NonNegative = 0.003,
    sigma: Positive = 0.05,
    r1: NonNegative = 0.3,
    critic: tuple[Count, ...] = (256, 256),
    critic_lr: Positive = 1.0,
) -> VAE:
    """A VAE whose reconstructions are near in what a critic sees, and look real to it.

    Args:
        beta: weight of the rate.
        gamma: weight of the distance in features, against looking real, for the decoder.
        sigma: scale of p(x|z) in network units, of binary data a coin; it is not trained.
        r1: weight of the squared slope of the critic at data.
        critic: widths of its hidden layers; features are the last one.
        critic_lr: its learning rate, as a multiple of the model's.
    """
    binary = space.kind == "binary"
    p_x: Likelihood = Bernoulli(space) if binary else Normal(space, "fixed", sigma)
    condition = space if options.conditional else None
    judge = Critic(space.shape, critic, options.network, condition)
    model = options.compose(space, p_x, FeatureELBO(judge, beta, gamma, r1, critic_lr))
    if space.kind == "levels":  # means beyond the range would be cut, and learn nothing there
        model.decoder = Squashed(model.decoder)
    return model
