"""Plots of vector data: rows restored, samples beside data, and how columns answer a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from reparam.data import Data
from reparam.evaluation.rows import subset
from reparam.model import Codec, Generator
from reparam.report import plots, queries
from reparam.report.colors import INK, model_color, model_dash
from reparam.report.entry import Entry
from reparam.report.galleries import examples, rows_to_imitate
from reparam.report.pictures import Picture, png

ROWS, NAMED = 6, 24  # rows restored; columns at most whose names are written
ALONE, PAIRED, DRAWN = 8, 3, 500  # columns with a histogram, columns paired, samples
DIVERGING, RANGE = "RdBu_r", 2.5  # colors of standard deviations, up to so many
LIGHT = "#808080"  # data behind the models, visible on both themes


@dataclass(frozen=True)
class PairCard:
    """Scatter plots of pairs of columns, the samples of one model over test data."""

    model: int
    label: str
    plots: list[str]


@dataclass(frozen=True)
class Columns:
    """The names of the columns, x1 … where they have none, and their scale in the training data."""

    names: list[str]
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, data: Data) -> Columns:
        train = data.train.x.double()
        deviation = train.std(0, correction=0)
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        names = list(data.columns or [f"x{i + 1}" for i in range(data.space.dimension)])
        return cls([_clip(name) for name in names], train.mean(0), deviation)

    @property
    def few(self) -> bool:
        """Whether there is room to name them all."""
        return len(self.names) <= NAMED

    def standardized(self, x: Tensor) -> Tensor:
        """In standard deviations from the mean of the training data, column by column."""
        return ((x.double() - self.mean) / self.deviation).float()


def _clip(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"


def restored_rows(data: Data, entries: Sequence[Entry], seed: int) -> list[str]:
    """Test rows as lines over their columns, with each codec's reconstruction on top."""
    codecs = [(i, e.model) for i, e in enumerate(entries) if isinstance(e.model, Codec)]
    if not codecs:
        return []
    rows, columns = examples(data.test, ROWS, seed), Columns.of(data)
    originals = columns.standardized(data.test.x[rows])
    restored = [
        (index, columns.standardized(queries.reconstruct(model, data.test, rows)))
        for index, model in codecs
    ]
    return [
        _row_plot(columns, int(rows[i]), originals[i], [(index, x[i]) for index, x in restored])
        for i in range(len(rows))
    ]


def _row_plot(
    columns: Columns, row: int, original: Tensor, restored: list[tuple[int, Tensor]]
) -> str:
    with plots.style():
        figure, axis = plots.panel(3.9, 3.0)
        axis.plot(original.numpy(), "-o" if columns.few else "-", color=INK, lw=4, ms=7, alpha=0.25)
        for index, x in restored:
            style = {"color": model_color(index), "ls": model_dash(index)}
            axis.plot(x.numpy(), marker="o" if columns.few else "", ms=3.5, lw=1.3, **style)
        axis.set_title(f"Test row {row}")
        axis.set_ylabel("standard deviations")
        _name_columns(axis, columns)
        return plots.svg(figure, f"Test row {row} and its reconstructions")


def _name_columns(axis: Any, columns: Columns) -> None:
    if not columns.few:
        axis.set_xlabel("column")
        return
    turned = 35 if sum(map(len, columns.names)) > 30 else 0
    place = {"rotation": turned, "ha": "right" if turned else "center"}
    axis.set_xticks(range(len(columns.names)), columns.names, **place)


def sampled_columns(
    data: Data, entries: Sequence[Entry], seed: int
) -> tuple[list[str], list[PairCard]]:
    """Samples of each generator beside test data: columns alone, and the first ones in pairs."""
    n = min(DRAWN, len(data.test))
    like = rows_to_imitate(data, n, seed)
    drawn = {
        index: queries.sample(entry.model, n, like, seed).draws.flatten(1)
        for index, entry in enumerate(entries)
        if isinstance(entry.model, Generator)
    }
    if not drawn:
        return [], []
    real = subset(data.test, n, seed).x.double()
    dimension, names = data.space.dimension, Columns.of(data).names
    alone = [_marginal(data, drawn, i, names[i]) for i in range(min(ALONE, dimension))]
    paired = list(combinations(range(min(PAIRED, dimension)), 2))
    cards = [
        PairCard(
            index,
            entries[index].label,
            [_pair(data, real, x, (i, j), names, index) for i, j in paired],
        )
        for index, x in drawn.items()
    ]
    return alone, cards if paired else []


def _limits(data: Data, column: int) -> tuple[float, float]:
    x = data.test.x[:, column].double()
    low, high = x.min().item(), x.max().item()
    margin = 0.15 * (high - low) or 0.5
    return low - margin, high + margin


def _marginal(data: Data, drawn: dict[int, Tensor], column: int, name: str) -> str:
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
) -> str:
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


def response(columns: Columns, x: Tensor, alt: str) -> str:
    """How the columns (rows of the plot) change along a walk x (steps, D)."""
    values = columns.standardized(x.flatten(1)).T.numpy()
    shown = columns.names if columns.few else []
    with plots.style():
        figure, axis = plots.panel(2.9, 0.6 + (0.2 * len(shown) or 2.0))
        axis.imshow(values, cmap=DIVERGING, vmin=-RANGE, vmax=RANGE, aspect="auto")
        axis.grid(visible=False)
        axis.set_xticks([0, len(x) // 2, len(x) - 1], ["−2.5σ", "mean", "+2.5σ"])
        axis.set_yticks(range(len(shown)), shown)
        return plots.svg(figure, f"{alt}, response of every column")


def colors(columns: Columns, x: Tensor, alt: str) -> Picture:
    """``response`` without axes, a pixel for every column (downwards) and step (to the right)."""
    from matplotlib import colormaps

    values = columns.standardized(x.flatten(1)).T / (2 * RANGE) + 0.5
    return png(colormaps[DIVERGING](values.numpy(), bytes=True)[..., :3], alt, crisp=True)
