"""Presets of VAEs with penalties: on total correlation, on covariances, on discrepancy."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from reparam.limits import AtLeastOne, Count, NonNegative, Positive
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.objectives.bounds import ELBO
from reparam.objectives.latent_penalties import DIP, MMD, CriticTotalCorrelation, TotalCorrelation
from reparam.objectives.weightings import Beta
from reparam.presets.registry import preset
from reparam.presets.steps import small_steps, small_steps_of_reals
from reparam.presets.vaes import VAEOptions

FAMILY = "VAEs with penalties"
OBJECTIVE = "max E_q log p(x|z) − β KL(q(z|x) ‖ p(z)) − λ D(q(z))"


@preset(
    "beta-tcvae",
    paper="Chen et al. 2018, Isolating sources of disentanglement in VAEs",
    train=small_steps_of_reals,
    when="For separate factors of variation at less loss of detail than beta-vae's.",
)
def beta_tcvae(space: Space, options: VAEOptions, *, beta: AtLeastOne = 6.0) -> VAE:
    """A VAE whose total correlation is weighted by beta, the other parts of its rate by 1.

    Args:
        beta: weight of the total correlation; 1 is the VAE.
    """
    return options.build(space, ELBO(penalties=(TotalCorrelation(beta - 1),)))


@preset(
    "factor-vae",
    paper="Kim & Mnih 2018, Disentangling by factorizing",
    train=small_steps_of_reals,
    small={"critic": (8,)},
    when="For separate factors of variation where the rate is not to be weighted more.",
)
def factor_vae(
    space: Space,
    options: VAEOptions,
    *,
    gamma: NonNegative = 10.0,
    critic: tuple[Count, ...] = (256, 256),
    critic_lr: Positive = 1.0,
) -> VAE:
    """A VAE with a penalty on the total correlation of its codes, as a critic estimates it.

    Args:
        gamma: weight of the total correlation.
        critic: widths of the critic's hidden layers.
        critic_lr: its learning rate, as a multiple of the model's.
    """
    penalty = CriticTotalCorrelation(options.latent_dim, gamma, critic, critic_lr)
    return options.build(space, ELBO(penalties=(penalty,)))


@preset(
    "dip-vae",
    paper="Kumar et al. 2018, Variational inference of disentangled concepts",
    train=small_steps_of_reals,
    when="For separate factors of variation without a critic or an estimate by batches.",
)
def dip_vae(
    space: Space,
    options: VAEOptions,
    *,
    codes: Literal["means", "draws"] = "means",
    off_diagonal: NonNegative = 10.0,
    diagonal: NonNegative = 10.0,
) -> VAE:
    """A VAE whose codes are to be uncorrelated and of variance one.

    Args:
        codes: posterior means (DIP-VAE-I) or draws (DIP-VAE-II).
        off_diagonal: weight of the squared covariances.
        diagonal: weight of the squared deviations of the variances from 1.
    """
    return options.build(space, ELBO(penalties=(DIP(codes, off_diagonal, diagonal),)))


@preset(
    "info-vae",
    paper="Zhao et al. 2019, InfoVAE: balancing learning and inference",
    train=small_steps,
    when="For codes that say much about x and still follow the prior.",
)
def info_vae(
    space: Space,
    options: VAEOptions,
    *,
    alpha: Annotated[float, Meta(le=1)] = 0.0,
    weight: NonNegative = 100.0,
) -> VAE:
    """A VAE whose aggregate posterior is pulled to the prior, so that the rate may weigh less.

    Args:
        alpha: of the paper, at most 1: the rate is weighted by 1 - alpha.
        weight: of the squared maximum mean discrepancy.
    """
    return options.build(space, ELBO(Beta(1 - alpha), penalties=(MMD(weight),)))


@preset(
    "wae",
    paper="Tolstikhin et al. 2018, Wasserstein auto-encoders",
    train=small_steps,
    when="For sharper reconstructions than a VAE's and still a prior to draw from.",
)
def wae(space: Space, options: VAEOptions, *, weight: NonNegative = 100.0) -> VAE:
    """A VAE without rate: only the aggregate posterior is pulled to the prior.

    Args:
        weight: of the squared maximum mean discrepancy.
    """
    return options.build(space, ELBO(Beta(0.0), penalties=(MMD(weight),)))
