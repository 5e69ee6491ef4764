"""The section of files: how long they are, and where their bits go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from markupsafe import Markup
from torch import Tensor

from reparam import numerics
from reparam.coding import Compressed, code, estimate
from reparam.coding.general import general
from reparam.coding.leaves import installed
from reparam.coding.rows import raw_bits
from reparam.data import Split
from reparam.evaluation.file_length import coded_name, rows_coded, rows_to_code, whole_rows
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.model import Density, LatentVariable
from reparam.report import file_plots, queries
from reparam.report.colors import model_color
from reparam.report.file_plots import Bar, Step
from reparam.report.pictures import resized
from reparam.report.section import Section, Shown, images
from reparam.report.selection import examples, names
from reparam.report.trained import TrainedModel, short_names

MAPPED, ENDS = 5, 3  # images whose bits are mapped; the dearest, and the cheapest
MOST_ROWS, SHARE = 1000, 1 / 8  # a block at most, and of the time that its score may take
IMAGE_BY_IMAGE = (
    "gzip, bz2 and xz are given all of them as one, PNG and WebP each by itself, with a header of "
    "its own."
)
BRIGHTEST = 0.998  # the quantile of bits of a pixel that is as bright as can be


@dataclass(frozen=True)
class FileCard:
    """The figures of one model, and how its file is made."""

    model: int
    label: str
    figures: list[tuple[str, Markup]]
    note: str


class Content(NamedTuple):
    """Bars of all lengths, a card of every model, how many rows the lengths are of, and how general
    compressors came by theirs.
    """

    bars: Markup
    cards: list[FileCard]
    rows: int
    general: str


class Mapped(NamedTuple):
    """Test images, what their pixels take, (B, H, W), and given what."""

    rows: Tensor
    bits: Tensor
    given: str


def build(shown: Shown) -> Content | None:
    """None where no length of a file was measured."""
    measured = _measured(shown)
    if not measured:
        return None
    maps = _maps(shown, measured) if images(shown) else {}
    brightest = _brightest(maps)
    counted = measured if installed() else ()  # of a page drawn again where the coder is not
    cards = [_card(shown, index, maps.get(index), brightest) for index in counted]
    rows = max(score.n for score in measured.values())
    return Content(_bars(shown, measured), cards, rows, IMAGE_BY_IMAGE if images(shown) else "")


def _measured(shown: Shown) -> dict[int, Score]:
    """The length of the file of each model that has one."""
    found = {}
    for index, entry in enumerate(shown.entries):
        score = entry.scores.get(coded_name(entry.model))
        if score is not None:
            found[index] = score
    return found


# ------------------------------------------------------------------------------------ the lengths


def _bars(shown: Shown, measured: Mapping[int, Score]) -> Markup:
    space, called = shown.data.space, short_names(shown.entries)
    found = [Bar("as it is", raw_bits(space) / space.dimension), *_general(shown, measured)]
    for index, score in measured.items():
        entry = shown.entries[index]
        own, name = _own(entry)
        found.append(Bar(called[index], score.value, model_color(index), own, name))
    said = "; ".join(f"{bar.name} {bar.text}" for bar in found)
    return file_plots.bars(found, f"Bits per entry of x: {said}")


def _general(shown: Shown, measured: Mapping[int, Score]) -> list[Bar]:
    """What general compressors make of the rows that most models coded."""
    most = max(measured, key=lambda index: measured[index].n)
    model, space = shown.entries[most].model, shown.data.space
    assert isinstance(model, Density)
    x = rows_to_code(model, shown.data.test).x
    return [Bar(k, bits / x.numel()) for k, bits in general(x, space, fast=True).items()]


def _own(entry: TrainedModel) -> tuple[float | None, str]:
    """The model's own number in bits/dim, which its file is to be as long as, and what it is."""
    given = "conditional_" if entry.model.conditional else ""
    for name, said in ((f"{given}elbo", "−ELBO"), (f"{given}log_likelihood", "−log₂ p")):
        if name in entry.scores:
            nats = entry.scores[name].value
            return numerics.bits_per_dim(nats, entry.model.counted), said
    return None, ""


# ---------------------------------------------------------------------------------- of one model


def _card(shown: Shown, index: int, mapped: Mapped | None, brightest: float) -> FileCard:
    entry = shown.entries[index]
    model, label, color = entry.model, entry.label, model_color(index)
    assert isinstance(model, Density)
    whole = whole_rows(shown.data.test)
    rows = min(MOST_ROWS, rows_coded(model, len(whole), SHARE))
    split = subset(whole, rows, shown.seed)
    c = queries.condition(model, split)
    coded = code(model, split.x, c, check=False, bare=True)
    noun = "image" if images(shown) else "row"
    figures = []
    if mapped is not None:
        figures.append(_map_figure(shown, label, mapped, brightest))
    if coded.way != "direct":
        figures.append(_waterfall(label, color, coded, noun))
    figures.append(_sorted(shown, label, color, split, coded, noun))
    own = estimate(model, split.x, c)
    name = "−log₂ p" if coded.way == "direct" else "−ELBO"
    alt = (
        f"{label}: mean bits per {noun} of the first rows of the file, "
        f"{float(coded.bits[0]):,.0f} of the first, {float(coded.bits.mean()):,.1f} of all, "
        f"{name} {float(own.mean()):,.1f}"
    )
    mean = file_plots.running_mean(coded.bits, own, name, _first(coded), noun, color, alt)
    figures.append((f"Bits per {noun}, the mean from the first of the file to each", mean))
    return FileCard(index, label, figures, _note(coded, noun))


def _note(coded: Compressed, noun: str) -> str:
    """How it is made, and what of it is no row's."""
    n = len(coded.bits)
    said = {
        "direct": "Every entry is coded under its p given the entries before it.",
        "two parts": "First x goes on the stack, given its code, and then the code.",
    }.get(coded.way, _of_bits_back(coded, noun))
    return f"{said} {n:,} test {noun}s, {coded.header_bits:,} bits of header beside them."


def _of_bits_back(coded: Compressed, noun: str) -> str:
    if not coded.paid.any():
        return f"No bits came back: the {noun}s are too few to pay for a draw of z."
    taken, expected = (t[coded.paid].mean().item() for t in (coded.back, coded.expected))
    return (
        f"{_of_first(_first(coded), noun)} for z in full. Then z is drawn by bits that come off "
        f"the stack, {taken:,.1f} per {noun}, where {expected:,.1f} are expected of noise."
    )


def _first(coded: Compressed) -> int:
    """How many rows stand before the first that gets bits back; 0 where none does."""
    return int(coded.paid.nonzero()[0]) if coded.paid.any() else 0


def _of_first(count: int, noun: str) -> str:
    return f"The first {noun} pays" if count == 1 else f"The first {count:,} {noun}s pay"


def _waterfall(label: str, color: str, coded: Compressed, noun: str) -> tuple[str, Markup]:
    """The row of median length among those that got bits back."""
    rows = coded.paid.nonzero().flatten()
    rows = rows if len(rows) else torch.arange(len(coded.bits))
    row = int(rows[coded.bits[rows].argsort()[len(rows) // 2]])
    off, x, z = (float(part[row]) for part in (coded.back, coded.data, coded.latent))
    steps = [Step("z comes off, by q(z|x)", -off)] if off else []
    steps += [Step("x goes on, by p(x|z)", x), Step("z goes on, by p(z)", z)]
    said = ", ".join(f"{step.name} {step.bits:,.0f} bits" for step in steps)
    alt = f"{label}: one {noun}, {said}, in all {x + z - off:,.0f}"
    return f"One {noun}, of median length", file_plots.waterfall(steps, color, alt)


def _sorted(
    shown: Shown, label: str, color: str, split: Split, coded: Compressed, noun: str
) -> tuple[str, Markup]:
    bits = coded.bits.cpu().double()
    order = bits.argsort()
    count = min(ENDS, len(order) // 2)
    tiles = []
    if images(shown) and count:
        for rows in (order.flip(0)[:count], order[:count]):
            tiles.append(resized(shown.brightness.bytes(split.x[rows].cpu()), *file_plots.TILE)[0])
    alt = (
        f"{label}: bits of {len(bits):,} {noun}s, sorted, from {bits.min():,.0f} to "
        f"{bits.max():,.0f}, half of them below {bits.median():,.0f}"
    )
    return f"Bits of every {noun}", file_plots.sorted_bits(bits, noun, color, alt, tiles)


# ------------------------------------------------------------------------------- of single pixels


def _maps(shown: Shown, measured: Mapping[int, Score]) -> dict[int, Mapped]:
    """What the pixels of the same test images take, of models that say it by entry."""
    rows, found = examples(shown.data.test, MAPPED, shown.seed), {}
    for index in measured:
        model = shown.entries[index].model
        assert isinstance(model, Density)
        mapped = _mapped(shown, model, rows)
        if mapped is not None:
            found[index] = mapped
    return found


def _mapped(shown: Shown, model: Density, rows: Tensor) -> Mapped | None:
    """By the conditionals of entries; of latent-variable models given the mean of q(z|x)."""
    split, shape = shown.data.test, shown.data.space.shape
    x, c = split.x[rows], queries.condition(model, split, rows)
    terms: Tensor | None
    if isinstance(model, LatentVariable):
        p = queries.outcome(model, split, rows).by_entry
        terms = None if p is None else p.log_prob_terms(x.to(model.anchor))
        given = "given the mean of q(z|x)" if model.log_prob_draws else "given the code"
    else:
        terms, given = model.log_prob(x, c).per_dimension, "given those before it"
    if terms is None or terms[0].numel() != math.prod(shape):
        return None
    bits = -queries.plain(terms).view(len(x), *shape).sum(1) / math.log(2)
    return Mapped(rows, bits, given)


def _brightest(maps: Mapping[int, Mapped]) -> float:
    """Of all models, so that what is bright in one is bright in all."""
    if not maps:
        return 1.0
    every = torch.cat([mapped.bits.flatten() for mapped in maps.values()])
    return max(1e-6, float(every.double().quantile(BRIGHTEST)))


def _map_figure(shown: Shown, label: str, mapped: Mapped, brightest: float) -> tuple[str, Markup]:
    x = shown.data.test.x[mapped.rows].cpu()
    alt = f"{label}: bits of every pixel of {names(shown.data, mapped.rows)}"
    drawn = file_plots.bit_maps(x, mapped.bits, brightest, shown.brightness, alt)
    return f"Bits of every pixel, −log₂ p {mapped.given}", drawn


def with_lengths(shown: Shown) -> bool:
    """Whether x has values that can be counted, and some model says how probable they are."""
    return not shown.data.space.has_reals and any(shown.of(Density))


SECTION: Section = Section(
    "file",
    "What a file costs",
    """A model that says how probable x is can write x into a file of as many bits, −log₂&nbsp;p(x)
of each, from which the same x comes back: what it says of the data is what they then take. Where
x has a latent z, z is drawn by bits that are taken off the end of the file and are there again once
x is read: the file is as long as −ELBO, but for its first images, which find no bits to take.""",
    build,
    "file_costs.html.j2",
    with_lengths,
    measured=True,
    coded=True,
)
