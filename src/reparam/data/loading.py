"""load_data and load_rows: one door for every source, to checked and split examples."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from reparam.data.arrays import options_like, read_memory, with_labels
from reparam.data.beside_x import ordered_as, with_checked_numbers, with_class_indices
from reparam.data.binarization import Binarization, Gray
from reparam.data.chosen import ALL_CLASSES, Chosen, chosen_classes, taken
from reparam.data.contents import Array, Contents, Missing, ReadOptions, SplitArrays, with_axes
from reparam.data.dsprites import read_archive
from reparam.data.few_labels import Count
from reparam.data.images.image_folders import read_folder, read_image
from reparam.data.images.image_lists import image_kinds
from reparam.data.images.image_reading import Fit, Frames, plain_numbers
from reparam.data.images.image_trees import is_image
from reparam.data.large_arrays import is_mapped
from reparam.data.named_sets import NAMED_SETS, named_set
from reparam.data.numpy_files import read_npy
from reparam.data.splits import Data, Split, carve
from reparam.data.suitability import column_notes
from reparam.data.tables.column_kinds import (
    Kinds,
    renamed,
    stored,
    with_columns,
    with_rare,
    without_rows,
)
from reparam.data.tables.csv_files import read_csv
from reparam.data.tables.one_hot import with_flags
from reparam.data.tables.pixel_tables import pixel_notes, with_shape
from reparam.data.tables.table_columns import TEXT, read_parquet
from reparam.data.values import OneKind, ValueOptions, store_values
from reparam.space import Column, ColumnKind, Space
from reparam.wording import EMPTY_PATH

FORMATS = "a folder of images, .npz, .npy, .csv, .tsv or .parquet"


def load_data(
    source: Any,
    *,
    test: Any = None,
    label: Any = None,
    drop: str | Collection[str] = (),
    attributes: str | Sequence[str] = (),
    factors: str | Sequence[str] = (),
    kind: OneKind | Mapping[str, ColumnKind] | None = None,
    missing: Missing = "keep",
    rare: float | None = None,
    one_hot: bool | Mapping[str, Sequence[str]] = False,
    levels: int | None = None,
    binarize: Binarization | None = None,
    size: int | tuple[int, int] | None = None,
    fit_size: Fit = "crop",
    range: tuple[float, float] | None = None,
    background: str = "white",
    frames: Frames | None = None,
    attribute_table: str | os.PathLike[str] | None = None,
    x: str | None = None,
    y: str | None = None,
    bands: Sequence[int] | None = None,
    header: bool | None = None,
    decimal: Literal[".", ","] | None = None,
    shape: tuple[int, ...] | None = None,
    only: str | int | Collection[str | int] = (),
    without: str | int | Collection[str | int] = (),
    labels: Count | None = None,
    labels_seed: int = 0,
    seed: int = 0,
) -> Data:
    """Load examples from anywhere, check them, and split them into train, valid and test.

    What the source does not say is decided by simple rules, and every decision is in the notes of
    the result. uint8 arrays and image files are levels 256 (binary where only two values occur);
    floats are real, unless all are k/255, which are levels; anything of only 0 and 1 is binary;
    every column of a table is of the kind that its cells are (``kind``). Missing splits are carved
    from the training rows: 10 % valid, 20 % test. Rows in messages count from 0, lines of text
    from 1.

    Args:
        source: a name (see ``sources``); the path of a folder of images, or of an .npz, .npy,
            .csv, .tsv or .parquet file, or of an image with several frames; an array, tensor,
            DataFrame or map-style torch Dataset; a pair (x, labels), or one for training and one
            for test; a dictionary of arrays with the names that an .npz may have, or of any of
            these by split; a list of paths of images, or of images of Pillow's.
        test: the test split, as anything that source may be, where source has none.
        label: name of the label column of a table; or the labels themselves, of an array.
        drop: names of columns of a table, or of arrays of an .npz, to leave out.
        attributes: names of numeric columns of a table that conditional models take as c, instead
            of labels; they are no entries of x. Archives have them as an array ``attributes``.
        factors: names of numeric columns of a table that are known factors of variation, which no
            model sees: codes are compared with them. Archives have them as an array ``factors``,
            perhaps with their names in ``factor_names``.
        kind: ``"binary"``, ``"levels"`` or ``"real"`` of all entries, instead of the rules; or by
            column of a table ``"real"``, ``"log"`` (positive, modeled by the logarithm),
            ``"levels"``, ``"binary"`` or ``"category"``. Without it text is names (of two, a flag),
            whole numbers that repeat are levels, and all other columns are real.
        rare: names of a text column in less than this share of the rows become ``"other"``, and so
            do names in new rows that training did not have.
        missing: whether rows of a table in which a cell is missing, or the label, are kept, or left
            out (``"drop"``); without a label they cannot be kept.
        one_hot: whether columns of names become a flag for each name, ``color=red``, which is
            binary, or real where ``kind`` says ``real`` of the column; or by column the names.
        levels: K, for integers 0 … K−1, or floats that are these divided by K−1.
        binarize: make the data binary: a threshold (of x/(K−1) for levels, of x itself for real
            data); ``"static"``, one fixed Bernoulli draw of x/(K−1); or ``"dynamic"``, a fresh
            one in every batch of training, while validation and evaluation read a fixed one.
        size: height and width for images of different sizes (one number: both).
        fit_size: how an image of other proportions is made to fit: ``"crop"`` or ``"pad"``.
        range: the values of images of more than 8 bits that become 0 and 255; None: the smallest
            and the largest of all.
        background: the color that transparent images are laid upon.
        frames: of image files with several, the ``"first"`` or ``"all"``; None: the first in a
            folder, all of a single file.
        attribute_table: a text table with a row for each image file, which one of its columns
            names. The others are attributes, unless ``attributes``, ``factors`` or ``label`` name
            some; of text each word is an attribute, ``column:word``, or a level of a factor.
        x, y: names of the examples and of their labels among named arrays, or among the parts of
            the items of a Dataset; None: by common names.
        bands: one channel, or three as red, green and blue, counted from 0, that pictures show of
            images in arrays; None: the first three.
        header: whether the first line of a text table names its columns; None: decide.
        decimal: the mark before the decimals of numbers that are written as text, in a table of
            any kind or one beside images, where they do not tell, as 1,234 alone; None: a comma
            if semicolons stand between cells, or tabs and some numbers have commas.
        shape: (H, W) or (C, H, W), of the images that rows of a table, or vectors, are.
        only: names of classes; all other rows are left out of all splits.
        without: names of classes whose rows are left out.
        labels: keep so few labeled training rows, the same for every model (``Data.with_labels``).
        labels_seed: of which rows these are.
        seed: of carved splits and of the fixed draw.

    Raises:
        ValueError: what is wrong with the arguments or the data, where, and the remedy.
        DataUnavailable: a named set that cannot be had (a ValueError too).

    >>> data = load_data("digits")
    >>> data.space.shape, data.space.kind, data.space.levels, data.space.classes
    ((1, 8, 8), 'levels', 17, 10)
    >>> [len(split) for split in (data.train, data.valid, data.test)]
    [1258, 180, 359]
    """
    if decimal not in (None, ".", ","):
        raise ValueError(f"decimal: expected '.' or ',', got {decimal!r}")
    if missing not in get_args(Missing):
        raise ValueError(f"missing: expected keep or drop, got {missing!r}")
    kinds = dict(kind) if isinstance(kind, Mapping) else {}
    asked = ValueOptions(None if isinstance(kind, Mapping) else kind, levels, binarize, seed)
    of_one_kind = asked != ValueOptions(seed=seed) or shape is not None
    if kinds and of_one_kind:
        raise ValueError("kind: of single columns goes with no levels, binarize and shape")
    if one_hot and of_one_kind:
        raise ValueError(
            "one_hot: goes with no levels, binarize, shape and kind of all entries; give the kind "
            "of columns, as kind={'color': 'real'} (--kind color=real)"
        )
    column = str(label) if isinstance(label, str | int | np.integer) else None
    names = (_tuple(drop), _tuple(attributes), _tuple(factors))
    options = ReadOptions(
        column,
        *names,
        size=size,
        fit_size=fit_size,
        range=range,
        background=background,
        frames=frames,
        attribute_table=None if attribute_table is None else _resolved(attribute_table),
        x=x,
        y=y,
        bands=None if bands is None else plain_numbers(np.ravel(bands)),
        header=header,
        decimal=decimal,
        shape=None if shape is None else plain_numbers(np.ravel(shape)),
        kind=kinds or None,
        missing=missing,
        rare=rare,
        one_hot=one_hot,
        one_kind=of_one_kind,
    )
    chosen = Chosen(_tuple(only), _tuple(without))
    contents = read(source, options)
    if rare is not None:
        contents = with_rare(contents, rare)
    if label is not None and column is None:
        contents = with_labels(contents, label)
    if test is not None:
        contents = _with_test(contents, test, options, rare is not None)
    if options.dropping:
        contents = without_rows(contents)
    read_kinds: Kinds = kinds
    if one_hot:
        contents, read_kinds = with_flags(contents, one_hot, kinds, rare is not None)
    if options.shape is None:
        contents = contents.noted(*pixel_notes(contents.columns))
    else:
        contents = with_shape(contents, options.shape)
    recipe = _recipe(source, test, label, options, asked) or {}
    recipe |= {**_fields(chosen), **contents.found}  # of data in memory, too
    of_columns = ("kind", "missing", "rare")
    recipe |= {name: value for name, value in _fields(options).items() if name in of_columns}
    read_as = None if of_one_kind else read_kinds
    data = checked_data(contents, asked, recipe or None, chosen, read_as)
    data = data if options.bands is None else replace(data, bands=options.bands)
    return data if labels is None else data.with_labels(labels, labels_seed)


def _tuple(names: Any) -> tuple[str, ...]:
    """One name or several as texts; classes may be numbers, of NumPy too, 1.0 is class 1."""
    several = names if isinstance(names, Collection) and not isinstance(names, str) else (names,)
    return tuple(
        str(int(name)) if isinstance(name, float | np.floating) and name.is_integer() else str(name)
        for name in several
    )


def read(source: Any, options: ReadOptions) -> Contents:
    """What a source of any kind holds.

    Args:
        source: as in ``load_data``.
        options: arguments for some readers, refused by the others.

    Raises:
        ValueError: see ``load_data``.

    >>> read("digits", ReadOptions()).levels
    17
    """
    if (named := named_set(source)) is not None:
        options.refuse(f"the named set {source!r}")
        return named.read()
    if isinstance(source, str | os.PathLike):
        if not os.fspath(source):
            raise ValueError(f"source: {EMPTY_PATH}")
        contents = _read_path(Path(source).expanduser(), options)
    else:
        contents = read_memory(source, options)
    if options.drop:
        contents = contents.noted(f"Left out as asked: {', '.join(options.drop)}.")
    return contents


def checked_data(
    contents: Contents,
    options: ValueOptions,
    source: dict[str, Any] | None = None,
    chosen: Chosen = ALL_CLASSES,
    kinds: Kinds | None = None,
    columns: tuple[Column, ...] | None = None,
) -> Data:
    """Checked data with all three splits.

    Args:
        contents: what a reader found.
        options: what the user says about the values, and the seed of carving.
        source: kept in the result, so that the same data can be loaded again.
        chosen: the classes to keep.
        kinds: of columns of a table, as far as they are said; None: all are of one kind.
        columns: of a table, where they are known, as x has them; None: they are found.

    Raises:
        ValueError: what the data have wrong, where, and what to do about it.

    >>> ten = SplitArrays(np.arange(10.0)[:, None])
    >>> data = checked_data(Contents({"train": ten}, "ten", "array"), ValueOptions())
    >>> len(data.train), data.notes[-1]
    (7, 'Carved from 10 rows with seed 0: valid 1, test 2.')
    """
    contents, classes = with_class_indices(with_axes(contents))
    contents, classes = chosen_classes(contents, classes, chosen)
    if contents.form == "table" and kinds is not None and not _are_pixels(contents, kinds):
        contents, columns = with_columns(contents, kinds)
    if columns is None:
        contents, kind, levels = store_values(contents, options)
    else:
        contents, kind, levels = stored(contents, columns), "mixed", None
    contents, attributes = with_checked_numbers(contents, "attributes")
    contents, factors = with_checked_numbers(contents, "factors")
    contents = _with_all_splits(contents, options.seed)
    splits: dict[str, Any] = {
        split: to_split(arrays, contents.borrowed, contents.gray_levels)
        for split, arrays in contents.splits.items()
    }
    if options.binarize is not None:
        # New rows are binarized as these were, whatever they look like by themselves.
        read_so = {"kind": kind} | ({} if levels is None else {"levels": levels})
        source = (source or {}) | _fields(options) | read_so
        kind, levels = "binary", None
    counts = [None if names is None else len(names) for names in (classes, attributes)]
    shape = tuple(splits["train"].x.shape[1:])
    data = Data(
        **splits,
        space=Space(shape, kind, levels, counts[0], counts[1], columns),
        name=contents.name,
        class_names=classes,
        columns=contents.columns,
        attribute_names=attributes,
        factor_names=factors,
        level_names=contents.level_names,
        factor_kinds=contents.factor_kinds,
        notes=contents.notes,
        source=source,
        scaled=contents.scaled,
        true_log_density=contents.true_log_density if kind == "real" else None,
    )
    return replace(data, notes=(*data.notes, *column_notes(data)))


def _are_pixels(contents: Contents, kinds: Kinds) -> bool:
    """Whether columns that are called as pixels are may be of one kind as a whole."""
    if kinds or contents.names or not pixel_notes(contents.columns):
        return False
    return not any(bool(np.isnan(arrays.x).any()) for arrays in contents.splits.values())


def _fields(*arguments: Any) -> dict[str, Any]:
    """What was given of some arguments, as plain numbers, lists and strings."""
    return {
        field.name: np.asarray(value).tolist()
        for given in arguments
        for field in fields(given)
        if (value := getattr(given, field.name)) != field.default
    }


def _with_all_splits(contents: Contents, seed: int) -> Contents:
    missing = [split for split in ("valid", "test") if split not in contents.splits]
    if not missing:
        return contents
    whole = contents.splits["train"]
    try:
        rows = carve(len(whole.x), seed, valid="valid" in missing, test="test" in missing)
    except ValueError as error:
        raise ValueError(f"{contents.origin}: {error}; give more rows, or the splits") from error
    carved = {split: taken(whole, chosen) for split, chosen in rows.items()}
    sizes = ", ".join(f"{split} {len(carved[split].x)}" for split in missing)
    note = f"Carved from {len(whole.x)} rows with seed {seed}: {sizes}."
    return replace(contents, splits={**contents.splits, **carved}).noted(note)


def to_split(arrays: SplitArrays, borrowed: bool, gray_levels: int | None = None) -> Split:
    """A split of checked arrays as tensors, copied if they are the caller's."""
    found = {what: a for what, a in vars(arrays).items() if a is not None and what != "files"}
    tensors: dict[str, Any] = {what: _tensor(a, borrowed) for what, a in found.items()}
    gray = tensors.pop("gray", None)
    kept = None if gray is None or gray_levels is None else Gray(gray, gray_levels)
    return Split(**tensors, gray=kept, streamed=is_mapped(arrays.x), files=arrays.files)


def _read_path(path: Path, options: ReadOptions) -> Contents:
    suffix = path.suffix.lower()
    if not path.exists():
        raise ValueError(_missing(path))
    if path.is_dir():
        options.refuse("a folder of images", *image_kinds(path, options))
        return read_folder(path, options)
    if not path.is_file():
        raise ValueError(f"{path}: is neither a file nor a folder; save its content to a file")
    if suffix in (".npz", ".npy"):
        if suffix == ".npy":
            options.refuse(f"{suffix} files", "array")
            return read_npy(path)
        options.refuse(f"{suffix} files", "archive", "features")
        return read_archive(path, options)
    if suffix in TEXT:
        options.refuse(f"{suffix} files", "table", "text")
        return read_csv(path, options)
    if suffix == ".parquet":
        options.refuse(f"{suffix} files", "table")
        return read_parquet(path, options)
    if is_image(path):
        return _read_frames(path, options)
    raise ValueError(f"{path}: expected {FORMATS}, got a file ending in {suffix or 'nothing'!r}")


def _read_frames(path: Path, options: ReadOptions) -> Contents:
    options.refuse("an image file", *image_kinds(path, options))
    contents = read_image(path, replace(options, frames=options.frames or "all"))
    if len(contents.splits["train"].x) == 1:
        raise ValueError(f"{path}: is a single image; give the folder it is in")
    return contents


def _missing(path: Path) -> str:
    """What a path that does not exist may have meant: a named set or a file beside it."""
    text = str(path)
    if path.is_symlink():
        return f"source: {text!r} is a link to {os.readlink(path)!r}, which does not exist"
    near = difflib.get_close_matches(text, NAMED_SETS, 1)
    if not near and path.parent.is_dir():
        beside = {other.name: str(other) for other in path.parent.iterdir()}
        near = [beside[name] for name in difflib.get_close_matches(path.name, beside, 1)]
    meant = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(NAMED_SETS)}, "
    return f"source: {text!r} is neither a named set nor a file; {meant}" + (
        "" if near else f"or the path of {FORMATS}"
    )


def _with_test(contents: Contents, test: Any, options: ReadOptions, rare: bool) -> Contents:
    """The data with the examples of another source (its test split, if it has one) as theirs."""
    options = options_like(contents, test, options)
    try:
        other = read(test, options)
    except ValueError as error:
        raise ValueError(f"test: {str(error).removeprefix('source: ')}") from error
    if "test" in contents.splits:
        raise ValueError(f"test: {contents.origin} has a test split already; leave test out")
    whole = len(other.splits) == 1
    if not whole and "test" not in other.splits:
        raise ValueError(f"test: {other.origin} has splits, but none for test")
    if (contents.columns is None) != (other.columns is None):
        named = contents if other.columns is None else other
        raise ValueError(f"test: only {named.origin} has named columns; give both or none")
    split = "train" if whole else "test"
    arrays = ordered_as(contents, other, split, f"test: {other.origin}")
    if contents.columns is not None:
        theirs = replace(other, columns=contents.columns)
        x, more = renamed(arrays.x, theirs, contents.names, rare)
        arrays = replace(arrays, x=x)
        contents = contents.noted(*more)
    note = f"Test examples: {other.origin}{'' if whole else ', its test split'}."
    return replace(
        contents,
        splits={**contents.splits, "test": arrays},
        origins={"test": other.origin},
        borrowed=contents.borrowed or other.borrowed,
    ).noted(note, *(n for n in other.notes if n not in contents.notes))


def _recipe(
    source: Any, test: Any, label: Any, options: ReadOptions, *others: Any
) -> dict[str, Any] | None:
    """Arguments that load the same data in another process; None, if something is in memory.

    Of vectors in memory that became images it is how they did.
    """
    places = {"source": source} if test is None else {"source": source, "test": test}
    stored = all(isinstance(place, str | os.PathLike) for place in places.values())
    if not stored or (label is not None and options.label is None):
        return None if options.shape is None else {"shape": list(options.shape)}
    return {
        name: place if named_set(place) else _resolved(place) for name, place in places.items()
    } | _fields(replace(options, one_kind=False), *others)


def _resolved(path: str | os.PathLike[str]) -> str:
    if not os.fspath(path):  # which would be this folder
        raise ValueError(EMPTY_PATH)
    return str(Path(path).expanduser().resolve())


def _tensor(array: Array, borrowed: bool) -> Tensor:
    if is_mapped(array):
        with warnings.catch_warnings():  # that it cannot be written to: nothing does
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(array)
    if borrowed or not array.flags.writeable:
        array = array.copy()
    return torch.from_numpy(np.ascontiguousarray(array))
