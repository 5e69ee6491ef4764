"""The section of filters: the weights between x and each unit of a code, as pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.evaluation.latents import NEGLIGIBLE
from reparam.model import Encoder
from reparam.report import queries
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.section import Card, Section, Shown, images

SHOWN, FIRST, COLUMNS = 100, 25, 5  # filters at most, seen at once, in a row
TILE = (48, 64)  # pixels: strokes are to be seen


def build(shown: Shown) -> list[Card]:
    """The filters of every encoder that has some."""
    codes = {coded.index: coded.code for coded in shown.coded}
    cards = []
    for index, label, model in shown.of(Encoder):
        found = model.filters()
        if found is not None:
            weights = queries.plain(found.weights)
            order, idle = _by_use(codes.get(index), len(weights))
            tiles = _own_scale(weights[order[:SHOWN]])
            alt = f"{label}: filters of the {found.of}"
            first, rest = tiles[:FIRST], tiles[FIRST:]
            pictures = [("", _picture(first, alt))]
            if len(rest):
                pictures.append((f"{len(rest)} more", _picture(rest, alt)))
            note = _note(found.of, len(weights), len(shown.split), idle)
            cards.append(Card(index, label, pictures, note))
    return cards


def _picture(tiles: Tensor, alt: str) -> Picture:
    return grid(tiles, Brightness(-1, 1), COLUMNS, alt, gap=0.06, tile=TILE)


def _by_use(code: Tensor | None, count: int) -> tuple[Tensor, int]:
    """The entries of the code from the one that varies most, and how many hardly vary."""
    if code is None:  # codes that are no numbers do not vary
        return torch.arange(count), 0
    variance = code.flatten(1).var(0, correction=0)
    idle = int((variance <= NEGLIGIBLE * variance.max()).sum())
    return variance.argsort(descending=True, stable=True), idle


def _own_scale(weights: Tensor) -> Tensor:
    """Each filter over the largest of its absolute weights, so that it lies in [−1, 1]."""
    largest = weights.flatten(1).abs().amax(1).clamp(min=1e-30)
    return weights / largest.view(-1, *[1] * (weights.ndim - 1))


def _note(of: str, total: int, examples: int, idle: int) -> str:
    where = {"decoder": "columns of the decoder", "encoder": "rows of the encoder"}[of]
    parts = [f"{min(SHOWN, total)} of {total:,} {where}" if total > SHOWN else f"{total} {where}"]
    if idle:
        verb = "varies" if idle == 1 else "vary"
        parts.append(f"{idle:,} hardly {verb} over {examples:,} test examples")
    return ", ".join(parts)


SECTION: Section = Section(
    "filters",
    "Filters",
    """What one unit of the code adds to the output of a linear decoder (columns), or answers to
most behind a linear encoder (rows). Gray is zero, white positive, black negative, each on its own
scale; units whose code varies most over test examples come first.""",
    build,
    "filters.html.j2",
    images,
)
