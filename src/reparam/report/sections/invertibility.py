"""The section of invertibility: how exactly flows bring back what they carried to noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from reparam.evaluation.round_trip import Precision, RoundTrip, round_trips
from reparam.models.invertible import Invertible
from reparam.report import plots
from reparam.report.colors import INK, model_color
from reparam.report.section import Card, Section, Shown

SIZE = (4.6, 2.9)  # inches
PRECISIONS: tuple[Precision, ...] = ("float32", "float64")


def build(shown: Shown) -> list[Card]:
    """Errors over the number of members, of every flow."""
    cards = []
    for index, label, model in shown.of(Invertible):
        found = {p: round_trips(model, shown.split, p, shown.seed) for p in PRECISIONS}
        notes = [_note(precision, trips) for precision, trips in found.items()]
        figure = _plot(f"{label}: errors there and back", model_color(index), found)
        cards.append(Card(index, label, [("", figure)], " ".join(notes)))
    return cards


def _plot(alt: str, color: str, found: dict[Precision, list[RoundTrip]]) -> Markup:
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        for (precision, trips), of in zip(found.items(), (color, INK), strict=True):
            members = [trip.members for trip in trips]
            largest, typical = ([_drawn(v) for v in values] for values in _curves(trips))
            axis.plot(members, largest, ".-", color=of)
            axis.plot(members, typical, ".--", color=of, lw=1.0)
            ends = [(k, v) for k, v in zip(members, largest, strict=True) if not math.isnan(v)]
            if ends:
                style = {"xytext": (0, 6), "textcoords": "offset points", "ha": "right"}
                axis.annotate(precision, ends[-1], color=of, **style)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:.0e}")  # powers would be set as mathematics
        axis.set_xlim(left=0)
        axis.margins(y=0.15)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlabel("members passed, and back")
        axis.set_ylabel("error of an entry")
        return plots.svg(figure, alt)


def _curves(trips: Sequence[RoundTrip]) -> tuple[list[float], list[float]]:
    return [trip.largest for trip in trips], [trip.typical for trip in trips]


def _drawn(error: float) -> float:
    """NaN, a gap in the line, for what has no place on a logarithmic axis."""
    return error if 0 < error < math.inf else math.nan


def _note(precision: str, trips: Sequence[RoundTrip]) -> str:
    """The errors after all members, and how many entries are not finite after how many members."""
    last = trips[-1]
    text = f"{precision}, after all {last.members}: at most {last.largest:.1e}, "
    text += f"99 % of entries {last.typical:.1e}."
    bad = [f"{t.not_finite} after {t.members}" for t in trips if t.not_finite]
    if bad:
        text += f" Not finite of {last.entries} entries: {', '.join(bad)}."
    return text


SECTION: Section = Section(
    "invertibility",
    "Invertibility",
    """Some test examples through members of a flow towards noise, and back: without rounding they
would come back as they were. The largest error of an entry (line) and the 99th percentile (dashed),
{% if data.space.kind == "real" %}in training deviations
{%- elif data.space.kind == "mixed" %}in training deviations, of whole numbers and flags in steps
of one
{%- else %}in levels, of which half a one changes no x
{%- endif %}; in float32, in color, and in float64. No line where an error is 0, or not finite: then
it is counted.""",
    build,
    "invertibility.html.j2",
)
