"""The section of steps: how near samples are to the data, over the time that drawing them takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from markupsafe import Markup

from reparam.batching import cost
from reparam.evaluation.quality_by_time import FEWEST_ROWS, Quality, QualityByTime
from reparam.inspection import FromNoise
from reparam.model import Generator
from reparam.report import plots
from reparam.report.colors import DASHES, INK, model_color
from reparam.report.section import Section, Shown

STEPS = (2, 5, 10, 20, 50, 100)  # and all that there are
MOST_ROWS = 500  # test rows, and samples of each kind
MOST_PASSED = 5 * 10**7  # entries of x through networks for a sampler: about ten seconds of a core
BESIDE = ((0, -12), (0, 5), (9, -3))  # where the steps of each sampler stand, in points
MANY_DECADES = 1e4  # of distances: then only powers of ten are told
SIZE = (5.2, 3.6)  # inches
NAMED = 24  # letters of what a model is called beside its point: longer ones leave no plot

Curve = dict[int, Quality]  # by steps


@dataclass(frozen=True)
class StepsCard:
    """A model: its plot, and a table of a row for each number of steps.

    Args:
        names: of the samplers.
        rows: the steps, and by sampler distance, standard error and seconds, as text.
        dear: numbers of steps that were left out, as the page would take too long.
    """

    model: int
    label: str
    plot: Markup
    names: Sequence[str]
    rows: Sequence[tuple[int, Sequence[tuple[str, str, str]]]]
    dear: Sequence[int]


@dataclass(frozen=True)
class Steps:
    """A card of every model that undoes noise, of n samples, and what training rows score.

    Args:
        cards: of the models.
        n: samples of each kind.
        floor: what training rows score in place of samples.
        beside: whether models that draw otherwise are in the plots.
        fewer: whether a distance in the table of scores is of more rows.
    """

    cards: list[StepsCard]
    n: int
    floor: str
    beside: bool
    fewer: bool


def build(shown: Shown) -> Steps | None:
    undoing = {i: view for i, _, m in shown.of(Generator) if (view := m.from_noise) is not None}
    most = min(len(shown.data.test), len(shown.data.train), MOST_ROWS)
    if not undoing or most < FEWEST_ROWS:
        return None
    models = {index: model for index, _, model in shown.of(Generator)}
    dearest = max(models[index].pass_cost for index in undoing) * cost(shown.data.space)
    n = min(most, max(FEWEST_ROWS, MOST_PASSED // (sum(STEPS) * dearest)))
    measure = QualityByTime(shown.data, n, shown.seed)
    measured = {
        index: measure(model)
        for index, model in models.items()
        if index not in undoing and model.passes_per_draw <= _passes(shown, model, n)
    }
    others = {index: quality for index, quality in measured.items() if quality.distance > 0}
    cards = []
    for index, view in undoing.items():
        curves, dear = _curves(shown, measure, models[index], view)
        label = shown.entries[index].label
        plot = _plot(shown, index, curves, others, measure.floor)
        cards.append(StepsCard(index, label, plot, list(curves), _rows(curves), dear))
    scores = (entry.scores.get("frechet_distance") for entry in shown.entries)
    fewer = any(score is not None and score.n > n for score in scores)
    return Steps(cards, n, f"{measure.floor:.2f}", bool(others), fewer)


def _passes(shown: Shown, model: Generator, n: int) -> int:
    """How many passes of n draws are affordable beside everything else on the page."""
    return MOST_PASSED // (n * model.pass_cost * cost(shown.data.space))


def _curves(
    shown: Shown, measure: QualityByTime, model: Generator, view: FromNoise[Generator]
) -> tuple[dict[str, Curve], list[int]]:
    """The distances of every sampler by steps, few steps first, and which steps were left out."""
    left, curves, dear = _passes(shown, model, measure.n), {}, set()
    for name, most in view.samplers.items():
        wanted = [k for k in STEPS if most is None or k < most] + ([most] if most else [])
        curve: Curve = {}
        passed = 0
        for steps in wanted:
            drawn = view.by(name, steps)
            passed += drawn.passes_per_draw
            if curve and passed > left:
                dear.add(steps)
                continue
            curve[steps] = measure(drawn)
        curves[name] = curve
    return curves, sorted(dear)


def _rows(curves: Mapping[str, Curve]) -> list[tuple[int, list[tuple[str, str, str]]]]:
    steps = sorted({k for curve in curves.values() for k in curve})
    return [(k, [_texts(curve.get(k)) for curve in curves.values()]) for k in steps]


def _texts(found: Quality | None) -> tuple[str, str, str]:
    """Distance, error and seconds.

    >>> _texts(Quality(12.345, 0.6, 0.0123))
    ('12.3', '0.6', '0.012 s')
    """
    if found is None or math.isnan(found.distance):
        return "—", "", "" if found is None else "not finite"
    digits = 2 if found.distance < 10 else 1 if found.distance < 100 else 0
    if found.distance >= 1e5:  # a sampler that has left the data behind
        return f"{found.distance:.0e}".replace("e+0", "e"), "", f"{found.seconds:.2g} s"
    value, error = (f"{number:.{digits}f}" for number in found[:2])
    return value, error, f"{found.seconds:.2g} s"


def _plot(
    shown: Shown,
    index: int,
    curves: Mapping[str, Curve],
    others: Mapping[int, Quality],
    floor: float,
) -> Markup:
    label, color = shown.entries[index].label, model_color(index)
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        axis.set(xscale="log", yscale="log")
        for (name, curve), dash, beside in zip(curves.items(), DASHES, BESIDE, strict=False):
            good = {k: q for k, q in curve.items() if q.distance > 0}
            x, y = [q.seconds for q in good.values()], [q.distance for q in good.values()]
            axis.plot(x, y, marker="o", ms=3.5, color=color, ls=dash, label=name)
            for steps, quality in good.items():
                _say(axis, str(steps), quality, color, beside)
        for other, quality in others.items():
            axis.plot(quality.seconds, quality.distance, "D", ms=6, color=model_color(other))
            name = shorten(shown.entries[other].label, NAMED, placeholder=" …")
            _say(axis, name, quality, model_color(other), (8, -3), ha="left")
        if floor > 0:
            axis.axhline(floor, color=INK, lw=0.9, ls=(0, (1, 2)))
        axis.margins(x=0.12, y=0.12)
        for one in (axis.xaxis, axis.yaxis):
            one.set_major_formatter("{x:g}")  # powers would be set as mathematics
            one.set_minor_formatter("")
        low, high = axis.get_ylim()
        if high < MANY_DECADES * low:
            axis.yaxis.get_major_locator().set_params(subs=(1.0, 2.0, 5.0))
        axis.set_xlabel("seconds for 100 draws")
        axis.set_ylabel("Fréchet distance")
        axis.legend(frameon=False, fontsize=9, handlelength=2.6)
        return plots.svg(figure, f"{label}: Fréchet distance over the time of drawing, by sampler")


def _say(
    axis: Any, text: str, at: Quality, color: str, offset: tuple[int, int], ha: str = "center"
) -> None:
    style = {"textcoords": "offset points", "fontsize": 8.5, "ha": ha}
    axis.annotate(text, (at.seconds, at.distance), xytext=offset, color=color, **style)


SECTION: Section = Section(
    "steps",
    "Steps against quality",
    """Models that undo noise draw in few steps or in many, with the same weights. The Fréchet
distance of {{ content.n }} samples from as many test rows, over the time that 100 draws took when
this page was written; numbers at the points are steps.{% if content.beside %} Diamonds are
models that draw otherwise.{% endif %} Dotted is what training rows score in place of samples,
{{ content.floor }}.{% if content.fewer %} These are fewer rows than distances in the table of
scores have, which makes them higher.{% endif %}""",
    build,
    "sampling_steps.html.j2",
)
