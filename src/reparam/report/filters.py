"""Filters: the weights between x and each unit of a code, as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.latents import NEGLIGIBLE
from reparam.evaluation.rows import subset
from reparam.model import Codec
from reparam.report import queries
from reparam.report.entry import Entry
from reparam.report.latent import MOST_POINTS
from reparam.report.pictures import Brightness, Picture, grid

SHOWN, COLUMNS, FEWEST = 100, 10, 4  # filters at most, in a row at most and at least
TILE = (28, 64)  # pixels


@dataclass(frozen=True)
class FilterCard:
    """The filters of one model: which of them, and where in the network they stand."""

    model: int
    label: str
    picture: Picture
    note: str


def filters(data: Data, entries: Sequence[Entry], seed: int) -> list[FilterCard]:
    """The filters of every codec that has some, for images."""
    split = subset(data.test, MOST_POINTS, seed)
    cards = []
    for index, entry in enumerate(entries):
        found = entry.model.filters() if isinstance(entry.model, Codec) else None
        if isinstance(entry.model, Codec) and found is not None and data.space.is_image:
            weights = queries.plain(found.weights)
            order, dead = _by_use(entry.model, split, len(weights))
            chosen = order[:SHOWN]
            columns = min(COLUMNS, max(FEWEST, math.ceil(math.sqrt(len(chosen)))))
            alt = f"{entry.label}: {len(chosen)} filters of the {found.of}"
            picture = grid(
                _own_scale(weights[chosen]), Brightness(-1, 1), columns, alt, gap=0.06, tile=TILE
            )
            note = _note(found.of, len(weights), len(split), dead)
            cards.append(FilterCard(index, entry.label, picture, note))
    return cards


def _by_use(model: Codec, split: Split, count: int) -> tuple[Tensor, int]:
    """The entries of the code from the one that varies most, and how many hardly vary."""
    code = queries.encode(model, split)
    if code is None:  # codes that are no numbers do not vary
        return torch.arange(count), 0
    variance = code.flatten(1).var(0, correction=0)
    dead = int((variance <= NEGLIGIBLE * variance.max()).sum())
    return variance.argsort(descending=True, stable=True), dead


def _own_scale(weights: Tensor) -> Tensor:
    """Each filter over the largest of its absolute weights, so that it lies in [−1, 1]."""
    largest = weights.flatten(1).abs().amax(1).clamp(min=1e-30)
    return weights / largest.view(-1, *[1] * (weights.ndim - 1))


def _note(of: str, total: int, examples: int, dead: int) -> str:
    where = {"decoder": "columns of the decoder", "encoder": "rows of the encoder"}[of]
    parts = [f"{min(SHOWN, total)} of {total:,} {where}" if total > SHOWN else f"{total} {where}"]
    if dead:
        parts.append(f"{dead:,} units hardly vary over {examples:,} test examples")
    return ", ".join(parts)
