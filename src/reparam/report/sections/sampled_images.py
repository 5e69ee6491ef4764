"""The section of sampled images, of all models alike and class by class."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.data import Split
from reparam.model import Generator, LatentVariable
from reparam.models.invertible import Invertible
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import (
    SAMPLE_ROWS,
    SMALL,
    drawn_classes,
    rows_to_imitate,
    sample_columns,
)
from reparam.train.collapse import has_indices

PER_CLASS, CLASSES = 6, 20
COOL = 0.7  # by which the noise of flows is scaled for their second picture, as papers do


class Samples(NamedTuple):
    """Cards of all generators, and of those that take labels with a figure for each class."""

    cards: list[Card]
    by_class: list[Card]
    have_means: bool
    cooled: bool


def build(shown: Shown) -> Samples | None:
    cards = sample_cards(shown)
    have_means, cooled = (any(shown.of(role)) for role in (LatentVariable, Invertible))
    return Samples(cards, samples_by_class(shown), have_means, cooled) if cards else None


def sample_cards(shown: Shown) -> list[Card]:
    """Real test images, then each generator's: means where there are any, and draws."""
    if not any(shown.of(Generator)):
        return []
    data, brightness, seed = shown.data, shown.brightness, shown.seed
    columns = sample_columns(data.space)
    count = SAMPLE_ROWS * columns
    drawn = torch.randperm(len(data.test), generator=queries.seeded_generator(seed + 1))
    real = grid(data.test.x[drawn[:count]], brightness, columns, "Real test images", tile=SMALL)
    cards = [Card(None, "Real data", [("Test images", real)])]
    for index, label, model in shown.of(Generator):
        found = captioned(shown.samples[index])
        if isinstance(model, Invertible):
            like = rows_to_imitate(data, count, seed)
            found.append((f"At temperature {COOL}", queries.cooled(model, COOL, count, like, seed)))
        elif isinstance(model, LatentVariable):
            found += _under_uniform(shown, model, count)
        figures = [
            (caption, grid(x, brightness, columns, f"{label}: {caption}", tile=SMALL))
            for caption, x in found
        ]
        cards.append(Card(index, label, figures))
    return cards


def _under_uniform(shown: Shown, model: LatentVariable, count: int) -> list[tuple[str, Tensor]]:
    """Means at indices drawn uniformly, beside a prior that was learned; else nothing."""
    space, generator = model.code_space, queries.seeded_generator(shown.seed)
    if not has_indices(model) or space.level_count is None:
        return []
    shape = (count, *space.shape)
    code = torch.randint(space.level_count, shape, generator=generator)
    like = rows_to_imitate(shown.data, count, shown.seed)
    c = queries.condition(model, like, slice(count))
    bits = model.prior(c).log_prob(code.to(model.anchor.device)).cpu()
    if torch.allclose(bits, bits.new_tensor(-space.dimension * math.log(space.level_count))):
        return []
    return [("Means at indices drawn uniformly", queries.decode(model, code, c))]


def captioned(samples: queries.Samples) -> list[tuple[str, Tensor]]:
    """What is shown of samples, named for what it is."""
    shown = [] if samples.means is None else [("Means of p(x|z), z ~ p(z)", samples.means)]
    return [*shown, ("Draws x ~ p(x)", samples.draws)]


def samples_by_class(shown: Shown) -> list[Card]:
    """A row of samples for each class, of every generator that takes labels.

    Those that can be guided by them have a section of their own.
    """
    return [
        _class_card(shown, index, label, model, known)
        for index, label, model in shown.of(Generator)
        if (known := drawn_classes(model, shown.data))
        and not ((view := model.from_noise) and view.guides)
    ]


def _class_card(
    shown: Shown, index: int, label: str, model: Generator, known: list[tuple[int, str]]
) -> Card:
    means = isinstance(model, LatentVariable)
    # One seed for all classes: what stands in a column was made of the same random numbers.
    count = PER_CLASS if means else 2 * PER_CLASS
    x = shown.data.train.x[:1].expand(count, *shown.data.space.shape)
    rows = []
    for number, name in known[:CLASSES]:
        alike = Split(x, torch.full((count,), number))
        samples = queries.sample(model, count, alike, shown.seed)
        both = [part for part in (samples.means, samples.draws) if part is not None]
        apart, alt = (PER_CLASS,) if means else (), f"{label}: samples of class {name}"
        tiles = torch.cat(both)
        picture = grid(tiles, shown.brightness, len(tiles), alt, apart=apart, tile=SMALL)
        rows.append((name, picture))
    note = "Draws x ~ p(x|c); a column shares its random numbers."
    if means:
        note = "Left means E[x|z, c], right draws x ~ p(x|z, c); a column shares its draw of z."
    left_out = len(known) - len(known[:CLASSES])
    return Card(index, label, rows, note + (f" {left_out} more classes." if left_out else ""))


SECTION: Section = Section(
    "samples",
    "Samples",
    """{% if content.have_means %}Means and draws of a model come from the same z, place by place:
means show what the latent code decides, draws{% else %}Draws{% endif %} x&nbsp;~&nbsp;p(x) are what
the likelihood judges, noise included.{% if content.cooled %} Beside those of a flow stand what its
noise, scaled, becomes: x nearer to the center, no draws of p(x).{% endif %}""",
    build,
    "sampled_images.html.j2",
    images,
)
