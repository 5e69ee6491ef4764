"""The picture of what each latent tells of each known factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from reparam.report import plots

WRITTEN = 24  # latents; of more, cells have no numbers
DARK = 0.6  # a cell from this on has white numbers
GRAY = "0.6"


@dataclass(frozen=True)
class FactorMatrix:
    """What is drawn.

    Args:
        panels: by title matrices (L, F) of numbers from 0 to 1; the first says who wins.
        factors: their names.
        dead: (L,), which latents are dead.
        order: of the latents, from above.
    """

    panels: dict[str, Tensor]
    factors: Sequence[str]
    dead: Sequence[bool]
    order: Sequence[int]


def draw_factor_matrix(shown: FactorMatrix) -> Figure:
    """Matrices side by side: winners framed, their gap below the factor, dead latents in gray.

    >>> import torch
    >>> shown = FactorMatrix({"I/H": torch.eye(2)}, ("x", "y"), (False, False), (0, 1))
    >>> [label.get_text() for label in draw_factor_matrix(shown).axes[0].get_xticklabels()]
    ['x\\ngap 1.00', 'y\\ngap 1.00']
    """
    latents, factors = next(iter(shown.panels.values())).shape
    size = (1.2 + max(2.4, 0.75 * factors)) * len(shown.panels), 1.3 + 0.3 * latents
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    with plots.style():
        axes = figure.subplots(1, len(shown.panels), squeeze=False)[0]
        for axis, (title, matrix) in zip(axes, shown.panels.items(), strict=True):
            _panel(axis, matrix[list(shown.order)], shown)
            axis.set_title(title)
    return figure


def _panel(axis: Any, matrix: Tensor, shown: FactorMatrix) -> None:
    latents, factors = matrix.shape
    axis.imshow(matrix.numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.set_yticks(range(latents), [f"z{i}" for i in shown.order])
    for row, latent in enumerate(shown.order):
        if shown.dead[latent]:
            axis.get_yticklabels()[row].set_color(GRAY)
            axis.add_patch(Rectangle((-0.5, row - 0.5), factors, 1, facecolor="0.93", lw=0))
    if latents <= WRITTEN:
        _numbers(axis, matrix, shown)
    ranked = matrix.sort(0, descending=True)
    for column in range(factors):
        corner = column - 0.5, int(ranked.indices[0, column]) - 0.5
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", lw=1.4))
    second = ranked.values[1] if latents > 1 else ranked.values[0] * 0
    gaps = (ranked.values[0] - second).tolist()
    labels = [f"{name}\ngap {gap:.2f}" for name, gap in zip(shown.factors, gaps, strict=True)]
    axis.set_xticks(range(factors), labels)


def _numbers(axis: Any, matrix: Tensor, shown: FactorMatrix) -> None:
    for row, latent in enumerate(shown.order):
        for column, value in enumerate(matrix[row].tolist()):
            color = GRAY if shown.dead[latent] else "white" if value > DARK else "black"
            words = {"ha": "center", "va": "center", "fontsize": 8, "color": color}
            axis.text(column, row, f"{value:.2f}", **words)
