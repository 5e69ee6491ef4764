"""The picture of what each latent tells of each known factor, and of codes by level."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.following import FactorInformation, gaps
from reparam.report import plots
from reparam.report.level_means import draw_level_means

WRITTEN = 24  # latents; of more, cells have no numbers
LETTERS = 12  # of a line of a factor's name
DARK = 0.6  # a cell from this on has white numbers
GRAY, GRID, LINE = "0.6", "0.88", "#2b66b1"
PROFILE, ACROSS = (2.1, 1.9), 5  # inches of a plot of codes by level; of these in a row at most


def draw_factor_matrix(told: FactorInformation, importance: Array | None = None) -> Figure:
    """Matrices side by side, and below them the mean codes of each factor's winner by its level.

    In each matrix winners are framed, their gap stands below the factor, and dead latents are gray.

    Args:
        told: what latents tell of factors.
        importance: of latents for factors, (L, F), where it was measured.

    >>> import numpy as np
    >>> from reparam.evaluation.disentanglement.inputs import read
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> figure = draw_factor_matrix(FactorInformation.of(read(grid, grid, names=("x", "y"))))
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['x\\ngap 1.00', 'y\\ngap 1.00']
    """
    panels = {"I(z; v) / H(v)": told.share}
    if importance is not None:
        panels["importance by trees"] = importance
    latents, factors = told.share.shape
    across = min(factors, ACROSS)
    rows = -(-factors // across)
    heights = 1.3 + 0.3 * latents, PROFILE[1] * rows
    wide = max((1.2 + max(2.4, 0.75 * factors)) * len(panels), PROFILE[0] * across)
    figure = Figure(figsize=(wide, sum(heights)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    with plots.style(), matplotlib.rc_context({"grid.color": GRID}):
        parts: Any = figure.subfigures(2, 1, height_ratios=heights)
        above, below = parts
        axes = above.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, matrix) in zip(axes, panels.items(), strict=True):
            _panel(axis, matrix, told)
            axis.set_title(title)
        _profiles(below, told, rows, across)
    return figure


def _panel(axis: Any, matrix: Array, told: FactorInformation) -> None:
    (latents, factors), winners = matrix.shape, told.best(matrix).tolist()
    matrix = matrix[told.order]
    axis.imshow(matrix, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.set_yticks(range(latents), [f"z{i}" for i in told.order])
    for row, latent in enumerate(told.order):
        if told.coded.dead[latent]:
            axis.get_yticklabels()[row].set_color(GRAY)
            axis.add_patch(Rectangle((-0.5, row - 0.5), factors, 1, facecolor="0.93", lw=0))
    if latents <= WRITTEN:
        _numbers(axis, matrix, told)
    for column, latent in enumerate(winners):
        corner = column - 0.5, told.order.index(latent) - 0.5
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", lw=1.4))
    named = zip(told.coded.names, gaps(matrix).tolist(), strict=True)
    labels = [f"{textwrap.fill(name, LETTERS)}\ngap {gap:.2f}" for name, gap in named]
    axis.set_xticks(range(factors), labels)


def _numbers(axis: Any, matrix: Array, told: FactorInformation) -> None:
    for row, latent in enumerate(told.order):
        for column, value in enumerate(matrix[row].tolist()):
            color = GRAY if told.coded.dead[latent] else "white" if value > DARK else "black"
            words = {"ha": "center", "va": "center", "fontsize": 8, "color": color}
            axis.text(column, row, f"{value:.2f}", **words)


def _profiles(below: Any, told: FactorInformation, rows: int, across: int) -> None:
    for factor, axis in enumerate(below.subplots(rows, across, squeeze=False).flat):
        if factor < told.coded.factors:
            draw_level_means(axis, told, factor, LINE)
            title = f"z{told.winners[factor]} by {told.coded.names[factor]}"
            axis.set_title(textwrap.fill(title, 2 * LETTERS - 4))
        else:
            axis.set_axis_off()
