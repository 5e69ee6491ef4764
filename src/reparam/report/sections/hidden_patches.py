"""The section of hidden patches: what codecs make of them, and the errors over the share hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.evaluation.denoising import linear_repair, repair
from reparam.evaluation.hidden import Hidden
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.inspection import Noise
from reparam.model import Codec, Encoder
from reparam.report import queries
from reparam.report.pictures import Picture, grid
from reparam.report.repairs import Row, error_plot, error_rows, text_of
from reparam.report.section import Card, Section, Shown, images
from reparam.report.sections.denoising import LevelCard
from reparam.report.selection import LARGE, SMALL, examples, frames, names
from reparam.space import trusted
from reparam.train.random import seeded

LEVELS = (0.6, 0.75, 0.85, 0.95)  # shares hidden in pictures, and in the table
FURTHER = (0.2, 0.4)  # in the plot alone
PICTURES, OF_LARGE, CLIPS = 8, 5, 3  # test examples in a row of a picture
Noises = Mapping[int, Noise]


@dataclass(frozen=True)
class HiddenCard:
    """What is hidden alike: who was trained so, pictures and errors by the share hidden.

    ``rows`` hold errors and standard errors as text, of the mean, of linear regression where it is
    measured, and of each codec.
    """

    title: str
    unit: str
    trained: list[tuple[int, str]]
    levels: list[LevelCard]
    plot: Markup
    header: list[str]
    rows: list[Row]
    examples: int
    linear: bool
    given_means: list[int]
    shown: list[int]


@dataclass(frozen=True)
class HiddenContent:
    """A card for each way of hiding, and the encoders whose output is no picture."""

    cards: list[HiddenCard]
    unseen: list[tuple[int, str, str]]


def build(shown: Shown) -> HiddenContent | None:
    """Cards of the models that learned from hidden patches, those that hide alike together."""
    alike: list[dict[int, Noise]] = []
    unseen = []
    for index, label, model in shown.of(Encoder):
        noise = model.noise
        if noise is None or not noise.hides:
            continue
        if not isinstance(model, Codec):
            unseen.append((index, label, _no_picture(noise)))
            continue
        mine = [group for group in alike if _same(shown, noise, next(iter(group.values())))]
        if mine:
            mine[0][index] = noise
        else:
            alike.append({index: noise})
    if not alike and not unseen:
        return None
    return HiddenContent([_card(shown, group) for group in alike], unseen)


def _no_picture(noise: Noise) -> str:
    return (
        f"learned from {noise.name}, each by its own mean and deviation, which what is visible does"
        " not tell: its output is no picture, and is not shown."
    )


def _same(shown: Shown, *noises: Noise) -> bool:
    """Whether noises hide the same entries of the same x by the same seed."""
    x, masks = shown.data.test.x[:2], []
    for noise in noises:
        with seeded(shown.seed, _device(shown)):
            masks.append(noise.corrupt(x, LEVELS[0]).isnan().cpu())
    return masks[0].equal(masks[1])


def _card(shown: Shown, noises: Noises) -> HiddenCard:
    data, seed = shown.data, shown.seed
    index, noise = max(noises.items(), key=lambda item: item[1].level)
    device = shown.entries[index].model.anchor.device
    levels = sorted({min(level, noise.strongest) for level in LEVELS})
    steps = sorted({min(level, noise.strongest) for level in (*LEVELS, *FURTHER)})
    hidden = Hidden(data.space, data.train)
    split = subset(data.test, hidden.examples(len(steps)), seed)
    codecs = _codecs(shown, noises)
    measured = {
        i: [repair(model, noise, split, data.train, at, seed=seed, hidden=hidden) for at in steps]
        for i, (_, model) in codecs.items()
    }
    linear = [
        (at, linear_repair(noise, split, hidden, at, device, seed=seed))
        for at in (steps if hidden.linear else ())
    ]
    labels = [entry.label for entry in shown.entries]
    header, rows = error_rows(labels, measured, levels, "Mean of the training data")
    rows[1:1] = _linear_row(linear, levels)
    return HiddenCard(
        f"{noise.parts} patches",
        noise.unit,
        [(i, f"{labels[i]} (at {n.level:g})") for i, n in noises.items()],
        _pictures(shown, noise, codecs, hidden, levels) if images(shown) else [],
        error_plot(noise, noises, measured, linear),
        header,
        rows,
        len(split),
        bool(linear),
        [i for i, (_, model) in codecs.items() if not model.takes_missing],
        [*codecs],
    )


def _codecs(shown: Shown, noises: Noises) -> dict[int, tuple[str, Codec]]:
    """All but those that hide otherwise, for which what is left may be nothing."""
    return {
        index: (label, model)
        for index, label, model in shown.of(Codec)
        if index in noises or model.noise is None or not model.noise.hides
    }


def _linear_row(linear: Sequence[tuple[float, Score]], levels: Sequence[float]) -> list[Row]:
    found = [text_of(score) for at, score in linear if at in levels]
    return [("Linear regression", found)] if found else []


def _pictures(
    shown: Shown,
    noise: Noise,
    codecs: Mapping[int, tuple[str, Codec]],
    hidden: Hidden,
    levels: Sequence[float],
) -> list[LevelCard]:
    """Some test images at each level: as they are, what is visible, and as each codec repairs
    them, with visible entries as they were given."""
    data = shown.data
    rows = examples(data.test, _count(shown), shown.seed)
    what, x = names(data, rows), data.test.x[rows]
    cards = []
    for level in levels:
        with seeded(shown.seed, _device(shown)):
            seen = noise.corrupt(x, level)
        strips = [
            _strip(shown, None, "Original", x, what.capitalize()),
            _strip(shown, None, "Visible", seen, f"{what.capitalize()}, {level:.0%} hidden"),
        ]
        for index, (label, model) in codecs.items():
            with trusted():
                c = queries.condition(model, data.test, rows)
                found = model.reconstruct(hidden.for_model(model, seen), c)
            repaired = torch.where(seen.isnan(), found.to(seen), seen)
            total, count = hidden.errors(found, seen, x)
            error = (total.sum() / count.sum()).item()
            alt = f"{label}: what is hidden as it predicts it"
            strips.append(_strip(shown, index, label, repaired, alt, f"MSE {error:.3g}"))
        cards.append(LevelCard(f"{level:.0%} hidden", strips))
    return cards


def _device(shown: Shown) -> torch.device:
    """Where models are, and so their noise."""
    return shown.entries[0].model.anchor.device


def _count(shown: Shown) -> int:
    if frames(shown.data.space, shown.data.bands) > 1:
        return CLIPS
    return OF_LARGE if max(shown.data.space.shape[1:]) > LARGE else PICTURES


def _strip(
    shown: Shown, index: int | None, label: str, x: Tensor, alt: str, note: str = ""
) -> Card:
    return Card(index, label, [("", _grid(shown, queries.in_data_units(x), alt))], note)


def _grid(shown: Shown, x: Tensor, alt: str) -> Picture:
    """Examples side by side, or of clips the frames, one clip below the other."""
    many = frames(shown.data.space, shown.data.bands)
    if many == 1:
        return grid(x, shown.brightness, len(x), alt)
    return grid(x.flatten(0, 1)[:, None], shown.brightness, many, alt, tile=SMALL)


SECTION: Section = Section(
    "hidden_patches",
    "Hidden patches",
    """Test examples of which a share is hidden, and what codecs make of the rest: hatched is what
they do not see. Pictures show predictions where something is hidden, and what was given everywhere
else. Errors are of hidden entries alone, from the x that was there
{%- if data.space.kind != "real" %}, values in [0, 1]
{%- elif data.space.is_image %}, in the data's unit
{%- else %}, in variances of each column{% endif %}; what is hidden, by seed {{ seed }}, is the same
for all models of a plot.""",
    build,
    "hidden_patches.html.j2",
)
