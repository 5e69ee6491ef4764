"""What is said of VAEs: that they blur, that their prior is no proposal, and what β does."""

from __future__ import annotations

import torch

from reparam.batching import cost
from reparam.data import condition
from reparam.evaluation.prior_draws import WeightedLogProb, posterior_log_prob, prior_log_prob
from reparam.evaluation.reconstruction import laplacian_variance
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score, mean_score
from reparam.model import Encoder, Generator, LatentVariable, Model
from reparam.presets.registry import PRESETS, shown
from reparam.report.claims import roles
from reparam.report.claims.compared import MOST_PASSED, Compared, named
from reparam.report.claims.verdicts import Claim, Named, Part, absent, exceeds, lacking, untold

SHARP = "sample_sharpness"
EDGES = "sharpness is that of images"
WEIGHED_ROWS, MOST_DRAWS = 30, 1000  # test rows, and draws of each


def blur(c: Compared) -> Claim:
    sentence = (
        "Samples of a VAE are blurrier than those of a GAN, and its single draws are noisier than "
        "its means."
    )
    return Claim(2, sentence, [_blurrier(c), _noisier(c)])


def _blurrier(c: Compared) -> Part:
    sentence = "Samples of a VAE, the means of p(x|z), have fewer edges than those of a GAN."
    vae, gan = c.first(roles.plain_vae) or c.first(roles.vae), c.first(roles.adversarial)
    if not c.has_edges:
        return untold(sentence, EDGES)
    if vae is None or gan is None:
        return lacking(sentence, *absent(vae=vae, gan=gan))
    assert isinstance(vae.model, Generator) and isinstance(gan.model, Generator)
    means = c.draws(vae.model).means
    assert means is not None
    sharp = Named(gan.label, c.sharpness(c.draws(gan.model).draws))
    return exceeds(sentence, SHARP, sharp, Named(f"means of {vae.label}", c.sharpness(means)))


def _noisier(c: Compared) -> Part:
    sentence = "Single draws of p(x|z) have more edges, which are noise, than its means."
    vae = c.first(roles.plain_vae) or c.first(roles.vae)
    if not c.has_edges:
        return untold(sentence, EDGES)
    if vae is None:
        return lacking(sentence, "vae")
    assert isinstance(vae.model, Generator)
    found = c.draws(vae.model)
    assert found.means is not None
    real = laplacian_variance(c.test.x.double()).mean()

    def sharp(x: torch.Tensor) -> Score:  # of the same z, so that differences are in pairs
        return mean_score(laplacian_variance(x.double()) / real, "of test images", "none")

    draws, means = Named(f"draws of {vae.label}", sharp(found.draws)), sharp(found.means)
    return exceeds(sentence, SHARP, draws, Named("its means", means))


def vary_too_much_by_the_prior(c: Compared) -> Claim:
    sentence = "Draws from the prior estimate log p(x) with too much variance."
    fewer = "Fewer of as many draws count than of draws from q(z|x)."
    lower = "What they tell lies below the importance-weighted bound."
    vae = c.first(roles.plain_vae) or c.first(roles.vae)
    if vae is None:
        return Claim(11, sentence, [lacking(text, "vae") for text in (fewer, lower)])
    assert isinstance(vae.model, LatentVariable)
    prior, posterior = weighted(c, vae.model)
    k = f"of {prior.samples:,}"
    return Claim(
        11,
        sentence,
        [
            exceeds(
                fewer,
                "effective samples",
                Named(f"{vae.label}, effective draws {k}: q(z|x)", _mean(posterior, "draws")),
                Named("p(z)", _mean(prior, "draws")),
            ),
            exceeds(
                lower,
                "log_likelihood",
                Named(f"{vae.label} by q(z|x)", _mean(posterior)),
                Named("by p(z)", _mean(prior)),
            ),
        ],
    )


def weighted(c: Compared, model: LatentVariable) -> tuple[WeightedLogProb, WeightedLogProb]:
    """Of a few test rows log p(x) by p(z), and by q(z|x), by as many draws."""
    rows = subset(c.data.test, WEIGHED_ROWS, c.seed)
    each = len(rows) * model.passes_per_sample * cost(c.data.space)
    k = min(MOST_DRAWS, max(10, MOST_PASSED // each))
    x, given = rows.x, condition(model, rows)
    prior = prior_log_prob(model, x, given, samples=k, generator=c.generator)
    return prior, posterior_log_prob(model, x, given, samples=k, generator=c.generator)


def _mean(found: WeightedLogProb, of: str = "") -> Score:
    if of:
        return mean_score(found.effective_samples, of, "test")
    return mean_score(found.value, "nats", "test", kind=found.kind)


def raise_the_distortion(c: Compared) -> Claim:
    sentence = "A weight β > 1 of the rate raises the distortion."
    name = "distortion"
    said = "The distortion is higher than that of a VAE with β = 1."
    base = c.first(roles.plain_vae, name)
    like = None if base is None else base.model
    raised = [e for e in c.of(lambda m: _raised(m, like)) if name in e.scores]
    if base is None or not raised:
        missing = ["vae"] if base is None else []
        missing += [] if raised else [_as(base.model if base else None, "beta-vae")]
        return Claim(12, sentence, [lacking(said, *missing)])
    parts = [exceeds(said, name, named(e, name), named(base, name)) for e in raised[:1]]
    return Claim(12, sentence, parts)


def _raised(model: Model, like: Model | None) -> bool:
    """β > 1, with codes of the same size where there is a model to be like."""
    weight = roles.weight_of_rate(model)
    if weight is None or weight <= 1 or not isinstance(model, Encoder):
        return False
    return not isinstance(like, Encoder) or model.code_space == like.code_space


def _as(like: Model | None, preset: str) -> str:
    """A preset with the parameters of another model that it has as well, as one types it."""
    given = {} if like is None or like.recipe is None else like.recipe["parameters"]
    known = PRESETS[preset].parameters
    return " ".join([preset, *(f"{k}={shown(v)}" for k, v in given.items() if k in known)])
