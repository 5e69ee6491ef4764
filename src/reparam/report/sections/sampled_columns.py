"""The section of sampled rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

from markupsafe import Markup
from torch import Tensor

from reparam.data import Data
from reparam.evaluation.rows import subset
from reparam.model import Generator
from reparam.report import plots, queries
from reparam.report.colors import model_color, model_dash
from reparam.report.columns import Columns
from reparam.report.section import Card, Section, Shown, vectors
from reparam.report.selection import rows_to_imitate

ALONE, PAIRED, DRAWN = 8, 3, 500  # columns with a histogram, columns paired, samples
LIGHT = "#808080"  # data behind the models, visible on both themes


class Sampled(NamedTuple):
    """Histograms of columns over all models, and pairs of the first columns by model."""

    alone: list[Markup]
    pairs: list[Card]


def build(shown: Shown) -> Sampled | None:
    """Samples of each generator beside test data: columns alone, and the first ones in pairs."""
    data, seed = shown.data, shown.seed
    n = min(DRAWN, len(data.test))
    like = rows_to_imitate(data, n, seed)
    drawn = {
        index: queries.sample(model, n, like, seed).draws.flatten(1)
        for index, _, model in shown.of(Generator)
    }
    if not drawn:
        return None
    real = subset(data.test, n, seed).x.double()
    dimension, names = data.space.dimension, Columns.of(data).names
    alone = [_marginal(data, drawn, i, names[i]) for i in range(min(ALONE, dimension))]
    paired = list(combinations(range(min(PAIRED, dimension)), 2))
    cards = [
        Card(
            index,
            shown.entries[index].label,
            [("", _pair(data, real, x, (i, j), names, index)) for i, j in paired],
        )
        for index, x in drawn.items()
    ]
    return Sampled(alone, cards if paired else [])


def _limits(data: Data, column: int) -> tuple[float, float]:
    x = data.test.x[:, column].double()
    low, high = x.min().item(), x.max().item()
    margin = 0.15 * (high - low) or 0.5
    return low - margin, high + margin


def _marginal(data: Data, drawn: dict[int, Tensor], column: int, name: str) -> Markup:
    low, high = _limits(data, column)
    options: dict[str, Any] = {"bins": 30, "range": (low, high), "density": True}
    with plots.style():
        figure, axis = plots.panel(2.9, 2.2)
        axis.hist(data.test.x[:, column].double().numpy(), color=LIGHT, alpha=0.35, **options)
        for index, x in drawn.items():
            style = {"lw": 1.6, "color": model_color(index), "ls": model_dash(index)}
            drawn_here = x[:, column][(x[:, column] >= low) & (x[:, column] <= high)]
            if len(drawn_here):  # a density needs something to count
                axis.hist(drawn_here.numpy(), histtype="step", **options, **style)
        axis.set_xlabel(name)
        axis.set_yticks([])
        return plots.svg(figure, f"Histogram of {name}: test data and samples of every model")


def _pair(
    data: Data, real: Tensor, drawn: Tensor, pair: tuple[int, int], names: Sequence[str], index: int
) -> Markup:
    i, j = pair
    with plots.style():
        figure, axis = plots.panel(2.9, 2.6)
        plots.dots(axis, real[:, [i, j]], LIGHT)
        plots.dots(axis, drawn[:, [i, j]], model_color(index))
        axis.set_xlim(*_limits(data, i))
        axis.set_ylim(*_limits(data, j))
        axis.set_xlabel(names[i])
        axis.set_ylabel(names[j])
        return plots.svg(figure, f"{names[i]} and {names[j]}: test data and samples")


SECTION: Section = Section(
    "samples",
    "Samples",
    "Draws x&nbsp;~&nbsp;p(x) in the models' colors over test data in gray.",
    build,
    "sampled_columns.html.j2",
    vectors,
)
