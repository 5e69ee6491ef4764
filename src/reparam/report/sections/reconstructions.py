"""The section of reconstructed images."""

from __future__ import annotations

from reparam.evaluation.reconstruction import unit_range
from reparam.model import Codec
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import examples, names

PICTURES = 12


def build(shown: Shown) -> list[Card]:
    """The same test images, as they are and as each codec restores them."""
    if not any(shown.of(Codec)):
        return []
    data, brightness = shown.data, shown.brightness
    rows = examples(data.test, PICTURES, shown.seed)
    what, x = names(data, rows), queries.in_data_units(data.test.x[rows])
    original = unit_range(x, data.space)
    first = grid(x, brightness, len(rows), what.capitalize())
    cards = [Card(None, "Originals", [("", first)], "test")]
    for index, label, model in shown.of(Codec):
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
