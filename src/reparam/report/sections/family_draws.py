"""The section of draws of every family, side by side: as many of each, and of the data."""

from __future__ import annotations

import torch

from reparam.model import Generator
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import rows_to_imitate

SIDE = 6  # draws in each direction
TILE = (24, 36)  # pixels: many stand side by side


def build(shown: Shown) -> list[Card]:
    """Test images, then the draws of each generator, of the same seed."""
    if not any(shown.of(Generator)):
        return []
    data, count = shown.data, SIDE * SIDE
    like = rows_to_imitate(data, count, shown.seed)
    drawn = torch.randperm(len(data.test), generator=queries.seeded_generator(shown.seed + 1))
    cards = [_card(shown, None, "data", "", data.test.x[drawn[:count]])]
    names = [label.split()[0] for _, label, _ in shown.of(Generator)]
    for index, label, model in shown.of(Generator):
        name, _, settings = label.partition(" ")
        draws = queries.sample(model, count, like, shown.seed).draws
        cards.append(_card(shown, index, name, settings if names.count(name) > 1 else "", draws))
    return cards


def _card(shown: Shown, index: int | None, name: str, settings: str, x: torch.Tensor) -> Card:
    """A grid under its name, and under its settings where others bear the name as well."""
    alt = f"{name}: {len(x)} {'test images' if index is None else 'draws'}"
    return Card(index, name, [("", grid(x, shown.brightness, SIDE, alt, tile=TILE))], settings)


SECTION: Section = Section(
    "family-draws",
    "Draws of every family",
    """The same number of draws x&nbsp;~&nbsp;p(x) of each, noise included and none chosen, beside
images of the test split.""",
    build,
    "family_draws.html.j2",
    lambda shown: shown.families and images(shown),
)
