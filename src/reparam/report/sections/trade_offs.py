"""The section of trade-offs: what models reached in one score beside what it cost in another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from markupsafe import Markup

from reparam.evaluation.scores import Score, mark
from reparam.report import plots
from reparam.report.colors import INK, model_color
from reparam.report.direct_labels import Point, label_points
from reparam.report.numbers import number
from reparam.report.progress_of_training import seconds_to_most
from reparam.report.section import Section, Shown
from reparam.report.trained import short_names

LIKELIHOOD, DISTANCE, SPEED = "log_likelihood", "frechet_distance", "samples_per_second"
SIZE, ROW = (4.4, 3.3), 0.3  # inches of a scatter plot, and of a row of a dot plot
DECADES = 20.0  # the ratio of the ends from which distances have a logarithmic axis


@dataclass(frozen=True)
class TradeOff:
    """One plot with what it says, and which models are not in it.

    Args:
        title: what is traded for what.
        plot: the figure.
        caption: how to read it.
        absent: models that lack one of the scores.
        why: what these are, before their names.
    """

    title: str
    plot: Markup
    caption: str
    absent: Sequence[str] = ()
    why: str = ""


@dataclass(frozen=True)
class Axis:
    """A score as one axis of a plot: its name, its label, and whether it is logarithmic."""

    score: str
    label: str
    log: bool = False


@dataclass(frozen=True)
class Row:
    """A model in a plot of dots: its value, its error, and single values where there are any."""

    index: int
    value: float
    error: float = 0.0
    single: Sequence[float] = ()


def build(shown: Shown) -> list[TradeOff]:
    """Every plot that has two models at least."""
    return [made for make in PLOTS if (made := make(shown)) is not None]


def likelihood_and_distance(shown: Shown) -> TradeOff | None:
    return _scatter(
        shown,
        "Likelihood against samples",
        Axis(LIKELIHOOD, "log p(x), nats"),
        Axis(DISTANCE, "Fréchet distance"),
        "To the right data are more probable, further down samples are nearer to them.",
        "Without a log p(x)",
        marks=True,
    )


def distance_and_speed(shown: Shown) -> TradeOff | None:
    return _scatter(
        shown,
        "Samples against speed",
        Axis(SPEED, "draws per second", log=True),
        Axis(DISTANCE, "Fréchet distance"),
        "To the right draws are faster, further down nearer to the data.",
        "Without samples",
    )


def precision_and_recall(shown: Shown) -> TradeOff | None:
    return _scatter(
        shown,
        "Precision against recall",
        Axis("sample_recall", "recall: the data that samples cover"),
        Axis("sample_precision", "precision: samples among data"),
        "A model that draws few things well is at the upper left, one that draws anything at the "
        "lower right.",
        "Without samples",
    )


def sharpness(shown: Shown) -> TradeOff | None:
    return _dots(
        shown,
        "Sharpness of draws",
        "sample_sharpness",
        "edges of draws over those of data",
        "At 1 draws are as sharp as data; less is blurred, more has noise of its own.",
        "Without images to draw",
        line=1.0,
    )


def codes(shown: Shown) -> TradeOff | None:
    return _scatter(
        shown,
        "What codes keep",
        Axis("reconstruction_mse", "squared error of reconstructions"),
        Axis("linear_probe_accuracy", "accuracy of a linear probe"),
        "At the upper left codes give x back and labels away. A flow gives x back without error "
        "with a code as large as x.",
        "Without codes, or without a probe of them",
    )


def nearness(shown: Shown) -> TradeOff | None:
    return _scatter(
        shown,
        "Nearest training examples",
        Axis("nearest_training", "distance to training rows, test rows being 1"),
        Axis("near_copies", "share of near copies"),
        "Copies of training rows are at the upper left. Dotted is where test rows are on average, "
        "at 1 and a hundredth.",
        "Without samples",
        lines=(1.0, 0.01),
    )


def seconds(shown: Shown) -> TradeOff | None:
    """How long nine tenths of the way took, over all seeds."""
    rows = []
    for index, entry in enumerate(shown.entries):
        found = [seconds_to_most(history) for _, history in entry.runs]
        known = [one for one in found if one is not None]
        if known and len(known) == len(found):
            error = stdev(known) / math.sqrt(len(known)) if len(known) > 1 else 0.0
            rows.append(Row(index, mean(known), error, known if len(known) > 1 else ()))
    return _dot_plot(
        shown,
        rows,
        "Time to nine tenths",
        "seconds of training",
        "When the validation term by which a model is judged had made 90 % of its way from the "
        "first validation to the weights that were kept.",
        "Without such a curve",
        log=True,
    )


def seeds(shown: Shown) -> TradeOff | None:
    """The Fréchet distances of every seed, of a comparison of several."""
    rows = []
    for index, entry in enumerate(shown.entries):
        each = [scores[DISTANCE].value for scores in entry.by_seed if DISTANCE in scores]
        if len(each) > 1:
            rows.append(Row(index, mean(each), stdev(each) / math.sqrt(len(each)), each))
    most = max((len(entry.by_seed) for entry in shown.entries), default=0)
    if most < 2:
        return None
    caption = f"A dot for each of {most} seeds, a bar for their mean."
    about = ("Spread over seeds", "Fréchet distance", caption, "Of one result")
    return _dot_plot(shown, rows, *about, log=True)


PLOTS: tuple[Callable[[Shown], TradeOff | None], ...] = (
    likelihood_and_distance,
    distance_and_speed,
    precision_and_recall,
    sharpness,
    codes,
    nearness,
    seconds,
    seeds,
)


def _scatter(
    shown: Shown,
    title: str,
    across: Axis,
    up: Axis,
    caption: str,
    why: str,
    marks: bool = False,
    lines: tuple[float, float] | None = None,
) -> TradeOff | None:
    """A point for every model that has both scores; None of fewer than two."""
    names, both = short_names(shown.entries), (across.score, up.score)
    found = {
        i: (e.scores[both[0]], e.scores[both[1]])
        for i, e in enumerate(shown.entries)
        if both[0] in e.scores and both[1] in e.scores
    }
    if len(found) < 2:
        return None
    points = []
    for index, (x, y) in found.items():
        sign = mark(x, across.score) if marks else ""
        about = f"{sign} {names[index]}".strip(), model_color(index), _error(x), _error(y)
        points.append(Point(x.value, y.value, *about))
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        for index, (x, y) in found.items():
            style = {"color": model_color(index), "lw": 1.0, "alpha": 0.6}
            axis.errorbar(x.value, y.value, _error(y), _error(x), fmt="none", **style)
            axis.plot(x.value, y.value, "o", ms=5.5, color=model_color(index))
        _scale(axis, across, up, found)
        axis.margins(0.16)
        if lines is not None:
            rule = {"color": INK, "lw": 0.9, "ls": (0, (1, 2))}
            axis.axvline(lines[0], **rule)
            axis.axhline(lines[1], **rule)
            axis.set_ylim(bottom=-0.12 * axis.get_ylim()[1])  # there are no shares below 0
        elif up.score == DISTANCE and DISTANCE in shown.reference:
            floor = shown.reference[DISTANCE].value
            axis.axhline(floor, color=INK, lw=0.9, ls=(0, (1, 2)))
            caption += f" Dotted is what training rows score, {floor:.2g}."
        axis.set(xlabel=across.label, ylabel=up.label)
        label_points(figure, axis, points)
        said = f"{title}: " + "; ".join(_said(p, across, up) for p in points)
        plot = plots.svg(figure, said)
    absent = [name for i, name in enumerate(names) if i not in found]
    return TradeOff(title, plot, caption, absent, why)


def _said(point: Point, across: Axis, up: Axis) -> str:
    return f"{point.name} {across.label} {point.x:.3g}, {up.label} {point.y:.3g}"


def _error(score: Score) -> float:
    return score.error or 0.0


def _scale(axis: Any, across: Axis, up: Axis, found: Mapping[int, tuple[Score, Score]]) -> None:
    """Logarithms of speeds, and of distances that differ by an order of magnitude."""
    axis.locator_params(nbins=6)
    values = list(zip(*((x.value, y.value) for x, y in found.values()), strict=True))
    for one, about, numbers in zip("xy", (across, up), values, strict=True):
        wide = about.score == DISTANCE and min(numbers) > 0
        if about.log or (wide and max(numbers) > DECADES * min(numbers)):
            axis.set(**{f"{one}scale": "log"})
            _plain_numbers(axis.xaxis if one == "x" else axis.yaxis, numbers)


def _plain_numbers(one: Any, numbers: Sequence[float]) -> None:
    """Numbers as they are: powers would be set as mathematics."""
    one.set_major_formatter(lambda x, at: _whole(x) if x >= 1 else f"{x:g}")
    one.set_minor_formatter("")
    if max(numbers) < 1e3 * min(numbers):
        one.get_major_locator().set_params(subs=(1.0, 2.0, 5.0))


def _whole(value: float) -> str:
    """As speeds are printed.

    >>> _whole(1e6), _whole(20)
    ('1 M', '20')
    """
    return number(Score(value, "", 0, "none"), SPEED)[0]


def _dots(
    shown: Shown, title: str, name: str, label: str, caption: str, why: str, line: float
) -> TradeOff | None:
    rows = [
        Row(index, entry.scores[name].value, _error(entry.scores[name]))
        for index, entry in enumerate(shown.entries)
        if name in entry.scores
    ]
    return _dot_plot(shown, rows, title, label, caption, why, line=line)


def _dot_plot(
    shown: Shown,
    rows: Sequence[Row],
    title: str,
    label: str,
    caption: str,
    why: str,
    line: float | None = None,
    log: bool = False,
) -> TradeOff | None:
    """A row for each model, named at the left, in the order of their values; None of but one.

    An axis that may be logarithmic begins at 0 where it is not.
    """
    if len(rows) < 2:
        return None
    names = short_names(shown.entries)
    ordered = sorted(rows, key=lambda row: row.value, reverse=True)
    with plots.style():
        figure, axis = plots.panel(SIZE[0], max(SIZE[1], 0.9 + ROW * len(rows)))
        for height, row in enumerate(ordered):
            _draw(axis, row, height, model_color(row.index))
        if line is not None:
            axis.axvline(line, color=INK, lw=0.9, ls=(0, (1, 2)))
        axis.margins(x=0.1)
        if log:
            _from_zero_or_log(axis, list(_all(ordered)))
        axis.set(xlabel=label, ylim=(-0.7, len(rows) - 0.3))
        axis.set_yticks(range(len(rows)), [names[row.index] for row in ordered])
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        said = "; ".join(f"{names[row.index]} {row.value:.3g}" for row in ordered)
        plot = plots.svg(figure, f"{title}: {said}")
    there = {row.index for row in rows}
    absent = [name for i, name in enumerate(names) if i not in there]
    return TradeOff(title, plot, caption, absent, why)


def _from_zero_or_log(axis: Any, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) > DECADES / 4 * min(values):
        axis.set_xscale("log")
        _plain_numbers(axis.xaxis, values)
    else:
        axis.set_xlim(left=min(0.0, *values))


def _draw(axis: Any, row: Row, height: int, color: str) -> None:
    if row.single:
        axis.plot(row.single, [height] * len(row.single), "o", ms=4.5, color=color, alpha=0.55)
        axis.plot(row.value, height, "|", ms=13, mew=2.2, color=color)
        return
    axis.errorbar(row.value, height, xerr=row.error, fmt="none", color=color, lw=1.2)
    axis.plot(row.value, height, "o", ms=5.5, color=color)


def _all(rows: Sequence[Row]) -> Iterator[float]:
    for row in rows:
        yield from row.single or (row.value,)


SECTION: Section = Section(
    "trade-offs",
    "Trade-offs, measured",
    """What each model reached in one score beside what it has in another. Bars are one standard
error, over examples and, where there are several, over seeds. Likelihoods are those of densities
only: exact (=), a bound that the true one exceeds (≥), or an estimate (≈).""",
    build,
    "trade_offs.html.j2",
    lambda shown: shown.families,
)
