"""The section of bits: what an example takes as it is, as indices, and with a prior of these."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

from reparam.evaluation.scores import Score
from reparam.report.numbers import with_error
from reparam.report.section import Section, Shown

Cell = tuple[str, str]  # a number and its error
NEEDED = ("code_bits", "prior_bits", "distortion")


class Bits(NamedTuple):
    """A row for every model with index codes and a prior, and the bits of x as it is."""

    raw: str
    rows: list[tuple[int, list[Cell]]]


def build(shown: Shown) -> Bits | None:
    space, rows = shown.data.space, []
    for index, entry in enumerate(shown.entries):
        if all(name in entry.scores for name in NEEDED):
            rows.append((index, _cells(entry.scores)))
    raw = f"{space.dimension * math.log2(space.level_count):,.0f}" if space.level_count else ""
    return Bits(raw, rows) if rows else None


def _cells(scores: Mapping[str, Score]) -> list[Cell]:
    """N log₂ K, bits under the prior, those of x given the code, and the last two together."""
    code, prior, distortion = (scores[name] for name in NEEDED)
    rest, bound = _in_bits(distortion), scores.get("elbo", scores.get("conditional_elbo"))
    cells = [with_error(score, "prior_bits") for score in (code, prior, rest)]
    return [*cells, with_error(_in_bits(bound, -1), "prior_bits") if bound else ("", "")]


def _in_bits(score: Score, sign: int = 1) -> Score:
    def scaled(error: float | None) -> float | None:
        return None if error is None else error / math.log(2)

    value, errors = sign * score.value / math.log(2), (score.stderr, score.seed_stderr)
    stderr, seed_stderr = map(scaled, errors)
    return dataclasses.replace(
        score, value=value, unit="bits", stderr=stderr, seed_stderr=seed_stderr, values=None
    )


SECTION: Section = Section(
    "code_bits",
    "Bits",
    """What one test example takes{% if content.raw %}: {{ content.raw }} bits as it is; {% else
%}: {% endif %}as N indices of K codes, N log₂ K; as indices in a code made with the prior p(z),
which is the same where that is uniform; and what x still needs once z is known, −log₂ p(x|z). The
last two together are what x takes in all, and bound −log₂ p(x) from above.{% if not content.raw %}
Of real numbers these are densities, and may be negative.{% endif %}""",
    build,
    "code_bits.html.j2",
    drawn=False,
)
