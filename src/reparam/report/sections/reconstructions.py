"""The section of reconstructed images."""

from __future__ import annotations

from typing import NamedTuple

from reparam.evaluation.vectors import unit_range
from reparam.model import Codec
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.sections import outcomes
from reparam.report.selection import examples, names

PICTURES = 12


class Restored(NamedTuple):
    """A strip of each codec, what the laws are of which strips show the means, and who is left out.

    ``of_hidden`` are the labels of those that learned to predict what is hidden alone.
    """

    strips: list[Card]
    outcomes: list[Card]
    of_hidden: list[str]


def build(shown: Shown) -> Restored | None:
    """The same test images, as they are and as each codec restores them."""
    of_hidden = [label for _, label, model in shown.of(Codec) if queries.predicts_hidden(model)]
    if len(of_hidden) == len(list(shown.of(Codec))):  # or there is none at all
        return None
    return Restored(_strips(shown), outcomes.build(shown), of_hidden)


def _strips(shown: Shown) -> list[Card]:
    data, brightness = shown.data, shown.brightness
    rows = examples(data.test, PICTURES, shown.seed)
    what, x = names(data, rows), queries.in_data_units(data.test.x[rows])
    original = unit_range(x, data.space)
    first = grid(x, brightness, len(rows), what.capitalize())
    cards = [Card(None, "Originals", [("", first)], "test")]
    for index, label, model in shown.of(Codec):
        if queries.predicts_hidden(model):
            continue
        restored = queries.reconstruct(model, data.test, rows)
        mse = (unit_range(restored, data.space) - original).square().mean().item()
        picture = grid(restored, brightness, len(rows), f"{label}: reconstructions of {what}")
        cards.append(Card(index, label, [("", picture)], f"MSE {mse:.3g}"))
    return cards


SECTION: Section = Section(
    "reconstructions",
    "Reconstructions",
    """The same {{ "class-balanced " if data.test.labels is not none }}test images through every
model with codes. Deterministic: the mean of x given the mean code. MSE of these
images{{ ", values in [0, 1]" if data.space.kind != "real" }}.""",
    build,
    "reconstructions.html.j2",
    images,
)
