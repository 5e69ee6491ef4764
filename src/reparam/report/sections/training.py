"""The section of training: how it ended, and its curves, a panel for each term of the losses."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from reparam import numerics
from reparam.model import Descend
from reparam.report import plots
from reparam.report.colors import model_color, model_dash
from reparam.report.endings import HEADER, TrainingRow, training_rows
from reparam.report.section import Section, Shown
from reparam.report.trained import TrainedModel
from reparam.terms import TERMS
from reparam.train.history import History

ACROSS = 26  # characters of a label beside a panel, upright, which has a line or two
SETTLED = 0.04  # share of a run whose first values may lie outside a panel


class Curves(NamedTuple):
    """Panels of curves, the models in them, those without a descent, and the runs' warnings."""

    panels: list[Markup]
    drawn: list[int]
    solved: list[str]
    warnings: list[tuple[int, str, str]]


class Training(NamedTuple):
    """The table, its header, and the curves."""

    header: tuple[str, ...]
    rows: list[TrainingRow]
    curves: Curves


def build(shown: Shown) -> Training | None:
    rows, curves = training_rows(shown.entries), training_curves(shown.entries)
    return Training(HEADER, rows, curves) if rows or any(curves) else None


def training_curves(entries: Sequence[TrainedModel]) -> Curves:
    """What there is to say about how the models were trained."""
    solved = [
        entry.label
        for entry in entries
        if not any(isinstance(stage, Descend) for stage in entry.model.stages)
    ]
    drawn = [index for index, entry in enumerate(entries) if entry.history.rows]
    warnings = [
        (index, entry.label, text)
        for index, entry in enumerate(entries)
        for text in entry.history.warnings
    ]
    panels = [_panel(entries, term) for term in terms([entry.history for entry in entries])]
    return Curves(panels, drawn, solved, warnings)


def terms(histories: Sequence[History]) -> list[str]:
    """The terms to draw; the objective only where it is not one of the others over again."""
    found = dict.fromkeys(
        term_of(history, name) for history in histories for name in history.columns if "/" in name
    )
    if all(_repeats(history) for history in histories):
        found.pop("objective", None)
    return sorted(found, key=lambda term: term == "objective")


def term_of(history: History, column: str) -> str:
    """The term of a column, ``SPLIT/TERM`` or ``SPLIT/PLAYER/TERM``, by which panels are made.

    A term that only one player has in training stands beside its validation, without the player.

    >>> history = History([{"train/rate": 1.0, "train/critic/rate": 1.0, "train/critic/r1": 1.0}])
    >>> [term_of(history, name) for name in history.columns]
    ['rate', 'critic/rate', 'r1']
    """
    split, _, term = column.partition("/")
    alone = term.rpartition("/")[2]
    others = [n for n in history.columns if n != column and n.startswith(f"{split}/")]
    shared = any(name.rpartition("/")[2] == alone for name in others)
    return term if shared or alone not in TERMS or alone == "objective" else alone


def _repeats(history: History) -> bool:
    objective = history.curve("train/objective")
    others = [n for n in history.columns if n.startswith("train/") and n != "train/objective"]
    return not objective or any(_same(objective, history.curve(name)) for name in others)


def _same(first: list[float], second: list[float]) -> bool:
    return len(first) == len(second) and all(
        math.isclose(abs(a), abs(b), rel_tol=1e-4) for a, b in zip(first, second, strict=True)
    )


def _panel(entries: Sequence[TrainedModel], term: str) -> Markup:
    with plots.style():
        figure = panel_of(entries, term)
        return plots.svg(figure, f"Training curves of {term.replace('_', ' ')}")


def panel_of(entries: Sequence[TrainedModel], term: str) -> Figure:
    """The curves of one term, of all models that have it."""
    with plots.style():
        figure, axis = plots.panel(2.8, 2.2)
        settled: list[float] = []
        for index, entry in enumerate(entries):
            settled += _draw(axis, entry.history, term, index)
        low, high = min(settled, default=0.0), max(settled, default=1.0)
        margin = 0.06 * (high - low) or 0.5
        axis.set_ylim(low - margin, high + margin)
        first, last = axis.dataLim.intervalx
        if first == last:  # a single validation, whose place would have an axis of its own
            axis.set_xlim(0, 2 * last or 1)
        axis.set_title(term.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.set_ylabel(textwrap.fill(TERMS[term].label, ACROSS) if term in TERMS else "")
        if term == "nll":
            _show_bits(axis, entries[0].model.counted)
        return figure


def _show_bits(axis: Any, dimension: int) -> None:
    """A second scale on the right: bits per dimension, whose limits follow those of the nats."""
    per_nat = numerics.bits_per_dim(-1.0, dimension)
    right = axis.secondary_yaxis(
        "right", functions=(lambda nats: nats * per_nat, lambda bits: bits / per_nat)
    )
    right.set_ylabel("bits/dim")


def _draw(axis: Any, history: History, term: str, index: int) -> list[float]:
    """Both curves of a model; returns the values that the panel has to show."""
    shown: list[float] = []
    for split, alpha, width in (("train", 0.45, 1.0), ("valid", 1.0, 1.7)):
        named = [n for n in history.columns if n.startswith(f"{split}/")]
        column = next((n for n in named if term_of(history, n) == term), "")
        points = [
            (row["epoch"], row[column])
            for row in history.rows
            if math.isfinite(row.get(column, math.nan))
        ]
        if points:
            x, y = zip(*_parted(points), strict=True)
            style = {"color": model_color(index), "ls": model_dash(index), "alpha": alpha}
            axis.plot(x, y, marker="" if len(x) > 1 else ".", lw=width, **style)
            values = [value for _, value in points]
            shown += values[int(SETTLED * len(values)) :]
            if split == "valid":
                best = [point for point in points if point[0] == history.best_epoch]
                axis.plot(*zip(*best, strict=True), "o", ms=4, color=model_color(index))
    return shown


def _parted(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The points with a gap wherever epochs begin anew, as those of another descent do.

    >>> list(_parted([(1.0, 5.0), (2.0, 4.0), (1.0, 9.0)]))
    [(1.0, 5.0), (2.0, 4.0), (nan, nan), (1.0, 9.0)]
    """
    before = -math.inf
    for epoch, value in points:
        if epoch <= before:
            yield math.nan, math.nan
        yield epoch, value
        before = epoch


SECTION: Section = Section(
    "training",
    "Training",
    """{% if content.curves.panels %}Every term of the losses, unweighted, per example: strong lines
are validation, faint ones training. A dot marks the epoch whose weights were kept. The first epochs
may leave a panel.{% endif %}""",
    build,
    "training.html.j2",
)
