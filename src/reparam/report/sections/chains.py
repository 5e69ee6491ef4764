"""The section of Markov chains: where some stand from their start until they are draws."""

from __future__ import annotations

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.inspection import DrawnByChains
from reparam.model import Generator
from reparam.report import plots, queries
from reparam.report.colors import model_color
from reparam.report.pictures import Picture, grid
from reparam.report.section import Section, Shown, WayCard, images
from reparam.report.sections.plane import plane
from reparam.report.selection import SMALL
from reparam.report.window import Window

# Of the sweeps of a draw: half of them are made while the energy comes to count in full.
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
FEWER = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)  # in the plane
STRIPS, POINTS = 4, 400  # chains
SIZE = (1.9, 1.8)  # inches


def build(shown: Shown) -> list[WayCard]:
    """A card of every model that draws by chains."""
    found = []
    for index, label, model in shown.of(Generator):
        if isinstance(model, DrawnByChains):
            count, shares = (STRIPS, SHARES) if images(shown) else (POINTS, FEWER)
            path = model.chain_path(count, shares, queries.seeded_generator(shown.seed))
            states = {sweeps: queries.in_data_units(x) for sweeps, x in path.items()}
            found.append((_strips if images(shown) else _panels)(shown, index, label, states))
    return found


def _strips(shown: Shown, index: int, label: str, states: dict[int, Tensor]) -> WayCard:
    """A row for each chain."""
    tiles = torch.stack(list(states.values()), 1).flatten(0, 1)
    alt = f"{label}: {STRIPS} chains from their start to draws"
    picture: Picture = grid(tiles, shown.brightness, len(states), alt, tile=SMALL)
    return WayCard(index, label, [("", picture)], columns=[str(sweeps) for sweeps in states])


def _panels(shown: Shown, index: int, label: str, states: dict[int, Tensor]) -> WayCard:
    """Points of the plane, a picture for each number of sweeps."""
    there = {sweeps: x[x.isfinite().all(1)].double() for sweeps, x in states.items()}
    window = Window.around(torch.cat([shown.split.x.double(), *there.values()]))
    figures: list[tuple[str, Markup]] = []
    for sweeps, points in there.items():
        with plots.style():
            figure, axis = plots.panel(*SIZE)
            axis.set(xlim=window[:2], ylim=window[2:], xticks=[], yticks=[])
            plots.dots(axis, points, model_color(index))
            drawn = plots.svg(figure, f"{label}: chains after {sweeps} sweeps")
        figures.append((f"{sweeps} sweeps" if sweeps else "start", drawn))
    return WayCard(index, label, figures)


SECTION: Section = Section(
    "chains",
    "How chains become draws",
    """Models that are known up to a constant draw by Markov chains.
{% if data.space.is_image %}Each row is one chain, each column where it stands{% else %}Each
picture shows where chains stand{% endif %} after so many sweeps, from draws of independent entries
to draws of the model. In the first half of the sweeps the energy comes to count little by little,
as chains that meet it at once stay where they first fall. Where they still change in kind at the
end, chains are too short, and draws are not yet those of p(x).""",
    build,
    "chains.html.j2",
    lambda shown: images(shown) or plane(shown),
)
