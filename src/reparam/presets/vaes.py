"""Variational autoencoders: their options, and presets that are these with an objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from torch import nn

from reparam import nets
from reparam.degradation import Degradation
from reparam.distributions.likelihoods import Likelihood, Normal, Scale
from reparam.distributions.posteriors import (
    DiagonalNormal,
    FullNormal,
    GumbelSoftmax,
    NormalMixture,
    Posterior,
)
from reparam.distributions.priors import (
    ClassConditional,
    MixturePrior,
    Prior,
    StandardNormal,
    UniformOneHot,
    VampPrior,
)
from reparam.limits import Count, Limited, NonNegative, Positive, Whole
from reparam.model import Space
from reparam.models.vae import VAE
from reparam.objectives.bounds import ELBO, IWAE, DReG, Objective
from reparam.objectives.weightings import Beta, Schedule, Weighting
from reparam.presets.given import GivenOptions
from reparam.presets.likelihoods import LikelihoodOptions
from reparam.presets.registry import PURE, Accepts, preset
from reparam.presets.steps import small_steps_of_reals

FAMILY = "Variational autoencoders"
OBJECTIVE = "max E_q log p(x|z) − KL(q(z|x) ‖ p(z))"


@dataclass(frozen=True)
class NetworkOptions(Limited):
    """The networks of a VAE, of one stochastic layer or of several.

    Args:
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
        batch_norm: normalize the batch before every activation.
        conditional: on the class label, or on the attributes where there are any: encoder and
            decoder take them, and the score is log p(x|y).
    """

    hidden: tuple[Count, ...] = (512, 256)
    network: nets.Network = "auto"
    batch_norm: bool = False
    conditional: bool = False

    def encoder(self, space: Space, outputs: Sequence[int]) -> nn.Module:
        """From x, and c, to so many numbers."""
        more = self._options(space)
        form = (self.hidden, self.network)
        return nets.encoder(space.shape, outputs, *form, **more, columns=space.columns)

    def decoder(self, inputs: Sequence[int], outputs: Sequence[int], space: Space) -> nn.Module:
        """From z, and c, to so many numbers for every entry of x."""
        more = self._options(space)
        return nets.decoder(inputs, outputs, space.shape, self.hidden, self.network, **more)

    def degradation(self, space: Space) -> Degradation | None:
        """Of x, what is left of which networks are given; None: they are given nothing."""
        return None

    def seen(self, space: Space, conditional: bool) -> Space | None:
        """The space of the condition that networks see; None where there is none."""
        return space if conditional else None

    def _options(self, space: Space) -> nets.Options:
        return {"condition": self.seen(space, self.conditional), "normalize": self.batch_norm}


@dataclass(frozen=True)
class CodeSize(Limited):
    """How much of z there is, which is told first.

    Args:
        latent_dim: entries of z, or categorical variables.
    """

    latent_dim: Count = 20


@dataclass(frozen=True)
class LatentOptions(NetworkOptions, CodeSize):
    """All of a VAE of one stochastic layer but p(x|z) and the objective.

    Args:
        posterior: normal with a diagonal or full covariance, a mixture of diagonal normals, planar
            or radial flow, inverse autoregressive flow, affine (iaf) or of splines, or categorical
            by Gumbel-softmax.
        prior: auto is standard normal, uniform for categorical posteriors; others are learned: a
            normal for every class, a mixture of normals, of posteriors of pseudo-inputs (vamp), an
            autoregressive flow, affine or of splines, or autoregressive, a normal of every entry
            given those before it.
        flows: layers of a flow posterior.
        components: of mixtures, pseudo-inputs of vamp.
        categories: values of a categorical variable.
    """

    posterior: Literal[
        "diagonal", "full", "mixture", "planar", "radial", "iaf", "spline", "categorical"
    ] = "diagonal"
    prior: Literal[
        "auto",
        "standard",
        "class",
        "mixture",
        "vamp",
        "flow-affine",
        "flow-spline",
        "autoregressive",
    ] = "auto"
    flows: Count = 4
    components: Count = 10
    categories: Count = 10

    def compose(self, space: Space, p_x: Likelihood, objective: Objective) -> VAE:
        """The VAE of these parts, with networks by shape."""
        q_z = self.q_z()
        encoder = self.encoder(space, q_z.parameter_shape)
        decoder = self.decoder(q_z.event_shape, p_x.parameter_shape, space)
        p_z = self.p_z(q_z, encoder, space)
        conditions = self.conditional, self.degradation(space)
        return VAE(space, encoder, decoder, q_z, p_z, p_x, objective, *conditions)

    def q_z(self) -> Posterior:
        """The posterior over ``latent_dim`` dimensions, or as many categoricals."""
        latent_dim = self.latent_dim
        if self.posterior == "diagonal":
            return DiagonalNormal(latent_dim)
        if self.posterior == "full":
            return FullNormal(latent_dim)
        if self.posterior == "mixture":
            return NormalMixture(latent_dim, self.components)
        if self.posterior == "categorical":
            return GumbelSoftmax(latent_dim, self.categories)
        from reparam.presets.flow_latents import flow_posterior  # here: most are no flows

        return flow_posterior(self.posterior, latent_dim, self.flows)

    def p_z(self, q_z: Posterior, encoder: nn.Module, space: Space) -> Prior:
        """The prior for draws of the posterior."""
        if isinstance(q_z, GumbelSoftmax) and self.prior == "auto":
            return UniformOneHot(q_z.variables, q_z.categories)
        latent_dim = q_z.event_shape[0]
        if self.prior == "mixture":
            return MixturePrior(latent_dim, self.components)
        if self.prior == "vamp":
            if space.columns:
                raise ValueError("prior: vamp learns inputs, which names and missing cells are not")
            return VampPrior(encoder, q_z, space.shape, self.components)
        if self.prior == "class":
            if space.classes is None or space.attributes is not None:
                raise ValueError("prior: class needs data with labels and no attributes")
            return ClassConditional(latent_dim, space.classes)
        if self.prior in ("auto", "standard"):
            return StandardNormal(latent_dim)
        from reparam.presets.flow_latents import autoregressive_prior, flow_prior  # as above

        if self.prior == "autoregressive":
            return autoregressive_prior(latent_dim)
        return flow_prior(self.prior, latent_dim)


@dataclass(frozen=True)
class VAEOptions(LikelihoodOptions, LatentOptions):
    """What every VAE of one stochastic layer takes."""

    def build(self, space: Space, objective: Objective) -> VAE:
        return self.compose(space, self.p_x(space), objective)


@dataclass(frozen=True)
class GivenVAEOptions(GivenOptions, VAEOptions):
    """What a VAE takes that is conditional on a class, or on what is left of x."""


def rising(steps: int) -> Weighting:
    """Weight 1 of the rate after a linear rise over so many optimizer steps, or at once."""
    return Schedule(steps=steps) if steps else Beta(1.0)


@preset(
    "vae",
    paper="Kingma & Welling 2014, Auto-encoding variational Bayes",
    train=small_steps_of_reals,
    when="The first to try where codes, samples and a likelihood are all wanted.",
)
def vae(space: Space, options: VAEOptions, *, steps: Whole = 0) -> VAE:
    """A variational autoencoder; posterior, prior and likelihood are of your choice.

    Args:
        steps: optimizer steps over which the weight of the rate rises to 1; 0: it is 1 at once.
    """
    return options.build(space, ELBO(rising(steps)))


@preset(
    "beta-vae",
    train=small_steps_of_reals,
    paper="Higgins et al. 2017, beta-VAE: Learning basic visual concepts",
    when="To trade reconstruction for a simpler code of fewer, more separate dimensions.",
    objective="max E_q log p(x|z) − β KL(q(z|x) ‖ p(z))",
)
def beta_vae(space: Space, options: VAEOptions, *, beta: NonNegative = 4.0) -> VAE:
    """A VAE whose rate is weighted by beta; its scores stay those of the unweighted bound.

    Args:
        beta: weight of the rate; 1 is the VAE.
    """
    return options.build(space, ELBO(Beta(beta)))


@preset(
    "sigma-vae",
    paper="Rybkin et al. 2021, Simple and effective VAE training",
    train=small_steps_of_reals,
    when="For real values and photos, where a fixed scale of the likelihood would blur.",
)
def sigma_vae(
    space: Annotated[Space, Accepts(PURE)],
    options: LatentOptions,
    *,
    scale: Scale = "optimal",
    sigma: Positive = 1.0,
) -> VAE:
    """A VAE with a normal likelihood whose scale is learned: how sharp, the data decide.

    Args:
        scale: one learned, one learned per entry, the optimum (the mean squared error), fixed, or
            one for each entry of each example from the decoder (network).
        sigma: the fixed scale, and where learning starts, in network units. A learned scale stays
            above 0.0009.
    """
    return options.compose(space, Normal(space, scale, sigma), ELBO())


@preset(
    "cvae",
    paper="Sohn et al. 2015, Learning structured output representation",
    train=small_steps_of_reals,
    fixed={"conditional": True},
    when="To draw examples of a class, with given attributes, or of what is left of them.",
    objective="max E_q log p(x|z, c) − KL(q(z|x, c) ‖ p(z))",
)
def cvae(space: Annotated[Space, Accepts(condition=True)], options: GivenVAEOptions) -> VAE:
    """A VAE given y, labels, attributes or what is left of x: p(x|z, y), q(z|x, y), p(z).

    Its score is log p(x|y).
    """
    return replace(options, conditional=options.given is None).build(space, ELBO())


@preset(
    "iwae",
    paper="Burda et al. 2016, Importance weighted autoencoders",
    train=small_steps_of_reals,
    small={"k": 3},
    when="For a higher likelihood than a VAE's, at k times the decoding.",
    objective="max E log 1/K Σₖ p(x|zₖ) p(zₖ) / q(zₖ|x)",
)
def iwae(
    space: Space,
    options: VAEOptions,
    *,
    k: Count = 5,
    gradient: Literal["standard", "dreg"] = "standard",
) -> VAE:
    """A VAE trained on the importance-weighted bound of k draws.

    Args:
        k: draws per example.
        gradient: of the encoder: standard, or doubly reparametrized (Tucker et al. 2019).
    """
    return options.build(space, IWAE(k) if gradient == "standard" else DReG(k))
