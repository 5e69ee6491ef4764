"""The section of completions: what may stand where nothing is given, of all models alike."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.model import Completer, Generator
from reparam.report import queries
from reparam.report.pictures import Picture, grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import SMALL, examples, names
from reparam.use.missing_part import STEPS, complete, why_not

EXAMPLES, FEWEST, DRAWS = 8, 2, 3
MOST_PASSED = 2 * 10**8  # entries of x through networks for a model: a few seconds of a core


def build(shown: Shown) -> list[Card]:
    """Test images, the part of them that is given, and draws of the rest, by model."""
    models = [
        found  # a model that is given what is left of x would be told what is hidden here
        for found in shown.of(Generator)
        if found[2].space.given is None and why_not(found[2]) is None
    ]
    if not models:
        return []
    parts = _parts(shown)
    count = min(_affordable(shown, model, DRAWS * len(parts)) for _, _, model in models)
    rows = examples(shown.data.test, count, shown.seed)
    return [
        Card(index, label, [_picture(shown, rows, label, model, *part) for part in parts])
        for index, label, model in models
    ]


def _affordable(shown: Shown, model: Generator, draws: int) -> int:
    """How many examples to complete so often."""
    of_chain = 2 * STEPS  # a step encodes and decodes
    passes = model.passes_per_draw if isinstance(model, Completer) else of_chain
    return shown.affordable(model, draws * passes, FEWEST, EXAMPLES, MOST_PASSED)


def _parts(shown: Shown) -> list[tuple[str, Tensor]]:
    """What is hidden, in words, and what is given: all but a box in the middle; the upper half."""
    shape = shown.data.space.shape
    around, upper = torch.ones(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    height, width = shape[1:]
    box = [slice(size // 4, size - size // 4) for size in (height, width)]
    around[:, box[0], box[1]] = False
    upper[:, : height // 2] = True
    return [("a box in the middle", around), ("the lower half", upper)]


def _picture(
    shown: Shown, rows: Tensor, label: str, model: Generator, hidden: str, given: Tensor
) -> tuple[str, Picture]:
    """Originals above, then the part that is given, then the draws."""
    data, brightness = shown.data, shown.brightness
    x, c = data.test.x[rows], queries.condition(model, data.test, rows)
    generator = queries.seeded_generator(shown.seed)
    completed = complete(model, x, given, c, draws=DRAWS, generator=generator)
    drawn = queries.in_data_units(completed.x).unbind(1)
    x, gray = queries.in_data_units(x), (brightness.low + brightness.high) / 2
    tiles = torch.cat([x, torch.where(given, x, gray), *(one.to(x) for one in drawn)])
    alt = f"{label}: completions of {names(data, rows)} of which {hidden} is hidden"
    picture = grid(tiles, brightness, len(rows), alt, tile=SMALL)
    said = f"Test images, the same without {hidden}, and three draws of what is missing"
    if isinstance(model, Completer) and model.approximates:
        said += ", by an approximation"
    if completed.acceptance is not None:
        accepted = f"{completed.acceptance:.0%} of their proposals accepted"
        said += f", by chains of {completed.steps} steps, {accepted}"
    return said, picture


SECTION: Section = Section(
    "completions",
    "Completions",
    """Test images chosen with seed {{ seed }}, of which a part is given, and how they may go on:
the same of all models. Autoregressive models draw pixel by pixel, each given those before it, so
that what lies after a box does not act on it; VAEs draw by Markov chains on z, given all around
it.""",
    build,
    "completions.html.j2",
    images,
)
