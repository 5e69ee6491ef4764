"""The page of a transfer: accuracy by the number of labels, and probes beside fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reparam.checkpoint import write_text
from reparam.data import Data
from reparam.data.few_labels import Count
from reparam.evaluation.probing import MAJORITY, POOLED, RAW, WHOLE, Probe, unchosen
from reparam.report import plots
from reparam.report.colors import INK, MODELS, model_color, model_dash
from reparam.report.direct_labels import Point, label_points
from reparam.report.page import environment, versions, without_blank_lines

TEMPLATE = "label_curves.html.j2"
TUNED = "fine-tuned"
SIZE, SCATTER = (5.2, 4.0), (4.4, 3.3)  # inches
GAP = 0.055  # of the height of a plot, between the names at the ends of its lines
ROOM = 2.6  # the least factor by which the axis of labels goes on
DOTTED, DASHED = (0, (1, 2)), (0, (5, 2))
ORDER = (TUNED, WHOLE, POOLED, RAW, MAJORITY)


@dataclass(frozen=True)
class Learned:
    """The accuracies of one model.

    Args:
        label: how it is called.
        probes: by number of labels; those that are ``fine-tuned`` among them.
        seconds: of its training without labels; None where there was none.
        raw: whether it is no model but the data themselves.
    """

    label: str
    probes: tuple[Probe, ...]
    seconds: float | None = None
    raw: bool = False

    def of(self, features: str) -> list[Probe]:
        """What was measured of such features, by number of labels."""
        return [probe for probe in self.probes if probe.features == features]

    def __getitem__(self, which: tuple[Count, str]) -> Probe:
        """With so many labels, of such features."""
        return next(p for p in self.of(which[1]) if p.labels == which[0])

    @property
    def features(self) -> list[str]:
        """What was measured, fine-tuning first."""
        there = {probe.features for probe in self.probes}
        return [name for name in ORDER if name in there]

    def to_json(self) -> dict[str, Any]:
        probes = [probe.to_json() for probe in self.probes]
        return {"seconds_without_labels": self.seconds, "accuracies": probes}


def write_label_page(
    path: Path, data: Data, entries: Sequence[Learned], labels: Sequence[Count], seeds: int
) -> None:
    """Write one self-contained HTML page about a transfer.

    Args:
        path: the file to write.
        data: what all were trained and measured on.
        entries: the models, in the order in which they are listed.
        labels: how many there are, by column.
        seeds: draws of these.
    """
    rows = len(data.train)
    content = {
        "title": f"{data.name}: few labels",
        "data": data,
        "colors": MODELS,
        "labels": [_said(n, rows) for n in labels],
        "rows": [row for index, one in enumerate(entries) for row in _rows(index, one, labels)],
        "seeds": seeds,
        "most": f"{100 * _largest_error(entries):.1f}",
        "unchosen": unchosen(data, labels),
        "all": "all" in labels,
        "curves": _curves(entries, labels, rows),
        "scatter": _probe_and_tuned(entries, labels, rows),
        "seconds": [(one.label, f"{one.seconds:.3g}") for one in entries if one.seconds],
        "versions": versions(),
    }
    text = environment().get_template(TEMPLATE).render(content)
    write_text(path, without_blank_lines(text))


def _said(n: Count, rows: int) -> str:
    return f"all {rows:,}" if n == "all" else f"{n:,}"


def _largest_error(entries: Iterable[Learned]) -> float:
    return max((p.stderr for entry in entries for p in entry.probes), default=0.0)


@dataclass(frozen=True)
class Row:
    """A line of the table: the model, its color, what is read, and a cell for each number."""

    index: int | None
    label: str
    features: str
    cells: list[tuple[str, str]]  # mean and spread in percent
    seconds: str


def _rows(index: int, entry: Learned, labels: Sequence[Count]) -> list[Row]:
    return [
        Row(
            None if entry.raw else index,
            entry.label if features != MAJORITY else MAJORITY,
            "" if entry.raw else features if features == TUNED else f"probe of the {features}",
            [_cell(entry[n, features]) for n in labels],
            "" if entry.seconds is None or place else f"{entry.seconds:.3g} s",
        )
        for place, features in enumerate(entry.features)
    ]


def _cell(probe: Probe) -> tuple[str, str]:
    spread = "" if probe.spread is None else f"{100 * probe.spread:.1f}"
    return f"{100 * probe.mean:.1f}", spread


def _curves(
    entries: Sequence[Learned], labels: Sequence[Count], rows: int
) -> list[tuple[str, Markup]]:
    """Accuracy by the number of labels: fine-tuned, and as the codes stay."""
    return [
        ("Fine-tuned", _curve(entries, (TUNED,), labels, rows, "fine-tuned")),
        ("Probes of codes that stay", _curve(entries, (WHOLE, POOLED), labels, rows, "probes")),
    ]


def _curve(
    entries: Sequence[Learned], kinds: Sequence[str], labels: Sequence[Count], rows: int, what: str
) -> Markup:
    """A line for each model, pooled codes dashed; where there is none of its kind, its probe.

    Raw entries are dotted.
    """
    ends, said = [], []
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        for index, entry in enumerate(entries):
            there = [k for k in kinds if entry.of(k)] or [k for k in (WHOLE, RAW) if entry.of(k)]
            color = INK if entry.raw else model_color(index)
            for kind in there:
                probes = entry.of(kind)
                dash = DOTTED if entry.raw else model_dash(index)
                dash = DASHED if kind not in kinds[:1] and not entry.raw else dash
                _line(axis, probes, rows, color, dash)
                name = entry.label if kind in (kinds[0], RAW) else f"{entry.label}, {_short(kind)}"
                ends.append(Point(_count(probes[-1], rows), 100 * probes[-1].mean, name, color))
                said.append(f"{name} " + ", ".join(f"{100 * p.mean:.1f}" for p in probes))
        counts = [rows if n == "all" else n for n in labels]
        axis.set_xscale("log")
        axis.set_xticks(counts, [_said(n, rows) for n in labels])
        axis.minorticks_off()
        axis.set_xlim(
            min(counts) / 1.25, max(counts) * max(ROOM, (max(counts) / min(counts)) ** 0.4)
        )
        axis.set(xlabel="labels", ylabel="accuracy on test, %")
        _name_ends(axis, ends)
        return plots.svg(figure, f"Accuracy by the number of labels, {what}: {'; '.join(said)}")


def _name_ends(axis: Any, ends: Sequence[Point]) -> None:
    """Names to the right of the ends of lines, in their order and none upon another."""
    low, high = axis.get_ylim()
    gap, place = GAP * (high - low), -math.inf
    heights: list[float] = []
    if not ends:  # all models failed
        return
    for point in sorted(ends, key=lambda p: p.y):
        heights.append(place := max(point.y, place + gap))
    above = max(0.0, heights[-1] - high)
    top = math.inf
    for point, height in zip(sorted(ends, key=lambda p: -p.y), reversed(heights), strict=True):
        top = min(height, high, top - gap) if above else height
        line = {"arrowstyle": "-", "color": point.color, "lw": 0.6, "shrinkA": 0, "shrinkB": 3}
        line["relpos"] = (0.0, 0.5)  # to where the name begins, so that it crosses none
        axis.annotate(
            point.name,
            (point.x, point.y),
            (point.x * 1.16, top),
            color=point.color,
            fontsize=8.5,
            va="center",
            arrowprops=line if abs(top - point.y) > gap / 4 else None,
        )


def _short(kind: str) -> str:
    return {POOLED: "pooled", WHOLE: "probe"}.get(kind, kind)


def _line(axis: Any, probes: Sequence[Probe], rows: int, color: str, dash: Any) -> None:
    x = [_count(p, rows) for p in probes]
    y = [100 * p.mean for p in probes]
    spread = [100 * (p.spread or 0.0) for p in probes]
    axis.errorbar(x, y, spread, fmt="none", color=color, lw=1.0, alpha=0.6)
    axis.plot(x, y, color=color, ls=dash, marker="o", ms=3.5)


def _count(probe: Probe, rows: int) -> int:
    return rows if probe.labels == "all" else probe.labels


def _probe_and_tuned(
    entries: Sequence[Learned], labels: Sequence[Count], rows: int
) -> list[tuple[str, Markup]]:
    """Probes across, fine-tuning upwards, for each number of labels; a grid is pooled."""
    return [
        (f"{_said(n, rows)} labels", plot)
        for n in labels
        if (plot := _scatter(entries, n)) is not None
    ]


def _scatter(entries: Sequence[Learned], n: Count) -> Markup | None:
    """A point for each model that is fine-tuned; None of fewer than two."""
    points = []
    for index, entry in enumerate(entries):
        if entry.of(TUNED):
            read = entry[n, POOLED if entry.of(POOLED) else WHOLE]
            tuned, color = entry[n, TUNED], model_color(index)
            errors = [100 * (p.spread or 0.0) for p in (read, tuned)]
            points.append(Point(100 * read.mean, 100 * tuned.mean, entry.label, color, *errors))
    if len(points) < 2:
        return None
    with plots.style():
        figure, axis = plots.panel(*SCATTER)
        for p in points:
            style: dict[str, Any] = {"color": p.color, "lw": 1.0, "alpha": 0.6}
            axis.errorbar(p.x, p.y, p.y_error, p.x_error, fmt="none", **style)
            axis.plot(p.x, p.y, "o", ms=5.5, color=p.color)
        axis.margins(0.16)
        axis.set(xlabel="linear probe, %", ylabel="fine-tuned, %")
        low = max(axis.get_xlim()[0], axis.get_ylim()[0])
        high = min(axis.get_xlim()[1], axis.get_ylim()[1])
        if low < high:
            axis.plot([low, high], [low, high], color=INK, lw=0.9, ls=DOTTED, scalex=False)
        label_points(figure, axis, points)
        said = "; ".join(f"{p.name} probe {p.x:.1f}, fine-tuned {p.y:.1f}" for p in points)
        return plots.svg(figure, f"Probe against fine-tuning: {said}")
