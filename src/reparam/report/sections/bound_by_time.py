"""The section of bounds by time: how many nats the steps from noise to data take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from markupsafe import Markup

from reparam.evaluation.rows import subset
from reparam.inspection import Spent
from reparam.model import Generator
from reparam.report import plots, queries
from reparam.report.colors import INK, model_color
from reparam.report.numbers import minus
from reparam.report.section import Card, Section, Shown

PASSES = 45  # of the network for a row: about four times in each of eleven parts
MOST_ROWS, FEWEST_ROWS = 200, 16
MOST_PASSED = 2 * 10**7  # entries of x through networks for a model: about a second of a core
SIZE = (4.6, 3.1)  # inches


def build(shown: Shown) -> list[Card]:
    """A card of every model that undoes noise in steps of which it has a bound."""
    cards = []
    for index, label, model in shown.of(Generator):
        view = model.from_noise
        if view is None:
            continue
        rows = shown.affordable(model, PASSES, FEWEST_ROWS, MOST_ROWS, MOST_PASSED)
        split = subset(shown.split, rows, shown.seed)
        c, generator = queries.condition(model, split), queries.seeded_generator(shown.seed)
        spent = view.spent(split.x, c, generator)
        if spent:
            plot = _plot(spent, f"{label}: nats of the bound by time", model_color(index))
            cards.append(Card(index, label, [("", plot)], _note(spent)))
    return cards


def _note(spent: Sequence[Spent]) -> str:
    """The sum of all parts with its standard error over rows, and the ends, which have no times."""
    total = torch.stack([queries.plain(part.nats) for part in spent]).double().sum(0)
    error = total.std().item() / len(total) ** 0.5
    prior, last = (queries.plain(part.nats).mean().item() for part in (spent[0], spent[-1]))
    ends = f"{prior:.2f}" if prior >= 0.005 else "less than 0.01"
    return minus(
        f"In all {total.mean().item():.2f} ± {error:.2g} nats of {len(total)} test rows, "
        f"{ends} of them at the prior, {last:.2f} at the last step."
    )


def _plot(spent: Sequence[Spent], alt: str, color: str) -> Markup:
    """Nats per halving of time, so that areas are nats; at the end those of the last step."""
    *steps, last = spent[1:]
    edges = [part.start for part in spent[1:]] + [last.start / 2]
    heights = [_mean(part) / math.log2(part.start / part.end) for part in steps] + [_mean(last)]
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        axis.set_xscale("log")
        axis.stairs(heights, edges, fill=True, color=color, alpha=0.3)
        axis.stairs(heights, edges, color=color)
        axis.axhline(0, color=INK, lw=0.8)
        said = {"textcoords": "offset points", "ha": "center", "fontsize": 8.5, "color": color}
        middle = last.start / math.sqrt(2)
        axis.annotate("last", (middle, max(heights[-1], 0)), xytext=(0, 4), **said)
        axis.set_xlim(1, edges[-1])
        axis.xaxis.set_major_formatter("{x:g}")  # powers would be set as mathematics
        axis.xaxis.set_minor_formatter("")
        axis.set_xlabel("time t, from noise to data")
        axis.set_ylabel("nats per halving of t")
        return plots.svg(figure, alt)


def _mean(part: Spent) -> float:
    return queries.plain(part.nats).double().mean().item()


SECTION: Section = Section(
    "bound",
    "Where the bound is spent",
    """−log&nbsp;p(x) is bounded by a sum: how far the noisiest x are from the prior, what every
step back loses by not knowing x, and what x still takes once the least noisy one is known. Areas
are the shares of that sum by time, means over test rows: steps on the left decide how x looks as a
whole, those on the right what single entries are. The last step has the width of a halving.""",
    build,
    "bound_by_time.html.j2",
)
