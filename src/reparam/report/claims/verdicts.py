"""What is said of models, and by which rule of errors it is found to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from markupsafe import Markup

from reparam.evaluation.scores import Difference, Score, difference, mark
from reparam.report.numbers import minus, number

Verdict = Literal["holds here", "does not hold here", "cannot be told"]
HOLDS: Verdict = "holds here"
FAILS: Verdict = "does not hold here"
UNTOLD: Verdict = "cannot be told"
ERRORS = 2.0  # standard errors that a difference has to exceed
WITHIN = "the difference is within two standard errors"
NO_ERROR = "no standard error is known of the difference"
NOT_FINITE = "what was measured is not finite"


class Named(NamedTuple):
    """A score with the label of its model."""

    label: str
    score: Score


@dataclass(frozen=True)
class Part:
    """One statement of a claim, and what was measured of it.

    Args:
        sentence: what is said.
        verdict: whether it holds.
        numbers: what was measured, with errors, as text.
        reason: why it cannot be told, where it cannot.
        missing: whether that is because a model is missing, or no such data are here.
        add: the models that are missing, as one types them.
    """

    sentence: str
    verdict: Verdict
    numbers: str = ""
    reason: str = ""
    missing: bool = False
    add: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "sentence": self.sentence,
            "verdict": self.verdict,
            "numbers": self.numbers,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Claim:
    """What lectures say of models, in parts, and what these data say of it.

    A claim holds where every part that can be measured does, and does not hold where one of these
    does not; of one that says "fails for some", one part that holds is enough.

    Args:
        number: of the claim.
        sentence: what is said.
        parts: its statements.
        some: whether one part that holds is enough.
        figure: a plot, where there is one.

    >>> Claim(1, "All is well.", [Part("a", HOLDS), Part("b", UNTOLD, missing=True)]).verdict
    'holds here'
    """

    number: int
    sentence: str
    parts: Sequence[Part]
    some: bool = False
    figure: Markup | None = None

    @property
    def verdict(self) -> Verdict:
        found = {part.verdict for part in self.parts if not part.missing}
        decides, other = (HOLDS, FAILS) if self.some else (FAILS, HOLDS)
        if decides in found:
            return decides
        return other if found == {other} else UNTOLD

    def to_json(self) -> dict[str, Any]:
        """As ``scores.json`` has it."""
        parts = [part.to_json() for part in self.parts]
        about = {"number": self.number, "sentence": self.sentence, "verdict": self.verdict}
        return {**about, "parts": parts}


def verdict_of(gap: Difference) -> tuple[Verdict, str]:
    """Whether a difference is above 0 by more than two standard errors, and why nobody can tell.

    >>> verdict_of(Difference(3.0, 1.0)), verdict_of(Difference(-3.0, 1.0))[0]
    (('holds here', ''), 'does not hold here')
    >>> verdict_of(Difference(1.0, 1.0))
    ('cannot be told', 'the difference is within two standard errors')
    """
    if not math.isfinite(gap.value) or math.isnan(gap.stderr or 0.0):
        return UNTOLD, NOT_FINITE
    if gap.stderr is None:
        return UNTOLD, NO_ERROR
    if abs(gap.value) <= ERRORS * gap.stderr:
        return UNTOLD, WITHIN
    return (HOLDS, "") if gap.value > 0 else (FAILS, "")


def exceeds(sentence: str, name: str, first: Named, second: Named) -> Part:
    """That the score of the first is higher than that of the second.

    >>> a, b = (Named(k, Score(v, "", 9, "test", 0.1)) for k, v in (("a", 2.0), ("b", 1.0)))
    >>> exceeds("A has more.", "elbo", a, b).numbers
    'a 2.00 ± 0.10, b 1.00 ± 0.10; difference 1.00 ± 0.14'
    >>> exceeds("A has more.", "elbo", b, a).verdict
    'does not hold here'
    """
    gap = difference(first.score, second.score)
    verdict, reason = verdict_of(gap)
    said = [f"{one.label} {as_text(one.score, name)}" for one in (first, second)]
    numbers = f"{', '.join(said)}; difference {gap_text(gap, first.score, name)}"
    return Part(sentence, verdict, numbers, reason)


def above(sentence: str, name: str, one: Named, least: float, what: str) -> Part:
    """That a score is higher than a number that has no error."""
    gap = Difference(one.score.value - least, one.score.error)
    verdict, reason = verdict_of(gap)
    bar = gap_text(Difference(least, None), one.score, name)
    numbers = f"{one.label} {as_text(one.score, name)}, {what} {bar}"
    return Part(sentence, verdict, numbers, reason)


def fact(sentence: str, holds: bool, numbers: str = "") -> Part:
    """What needs no errors."""
    return Part(sentence, HOLDS if holds else FAILS, numbers)


def lacking(sentence: str, *models: str) -> Part:
    """What cannot be told without models of others, as one adds them to the call."""
    added = " and ".join(f"`{model}`" for model in models)
    reason = f"add {added} to the models of the call"
    return Part(sentence, UNTOLD, reason=reason, missing=True, add=models)


def absent(**found: object) -> list[str]:
    """The presets, ``_`` for ``-``, of which no model was found.

    >>> absent(vae=None, real_nvp=None, gan="gan")
    ['vae', 'real-nvp']
    """
    return [name.replace("_", "-") for name, one in found.items() if one is None]


def untold(sentence: str, reason: str) -> Part:
    """What such data do not tell."""
    return Part(sentence, UNTOLD, reason=reason, missing=True)


def as_text(score: Score, name: str) -> str:
    """A score with its mark and its error over examples and seeds together.

    >>> as_text(Score(-91.5432, "nats", 9, "test", 0.0631, "lower bound"), "log_likelihood")
    '≥ −91.543 ± 0.063'
    """
    together = Score(score.value, score.unit, score.n, score.split, score.error)
    value, error = number(together, name)
    if score.interval is not None:
        error = ""
    sign = mark(score, name)
    return f"{sign} {value}".strip() + (f" ± {error}" if error else "")


def gap_text(gap: Difference, of: Score, name: str) -> str:
    """A difference with its error, in percent where the scores are.

    >>> gap_text(Difference(-0.125, 0.064), Score(0.2, "share", 9, "test", 0.1), "sample_recall")
    '−12.5 % ± 6.4 %'
    """
    unit = "share" if number(of, name)[0].endswith("%") else ""
    value, error = number(Score(gap.value, unit, 0, "none", gap.stderr), name)
    return minus(value) + (f" ± {error}" if error else "")


def plain(value: float) -> str:
    """A number without an error."""
    return number(Score(value, "", 0, "none"), "number")[0]
