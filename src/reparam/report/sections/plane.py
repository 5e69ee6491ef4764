"""The section of the plane: data of two real columns, what models draw, and how dense they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.batching import in_batches
from reparam.inspection import Judgment
from reparam.model import Density, Generator
from reparam.models.invertible import Invertible
from reparam.report import noise_in_plane, plots, queries
from reparam.report.colors import INK, model_color
from reparam.report.section import Card, Section, Shown
from reparam.report.window import Window

SIDE = 120  # cells of a map of the density, across and up
DRAWS = 50  # for each cell, of a density that draws
SHOWN = 0.9  # of the cells' numbers, from the brightest on, have colors of their own
NATS = 8.0  # below the densest cell of any map everything has one color
LINES, POINTS = 21, 161  # of the carried grid, and of each of its lines
WITHIN = 0.99  # share of the noise, by entry, that its grid reaches
STATIONS, CARRIED = 7, 1000  # pictures of steps at most, and points in each
SIZE, SMALL = (3.5, 3.3), (1.9, 1.8)  # inches

Figures = list[tuple[str, Markup]]


@dataclass(frozen=True)
class PlaneCard(Card):
    """Also the way of the noise, step by step, where there are steps, or time by time.

    Args:
        steps: of a flow.
        instants: of a model that undoes noise.
        arrows: whether these show the score.
    """

    steps: Figures = field(default_factory=list)
    instants: Figures = field(default_factory=list)
    arrows: bool = False


def build(shown: Shown) -> list[PlaneCard]:
    """A card of the data, and one of every generator."""
    window = Window.around(shown.split.x.double())
    truth = shown.data.true_log_density
    maps = {
        index: noise_in_plane.log_density(shown, model, window, SIDE, DRAWS)
        for index, _, model in shown.of(Density)
        if not model.conditional  # p(x|c) is another thing
    }
    wanted = None if truth is None else truth(window.cells(SIDE))
    tops = [noise_in_plane.densest(shown.entries[i].model, log_p) for i, log_p in maps.items()]
    most = max([*tops, *([] if wanted is None else [float(wanted.max())])], default=0.0)
    figures = [("Test data", _points(shown.split.x, window, INK, "Test data"))]
    if wanted is not None:
        figures.append(
            (f"log p, true: {_scale(most)}", _heat(wanted, window, most, "True density"))
        )
    cards = [PlaneCard(None, "Data", figures)]
    for index, label, model in shown.of(Generator):
        drawn = shown.drawn_rows[index]
        steps: Figures = []
        figures = [("Samples", _points(drawn, window, model_color(index), f"{label}: samples"))]
        log_p = maps.get(index)
        if log_p is not None:
            caption = f"log p{noise_in_plane.how(model, DRAWS)}: {_scale(most)}"
            figures.append((caption, _heat(log_p, window, most, f"{label}: density")))
        if model.judgment is not None and not model.conditional:
            figures.append(_judged(model, model.judgment, window, label))
        if isinstance(model, Invertible) and not model.conditional:
            noise = _noise(model, shown.seed)
            figures += _carried(index, label, model, window, noise)
            steps = _steps(index, label, model, noise)
        instants, arrows = noise_in_plane.instants(shown, index, label, model)
        cards.append(PlaneCard(index, label, figures, "", steps, instants, arrows))
    return cards


def _scale(most: float) -> str:
    return f"from {most - NATS:.1f} nats, dark, to {most:.1f}".replace("-", "−")


def _axes(window: Window) -> tuple[Any, Any]:
    figure, axis = plots.panel(*SIZE)
    axis.set(xlim=window[:2], ylim=window[2:])
    axis.grid(False)
    return figure, axis


def _points(x: Tensor, window: Window, color: str, alt: str) -> Markup:
    with plots.style():
        figure, axis = _axes(window)
        plots.dots(axis, x.double(), color)
        return plots.svg(figure, alt)


def _heat(values: Tensor, window: Window, most: float, alt: str) -> Markup:
    """Values (side²,) as colors, one scale for all maps."""
    with plots.style():
        figure, axis = _axes(window)
        side = math.isqrt(len(values))
        picture = values.view(side, side).clamp(min=most - NATS).numpy()
        scale = {"vmin": most - NATS, "vmax": most, "cmap": "viridis"}
        axis.imshow(picture, extent=window, aspect="auto", interpolation="bilinear", **scale)
        return plots.svg(figure, alt)


def _judged(model: Generator, judgment: Judgment, window: Window, label: str) -> tuple[str, Markup]:
    """What a critic or an energy says of the plane, on a scale of its own; data are bright."""

    @torch.no_grad()
    def of(x: Tensor) -> Tensor:
        return queries.plain(judgment.of(x, None))

    numbers = in_batches(of, 2000, window.cells(SIDE))
    known = numbers[numbers.isfinite()]
    share = known.new_tensor([1 - SHOWN, 1.0] if not judgment.energy else [0.0, SHOWN])
    low, high = torch.quantile(known, share).tolist() if len(known) else (0.0, 1.0)
    dark, bright = (high, low) if judgment.energy else (low, high)
    unit = f" {judgment.unit}" if judgment.unit else ""
    caption = f"{judgment.name}: from {dark:.3g}{unit}, dark, to {bright:.3g}".replace("-", "−")
    colors = "viridis_r" if judgment.energy else "viridis"
    with plots.style():
        figure, axis = _axes(window)
        scale = {"vmin": low, "vmax": max(high, low + 1e-6), "cmap": colors}
        picture = numbers.view(SIDE, SIDE).numpy()
        axis.imshow(picture, extent=window, aspect="auto", interpolation="bilinear", **scale)
        return caption.capitalize(), plots.svg(figure, f"{label}: {judgment.name}")


def _carried(index: int, label: str, model: Invertible, window: Window, noise: Tensor) -> Figures:
    """The grid of the noise where a flow carries it, and where it stretches the plane."""
    with torch.no_grad():
        slope = model.log_slope(window.cells(SIDE))
    both = _grid(noise)
    x = queries.decode(model, both.flatten(0, 1), None).view(2 * LINES, POINTS, 2)
    with plots.style():
        figure, axis = _axes(window)
        for line in x.numpy():
            axis.plot(line[:, 0], line[:, 1], color=model_color(index), lw=0.7, alpha=0.8)
        carried = plots.svg(figure, f"{label}: the grid of the noise carried to the data")
    ladj = queries.plain(slope)
    most = max(float(ladj.abs().quantile(0.98)), 1e-3)
    with plots.style():
        figure, axis = _axes(window)
        scale = {"vmin": -most, "vmax": most, "cmap": "RdBu_r"}
        axis.imshow(ladj.view(SIDE, SIDE).numpy(), extent=window, aspect="auto", **scale)
        stretched = plots.svg(figure, f"{label}: how the flow stretches the plane")
    return [
        (f"Lines of {WITHIN:.0%} of the noise, in the data", carried),
        (f"log |det ∂z/∂x|: blue −{most:.2g}, red +{most:.2g} nats", stretched),
    ]


def _noise(model: Invertible, seed: int) -> Tensor:
    """Draws of the base, (CARRIED, 2)."""
    with torch.no_grad():
        return model.p_z(None, CARRIED).sample(queries.seeded_generator(seed))


def _grid(noise: Tensor) -> Tensor:
    """Lines across nearly all of the noise and up, (2 LINES, POINTS, 2)."""
    side = 0.5 * (1 - WITHIN)
    ends = torch.quantile(noise, noise.new_tensor([side, 1 - side]), dim=0)

    def ticks(axis: int, count: int) -> Tensor:
        return ends[0, axis].lerp(ends[1, axis], torch.linspace(0, 1, count).to(ends))

    across = torch.meshgrid(ticks(0, LINES), ticks(1, POINTS), indexing="ij")
    up = torch.meshgrid(ticks(0, POINTS), ticks(1, LINES), indexing="xy")
    return torch.cat([torch.stack(across, -1), torch.stack(up, -1)])


def _steps(index: int, label: str, model: Invertible, noise: Tensor) -> Figures:
    """Draws of the noise after every member of a flow, or some of them: p₀ … p_K."""
    with torch.no_grad():
        stations = model.stations(noise)
    kept = torch.linspace(0, len(stations) - 1, min(len(stations), STATIONS)).round().long()
    figures: Figures = []
    added = 0.0
    for place, station in enumerate(stations):
        added += float(station.ladj.mean())
        if place not in kept.tolist():
            continue
        points = queries.plain(station.points)
        with plots.style():
            figure, axis = plots.panel(*SMALL)
            there = points[points.isfinite().all(1)]
            if len(there):
                window = Window.around(there.double())
                axis.set(xlim=window[:2], ylim=window[2:])
            axis.grid(False)
            plots.dots(axis, there, model_color(index))
            drawn = plots.svg(figure, f"{label}: after {place} steps")
        gained = f", {added:+.2f} nats".replace("-", "−") if place else ""
        figures.append((f"p{place}: {station.name}{gained}", drawn))
        added = 0.0
    return figures


def plane(shown: Shown) -> bool:
    return shown.data.space.shape == (2,) and shown.data.space.kind == "real"


SECTION: Section = Section(
    "plane",
    "The plane",
    """Two columns can be seen whole: test rows, as many samples of each model, and how dense
every density says that each place is, all on one scale; and what critics and energies say of it,
each on a scale of its own, bright where they take x for data.""",
    build,
    "plane.html.j2",
    plane,
)
