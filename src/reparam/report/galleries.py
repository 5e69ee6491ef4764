"""Pictures of image data: reconstructions, samples and interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import editing
from reparam.data import Data, Split
from reparam.evaluation.reconstruction import unit_range
from reparam.model import Codec, Generator
from reparam.report import queries
from reparam.report.entry import Entry
from reparam.report.pictures import Brightness, Picture, grid

RECONSTRUCTED, PAIRS, STEPS = 10, 5, 8
LARGE = 48  # pixels: images above are shown in smaller numbers


@dataclass(frozen=True)
class Strip:
    """A row of images with what stands beside it; ``model`` is None for the data themselves."""

    model: int | None
    label: str
    note: str
    picture: Picture


@dataclass(frozen=True)
class SampleCard:
    """New images of one model, or the real ones: pictures with their captions."""

    model: int | None
    label: str
    pictures: list[tuple[str, Picture]]


def examples(split: Split, count: int, seed: int) -> Tensor:
    """Rows of a split, drawn at random, the classes in turn where there are labels.

    >>> split = Split(torch.zeros(6, 1), torch.tensor([1, 1, 1, 1, 1, 0]))
    >>> split.labels[examples(split, 3, seed=0)].tolist()
    [0, 1, 1]
    """
    drawn = torch.randperm(len(split), generator=queries.seeded_generator(seed))
    if split.labels is None:
        return drawn[:count].sort().values
    labels = split.labels[drawn]
    turn = torch.zeros_like(labels)  # how many of its class come before a row
    for label in labels.unique():
        mine = labels == label
        turn[mine] = torch.arange(int(mine.sum()))
    chosen = drawn[torch.argsort(turn, stable=True)[:count]]
    return chosen[torch.argsort(split.labels[chosen], stable=True)]


def names(data: Data, rows: Tensor) -> str:
    """The classes of these test rows in words, for readers of alternative texts."""
    if data.test.labels is None:
        return f"{len(rows)} test images"
    labels = data.test.labels[rows].tolist()
    known = data.class_names
    words = [known[label] if known and label < len(known) else str(label) for label in labels]
    return "test images of classes " + ", ".join(words)


def reconstructions(data: Data, entries: Sequence[Entry], seed: int) -> list[Strip]:
    """The same test images, as they are and as each codec restores them."""
    if not any(isinstance(entry.model, Codec) for entry in entries):
        return []
    rows = examples(data.test, RECONSTRUCTED, seed)
    brightness, what = Brightness.of(data), names(data, rows)
    x = queries.in_data_units(data.test.x[rows])
    original = unit_range(x, data.space)
    strips = [Strip(None, "Originals", "test", grid(x, brightness, len(rows), what.capitalize()))]
    for index, entry in enumerate(entries):
        if isinstance(entry.model, Codec):
            restored = queries.reconstruct(entry.model, data.test, rows)
            mse = (unit_range(restored, data.space) - original).square().mean().item()
            alt = f"{entry.label}: reconstructions of {what}"
            picture = grid(restored, brightness, len(rows), alt)
            strips.append(Strip(index, entry.label, f"MSE {mse:.3g}", picture))
    return strips


def sample_cards(data: Data, entries: Sequence[Entry], seed: int) -> list[SampleCard]:
    """Real test images, then each generator's: means where there are any, and draws."""
    if not any(isinstance(entry.model, Generator) for entry in entries):
        return []
    columns = 4 if max(data.space.shape[1:]) > LARGE else 5
    count, brightness = 4 * columns, Brightness.of(data)
    drawn = torch.randperm(len(data.test), generator=queries.seeded_generator(seed + 1))
    real = grid(data.test.x[drawn[:count]], brightness, columns, "Real test images", tile=SMALL)
    cards = [SampleCard(None, "Real data", [("Test images", real)])]
    like = rows_to_imitate(data, count, seed)
    for index, entry in enumerate(entries):
        if isinstance(entry.model, Generator):
            pictures = []
            for caption, x in captioned(queries.sample(entry.model, count, like, seed)):
                alt = f"{entry.label}: {caption}"
                pictures.append((caption, grid(x, brightness, columns, alt, tile=SMALL)))
            cards.append(SampleCard(index, entry.label, pictures))
    return cards


SMALL = (40, 72)  # pixels: tiles where there are many


def captioned(samples: queries.Samples) -> list[tuple[str, Tensor]]:
    """What is shown of samples, named for what it is."""
    shown = [] if samples.means is None else [("Means of p(x|z), z ~ p(z)", samples.means)]
    return [*shown, ("Draws x ~ p(x)", samples.draws)]


def rows_to_imitate(data: Data, count: int, seed: int) -> Split:
    """Training rows drawn at random, sorted by label: conditional models draw under theirs."""
    generator = queries.seeded_generator(seed + 2)
    rows = data.train.take(torch.randint(len(data.train), (count,), generator=generator))
    return rows if rows.labels is None else rows.take(rows.labels.argsort(stable=True))


def interpolations(data: Data, entries: Sequence[Entry], seed: int) -> list[Strip]:
    """Straight lines between the codes of test images, for every codec with real codes."""
    rows = examples(data.test, 2 * PAIRS, seed)
    first, last = rows[: len(rows) // 2], rows[(len(rows) + 1) // 2 :]
    if len(first) == 0:
        return []
    strips, brightness = [], Brightness.of(data)
    for index, entry in enumerate(entries):
        if isinstance(entry.model, Codec):
            between = interpolate(entry.model, data.test, first, last)
            if between is not None:
                ends = [queries.in_data_units(data.test.x[at])[:, None] for at in (first, last)]
                x = torch.cat([ends[0], between, ends[1]], 1)
                alt = f"{entry.label}: interpolations between {names(data, rows)}"
                picture = grid(
                    x.flatten(0, 1), brightness, STEPS + 2, alt, apart=(1, STEPS + 1), tile=SMALL
                )
                strips.append(Strip(index, entry.label, "", picture))
    return strips


def interpolate(model: Codec, split: Split, first: Tensor, last: Tensor) -> Tensor | None:
    """Decoded steps on the line between codes, (pairs, STEPS, *shape); ends are reconstructions.

    A conditional model is told the condition of the nearer end.
    """
    if queries.encode(model, split, first[:1]) is None:
        return None
    ends = [queries.condition(model, split, rows) for rows in (first, last)]
    x = editing.interpolate(
        model, split.x[first], split.x[last], steps=STEPS, c=ends[0], c_second=ends[1]
    )
    return queries.in_data_units(x)
