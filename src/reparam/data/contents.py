"""What a source holds, before any check: arrays by split, and which of their axes is which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Fit = Literal["crop", "pad"]
CHANNELS = (1, 3)


@dataclass(frozen=True)
class ReadOptions:
    """The arguments of ``load_data`` that only some readers take, and ``columns``.

    Args:
        label, drop, attributes, factors: columns of a table; drop also names arrays of an archive.
        size, fit_size: of images in files.
        header: of a text table, whether its first line names the columns; None: decide.
        shape: of the images that rows of a table, or vectors, are.
        columns: of a table, those to take as x, in this order; None: all others.

    >>> ReadOptions(label="y").refuse("an image folder", "size", "fit_size")
    Traceback (most recent call last):
    ValueError: label: does not apply to an image folder
    """

    label: str | None = None
    drop: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()
    size: int | tuple[int, int] | None = None
    fit_size: Fit = "crop"
    header: bool | None = None
    shape: tuple[int, ...] | None = None
    columns: tuple[str, ...] | None = None

    @property
    def named(self) -> set[str]:
        """All columns that are named."""
        label = () if self.label is None else (self.label,)
        return {*label, *self.drop, *self.attributes, *self.factors, *(self.columns or ())}

    def refuse(self, what: str, *taken: str) -> None:
        """Refuse arguments that this kind of source ignores."""
        for each in fields(self):
            if each.name not in (*taken, "columns") and getattr(self, each.name) != each.default:
                raise ValueError(f"{each.name}: does not apply to {what}")


@dataclass(frozen=True)
class Files:
    """The image files that examples were decoded from.

    Args:
        folder: above all of them.
        names: (N,), a path below folder for each example.

    >>> Files(Path("photos"), np.array(["a.png", "b.png"], object))[:1].paths
    [PosixPath('photos/a.png')]
    """

    folder: Path
    names: Array

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Array | slice) -> Files:
        return Files(self.folder, self.names[rows])

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in self.names]


@dataclass(frozen=True)
class SplitArrays:
    """The examples of one split as a reader found them, not yet checked.

    Args:
        x: (N, …).
        labels: (N,), integers or strings.
        factors: (N, F), known factors of variation.
        attributes: (N, F), conditions that are numbers.
        gray: the levels of which x was drawn, where it was.
        files: the images that the rows were decoded from.
        rows: (N,), which rows of the source these are; None: all of them, in their order.

    >>> len(SplitArrays(np.zeros((3, 2))).x)
    3
    """

    x: Array
    labels: Array | None = None
    factors: Array | None = None
    attributes: Array | None = None
    gray: Array | None = None
    files: Files | None = field(default=None, kw_only=True)
    rows: Array | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Contents:
    """What a source holds.

    Args:
        splits: ``"train"`` always, the others where the source has them.
        name: of the data.
        origin: what messages call the source: a file, or ``"array"``.
        form: ``"array"``, ``"table"`` (columns of numbers) or ``"images"`` (decoded files): what
            the numbers' kind is guessed from.
        levels: K, where the source itself says that its values are 0 … K−1.
        columns: names of a table's columns.
        notes: decisions the reader took.
        borrowed: whether the arrays belong to the caller, so that they have to be copied.
        origins: of the splits that come from somewhere else than ``origin``.
        attribute_names, factor_names: of the splits' attributes and factors, where there are some.
        gray_levels: K of the splits' ``gray``, where x was drawn of it.

    >>> Contents({"train": SplitArrays(np.zeros((3, 2)))}, "zeros", "array").form
    'array'
    """

    splits: Mapping[str, SplitArrays]
    name: str
    origin: str
    form: str = "array"
    levels: int | None = None
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    borrowed: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)
    attribute_names: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    gray_levels: int | None = None

    def noted(self, *notes: str) -> Contents:
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def with_x(self, change: Callable[[Array], Array]) -> Contents:
        """The same with x of every split changed."""
        changed = {s: replace(arrays, x=change(arrays.x)) for s, arrays in self.splits.items()}
        return replace(self, splits=changed)

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


def with_axes(contents: Contents) -> Contents:
    """The same data with axes (N, D) or (N, C, H, W), and a note where that took a decision.

    Args:
        contents: x of (N,), (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3.

    Raises:
        ValueError: other axes, no rows, no entries, or splits whose examples differ in shape.

    >>> contents = Contents({"train": SplitArrays(np.zeros((5, 4, 6, 3)))}, "zeros", "array")
    >>> with_axes(contents).splits["train"].x.shape
    (5, 3, 4, 6)
    """
    arranged: dict[str, SplitArrays] = {}
    notes: dict[str, list[str]] = {}
    for split, arrays in contents.splits.items():
        if arrays.x.ndim == 0 or len(arrays.x) == 0:
            raise ValueError(f"{contents.at(split)} is empty; expected at least 1 row")
        if arrays.x.dtype == object:
            raise ValueError(
                f"{contents.at(split)} holds Python objects, not numbers (rows of different "
                "lengths, or pickled); give one array of numbers with rows of one shape"
            )
        x, note = _with_axes(arrays.x, contents.at(split))
        arranged[split] = replace(arrays, x=x)
        if note is not None:
            notes.setdefault(note, []).append(split)
    _refuse_other_shapes(contents.origin, arranged)
    return replace(contents, splits=arranged).noted(
        *(
            note if len(splits) == len(arranged) else f"{note[:-1]} ({', '.join(splits)})."
            for note, splits in notes.items()
        )
    )


def _with_axes(x: Array, where: str) -> tuple[Array, str | None]:
    if 0 in x.shape:
        raise ValueError(f"{where} has no entries: its shape is {x.shape}")
    if x.ndim == 1:
        return x[:, None], "One number per row: taken as vectors with 1 entry."
    if x.ndim == 2:
        return x, None
    if x.ndim == 3:
        return x[:, None], "No channel axis: taken as images with 1 channel."
    if x.ndim == 4:
        first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
        if first and last:
            return x, f"Axes {x.shape[1:]} could be read both ways: taken as (C, H, W)."
        if first:
            return x, None
        if last:
            return np.moveaxis(x, 3, 1), "Channels came last, (H, W, C): moved to (C, H, W)."
    raise ValueError(
        f"{where}: expected shape (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, "
        f"got {x.shape}; drop other channels, or flatten to (N, D)"
    )


def _refuse_other_shapes(origin: str, splits: dict[str, SplitArrays]) -> None:
    shapes = {split: arrays.x.shape[1:] for split, arrays in splits.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
        raise ValueError(f"{origin}: examples must have one shape in all splits, got {listed}")
