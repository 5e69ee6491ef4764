"""The section of denoising: test examples corrupted more and more, what codecs make of them, and
the errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from torch import Tensor

from reparam.evaluation.denoising import repair
from reparam.evaluation.hidden import Hidden
from reparam.evaluation.rows import subset
from reparam.evaluation.vectors import unit_range
from reparam.inspection import Noise
from reparam.model import Codec
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.repairs import Row, error_plot, error_rows
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import examples, names
from reparam.space import trusted
from reparam.train.random import seeded

MULTIPLES = (0.0, 0.5, 1.0, 2.0)  # levels, in multiples of the one trained
STEPS, TWICE = 9, 2.0  # levels measured, the last in these multiples
PICTURES, MEASURED = 8, 500  # test examples at most


@dataclass(frozen=True)
class LevelCard:
    """Some test images at one level of the noise: corrupted, and as each denoiser repairs them."""

    caption: str
    strips: list[Card]


@dataclass(frozen=True)
class NoiseCard:
    """One kind of noise: who was trained on it, pictures by level, errors by level.

    ``rows`` hold the errors of the corrupted examples and of each codec's repairs with their
    standard errors, as text.
    """

    name: str
    unit: str
    trained: list[tuple[int, str]]
    levels: list[LevelCard]
    plot: Markup
    header: list[str]
    rows: list[Row]
    examples: int
    shown: list[int]


def build(shown: Shown) -> list[NoiseCard]:
    """A card for every kind of noise that some of the models were trained to undo.

    What is hidden outright has a section of its own.
    """
    kinds: dict[tuple[str, str], dict[int, Noise]] = {}
    for index, _, model in shown.of(Codec):
        noise = model.noise
        if noise is not None and noise.level > 0 and not noise.hides:
            kinds.setdefault((noise.name, noise.unit), {})[index] = noise
    return [_card(shown, noises) for noises in kinds.values()]


def _card(shown: Shown, noises: dict[int, Noise]) -> NoiseCard:
    data, seed = shown.data, shown.seed
    noise = max(noises.values(), key=lambda noise: noise.level)
    split = subset(data.test, MEASURED, seed)
    levels = _levels(noise, MULTIPLES)
    steps = _levels(noise, [TWICE * step / (STEPS - 1) for step in range(STEPS)])
    hidden = Hidden(data.space, data.train)
    measured = {
        index: [
            repair(model, noise, split, data.train, level, seed=seed, hidden=hidden)
            for level in sorted({*levels, *steps})
        ]
        for index, _, model in shown.of(Codec)
        if not queries.predicts_hidden(model)
    }
    pictures = _pictures(shown, noises, levels) if images(shown) else []
    labels = [entry.label for entry in shown.entries]
    said = [(index, f"{labels[index]} (at {n.level:g})") for index, n in noises.items()]
    header, rows = error_rows(labels, measured, levels)
    plot = error_plot(noise, noises, measured)
    return NoiseCard(
        noise.name, noise.unit, said, pictures, plot, header, rows, len(split), [*measured]
    )


def _levels(noise: Noise, multiples: Sequence[float]) -> list[float]:
    return sorted({min(m * noise.level, noise.strongest) for m in multiples})


def _pictures(shown: Shown, noises: dict[int, Noise], levels: list[float]) -> list[LevelCard]:
    strongest = max(noise.level for noise in noises.values())
    cards = []
    for level in levels:
        multiple = level / strongest
        trained = "the trained level" if len(noises) == 1 else "the highest trained level"
        words = {0.0: "no noise", 0.5: f"half {trained}", 1.0: trained, 2.0: f"twice {trained}"}
        caption = f"{level:.3g}: {words.get(multiple, f'{multiple:.3g} times {trained}')}"
        cards.append(LevelCard(caption, _strips(shown, noises, level)))
    return cards


def _strips(shown: Shown, noises: dict[int, Noise], level: float) -> list[Card]:
    data = shown.data
    rows = examples(data.test, PICTURES, shown.seed)
    what, x = names(data, rows), data.test.x[rows]
    clean = unit_range(queries.in_data_units(x), data.space)

    def strip(index: int | None, label: str, x: Tensor, alt: str) -> Card:
        x = queries.in_data_units(x)
        error = (unit_range(x, data.space) - clean).square().mean().item()
        picture = grid(x, shown.brightness, len(rows), alt)
        return Card(index, label, [("", picture)], f"MSE {error:.3g}")

    strips: list[Card] = []
    for index, label, model in shown.of(Codec):
        noise = noises.get(index)
        if noise is None:
            continue
        with seeded(shown.seed, model.anchor.device):
            seen = noise.corrupt(x, level)
        if not strips:
            alt = f"{what.capitalize()} under {noise.name} of {level:.3g}"
            strips.append(strip(None, "Corrupted" if level else "Clean", seen, alt))
        with trusted():
            repaired = model.reconstruct(seen, queries.condition(model, data.test, rows))
        strips.append(strip(index, label, repaired, f"{label}: the same, repaired"))
    return strips


SECTION: Section = Section(
    "denoising",
    "Denoising",
    """Test examples corrupted, and reconstructed from what is left: the mean of x given the mean
code of the corrupted x. Errors are from the clean x, per entry
{%- if data.space.kind == "mixed" %}, numbers in variances of their column, flags and names 0 or 1,
cells made missing by what stands in for them, the mean or most frequent value
{%- elif data.space.kind != "real" %}, values in [0, 1]
{%- elif data.space.is_image %}, in the data's unit
{%- else %}, in variances of each column{% endif %}; noise of seed {{ seed }}, the same for every
model.""",
    build,
    "denoising.html.j2",
)
