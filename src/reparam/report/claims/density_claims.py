"""What is said of densities: of autoregressive models and flows, and of likelihood itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from statistics import stdev

import torch

from reparam.batching import cost
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Difference, Score, difference, mean_score
from reparam.evaluation.shifted import Told, shifted_images, told_apart
from reparam.model import Density, Encoder, Generator, Model
from reparam.report.claims import roles
from reparam.report.claims.compared import (
    MOST_PASSED,
    Compared,
    higher,
    milliseconds,
    named,
    seconds,
    unmeasured,
)
from reparam.report.claims.likelier import LIKELIHOOD, likelier, slack
from reparam.report.claims.verdicts import (
    ERRORS,
    FAILS,
    HOLDS,
    UNTOLD,
    Claim,
    Named,
    Part,
    absent,
    as_text,
    exceeds,
    fact,
    lacking,
    plain,
    untold,
    verdict_of,
)
from reparam.report.pictures import Brightness
from reparam.report.trained import TrainedModel

DISTANCE = "frechet_distance"
TIMED_DRAWS = 16
PIXEL_CNN, PIXEL_RNN = ("pixel-cnn", "gated-pixel-cnn", "pixel-cnn++"), ("pixel-rnn",)
SHIFTED_ROWS, FEWEST_ROWS, SHIFTED_DRAWS = 60, 20, 5
OTHERS = ("blank", "eroded", "inverted")


def have_better_likelihood(c: Compared) -> Claim:
    sentence = (
        "Autoregressive models have a better likelihood than VAEs and draw entry by entry; a "
        "PixelCNN trains faster than a PixelRNN."
    )
    return Claim(3, sentence, [_likelier(c), _passes(c), _faster(c)])


def _likelier(c: Compared) -> Part:
    sentence = "The log-likelihood is higher than that of a VAE."
    wanted = roles.AUTOREGRESSIVE, roles.VAE
    one, vae = (c.wanted(model, LIKELIHOOD) for model in wanted)
    if one is None or vae is None:
        return unmeasured(c, sentence, LIKELIHOOD, *wanted)
    found = exceeds(sentence, LIKELIHOOD, named(one, LIKELIHOOD), named(vae, LIKELIHOOD))
    verdict, reason = likelier(one, vae, {e.label: slack(c, e) for e in (one, vae)})
    return dataclasses.replace(found, verdict=verdict, reason=reason)


def _passes(c: Compared) -> Part:
    d = c.data.space.dimension
    sentence = f"A naive draw takes {d:,} passes, one for each entry; cached activations save time."
    one = c.first(roles.autoregressive)
    if one is None:
        return lacking(sentence, "made")
    assert isinstance(one.model, Generator) and isinstance(one.model, Density)
    cached = seconds(partial(one.model.sample, TIMED_DRAWS))
    x = subset(c.data.test, TIMED_DRAWS, c.seed).x
    once = seconds(partial(one.model.log_prob, x))
    naive = Score(d * once.value, "s", once.n, "none", d * (once.stderr or 0.0))
    said = (
        Named(f"{one.label} naively", milliseconds(naive)),
        Named("with a cache", milliseconds(cached)),
    )
    found = exceeds(sentence, "milliseconds", *said)
    times = f"as long as {plain(float(f'{cached.value / once.value:.2g}'))} passes"
    numbers = f"milliseconds for {len(x)} draws: {found.numbers}; {times}"
    return dataclasses.replace(found, numbers=numbers)


def _faster(c: Compared) -> Part:
    sentence = "An epoch of a PixelCNN takes less time than one of a PixelRNN."
    if not c.data.space.is_image:
        return untold(sentence, "both are models of images")
    cnn, rnn = (_of_preset(c, names) for names in (PIXEL_CNN, PIXEL_RNN))
    if cnn is None or rnn is None:
        return lacking(sentence, *absent(pixel_cnn=cnn, pixel_rnn=rnn))
    times = [Named(e.label, seconds_of_an_epoch(e)) for e in (rnn, cnn)]
    found = exceeds(sentence, "seconds", *times)
    return dataclasses.replace(found, numbers=f"seconds: {found.numbers}")


def _of_preset(c: Compared, names: Sequence[str]) -> TrainedModel | None:
    recipes = (e for e in c.entries if e.model.recipe and len(e.history.rows) > 1)
    return next((e for e in recipes if e.model.recipe["preset"] in names), None)  # type: ignore[index]


def seconds_of_an_epoch(entry: TrainedModel) -> Score:
    """From one validation to the next, on average."""
    rows = entry.history.rows
    each = [
        (b["seconds"] - a["seconds"]) / (b["epoch"] - a["epoch"])
        for a, b in zip(rows, rows[1:], strict=False)
        if b["epoch"] > a["epoch"]
    ]
    return mean_score(torch.tensor(each, dtype=torch.float64), "s", "train")


def be_stable_and_large(c: Compared) -> Claim:
    sentence = (
        "A flow's code is as large as x; it is more stable to train than a GAN, and its samples "
        "are worse."
    )
    return Claim(4, sentence, [_as_large(c), _stabler(c), _worse(c)])


def _as_large(c: Compared) -> Part:
    sentence = "The code of a flow has as many entries as x."
    flow = c.first(roles.flow)
    if flow is None:
        return lacking(sentence, "real-nvp")
    assert isinstance(flow.model, Encoder)
    code, x = flow.model.code_space.dimension, c.data.space.dimension
    return fact(sentence, code == x, f"{flow.label} {code:,} of {x:,}")


def _stabler(c: Compared) -> Part:
    sentence = "Its Fréchet distance varies less from seed to seed than that of a GAN."
    flow, gan = (c.wanted(one, DISTANCE) for one in (roles.FLOW, roles.GAN))
    if flow is None or gan is None:
        return unmeasured(c, sentence, DISTANCE, roles.FLOW, roles.GAN)
    spreads = [spread_over_seeds(e, DISTANCE) for e in (gan, flow)]
    if any(spread is None for spread in spreads):
        return untold(sentence, "train several seeds, as with `--seeds 5`")
    wide, narrow = (spread for spread in spreads if spread is not None)
    apart = math.log(wide.value) - math.log(narrow.value)
    verdict, reason = verdict_of(Difference(apart, math.hypot(*map(_error_of_log, (wide, narrow)))))
    numbers = f"{gan.label} {as_text(wide, DISTANCE)}, {flow.label} {as_text(narrow, DISTANCE)}"
    return Part(sentence, verdict, f"deviation over {wide.n} seeds: {numbers}", reason)


def _error_of_log(spread: Score) -> float:
    """The deviation of log s of n normal values, ½ √ψ′((n − 1)/2): that of s is too small of few.

    >>> round(_error_of_log(Score(1.0, "", 3, "none")), 3)  # s / √(2 (n − 1)) is 0.5
    0.641
    """
    halves = torch.tensor((spread.n - 1) / 2, dtype=torch.float64)
    return torch.polygamma(1, halves).sqrt().item() / 2


def spread_over_seeds(entry: TrainedModel, name: str) -> Score | None:
    """The deviation of a score over seeds s, with its error s / √(2 (n − 1)) as of a normal one.

    None where there is one seed, or all of them score the same.
    """
    values = [scores[name].value for scores in entry.by_seed if name in scores]
    n = len(values)
    if n < 2 or stdev(values) == 0:
        return None
    s = stdev(values)
    return Score(s, "over seeds", n, "none", s / math.sqrt(2 * (n - 1)))


def _worse(c: Compared) -> Part:
    sentence = "Its samples are farther from the data than those of a GAN."
    return higher(c, sentence, DISTANCE, roles.FLOW, roles.GAN)


def _density(model: Model) -> bool:
    return isinstance(model, Density)


def not_rank_samples(c: Compared) -> Claim:
    """Against pairs of models: one that is likelier and farther from the data is enough.

    Which one is likelier is not told of two bounds, unless it is known how far the lower one is
    from log p(x).
    """
    sentence = "Likelihood does not rank samples."
    said = "Of two densities the likelier one draws samples that are farther from the data."
    found = [e for e in c.of(_density) if {LIKELIHOOD, DISTANCE} <= e.scores.keys()]
    if len(found) < 2:
        if len(list(c.of(_density))) < 2:
            return Claim(7, sentence, [lacking(said, *("vae", "ddpm")[len(found) :])])
        return Claim(7, sentence, [untold(said, "samples of fewer than two densities were scored")])
    slacks = {e.label: slack(c, e) for e in found}
    pairs = [(pair, *_order(*pair, slacks)) for pair in combinations(found, 2)]
    turned = [(pair, strength) for pair, verdict, strength in pairs if verdict == HOLDS]
    verdict = HOLDS if turned else FAILS if all(v == FAILS for _, v, _ in pairs) else UNTOLD
    numbers = f"rank correlation {_rank_correlation(found)} over {len(found)} densities"
    if turned:
        first, second = max(turned, key=lambda one: one[1])[0]
        numbers += f"; {_both(first)}, {_both(second)}"
        more = len(turned) - 1
        numbers += f", and {more} more pair{'s'[: more != 1]}" if more else ""
    reason = f"of {_count(pairs)} it is not told which is likelier, or which is nearer"
    return Claim(7, sentence, [Part(said, verdict, numbers, reason if verdict == UNTOLD else "")])


def _count(pairs: Sequence[tuple[object, str, float]]) -> str:
    untold = sum(verdict == UNTOLD for _, verdict, _ in pairs)
    return f"{untold} of {len(pairs)} pairs" if len(pairs) > 1 else "the pair"


def _order(
    first: TrainedModel, second: TrainedModel, slacks: Mapping[str, float]
) -> tuple[str, float]:
    """Whether the likelier of two is the farther one, and by how many errors at least."""
    gaps = [difference(first.scores[k], second.scores[k]) for k in (LIKELIHOOD, DISTANCE)]
    verdicts = [likelier(first, second, slacks)[0], verdict_of(gaps[1])[0]]
    if UNTOLD in verdicts:
        return UNTOLD, 0.0
    strength = min(abs(gap.value) / gap.stderr if gap.stderr else math.inf for gap in gaps)
    return HOLDS if verdicts[0] == verdicts[1] else FAILS, strength


def _both(entry: TrainedModel) -> str:
    likelihood, distance = (as_text(entry.scores[k], k) for k in (LIKELIHOOD, DISTANCE))
    return f"{entry.label} {likelihood} nats at distance {distance}"


def _rank_correlation(found: Sequence[TrainedModel]) -> str:
    """Spearman's, of likelihood and nearness: 1 where likelihood ranks samples."""
    values = [[e.scores[LIKELIHOOD].value, -e.scores[DISTANCE].value] for e in found]
    ranks = torch.tensor(values, dtype=torch.float64).argsort(0).argsort(0).double()
    return plain(round(torch.corrcoef(ranks.T)[0, 1].item(), 2))


def fail_to_flag(c: Compared) -> Claim:
    """Of each density whether some images unlike the data are likelier than test images."""
    sentence = "Likelihood fails to flag data of another kind."
    said = "Blank, eroded or inverted images are likelier than test images"
    if not c.data.space.is_image:
        reason = "blank, thinned and inverted rows are made of images"
        return Claim(8, sentence, [untold(f"{said}.", reason)], some=True)
    densities = list(c.of(_density))
    if not densities:
        return Claim(8, sentence, [lacking(f"{said}.", "vae")], some=True)
    parts = [_flags(f"{said} to {e.label}.", c, e.model) for e in densities]  # type: ignore[arg-type]
    return Claim(8, sentence, parts, some=True)


def _flags(sentence: str, c: Compared, model: Density) -> Part:
    each = (2 + len(OTHERS)) * model.passes_per_sample * cost(c.data.space)
    rows = min(SHIFTED_ROWS, max(FEWEST_ROWS, MOST_PASSED // each), len(c.data.test))
    draws = min(SHIFTED_DRAWS, max(1, MOST_PASSED // (rows * each)))
    test, unseen = (subset(s, rows, c.seed) for s in (c.data.test, c.data.valid))
    scale = Brightness.of(c.data)
    made = shifted_images(test, c.data.space, scale.low, scale.high)
    sets = {name: made[name] for name in OTHERS}
    told = told_apart(model, sets, test, unseen, samples=draws, seed=c.seed)
    return flagged(sentence, {name: told[name] for name in OTHERS}, rows)


def flagged(sentence: str, told: dict[str, Told], rows: int) -> Part:
    """Holds where −log p ranks a set below test images: an AUROC below ½ by two errors, ½/√n."""
    error = 0.5 / math.sqrt(rows)
    numbers = ", ".join(f"{name} {one.low:.2f}" for name, one in told.items())
    numbers = f"AUROC of −log p: {numbers}; ± {error:.2f} at most"
    if any(one.low < 0.5 - ERRORS * error for one in told.values()):
        return Part(sentence, HOLDS, numbers)
    if all(one.low > 0.5 + ERRORS * error for one in told.values()):
        return Part(sentence, FAILS, numbers)
    return Part(sentence, UNTOLD, numbers, "an AUROC is within two standard errors of ½")
