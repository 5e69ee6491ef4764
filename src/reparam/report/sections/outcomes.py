"""What is folded below reconstructions: means of p(x|z), draws, and how much each pixel varies."""

from __future__ import annotations

from torch import Tensor

from reparam.data import Data
from reparam.evaluation.vectors import unit_range
from reparam.model import Distribution, LatentVariable
from reparam.report import queries
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.section import Card, Shown
from reparam.report.selection import examples, names

PICTURES = 8
ALIKE = 1e-3  # relative: deviations that differ by less are the same


def build(shown: Shown) -> list[Card]:
    """Mean, draw and deviation of p(x|z) for every latent-variable model of images."""
    data = shown.data
    rows = examples(data.test, PICTURES, shown.seed)
    laws = [
        (index, label, queries.outcome(model, data.test, rows))
        for index, label, model in shown.of(LatentVariable)
    ]
    deviations = [_deviation(data, p) for _, _, p in laws]
    white = max((float(d.max()) for d in deviations if d is not None), default=0.0)
    cards = []
    for (index, label, p), deviation in zip(laws, deviations, strict=True):
        pictures = _pictures(shown, label, p, rows)
        map_of, note = _map(data, deviation, white, f"{label}: {names(data, rows)}")
        pictures += [] if map_of is None else [map_of]
        cards.append(Card(index, label, pictures, note))
    return cards


def _pictures(shown: Shown, label: str, p: Distribution, rows: Tensor) -> list[tuple[str, Picture]]:
    data, n, what = shown.data, len(rows), names(shown.data, rows)
    drawn = queries.in_data_units(p.sample(queries.seeded_generator(shown.seed)))
    sets = [
        ("Test images", queries.in_data_units(data.test.x[rows])),
        ("Means E[x|z]", queries.in_data_units(p.center)),
        ("Draws x ~ p(x|z), from the same z", drawn),
    ]
    return [
        (caption, grid(x, shown.brightness, n, f"{label}: {caption} of {what}"))
        for caption, x in sets
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
