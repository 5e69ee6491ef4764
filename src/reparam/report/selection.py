"""Which examples are shown, and what they are called."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.model import Model, Space
from reparam.report import queries

LARGE = 48  # pixels: images above are shown in smaller numbers
SMALL = (40, 72)  # pixels: tiles where there are many

COLORS = 3  # channels at most that are one picture
SAMPLE_ROWS = 4  # of samples, in one picture


def sample_columns(space: Space) -> int:
    """How many samples stand in one of the rows."""
    return 4 if max(space.shape[1:]) > LARGE else 5


def frames(space: Space, bands: tuple[int, ...] | None) -> int:
    """How many pictures an image is: of many channels, none of which was chosen, each is one.

    >>> frames(Space((8, 16, 16), "real"), None), frames(Space((3, 16, 16), "real"), None)
    (8, 1)
    """
    many = space.is_image and space.shape[0] > COLORS and bands is None
    return space.shape[0] if many else 1


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


def rows_to_imitate(data: Data, count: int, seed: int) -> Split:
    """Training rows drawn at random, sorted by label: conditional models draw under theirs."""
    generator = queries.seeded_generator(seed + 2)
    rows = data.train.take(torch.randint(len(data.train), (count,), generator=generator))
    return rows if rows.labels is None else rows.take(rows.labels.argsort(stable=True))


def class_names(data: Data) -> tuple[str, ...]:
    """A name for every class that occurs."""
    if data.test.labels is None:
        return ()
    count = max(data.space.classes or 0, int(data.test.labels.max()) + 1)
    known = data.class_names or ()
    return tuple(known[i] if i < len(known) else str(i) for i in range(count))


def drawn_classes(model: Model, data: Data) -> list[tuple[int, str]]:
    """The classes that a model of labels can be asked for, those of its training, and their names.

    What labels the test examples have, if any, does not matter.
    """
    space, frequencies = model.space, model.class_frequencies
    told_otherwise = space.attributes is not None or space.given is not None
    if not model.conditional or space.classes is None or told_otherwise:
        return []
    known = model.class_names or data.class_names or ()
    seen = range(space.classes) if frequencies is None else frequencies.nonzero()[:, 0].tolist()
    return [(label, known[label] if label < len(known) else str(label)) for label in seen]


def names(data: Data, rows: Tensor) -> str:
    """The classes of these test rows in words, for readers of alternative texts."""
    if data.test.labels is None:
        return f"{len(rows)} test images"
    known = class_names(data)
    words = [known[label] for label in data.test.labels[rows].tolist()]
    return "test images of classes " + ", ".join(words)
