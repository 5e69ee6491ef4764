"""What a source holds, before any check: arrays by split, and which of their axes is which."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reparam.data.images.image_reading import Array, Reading, taken_by
from reparam.space import ColumnKind

FactorKind = Literal["names", "numbers", "circular"]  # levels without order, in order, in a ring

if TYPE_CHECKING:
    from torch import Tensor

Missing = Literal["keep", "drop"]
SHOWN = (
    " Pictures show the first three, or those that bands=R,G,B (--bands) names; pictures of hidden "
    "patches show all."
)
CHANNELS = (1, 3)  # by which axis they are on is told
SPLIT_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class ReadOptions(Reading):
    """The arguments of ``load_data`` that only some sources take, with those of images before them.

    Args:
        label, drop, attributes, factors: columns of a table; drop also names arrays of an archive.
        attribute_table: of images in files, a table beside them.
        x, y: of named arrays, or of items of a dataset, the examples and their labels.
        bands: of images in arrays, the channels that pictures show.
        header: of a text table, whether its first line names the columns; None: decide.
        decimal: of numbers written as text, the mark before decimals where no cell says it.
        shape: of the images that rows of a table, or vectors, are.
        columns: of a table, those to take as x, in this order; None: all others.
        kind: of a table, or of arrays with ``feature_names``, by column what is said of its kind.
        missing: of these, whether rows with missing cells are kept.
        rare: of these, the share of rows under which names become one.
        one_hot: of these, whether names become flags, or by column the names that do.
        one_kind: whether all entries are to be numbers of one kind, and none missing in the end.
        alike: whether ``header`` is that of other data, which this source may contradict.
        classes: of other data, whose labels are written as these are.

    >>> ReadOptions(label="y").refuse("an image folder", "folder")
    Traceback (most recent call last):
    ValueError: label: does not apply to an image folder
    """

    label: str | None = taken_by("table", "beside images")
    drop: tuple[str, ...] = taken_by("table", "beside images", "archive", default=())
    attributes: tuple[str, ...] = taken_by("table", "beside images", default=())
    factors: tuple[str, ...] = taken_by("table", "beside images", default=())
    attribute_table: str | None = taken_by("folder", "paths")
    x: str | None = taken_by("archive", "dataset")
    y: str | None = taken_by("archive", "dataset")
    bands: tuple[int, ...] | None = taken_by("archive", "array")
    header: bool | None = taken_by("text")
    decimal: str | None = taken_by("table", "beside images")
    shape: tuple[int, ...] | None = taken_by("archive", "array", "table")
    columns: tuple[str, ...] | None = None
    kind: Mapping[str, ColumnKind] | None = taken_by("table", "features")
    missing: Missing = taken_by("table", "features", default="keep")
    rare: float | None = taken_by("table", "features")
    one_hot: bool | Mapping[str, Sequence[str]] = taken_by("table", "features", default=False)
    one_kind: bool = False
    alike: bool = False
    classes: tuple[str, ...] = ()

    @property
    def named(self) -> set[str]:
        """All columns that are named."""
        label = () if self.label is None else (self.label,)
        return {*label, *self.drop, *self.attributes, *self.factors, *(self.columns or ())}

    def of_table(self, names: Sequence[str]) -> ReadOptions:
        """The same for a table of these columns, which may have names in place of known flags."""
        known = self.one_hot if isinstance(self.one_hot, Mapping) else {}
        there = {column: words for column, words in known.items() if column in names}
        owner = {flag: column for column in there for flag in flags_of(column, there[column])}
        columns = dict.fromkeys(owner.get(name, name) for name in self.columns or ())
        kind = dict(self.kind or {})
        if self.one_hot:  # kinds of flags are looked at once these are there
            kind = {name: kind[name] for name in kind if name in names}
        kind |= dict.fromkeys(there, "category")
        return replace(self, columns=tuple(columns) or None, kind=kind or None)

    @property
    def dropping(self) -> bool:
        """Whether rows with missing cells are left out, once all are read."""
        return self.missing == "drop"


def flags_of(column: str, names: Sequence[str]) -> list[str]:
    """What the flags of a column of names are called.

    >>> flags_of("color", ["blue", "red"])
    ['color=blue', 'color=red']
    """
    return [f"{column}={name}" for name in names]


@dataclass(frozen=True)
class Files:
    """The image files that examples were decoded from.

    Args:
        folder: above all of them.
        names: (N,), a path below folder for each example; of a file with several frames, each
            has its number after it.

    >>> Files(Path("photos"), np.array(["a.png", "b.gif[3]"], object)).paths
    [PosixPath('photos/a.png'), PosixPath('photos/b.gif')]
    """

    folder: Path
    names: Array

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Array | slice) -> Files:
        return Files(self.folder, self.names[rows])

    @property
    def paths(self) -> list[Path]:
        return [self.folder / file_and_frame(name)[0] for name in self.names]


def file_and_frame(name: str) -> tuple[str, str]:
    """A name of ``Files`` as that of the file, and the frame's number where it has several.

    >>> file_and_frame("b.gif[3]"), file_and_frame("a[1].png")
    (('b.gif', '3'), ('a[1].png', ''))
    """
    match = re.fullmatch(r"(.*)\[(\d+)\]", name, re.DOTALL)
    return (match[1], match[2]) if match else (name, "")


def split_named(name: str) -> str | None:
    """The split that a folder or array of this name is, if it is one.

    >>> split_named("val"), split_named("cats")
    ('valid', None)
    """
    matches = (split for split, names in SPLIT_NAMES.items() if name.lower() in names)
    return next(matches, None)


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
        level_names: of factors whose levels, counted from 0, have names.
        factor_kinds: of factors that are numbers or circular, whose last level stands beside
            their first.
        scaled: what level 0 was, 0 or -1, where levels were divided by K−1 and became whole again.
        gray_levels: K of the splits' ``gray``, where x was drawn of it.
        found: arguments of ``load_data`` that the reader found out, by which more is read alike.
        names: of the columns of a table that are text, what is written in them: x has indices.
        true_log_density: of which all rows were drawn, where it is known.

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
    level_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    factor_kinds: Mapping[str, FactorKind] = field(default_factory=dict)
    gray_levels: int | None = None
    scaled: int | None = None
    found: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    true_log_density: Callable[[Tensor], Tensor] | None = None

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
        contents: x of (N,), (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W).

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
        require_numbers(arrays.x, contents.at(split))
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


def require_numbers(x: Array, where: str) -> None:
    """ValueError where an array holds anything but real numbers and truth values.

    >>> require_numbers(np.zeros(2), "array")
    """
    if x.dtype == object:
        raise ValueError(
            f"{where} holds Python objects, not numbers (rows of different lengths, or pickled); "
            "give one array of numbers with rows of one shape"
        )
    if x.dtype.kind not in "buif":
        raise ValueError(f"{where} holds {x.dtype}, not numbers; encode it as numbers")


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
        return _with_channels(x)
    raise ValueError(
        f"{where}: expected shape (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W), got {x.shape}; "
        "leave axes out, or flatten to (N, D)"
    )


def _with_channels(x: Array) -> tuple[Array, str | None]:
    """Images (N, C, H, W), the channels being 1 or 3, or else the shorter of both axes."""
    first, last = x.shape[1], x.shape[3]
    if first == last or {first, last} <= set(CHANNELS):
        return x, f"Axes {x.shape[1:]} could be read both ways: taken as (C, H, W)."
    comes_last = last in CHANNELS or (first not in CHANNELS and last < first)
    unusual = not {first, last} & set(CHANNELS)
    shown = SHOWN if (last if comes_last else first) > max(CHANNELS) else ""
    if not comes_last:
        return x, f"The first axis, of {first}, was taken for channels.{shown}" if unusual else None
    moved = np.moveaxis(x, 3, 1)
    note = "Channels came last, (H, W, C): moved to (C, H, W)."
    if unusual:
        note = f"Channels, {last}, came last, on the shorter axis: moved to (C, H, W).{shown}"
    return moved, note


def _refuse_other_shapes(origin: str, splits: dict[str, SplitArrays]) -> None:
    shapes = {split: arrays.x.shape[1:] for split, arrays in splits.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
        raise ValueError(f"{origin}: examples must have one shape in all splits, got {listed}")
