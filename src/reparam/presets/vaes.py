"""Presets of variational autoencoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from reparam import nets
from reparam.bijections.base import Bijection, Chain, Inverse
from reparam.bijections.masked_affine import MaskedAffine
from reparam.bijections.planar import Planar, Radial
from reparam.bijections.shape import Reverse
from reparam.distributions.likelihoods import Likelihood, Normal, Scale, make_likelihood
from reparam.distributions.posteriors import (
    DiagonalNormal,
    FlowPosterior,
    FullNormal,
    GumbelSoftmax,
    NormalMixture,
    Posterior,
)
from reparam.distributions.priors import (
    AutoregressivePrior,
    ClassConditional,
    FlowPrior,
    MixturePrior,
    Prior,
    StandardNormal,
    UniformOneHot,
    VampPrior,
)
from reparam.model import Space, positive_count
from reparam.models.vae import VAE
from reparam.nets.masked import MADE
from reparam.objectives.bounds import ELBO, IWAE, DReG, Objective
from reparam.objectives.weightings import Beta, Schedule, Weighting
from reparam.presets.registry import Accepts, preset

LikelihoodName = Literal[
    "auto",
    "bernoulli",
    "categorical",
    "discretized-logistic",
    "discretized-normal",
    "normal",
    "heteroscedastic-normal",
]
Network = Literal["auto", "mlp", "conv"]
PosteriorName = Literal["diagonal", "full", "mixture", "planar", "radial", "iaf", "categorical"]
PriorName = Literal["auto", "mixture", "vamp", "flow", "autoregressive"]


def compose(
    space: Space,
    latent_dim: int,
    hidden: tuple[int, ...],
    network: Network,
    likelihood: Likelihood,
    objective: Objective,
    conditional: bool = False,
    posterior: Posterior | None = None,
    prior: PriorName | Literal["class"] = "auto",
    components: int = 10,
    normalize: bool = False,
) -> VAE:
    """A VAE with networks by shape; by default a diagonal normal posterior and its usual prior."""
    q_z = DiagonalNormal(latent_dim) if posterior is None else posterior
    given, outputs = space if conditional else None, likelihood.parameter_shape
    more: nets.Options = {"condition": given, "normalize": normalize}
    encoder = nets.encoder(space.shape, q_z.parameter_shape, hidden, network, **more)
    decoder = nets.decoder(q_z.event_shape, outputs, space.shape, hidden, network, **more)
    p_z = find_prior(prior, q_z, encoder, space, components)
    return VAE(space, encoder, decoder, q_z, p_z, likelihood, objective, conditional)


def find_posterior(
    name: PosteriorName, latent_dim: int, flows: int, components: int, categories: int
) -> Posterior:
    """The posterior of that name over ``latent_dim`` dimensions, or as many categoricals."""
    if name == "diagonal":
        return DiagonalNormal(latent_dim)
    if name == "full":
        return FullNormal(latent_dim)
    if name == "mixture":
        return NormalMixture(latent_dim, components)
    if name == "categorical":
        return GumbelSoftmax(latent_dim, categories)
    positive_count("flows", flows)
    if name == "iaf":
        context = 2 * latent_dim
        maps = [Inverse(MaskedAffine(latent_dim, (64,), context)) for _ in range(flows)]
        return FlowPosterior(latent_dim, Chain(*_reversed_between(maps)))
    kind = Planar if name == "planar" else Radial
    return FlowPosterior(latent_dim, Chain(*(kind(latent_dim) for _ in range(flows))))


def find_prior(
    name: PriorName | Literal["class"],
    posterior: Posterior,
    encoder: nn.Module,
    space: Space,
    components: int,
) -> Prior:
    """The prior of that name for draws of the posterior."""
    if isinstance(posterior, GumbelSoftmax) and name == "auto":
        return UniformOneHot(posterior.variables, posterior.categories)
    latent_dim = posterior.event_shape[0]
    if name == "mixture":
        return MixturePrior(latent_dim, components)
    if name == "vamp":
        return VampPrior(encoder, posterior, space.shape, components)
    if name == "flow":
        maps = [MaskedAffine(latent_dim) for _ in range(4)]
        return FlowPrior(latent_dim, Chain(*_reversed_between(maps)))
    if name == "autoregressive":
        return AutoregressivePrior(MADE((latent_dim,), 2, (64,), gain=0.1))
    if name == "class":
        if space.classes is None or space.attributes is not None:
            raise ValueError("prior: class needs data with labels and no attributes")
        return ClassConditional(latent_dim, space.classes)
    return StandardNormal(latent_dim)


def rising(steps: int) -> Weighting:
    """Weight 1 of the rate after a linear rise over so many optimizer steps, or at once."""
    return Schedule(steps=steps) if steps else Beta(1.0)


def _reversed_between(maps: Sequence[Bijection]) -> list[Bijection]:
    """The maps with the entries reversed between each two, so that none is always the first."""
    return [part for one in maps for part in (one, Reverse())][:-1]


@preset("vae", paper="Kingma & Welling 2014, Auto-encoding variational Bayes")
def vae(
    space: Space,
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
    likelihood: LikelihoodName = "auto",
    mixture: int = 1,
    posterior: PosteriorName = "diagonal",
    prior: PriorName = "auto",
    flows: int = 4,
    components: int = 10,
    categories: int = 10,
    steps: int = 0,
    batch_norm: bool = False,
) -> VAE:
    """A variational autoencoder; posterior, prior and likelihood are of your choice.

    Args:
        latent_dim: entries of z, or categorical variables.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z; auto fits the kind of the data. Normal has one learned scale,
            heteroscedastic-normal one for each entry of each example, from the decoder.
        mixture: components of a discretized-logistic likelihood.
        posterior: normal with a diagonal or full covariance, a mixture of diagonal normals, planar,
            radial or inverse autoregressive flow, or categorical by Gumbel-softmax.
        prior: auto is standard normal, uniform for categorical posteriors; others are learned: a
            mixture of normals, of posteriors of pseudo-inputs (vamp), an autoregressive flow, or
            autoregressive, a normal of every entry given those before it.
        flows: steps of a flow posterior.
        components: of mixtures, pseudo-inputs of vamp.
        categories: values of a categorical variable.
        steps: optimizer steps over which the weight of the rate rises to 1; 0: it is 1 at once.
        batch_norm: normalize the batch before every activation.
    """
    p_x = make_likelihood(likelihood, space, mixture)
    q_z = find_posterior(posterior, latent_dim, flows, components, categories)
    objective = ELBO(rising(steps))
    return compose(
        space,
        latent_dim,
        hidden,
        network,
        p_x,
        objective,
        posterior=q_z,
        prior=prior,
        components=components,
        normalize=batch_norm,
    )


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
    p_x = make_likelihood(likelihood, space)
    return compose(space, latent_dim, hidden, network, p_x, ELBO(Beta(beta)))


@preset("sigma-vae", paper="Rybkin et al. 2021, Simple and effective VAE training")
def sigma_vae(
    space: Space,
    *,
    scale: Scale = "optimal",
    sigma: float = 1.0,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (512, 256),
    network: Network = "auto",
) -> VAE:
    """A VAE with a normal likelihood whose scale is learned: how sharp, the data decide.

    Args:
        scale: one learned, one learned per entry, the optimum (the mean squared error), fixed, or
            one for each entry of each example from the decoder (network).
        sigma: the fixed scale, and where learning starts, in network units. A learned scale stays
            above 0.0009.
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
    prior: Literal["standard", "class"] = "standard",
) -> VAE:
    """A VAE given labels or attributes y: p(x|z, y), q(z|x, y), p(z); its score is log p(x|y).

    Args:
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z and y, as for vae.
        prior: of z: standard normal, or a normal learned for every class.
    """
    p_x = make_likelihood(likelihood, space)
    p_z: Literal["auto", "class"] = "auto" if prior == "standard" else prior
    return compose(space, latent_dim, hidden, network, p_x, ELBO(), conditional=True, prior=p_z)


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
        gradient: of the encoder: standard, or doubly reparametrized (Tucker et al. 2019).
        latent_dim: entries of z.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        likelihood: of x given z, as for vae.
    """
    p_x = make_likelihood(likelihood, space)
    objective = IWAE(k) if gradient == "standard" else DReG(k)
    return compose(space, latent_dim, hidden, network, p_x, objective)
