"""What every reader hands over: arrays by split, as found, with how to call them in messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Files:
    """The image files that examples were decoded from.

    Args:
        folder: above all of them.
        names: (N,), a path below folder for each example.

    >>> Files(Path("photos"), np.array(["a.png", "b.png"], object)).take(slice(1)).paths
    [PosixPath('photos/a.png')]
    """

    folder: Path
    names: Array

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Array | slice) -> Files:
        return Files(self.folder, self.names[rows])

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in self.names]


@dataclass(frozen=True)
class Part:
    """The examples of one split as a reader found them, not yet checked.

    ``attributes`` are conditions that are numbers; ``gray`` the levels of which x was drawn, where
    it was; ``files`` the images that the rows were decoded from.

    >>> len(Part(np.zeros((3, 2))).x)
    3
    """

    x: Array
    labels: Array | None = None
    factors: Array | None = None
    attributes: Array | None = None
    gray: Array | None = None
    files: Files | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Raw:
    """What a reader found.

    Args:
        parts: by split; ``"train"`` always, the others where the source has them.
        name: of the data.
        origin: what messages call the source: a file, or ``"array"``.
        form: ``"array"``, ``"table"`` (columns of numbers) or ``"images"`` (decoded files): what
            the numbers' kind is guessed from.
        levels: K, where the source itself says that its values are 0 … K−1.
        columns: names of a table's columns.
        notes: decisions the reader took.
        borrowed: whether the arrays belong to the caller, so that they have to be copied.
        origins: of the splits that come from somewhere else than ``origin``.
        attribute_names: of the parts' attributes, where they have names.
        gray_levels: K of the parts' ``gray``, where x was drawn of it.

    >>> Raw({"train": Part(np.zeros((3, 2)))}, "zeros", "array").form
    'array'
    """

    parts: Mapping[str, Part]
    name: str
    origin: str
    form: str = "array"
    levels: int | None = None
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    borrowed: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)
    attribute_names: tuple[str, ...] | None = None
    gray_levels: int | None = None

    def at(self, split: str) -> str:
        """How a message names a split."""
        return f"{self.origins.get(split, self.origin)}: {split}"

    def where(self, split: str, index: tuple[int, ...]) -> str:
        """How a message names one cell: source, split, row and column (or pixel), from 0."""
        row, *entry = index
        if len(entry) == 1:
            column = repr(self.columns[entry[0]]) if self.columns else str(entry[0])
            return f"{self.at(split)} row {row}, column {column}"
        channel, height, width = entry
        return f"{self.at(split)} row {row}, channel {channel}, pixel ({height}, {width})"
