"""The section of the score table."""

from __future__ import annotations

from typing import NamedTuple

from reparam.evaluation import too_few
from reparam.model import Generator
from reparam.presets import preset_of
from reparam.report.section import Section, Shown
from reparam.report.table import Table


class Scored(NamedTuple):
    """The table, which scores of samples so few rows do not allow, and what the models are."""

    table: Table
    too_few: list[str]
    kinds: list[Kind]


class Kind(NamedTuple):
    """What the models of one preset are, and when one uses them."""

    models: list[int]
    text: str


def build(shown: Shown) -> Scored | None:
    table = shown.table
    few = too_few(shown.data) if any(shown.of(Generator)) else []
    return Scored(table, few, _kinds(shown)) if table.headers else None


def _kinds(shown: Shown) -> list[Kind]:
    """The presets among the models, in the order of the table."""
    found: dict[str, list[int]] = {}
    for index, entry in enumerate(shown.entries):
        preset = preset_of(entry.model)
        if preset is not None:
            found.setdefault(f"{preset.summary} {preset.when}".strip(), []).append(index)
    return [Kind(models, text) for text, models in found.items()]


SECTION: Section = Section(
    "scores",
    "Scores",
    """{% if "exact" in kinds %}<b>=</b> exact · {% endif %}
{% if "lower bound" in kinds %}<b>≥</b> lower bound
{%- if data.space.kind != "mixed" %} (<b>≤</b> in bits, where less is better){% endif %} ·
{% endif %}
{% if "upper bound" in kinds %}<b>≤</b> upper bound · {% endif %}
{% if "estimate" in kinds %}<b>≈</b> estimate · {% endif %}
{% if "file" in kinds %}<b>file</b> the length of one · {% endif %}
<b>±</b> one standard error over the examples{% if seeds %}, <b>(±)</b> over the seeds{% endif %}
{%- if content.table.intervals %}, of accuracies an interval of 95 %{% endif %}
{%- if "best" in content.table.marked %} · <span class="swatch best">best</span>{% endif %}
{% if "tied" in content.table.marked %}
<span class="swatch tied">within one standard error of it</span>{% endif %}.
{% if content.table.mixed %}
Where a column has several kinds, best is the best value shown: a bound's true value may be better.
{% endif %}
Point at a number or heading, or move to it by key, and it explains itself; headings sort.""",
    build,
    "score_table.html.j2",
    drawn=False,
)
