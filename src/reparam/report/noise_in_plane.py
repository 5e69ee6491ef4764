"""Pictures of points of the plane on their way from noise to data, with the score as arrows."""

from __future__ import annotations

import math
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.inspection import Noised
from reparam.model import Density, Generator, Model
from reparam.report import plots, queries
from reparam.report.colors import INK, model_color
from reparam.report.section import Shown
from reparam.report.window import Window

INSTANTS, ARROWS = 7, 11  # pictures, and arrows across and up in each
FEWEST, MOST = 200, 500  # points
REACH = 2.6  # deviations of the noise that the window shows
STRONG = 0.9  # the quantile of lengths from which on arrows are as long as they get
DRAWN_PASSED = 10**8  # entries of x through networks for the points
MAP_PASSED = 2 * 10**8  # entries of x through networks for a map of the density
LEAST_SIDE = 30  # cells of it, across and up
SURE = 0.98  # of the cells
SOLVED, OF_A_STEP = 20, 10  # steps of the flow; passes of one: two, with two gradients of two each
SIZE = (1.9, 1.8)  # inches

Figures = list[tuple[str, Markup]]


def instants(shown: Shown, index: int, label: str, model: Generator) -> tuple[Figures, bool]:
    """Draws at some times, and whether each but the last shows where the score points."""
    view = model.from_noise
    if view is None or model.conditional:
        return [], False
    count = shown.affordable(model, model.passes_per_draw, FEWEST, MOST, DRAWN_PASSED)
    # Closer to each other at the end, where points come to their places.
    shares = [1 - (1 - place / (INSTANTS - 1)) ** 2 for place in range(INSTANTS)]
    path = view.path(count, shares, generator=queries.seeded_generator(shown.seed))
    window, arrows = _window(shown.split.x), False
    figures = []
    for one in path:
        score = view.score(window.cells(ARROWS), one.t) if one.t > 0 else None
        figures.append((f"t = {one.t:.2g}", _picture(one, score, window, index, label)))
        arrows |= score is not None
    return figures, arrows


def _window(x: Tensor) -> Window:
    """One for all times: as states are scaled, noise is as wide as the data are."""
    middle, wide = x.double().mean(0), REACH * x.double().std(0, correction=0).clamp(min=1e-6)
    (left, bottom), (right, top) = (middle - wide).tolist(), (middle + wide).tolist()
    return Window(left, right, bottom, top)


def _picture(one: Noised, score: Tensor | None, window: Window, index: int, label: str) -> Markup:
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        axis.set(xlim=window[:2], ylim=window[2:])
        axis.set(xticks=[], yticks=[])
        there = queries.plain(one.state)
        plots.dots(axis, there[there.isfinite().all(1)], model_color(index))
        alt = f"{label}: draws at time {one.t:.2g}"
        if score is not None:
            _arrows(axis, score, window)
            alt += ", and the score"
        return plots.svg(figure, alt)


def _arrows(axis: Any, score: Tensor, window: Window) -> None:
    """Where log p_t rises at the cells of the window, longer where it is steeper."""
    cells = window.cells(ARROWS)
    across = torch.tensor([window.right - window.left, window.top - window.bottom])
    steep = queries.plain(score) * across  # per width of the window
    length = steep.norm(dim=1, keepdim=True)
    most = length.quantile(STRONG).clamp(min=1e-12)
    arrow = steep / length.clamp(min=1e-12) * (length / most).clamp(max=1) * across / ARROWS
    ends = (*cells.T.numpy(), *arrow.T.numpy())
    style = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "color": INK, "pivot": "middle"}
    head = {"headwidth": 4, "headlength": 4, "headaxislength": 3.5}
    axis.quiver(*ends, width=0.006, alpha=0.75, **head, **style)


def in_few_steps(model: Density) -> Density:
    """In continuous time the flow in fewer steps than ``log_prob`` takes; else the model itself."""
    view = model.from_noise
    flow = None if view is None else view.flow(SOLVED)
    return flow if isinstance(flow, Density) else model


def how(model: Generator, draws: int) -> str:
    """How log p of a map is had, of models that undo noise: at so many times, if there are."""
    view = model.from_noise
    if view is None:
        return ""
    if view.flow(1) is not None:
        return " by the flow"
    times = min([draws, *(most for most in view.samplers.values() if most)])
    return f", a bound by {times} times"


def log_density(
    shown: Shown, model: Density, window: Window, side: int, draws: int, label: int | None = None
) -> Tensor:
    """log p, or log p(x|y), of (side²,) cells of the window, or of fewer of a dear model."""
    density, cells = in_few_steps(model), side**2
    if not model.tightens:
        passes = OF_A_STEP * SOLVED
        if density is model:
            of_a_draw = model.passes_per_sample // model.pass_cost
            passes = of_a_draw * (draws if model.log_prob_draws else 1)
        least = min(side, LEAST_SIDE) ** 2
        cells = shown.affordable(model, passes, least, cells, MAP_PASSED)
    return queries.log_p(density, window.cells(math.isqrt(cells)), draws, shown.seed, label)


def densest(model: Model, log_p: Tensor) -> float:
    """The most of a map; of a solver's but for the few cells that it may have wrong."""
    exact = not (isinstance(model, Generator) and model.from_noise)
    return float(log_p.double().nan_to_num(-math.inf).quantile(1.0 if exact else SURE))
