"""The first picture of the page: what the best of the models make of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from reparam.measures import measure
from reparam.model import Codec, Generator
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Shown
from reparam.report.sections.latent_map import drawn_map
from reparam.report.selection import SMALL, examples, names
from reparam.report.table import best_of
from reparam.space import trusted
from reparam.train.random import seeded

PICTURES = 8


def opening(shown: Shown) -> list[Card]:
    """Test images, and as those models restore and imitate them that do so best.

    Of vectors the map of those codes from which labels are read best.
    """
    if shown.data.space.is_image:
        return list(_strips(shown))
    coded = {one.index: one for one in shown.coded}
    chosen = _best(shown, list(coded), "linear_probe_accuracy")
    if chosen is None:
        return []
    drawing, projection = drawn_map(shown, coded[chosen])
    return [Card(chosen, coded[chosen].label, [("", drawing)], projection)]


def _strips(shown: Shown) -> Iterator[Card]:
    test, entries = shown.data.test, shown.entries
    rows = examples(test, PICTURES, shown.seed)
    found: list[tuple[int | None, str, str, Tensor]] = [
        (None, "Test images", "", queries.in_data_units(test.x[rows]))
    ]
    codecs = {i: model for i, _, model in shown.of(Codec) if not queries.predicts_hidden(model)}
    chosen = _best(shown, list(codecs), "reconstruction_mse")
    if chosen is not None:
        x = queries.reconstruct(codecs[chosen], test, rows)
        found.append((chosen, entries[chosen].label, "restores them", x))
    else:
        found += _repaired(shown, rows)
    chosen = _best(shown, [index for index, *_ in shown.of(Generator)], "frechet_distance")
    if chosen is not None:
        drawn = shown.samples[chosen].draws
        spread = torch.linspace(0, len(drawn) - 1, PICTURES).round().long()
        found.append((chosen, entries[chosen].label, "new samples", drawn[spread]))
    for index, label, what, x in found:
        alt = f"{label} {what or names(shown.data, rows)}"
        picture = grid(x, shown.brightness, PICTURES, alt, tile=SMALL)
        yield Card(index, label, [("", picture)], what)


def _repaired(shown: Shown, rows: Tensor) -> list[tuple[int | None, str, str, Tensor]]:
    """What is visible of images, and what the first codec makes of it that learned to."""
    for index, label, model in shown.of(Codec):
        noise = model.noise
        if noise is None or not noise.hides:
            continue
        with seeded(shown.seed, model.anchor.device), trusted():
            seen = noise.corrupt(shown.data.test.x[rows], noise.level)
            x = model.reconstruct(seen, queries.condition(model, shown.data.test, rows))
        repaired = queries.in_data_units(torch.where(seen.isnan(), x.to(seen), seen))
        hidden = (None, "Test images", f"{noise.level:.0%} hidden", queries.in_data_units(seen))
        return [hidden, (index, label, "repairs them", repaired)]
    return []


def _best(shown: Shown, models: Sequence[int], name: str) -> int | None:
    """Which of the models has the best such score; the first where none has one."""
    scores = {i: shown.entries[i].scores[name] for i in models if name in shown.entries[i].scores}
    better = measure(name).better
    if not scores or better is None:
        return models[0] if models else None
    best = best_of(list(scores.values()), better)
    return next(index for index, score in scores.items() if score is best)
