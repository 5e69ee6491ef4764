"""The section of the line: one real column, how dense models say it is, how flows bend it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from reparam.model import Density, Generator
from reparam.models.invertible import Invertible
from reparam.report import plots, queries
from reparam.report.colors import FAINT, INK, model_color
from reparam.report.noise_in_plane import how, in_few_steps
from reparam.report.section import Section, Shown
from reparam.report.sections.plane import DRAWS, Figures, PlaneCard
from reparam.report.window import EDGE, MARGIN

POINTS = 400  # of a curve
BINS = 50  # of a histogram
SIZE = (3.5, 2.6)  # inches


def build(shown: Shown) -> list[PlaneCard]:
    """A card of the data, and one of every generator."""
    x, truth = _axis(shown.split.x.double()), shown.data.true_log_density
    true = None if truth is None else truth(x).exp()
    cards = [PlaneCard(None, "Data", [("Test data", _density(shown, x, true, None))])]
    for index, label, model in shown.of(Generator):
        log_p, what = None, "Samples, in steps"
        if isinstance(model, Density) and not model.conditional:
            log_p = queries.log_p(in_few_steps(model), x, DRAWS, shown.seed)
            by_draws = f" by {DRAWS} draws" if model.log_prob_draws else ""
            what = f"p(x){how(model, DRAWS) or by_draws}, and samples in steps"
        figures: Figures = [(what, _density(shown, x, true, log_p, index, label))]
        if isinstance(model, Invertible) and not model.conditional:
            figures += _change_of_variables(shown, x, index, label, model)
        cards.append(PlaneCard(index, label, figures))
    return cards


def _axis(x: Tensor) -> Tensor:
    """Points (POINTS, 1) from end to end of where nearly all rows are."""
    low, high = torch.quantile(x, x.new_tensor([EDGE, 1 - EDGE])).tolist()
    wide = max(high - low, 1e-6) * MARGIN
    return torch.linspace(low - wide, high + wide, POINTS, dtype=torch.float64)[:, None]


def _density(
    shown: Shown,
    x: Tensor,
    true: Tensor | None,
    log_p: Tensor | None,
    index: int = -1,
    label: str = "Test data",
) -> Markup:
    """Test data in gray, and over them what is known of their density and of a model's."""
    along, ends = x[:, 0].numpy(), (float(x[0]), float(x[-1]))
    with plots.style():
        figure, axis = _panel(ends)
        _bars(axis, shown.split.x, ends, color=FAINT, fill=True)
        if index in shown.drawn_rows:
            _bars(axis, shown.drawn_rows[index], ends, color=model_color(index), alpha=0.6, lw=0.8)
        if log_p is not None:
            axis.plot(along, log_p.exp().numpy(), color=model_color(index))
        if true is not None:
            axis.plot(along, true.numpy(), color=INK, ls="--", lw=1.0)
        axis.set_ylim(bottom=0)
        return plots.svg(figure, f"{label}: density")


def _change_of_variables(
    shown: Shown, x: Tensor, index: int, label: str, model: Invertible
) -> Figures:
    """The map to noise, its slope, and the noise of test data: log p(x) = log p(z) + log dz/dx."""
    color, ends = model_color(index), (float(x[0]), float(x[-1]))
    with torch.no_grad():
        code, slope = queries.plain(model.encode(x)), queries.plain(model.log_slope(x))
        noise = queries.plain(model.encode(shown.split.x))
        z = torch.linspace(*_reach(noise), POINTS)[:, None]
        base = queries.plain(model.p_z(None, POINTS).log_prob(z.to(model.anchor))).exp()
    figures: Figures = []
    for caption, values in (("z = f(x), from data to noise", code[:, 0]), ("log dz/dx", slope)):
        with plots.style():
            figure, axis = _panel(ends)
            axis.plot(x[:, 0].numpy(), values.numpy(), color=color)
            figures.append((caption, plots.svg(figure, f"{label}: {caption}")))
    with plots.style():
        sides = (float(z[0]), float(z[-1]))
        figure, axis = _panel(sides)
        _bars(axis, noise, sides, color=FAINT, fill=True)
        axis.plot(z[:, 0].numpy(), base.numpy(), color=color)
        drawn = plots.svg(figure, f"{label}: test data as noise, and the base")
    return [*figures, ("Test data as z, and the base p(z)", drawn)]


def _reach(noise: Tensor) -> tuple[float, float]:
    """Of a picture of noise: where nearly all of it is, and where it should be."""
    noise = noise.nan_to_num(0.0, 0.0, 0.0)
    low, high = torch.quantile(noise, noise.new_tensor([EDGE, 1 - EDGE])).tolist()
    return min(low, -3.5), max(high, 3.5)


def _panel(ends: tuple[float, float]) -> tuple[Any, Any]:
    figure, axis = plots.panel(*SIZE)
    axis.set_xlim(*ends)
    return figure, axis


def _bars(axis: Any, x: Tensor, ends: tuple[float, float], **style: Any) -> None:
    """A histogram whose area is the share of all rows (N, 1) that it shows."""
    counts, edges = np.histogram(x.double().numpy(), bins=BINS, range=ends)
    axis.stairs(counts / (len(x) * (edges[1] - edges[0])), edges, **style)


def line(shown: Shown) -> bool:
    return shown.data.space.shape == (1,) and shown.data.space.kind == "real"


SECTION: Section = Section(
    "line",
    "The line",
    """One column can be seen whole: test rows in gray, {% if data.true_log_density %}the true
density dashed, {% endif %}and what every model makes of them. A flow bends the axis until the data
lie as its noise does: log&nbsp;p(x) = log&nbsp;p(z) + log&nbsp;dz/dx.""",
    build,
    "plane.html.j2",
    line,
)
