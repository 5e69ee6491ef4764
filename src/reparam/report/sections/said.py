"""The section of what is said of families: twelve claims, and whether they hold here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from reparam.report.claims import Claim, claims_of
from reparam.report.claims.verdicts import FAILS, HOLDS, UNTOLD, Part, Verdict
from reparam.report.section import Section, Shown

CHIPS: dict[Verdict, str] = {HOLDS: "holds", FAILS: "fails", UNTOLD: "untold"}


class Said(NamedTuple):
    """The claims, how many there are of each verdict, and whether there are several seeds."""

    claims: Sequence[Claim]
    counts: Sequence[tuple[Verdict, str, int]]
    seeds: bool

    @staticmethod
    def chip(verdict: Verdict) -> str:
        """The class of a verdict's chip."""
        return CHIPS[verdict]

    @staticmethod
    def why(part: Part) -> Markup:
        """The reason of a part, what one types set as such."""
        text = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(part.reason)))
        return Markup(text)  # noqa: S704  (escaped above)


def build(shown: Shown) -> Said:
    claims = shown.claims or claims_of(shown.data, shown.entries, shown.seed, shown.reference)
    verdicts = [claim.verdict for claim in claims]
    counts = [(verdict, chip, verdicts.count(verdict)) for verdict, chip in CHIPS.items()]
    return Said(claims, counts, any(entry.by_seed for entry in shown.entries))


SECTION: Section = Section(
    "said",
    "What is said of them",
    """Claims that lectures make, and whether they hold for these models on these data. A part
holds, or does not, where its difference is more than two standard errors from 0, row by row where
both models saw the same rows; else it cannot be told. A claim holds where all of its parts that can
be measured do, and does not where one does not. A lower bound (≥) decides where it is the higher
number, or where more draws would hardly raise it.
{% if content.seeds %}Errors of scores are over seeds as well; what no score has is measured on the
weights of the first seed.{% else %}Errors are those over examples, of one training each: other
seeds may turn a verdict.{% endif %}""",
    build,
    "said.html.j2",
    lambda shown: shown.families,
    drawn=False,
)
