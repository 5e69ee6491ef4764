"""What is said of VAEs: that they blur, that their prior is no proposal, and what β does."""

from __future__ import annotations

from dataclasses import replace

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
from reparam.report.claims.verdicts import (
    Claim,
    Named,
    Part,
    absent,
    exceeds,
    lacking,
    plain,
    untold,
)

SHARP = "sample_sharpness"
EDGES = "sharpness is that of images"
WEIGHED_ROWS, REPEATS, MOST_DRAWS = 30, 20, 100  # test rows, times each, and draws each time


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
    wider = "An estimate by p(z) varies more from one set of draws to the next than one by q(z|x)."
    vae = c.first(roles.plain_vae) or c.first(roles.vae)
    if vae is None:
        return Claim(11, sentence, [lacking(text, "vae") for text in (fewer, wider)])
    assert isinstance(vae.model, LatentVariable)
    prior, posterior = weighted(c, vae.model)
    k = f"of {prior.samples} draws"
    counted = [
        Named(f"{vae.label}, effective {k}: q(z|x)", _effective(posterior)),
        Named("p(z)", _effective(prior)),
    ]
    spread = [
        Named(f"{vae.label}, deviation in nats {k}: p(z)", _deviation(prior)),
        Named("q(z|x)", _deviation(posterior)),
    ]
    parts = [exceeds(fewer, "effective samples", *counted), exceeds(wider, "deviation", *spread)]
    lower = _mean(posterior).value - _mean(prior).value
    way = "lower" if lower > 0 else "higher"
    note = f"; the bound by p(z) is {plain(abs(round(lower, 2)))} nats {way}"
    parts[1] = replace(parts[1], numbers=parts[1].numbers + note)
    return Claim(11, sentence, parts)


def weighted(c: Compared, model: LatentVariable) -> tuple[WeightedLogProb, WeightedLogProb]:
    """Of a few test rows, several times each, log p(x) by p(z), and by q(z|x), by as many draws."""
    rows = subset(c.data.test, WEIGHED_ROWS, c.seed)
    each = len(rows) * REPEATS * model.passes_per_sample * cost(c.data.space)
    k = min(MOST_DRAWS, max(10, MOST_PASSED // each))
    given = condition(model, rows)
    x = rows.x.repeat_interleave(REPEATS, 0)
    given = None if given is None else given.repeat_interleave(REPEATS, 0)
    prior = prior_log_prob(model, x, given, samples=k, generator=c.generator)
    return prior, posterior_log_prob(model, x, given, samples=k, generator=c.generator)


def _effective(found: WeightedLogProb) -> Score:
    return mean_score(found.effective_samples.view(-1, REPEATS).mean(1), "draws", "test")


def _deviation(found: WeightedLogProb) -> Score:
    """Of the estimates of a row, the mean over rows."""
    return mean_score(found.value.view(-1, REPEATS).std(1), "nats", "test")


def _mean(found: WeightedLogProb) -> Score:
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
