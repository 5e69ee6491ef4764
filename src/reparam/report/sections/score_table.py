"""The section of the score table."""

from __future__ import annotations

from typing import NamedTuple

from reparam.evaluation import too_few
from reparam.model import Generator
from reparam.report.section import Section, Shown
from reparam.report.table import Table


class Scored(NamedTuple):
    """The table, and which scores of samples so few rows do not allow."""

    table: Table
    too_few: list[str]


def build(shown: Shown) -> Scored | None:
    table = shown.table
    few = too_few(shown.data) if any(shown.of(Generator)) else []
    return Scored(table, few) if table.headers else None


SECTION: Section = Section(
    "scores",
    "Scores",
    """{% if "exact" in kinds %}<b>=</b> exact · {% endif %}
{% if "lower bound" in kinds %}<b>≥</b> lower bound (<b>≤</b> in bits, where less is better) ·
{% endif %}
{% if "upper bound" in kinds %}<b>≤</b> upper bound · {% endif %}
{% if "estimate" in kinds %}<b>≈</b> estimate · {% endif %}
<b>±</b> one standard error over the examples{% if seeds %}, <b>(±)</b> over the seeds{% endif %}
 · <span class="swatch best">best</span>
<span class="swatch tied">within one standard error of it</span>.
{% if content.table.mixed %}
Where a column has several kinds, best is the best value shown: a bound's true value may be better.
{% endif %}
Headings explain themselves on hover, and sort.""",
    build,
    "score_table.html.j2",
)
