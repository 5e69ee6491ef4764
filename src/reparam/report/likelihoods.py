"""What p(x|z) says: means beside draws, how much each pixel varies, and samples class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.reconstruction import unit_range
from reparam.model import Distribution, Generator, LatentVariable
from reparam.report import queries
from reparam.report.entry import Entry
from reparam.report.galleries import SMALL, examples, names
from reparam.report.latent import class_names
from reparam.report.pictures import Brightness, Picture, grid

PICTURES, PER_CLASS, CLASSES = 8, 6, 20
ALIKE = 1e-3  # relative: deviations that differ by less are the same


@dataclass(frozen=True)
class OutcomeCard:
    """p(x|z) of one model at the codes of test images: captioned pictures, and a remark."""

    model: int
    label: str
    pictures: list[tuple[str, Picture]]
    note: str


@dataclass(frozen=True)
class ClassRow:
    """The name of a class and its samples."""

    name: str
    picture: Picture


@dataclass(frozen=True)
class ClassCard:
    """Samples of one conditional model, a row for each class."""

    model: int
    label: str
    caption: str
    rows: list[ClassRow]


def outcomes(data: Data, entries: Sequence[Entry], seed: int) -> list[OutcomeCard]:
    """Mean, draw and deviation of p(x|z) for every latent-variable model of images."""
    rows = examples(data.test, PICTURES, seed)
    found = {
        index: queries.outcome(entry.model, data.test, rows)
        for index, entry in enumerate(entries)
        if isinstance(entry.model, LatentVariable)
    }
    laws = {index: p for index, p in found.items() if p is not None}
    deviations = {index: _deviation(data, p) for index, p in laws.items()}
    white = max((float(d.max()) for d in deviations.values() if d is not None), default=0.0)
    cards = []
    for index, p in laws.items():
        label = entries[index].label
        pictures = _pictures(data, label, p, rows, seed)
        map_of, note = _map(data, deviations[index], white, f"{label}: {names(data, rows)}")
        pictures += [] if map_of is None else [map_of]
        cards.append(OutcomeCard(index, label, pictures, note))
    return cards


def _pictures(
    data: Data, label: str, p: Distribution, rows: Tensor, seed: int
) -> list[tuple[str, Picture]]:
    brightness, n, what = Brightness.of(data), len(rows), names(data, rows)
    drawn = queries.in_data_units(p.sample(queries.seeded_generator(seed)))
    shown = [
        ("Test images", queries.in_data_units(data.test.x[rows])),
        ("Means E[x|z]", queries.in_data_units(p.center)),
        ("Draws x ~ p(x|z), from the same z", drawn),
    ]
    return [
        (caption, grid(x, brightness, n, f"{label}: {caption} of {what}")) for caption, x in shown
    ]


def _deviation(data: Data, p: Distribution) -> Tensor | None:
    """√Var(x|z) of each pixel, discrete data over K−1; of several channels the mean variance."""
    if p.variance is None:
        return None
    return unit_range(queries.plain(p.variance).mean(1, keepdim=True).sqrt(), data.space)


def _map(
    data: Data, deviation: Tensor | None, white: float, what: str
) -> tuple[tuple[str, Picture] | None, str]:
    """The picture of deviations, or words where there is none or one number says it all."""
    if deviation is None:
        return None, "The variance of p(x|z) has no closed form."
    unit = "x in [0, 1]" if data.space.kind != "real" else "in the data's unit"
    low, high = float(deviation.min()), float(deviation.max())
    if not high - low > ALIKE * high:
        return None, f"The standard deviation of p(x|z) is {high:.3g} ({unit}) in every pixel."
    caption = f"Standard deviation √Var(x|z): black 0, white {white:.2g} ({unit})"
    alt = f"{what}: standard deviation of each pixel"
    return (caption, grid(deviation, Brightness(0.0, white), len(deviation), alt)), ""


def samples_by_class(data: Data, entries: Sequence[Entry], seed: int) -> list[ClassCard]:
    """Rows of samples, one for each class, for every generator that takes labels."""
    cards = []
    by_label = data.space.classes is not None and data.space.attributes is None
    known = class_names(data)[: data.space.classes] if by_label else ()
    for index, entry in enumerate(entries):
        if isinstance(entry.model, Generator) and entry.model.conditional and known:
            cards.append(_class_card(data, index, entry.label, entry.model, known[:CLASSES], seed))
    return cards


def _class_card(
    data: Data, index: int, label: str, model: Generator, known: Sequence[str], seed: int
) -> ClassCard:
    rows, means = [], False
    for number, name in enumerate(known):
        # One seed for all classes: what stands in a column was made of the same random numbers.
        count = PER_CLASS if isinstance(model, LatentVariable) else 2 * PER_CLASS
        alike = Split(
            data.train.x[:1].expand(count, *data.space.shape), torch.full((count,), number)
        )
        samples = queries.sample(model, count, alike, seed)
        means = samples.means is not None
        x = samples.draws if samples.means is None else torch.cat([samples.means, samples.draws])
        apart = (PER_CLASS,) if means else ()
        alt = f"{label}: samples of class {name}"
        picture = grid(x, Brightness.of(data), len(x), alt, apart=apart, tile=SMALL)
        rows.append(ClassRow(name, picture))
    caption = "Draws x ~ p(x|c); a column shares its random numbers."
    if means:
        caption = "Left means E[x|z, c], right draws x ~ p(x|z, c); a column shares its draw of z."
    left_out = (data.space.classes or 0) - len(known)
    return ClassCard(
        index, label, caption + (f" {left_out} more classes." if left_out else ""), rows
    )
