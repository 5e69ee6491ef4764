"""Plots of vector data: rows restored, samples beside data, and how columns answer a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from reparam.data import Data
from reparam.model import Codec, Generator
from reparam.report import plots, queries
from reparam.report.colours import INK, model_colour, model_dash
from reparam.report.entry import Entry
from reparam.report.galleries import examples, labels_to_draw

ROWS, NAMED = 6, 24  # rows restored; columns at most whose names are written
ALONE, PAIRED, DRAWN = 8, 3, 500  # columns with a histogram, columns paired, samples
LIGHT = "#808080"  # data behind the models, visible on both themes


@dataclass(frozen=True)
class PairCard:
    """Scatter plots of pairs of columns, the samples of one model over test data."""

    model: int
    label: str
    plots: list[str]


def column_names(data: Data) -> list[str]:
    """The names of the columns, x₁ … where they have none."""
    return list(data.columns or [f"x{i + 1}" for i in range(data.space.dimension)])


def standardised(data: Data, x: Tensor) -> Tensor:
    """In standard deviations from the mean of the training data, column by column."""
    train = data.train.x.double()
    deviation = train.std(0, correction=0)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    return ((x.double() - train.mean(0)) / deviation).float()


def restored_rows(data: Data, entries: Sequence[Entry], seed: int) -> list[str]:
    """Test rows as lines over their columns, with each codec's reconstruction on top."""
    codecs = [(i, e.model) for i, e in enumerate(entries) if isinstance(e.model, Codec)]
    if not codecs:
        return []
    rows = examples(data.test, ROWS, seed)
    originals = standardised(data, data.test.x[rows])
    restored = [
        (index, standardised(data, queries.reconstruct(model, data.test, rows)))
        for index, model in codecs
    ]
    return [
        _row_plot(data, int(rows[i]), originals[i], [(index, x[i]) for index, x in restored])
        for i in range(len(rows))
    ]


def _row_plot(data: Data, row: int, original: Tensor, restored: list[tuple[int, Tensor]]) -> str:
    with plots.style():
        figure, axis = plots.panel(3.9, 3.0)
        few = len(original) <= NAMED
        axis.plot(original.numpy(), "-o" if few else "-", color=INK, lw=4, ms=7, alpha=0.25)
        for index, x in restored:
            style = {"color": model_colour(index), "ls": model_dash(index)}
            axis.plot(x.numpy(), marker="o" if few else "", ms=3.5, lw=1.3, **style)
        axis.set_title(f"Test row {row}")
        axis.set_ylabel("standard deviations")
        _name_columns(axis, data, few)
        return plots.svg(figure, f"Test row {row} and its reconstructions")


def _name_columns(axis: Any, data: Data, few: bool) -> None:
    if not few:
        axis.set_xlabel("column")
        return
    names = column_names(data)
    turned = 35 if sum(map(len, names)) > 30 else 0
    place = {"rotation": turned, "ha": "right" if turned else "center"}
    axis.set_xticks(range(len(names)), [_clip(name) for name in names], **place)


def _clip(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"


def sampled_columns(
    data: Data, entries: Sequence[Entry], seed: int
) -> tuple[list[str], list[PairCard]]:
    """Samples of each generator beside test data: columns alone, and the first ones in pairs."""
    n = min(DRAWN, len(data.test))
    c = labels_to_draw(data, n, seed)
    drawn = {
        index: queries.sample(entry.model, n, c, seed).draws.flatten(1)
        for index, entry in enumerate(entries)
        if isinstance(entry.model, Generator)
    }
    if not drawn:
        return [], []
    dimension = data.space.dimension
    alone = [_marginal(data, drawn, i) for i in range(min(ALONE, dimension))]
    paired = list(combinations(range(min(PAIRED, dimension)), 2))
    cards = [
        PairCard(index, entries[index].label, [_pair(data, x, ij, index) for ij in paired])
        for index, x in drawn.items()
    ]
    return alone, cards if paired else []


def _limits(data: Data, column: int) -> tuple[float, float]:
    x = data.test.x[:, column].float()
    low, high = x.min().item(), x.max().item()
    margin = 0.15 * (high - low) or 0.5
    return low - margin, high + margin


def _marginal(data: Data, drawn: dict[int, Tensor], column: int) -> str:
    name = column_names(data)[column]
    options: dict[str, Any] = {"bins": 30, "range": _limits(data, column), "density": True}
    with plots.style():
        figure, axis = plots.panel(2.9, 2.2)
        axis.hist(data.test.x[:, column].float().numpy(), color=LIGHT, alpha=0.35, **options)
        for index, x in drawn.items():
            style = {"lw": 1.6, "color": model_colour(index), "ls": model_dash(index)}
            axis.hist(x[:, column].numpy(), histtype="step", **options, **style)
        axis.set_xlabel(_clip(name))
        axis.set_yticks([])
        return plots.svg(figure, f"Histogram of {name}: test data and samples of every model")


def _pair(data: Data, drawn: Tensor, pair: tuple[int, int], index: int) -> str:
    i, j = pair
    first, second = (column_names(data)[k] for k in pair)
    with plots.style():
        figure, axis = plots.panel(2.9, 2.6)
        plots.dots(axis, data.test.x[: len(drawn), [i, j]].float(), LIGHT)
        plots.dots(axis, drawn[:, [i, j]], model_colour(index))
        axis.set_xlim(*_limits(data, i))
        axis.set_ylim(*_limits(data, j))
        axis.set_xlabel(_clip(first))
        axis.set_ylabel(_clip(second))
        return plots.svg(figure, f"{first} and {second}: test data and samples")


def response(data: Data, x: Tensor, alt: str) -> str:
    """How the columns (rows of the plot) change along a walk x (steps, D)."""
    values = standardised(data, x.flatten(1)).T
    names = column_names(data)
    few = len(names) <= NAMED
    with plots.style():
        figure, axis = plots.panel(2.9, 0.6 + (0.2 * len(names) if few else 2.0))
        axis.imshow(values.numpy(), cmap="RdBu_r", vmin=-2.5, vmax=2.5, aspect="auto")
        axis.grid(visible=False)
        axis.set_xticks([0, len(x) // 2, len(x) - 1], ["−2.5σ", "mean", "+2.5σ"])
        axis.set_yticks(range(len(names)) if few else [], [_clip(n) for n in names] if few else [])
        return plots.svg(figure, f"{alt}, response of every column")
