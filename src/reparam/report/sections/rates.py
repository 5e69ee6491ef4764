"""The section of rates: against distortion, of every layer, and which parts collapsed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from reparam.evaluation.diagnosis import idle
from reparam.model import LatentVariable
from reparam.report import plots
from reparam.report.colors import model_color
from reparam.report.section import Section, Shown
from reparam.report.trained import TrainedModel
from reparam.train.collapse import collapse, has_indices, index_counts

PLANE = (11.7, 3.7)  # inches: as wide as the page
TITLE_WIDTH = 34  # letters of a title over a panel of layers

Note = tuple[int, str, str]  # index and label of a model, and what there is to say of it


class Rates(NamedTuple):
    """The plane, panels of the rates of layers, and what carries nothing."""

    plane: Markup | None
    layers: list[Markup]
    collapsed: list[Note]
    idle: list[Note]


def build(shown: Shown) -> Rates | None:
    """What there is to say of the rates; None where that is nothing."""
    found = Rates(_plane(shown), [], *_unused(shown))
    for index, label, model in shown.of(LatentVariable):
        rate = shown.rates[index]
        if model.layers and rate.shape[1] == len(model.layers):
            means = rate.cpu().double().mean(0).tolist()
            found.layers.append(_layer_bars(index, label, means))
    return found if any(found) else None


def collapses(shown: Shown) -> list[Note]:
    """What there is to say of every model whose z has collapsed."""
    return _unused(shown)[0]


def _unused(shown: Shown) -> tuple[list[Note], list[Note]]:
    """The notes on collapsed models, and on those that merely leave parts of z idle."""
    collapsed: list[Note] = []
    some: list[Note] = []
    for coded in shown.indexed:
        text = collapse(index_counts(coded.model, coded.code))
        collapsed += [(coded.index, coded.label, text)] if text else []
    for index, label, model in shown.of(LatentVariable):
        if has_indices(model):  # whose rate is that of their number, not of what they carry
            continue
        unused = idle(shown.rates[index], model.layers)
        if unused is not None:
            notes = collapsed if unused.collapsed else some
            notes.append((index, label, unused.text))
    return collapsed, some


def _plane(shown: Shown) -> Markup | None:
    """Distortion over rate, one point a model: lines of slope −1 have one ELBO.

    None where there is one point, which is compared with nothing.
    """
    placed = [
        index
        for index, *_ in shown.of(LatentVariable)
        if {"rate", "distortion"} <= shown.entries[index].scores.keys()
    ]
    if sum(1 + len(shown.entries[index].by_seed) for index in placed) < 2:
        return None
    with plots.style():
        figure, axis = plots.panel(*PLANE)
        totals = {round(sum(_place(axis, shown.entries[index], index)), 3) for index in placed}
        axis.margins(0.1, 0.18)
        low, high = axis.get_xlim()
        bottom, top = axis.get_ylim()
        for total in sorted(totals):
            axis.plot([low, high], [total - low, total - high], lw=0.7, ls=":", color="0.5")
        axis.set_xlim(low, high)
        axis.set_ylim(bottom, top)
        axis.set_xlabel("rate, nats")
        axis.set_ylabel("distortion, nats")
        return plots.svg(figure, "Distortion over rate of every model; dotted lines have one ELBO")


def _place(axis: Any, entry: TrainedModel, index: int) -> tuple[float, float]:
    """Draw a model with its errors, joined to its single seeds; its rate and distortion."""
    rate, distortion = entry.scores["rate"], entry.scores["distortion"]
    at, color = (rate.value, distortion.value), model_color(index)
    for one in entry.by_seed:
        seed = (one["rate"].value, one["distortion"].value)
        axis.plot(*zip(at, seed, strict=True), "-", color=color, lw=1, alpha=0.6)
        axis.plot(*seed, "o", color=color, ms=4, mew=0, alpha=0.6)
    errors = {"xerr": rate.error, "yerr": distortion.error}
    axis.errorbar(*at, **errors, fmt="o", color=color, ms=7, elinewidth=1.2, capsize=3)
    label = f"{entry.label}, given c" if entry.model.conditional else entry.label
    axis.annotate(label, at, xytext=(8, 6), textcoords="offset points")
    return at


def _layer_bars(index: int, label: str, means: Sequence[float]) -> Markup:
    with plots.style():
        title = textwrap.wrap(label, TITLE_WIDTH)
        figure, axis = plots.panel(3.9, 0.6 + 0.2 * len(title) + 0.25 * len(means))
        names = [f"layer {len(means) - i}" for i in range(len(means))]
        axis.barh(range(len(means)), means, color=model_color(index), height=0.7)
        axis.set_yticks(range(len(means)), names)
        axis.invert_yaxis()
        axis.set_title("\n".join(title))
        axis.set_xlabel("rate, nats")
        return plots.svg(figure, f"Rate of every layer of {label}")


SECTION: Section = Section(
    "rates",
    "Rates",
    """Nats about x that z carries (rate)
{%- if content.plane %} against those still needed for x once z is known (distortion). Along a
dotted line their sum, and so the ELBO, is the same. Bars are standard errors
{%- if seeds %}, small dots single seeds{% endif %}{% endif %}.""",
    build,
    "rates.html.j2",
    measured=True,
)
