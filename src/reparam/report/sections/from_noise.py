"""The section of how noise becomes x: draws step by step, and what they seem to be on the way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.model import Generator
from reparam.report import queries
from reparam.report.pictures import Picture, grid
from reparam.report.section import Section, Shown, WayCard, images
from reparam.report.selection import SMALL, examples

INSTANTS = 10  # pictures of a draw


def build(shown: Shown) -> list[WayCard]:
    """A card of every model that draws by undoing noise."""
    cards = []
    for index, label, model in shown.of(Generator):
        view = model.from_noise
        if view is None:
            continue
        shares = [place / (INSTANTS - 1) for place in range(INSTANTS)]
        path = view.path(1, shares, generator=queries.seeded_generator(shown.seed))
        times = [one.t for one in path]
        rows = examples(shown.data.test, 1, shown.seed)
        x = shown.data.test.x[rows]
        noised = view.noised(x, times, queries.seeded_generator(shown.seed))
        strips = {
            "A test image, and noise added to it": noised,
            "A draw, from noise to data: x at every time": [one.state for one in path],
            "What it seems to be at that time: x̂": [one.x for one in path],
        }
        figures = [(what, _strip(shown, x, f"{label}: {what}")) for what, x in strips.items()]
        cards.append(WayCard(index, label, figures, columns=[_time(t) for t in times]))
    return cards


def _strip(shown: Shown, parts: Sequence[Tensor], alt: str) -> Picture:
    x = torch.cat([queries.in_data_units(part) for part in parts])
    return grid(x, shown.brightness, len(parts), alt, tile=SMALL)


def _time(t: float) -> str:
    """To two digits, small ones to one.

    >>> _time(1.0), _time(0.5555), _time(0.00021), _time(0.0)
    ('1', '.56', '2e-4', '0')
    """
    if t in (0, 1):
        return f"{t:.0f}"
    return f"{t:.2f}"[1:] if t >= 0.01 else f"{t:.0e}".replace("e-0", "e-")


SECTION: Section = Section(
    "noise",
    "How noise becomes x",
    """Models that learned to undo noise draw by doing so step by step. Each column is a time, from
1, noise, to 0, data: above, what a test image becomes with so much noise; below it, where a draw is
on its way, and the x̂ that the network takes it for, a mean over all x that are still possible. It
is blurred at first, as these are many; at 1 nothing of x is there, and what a network of noise says
of it means little. States are divided by √(α² + σ²), and
of whole numbers cut to their range.""",
    build,
    "from_noise.html.j2",
    images,
)
