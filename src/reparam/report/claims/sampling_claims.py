"""What is said of samples: of GANs, and of models that undo noise."""

from __future__ import annotations

import math
from functools import partial

from reparam.evaluation.quality_by_time import QualityByTime
from reparam.evaluation.scores import Score
from reparam.model import Density, Generator
from reparam.report.claims import roles
from reparam.report.claims.compared import (
    Compared,
    higher,
    milliseconds,
    named,
    seconds,
    unmeasured,
)
from reparam.report.claims.vae_claims import EDGES, SHARP
from reparam.report.claims.verdicts import (
    Claim,
    Named,
    Part,
    above,
    absent,
    exceeds,
    fact,
    lacking,
    untold,
)
from reparam.report.trained import TrainedModel

RECALL, ENTROPY, DISTANCE = "sample_recall", "label_entropy", "frechet_distance"
SHARP_ENOUGH = 0.9  # of the edges of data
TIMED_DRAWS, MOST_TIMED = 16, 10  # draws, steps back in time
FEW_STEPS = 5


def may_lose_modes(c: Compared) -> Claim:
    sentence = "A GAN has no density and sharp samples, and may lose modes."
    parts = [_no_density(c), _sharp(c), _less_recall(c), _less_entropy(c)]
    return Claim(5, sentence, parts)


def _no_density(c: Compared) -> Part:
    sentence = "It says of no x how probable it is."
    gan = c.first(roles.adversarial)
    if gan is None:
        return lacking(sentence, "gan")
    likelihoods = [name for name in gan.scores if name.endswith("log_likelihood")]
    holds = not isinstance(gan.model, Density) and not likelihoods
    return fact(sentence, holds, f"{gan.label} has no likelihood")


def _sharp(c: Compared) -> Part:
    sentence = "Its samples have nine tenths of the edges of data, or more."
    if not c.has_edges:
        return untold(sentence, EDGES)
    gan = c.wanted(roles.GAN, SHARP)
    if gan is None:
        return unmeasured(c, sentence, SHARP, roles.GAN)
    return above(sentence, SHARP, named(gan, SHARP), SHARP_ENOUGH, "asked for")


def _less_recall(c: Compared) -> Part:
    sentence = "It covers less of the data than a model that is trained by likelihood."
    return higher(c, sentence, RECALL, roles.BY_LIKELIHOOD, roles.GAN)


def _less_entropy(c: Compared) -> Part:
    sentence = "The classes of its samples are less even than those of training rows."
    gan = c.first(roles.adversarial)
    if gan is None:
        return lacking(sentence, "gan")
    if ENTROPY not in c.reference or ENTROPY not in gan.scores:
        return untold(sentence, "there are no labels, or too few rows of each")
    rows = Named("training rows", c.reference[ENTROPY])
    return exceeds(sentence, ENTROPY, rows, named(gan, ENTROPY))


def be_slow_and_cover(c: Compared) -> Claim:
    sentence = "Diffusion is slow to draw and covers the modes; fewer steps trade quality for time."
    return Claim(6, sentence, [_slow(c), _more_recall(c), _fewer_steps(c)])


def _slow(c: Compared) -> Part:
    sentence = "Its draws take longer than those of a model that draws in one pass."
    slow = c.first(roles.diffusion)
    fast = c.first(roles.adversarial) or c.first(roles.vae) or c.first(roles.flow)
    if slow is None or fast is None:
        return lacking(sentence, *absent(ddpm=slow, gan=fast))
    times = [Named(e.label, milliseconds(_seconds_to_draw(e))) for e in (slow, fast)]
    found = exceeds(sentence, "milliseconds", *times)
    passes = f"{_passes(slow):,} passes against {_passes(fast):,}"
    numbers = f"milliseconds for {TIMED_DRAWS} draws: {found.numbers}; {passes}"
    return Part(sentence, found.verdict, numbers, found.reason)


def _seconds_to_draw(entry: TrainedModel) -> Score:
    """Of a model that undoes noise in many steps: of few of them, times as many as there are."""
    assert isinstance(entry.model, Generator)
    view, passes = entry.model.from_noise, entry.model.passes_per_draw
    if view is None or passes <= MOST_TIMED:
        return seconds(partial(entry.model.sample, TIMED_DRAWS))
    few = view.by(view.usual[0], MOST_TIMED)
    found, more = seconds(partial(few.sample, TIMED_DRAWS)), passes / few.passes_per_draw
    error = None if found.stderr is None else more * found.stderr
    return Score(more * found.value, found.unit, found.n, found.split, error)


def _passes(entry: TrainedModel) -> int:
    assert isinstance(entry.model, Generator)
    return entry.model.passes_per_draw


def _more_recall(c: Compared) -> Part:
    sentence = "It covers more of the data than a GAN."
    return higher(c, sentence, RECALL, roles.DIFFUSION, roles.GAN)


def _fewer_steps(c: Compared) -> Part:
    sentence = "Samples of few steps are farther from the data than samples of many."
    found = c.first(roles.diffusion)
    if found is None:
        return lacking(sentence, "ddpm")
    assert isinstance(found.model, Generator)
    view, usual = found.model.from_noise, found.own_scores.get(DISTANCE)
    assert view is not None
    if usual is None:
        return untold(sentence, "a Fréchet distance takes more rows than there are")
    few = QualityByTime(c.data, usual.n, c.seed)(view.by(view.usual[0], FEW_STEPS))
    if math.isnan(few.distance):
        return untold(sentence, f"samples of {FEW_STEPS} steps are not finite")
    unit = "squared feature deviations"
    of_few = Score(few.distance, unit, usual.n, "test", few.error)
    first = Named(f"{found.label} in {FEW_STEPS} steps", of_few)
    many = Named(f"in {found.model.passes_per_draw:,}", usual)
    return exceeds(sentence, DISTANCE, first, many)
