"""The section of bounds by time: how many nats the steps from noise to data take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from markupsafe import Markup

from reparam.evaluation.rows import subset
from reparam.inspection import Spent
from reparam.model import Generator
from reparam.report import plots, queries
from reparam.report.colors import model_color
from reparam.report.numbers import minus
from reparam.report.section import Card, Section, Shown

PARTS, TIMES = 12, 4  # of a bound, and of each part
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
        passed = MOST_PASSED, PARTS * TIMES
        rows = shown.affordable(model, passed[1], FEWEST_ROWS, MOST_ROWS, passed[0])
        split = subset(shown.split, rows, shown.seed)
        c, generator = queries.condition(model, split), queries.seeded_generator(shown.seed)
        c = None if c is None else c.to(model.anchor.device)
        spent = view.spent(split.x, c, PARTS, generator)
        if spent:
            plot = _plot(spent, f"{label}: nats of the bound by time", model_color(index))
            cards.append(Card(index, label, [("", plot)], _note(spent)))
    return cards


def _note(spent: Sequence[Spent]) -> str:
    """The sum of all parts, and its standard error over rows."""
    total = torch.stack([queries.plain(part.nats) for part in spent]).double().sum(0)
    error = total.std().item() / len(total) ** 0.5
    prior, last = (queries.plain(part.nats).mean().item() for part in (spent[0], spent[-1]))
    return minus(
        f"−log p(x) ≤ {total.mean().item():.2f} ± {error:.2g} nats of {len(total)} test rows: "
        f"{prior:.2g} at the prior, {last:.2f} at the last step."
    )


def _plot(spent: Sequence[Spent], alt: str, color: str) -> Markup:
    """Bars from noise to data, the first of the prior, the last of x given the earliest time."""
    nats = [queries.plain(part.nats).double() for part in spent]
    height = [part.mean().item() for part in nats]
    errors = [part.std().item() / len(part) ** 0.5 for part in nats]
    places = range(len(spent))
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        axis.bar(places, height, 0.86, color=color, alpha=0.75)
        axis.errorbar(places, height, errors, fmt="none", color=color, lw=1.2)
        axis.axhline(0, color=color, lw=0.8)
        # A tick between two bars is the time at which one ends and the next one starts.
        ends = [(place + 0.5, part.end) for place, part in enumerate(spent[:-1])]
        shown = ends[:: max(1, len(ends) // 6)]
        axis.set_xticks([place for place, _ in shown], [f"{t:.1g}" for _, t in shown])
        axis.text(0, 0, "prior", rotation=90, ha="center", va="bottom", fontsize=9)
        axis.text(len(spent) - 1, 0, "last", rotation=90, ha="center", va="bottom", fontsize=9)
        axis.grid(visible=False, axis="x")
        axis.margins(x=0.01)
        axis.set_xlabel("time, from noise to data, evenly by its logarithm")
        axis.set_ylabel("nats")
        return plots.svg(figure, alt)


SECTION: Section = Section(
    "bound",
    "Where the bound is spent",
    """−log&nbsp;p(x) is bounded by a sum: how far the noisiest x are from the prior, what every
step back loses by not knowing x, and what x still takes once the least noisy one is known. Bars are the
shares of that sum by time, means over test rows: steps on the left decide how x looks as a whole,
those on the right what single entries are.""",
    build,
    "bound_by_time.html.j2",
)
