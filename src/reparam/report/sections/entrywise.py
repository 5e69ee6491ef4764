"""The section of single pixels: what surprised a model, and what one pixel's factor sees."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.batching import rows_at_once
from reparam.data import Data
from reparam.model import Density
from reparam.report import queries
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import examples, names

EXAMPLES = 8
FIELD_EXAMPLES = 8  # whose gradients are averaged
DECADES = 4.0  # of gradients, from white to black


def build(shown: Shown) -> list[Card]:
    """Surprise maps and receptive fields of image models whose log p(x) comes by entry."""
    data = shown.data
    rows = examples(data.test, EXAMPLES, shown.seed)
    surprises = {i: _surprise(model, data, rows, shown.seed) for i, _, model in shown.of(Density)}
    brightest = max((float(s.max()) for s in surprises.values() if s is not None), default=0.0)
    cards = []
    for index, label, model in shown.of(Density):
        pictures, surprise = [], surprises.get(index)
        if surprise is not None:
            pictures.append(_surprise_picture(shown, rows, label, surprise, brightest))
            pictures.append(_field_picture(data, label, model))
        if pictures:
            cards.append(Card(index, label, pictures))
    return cards


def _surprise(model: Density, data: Data, rows: Tensor, seed: int) -> Tensor | None:
    """−log₂ p(x_i | …) of test images, summed over channels, (B, 1, H, W); None if not by entry."""
    c = queries.condition(model, data.test, rows)
    generator = queries.seeded_generator(seed)  # of those that draw to give a bound
    found = model.log_prob(data.test.x[rows], c, generator=generator).per_dimension
    return None if found is None else -queries.plain(found).sum(1, keepdim=True) / math.log(2)


def _surprise_picture(
    shown: Shown, rows: Tensor, label: str, surprise: Tensor, brightest: float
) -> tuple[str, Picture]:
    data, bits = shown.data, Brightness(0.0, max(brightest, 1e-6)).unit(surprise)
    originals = shown.brightness.unit(data.test.x[rows])
    tiles = torch.cat([originals, bits.expand(-1, originals.shape[1], -1, -1)])
    alt = f"{label}: surprise of {names(data, rows)}"
    picture = grid(tiles, Brightness(0.0, 1.0), len(rows), alt)
    caption = (
        f"Surprise of every pixel under what is before it: black 0, white {brightest:.3g} bits"
        if data.space.kind != "real"
        else "Surprise of every pixel under what is before it, brighter where it is larger"
    )
    return caption, picture


def _field_picture(data: Data, label: str, model: Density) -> tuple[str, Picture]:
    """How strongly the factor of one pixel depends on every other, at three pixels."""
    height, width = data.space.shape[1:]
    places = [(height // 2, width // 4), (height // 2, width // 2), (height // 2, 3 * width // 4)]
    fields = torch.cat([receptive_field(model, data, place) for place in places])
    brightest = fields.flatten(1).amax(1).clamp(min=1e-30).view(-1, 1, 1, 1)
    shades = 1 + (fields / brightest).clamp(min=10**-DECADES).log10() / DECADES  # 0 … 1
    tiles = shades.expand(-1, 3, -1, -1).clone()
    for tile, (row, column) in zip(tiles, places, strict=True):
        tile[:, row, column] = torch.tensor([0.9, 0.2, 0.2])
    alt = f"{label}: which pixels the factors of three pixels, marked red, depend on"
    picture = grid(tiles, Brightness(0.0, 1.0), len(places), alt)
    return (
        f"Receptive fields of three pixels (red): what they depend on, over {DECADES:.0f} decades",
        picture,
    )


def receptive_field(model: Density, data: Data, place: tuple[int, int]) -> Tensor:
    """Mean |∂ log p(x_i | …) / ∂x| of test images for the pixel i there, without i, (1, 1, H, W).

    What is exactly 0 is never seen: the future, and a blind spot. Where x has no gradient, as codes
    that a network sees one-hot, it is the change of log p(x_i | …) that another code would make.
    """
    rows = slice(0, FIELD_EXAMPLES)
    row, column = place
    with torch.enable_grad():
        x = queries.in_data_units(data.test.x[rows]).to(model.anchor.device).requires_grad_()
        own = _factors(model, data, x, rows)[:, :, row, column].sum()
        gradient = torch.autograd.grad(own, x, allow_unused=True)[0] if own.requires_grad else None
    field = torch.zeros_like(x[:1]) if gradient is None else gradient.abs().mean(0, keepdim=True)
    field = queries.plain(field).sum(1, keepdim=True)
    field[:, :, row, column] = 0
    if not field.any() and data.space.level_count is not None:
        field = _changes(model, data, place, data.space.level_count)
        field[:, :, row, column] = 0
    return field


def _changes(model: Density, data: Data, place: tuple[int, int], levels: int) -> Tensor:
    """|Δ log p(x_i | …)| of one test image as each of its entries becomes the next level."""
    x = data.test.x[:1].to(model.anchor)
    known = _factors(model, data, x, slice(0, 1))[:, :, *place]  # (1, C)
    others = x.flatten(1).repeat(data.space.dimension, 1)
    others = ((others + torch.eye(len(others)).to(x)) % levels).view(-1, *data.space.shape)
    parts = [
        (_factors(model, data, part, slice(0, 1))[:, :, *place] - known).abs().sum(1)
        for part in others.split(rows_at_once(model.space))
    ]
    return queries.plain(torch.cat(parts)).view(1, *data.space.shape).sum(1, keepdim=True)


def _factors(model: Density, data: Data, x: Tensor, rows: slice) -> Tensor:
    """log p(x_i | …) under the condition of these test rows, or of one for all x."""
    c = queries.condition(model, data.test, rows)
    if c is not None and len(c) != len(x):
        c = c.repeat_interleave(len(x), 0)
    factors = model.log_prob(x, c).per_dimension
    assert factors is not None
    return factors


SECTION: Section = Section(
    "entrywise",
    "Pixel by pixel",
    """Models whose log p(x) is a sum over pixels say which of them were hard, and what one of
them depends on. Test images chosen with seed {{
seed }}.""",
    build,
    "entrywise.html.j2",
    images,
)
