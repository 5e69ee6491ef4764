"""What stands beside x: labels as class indices, attributes and factors as checked numbers."""

from __future__ import annotations

import decimal
import numbers
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from reparam.data.contents import SPLIT_NAMES, Array, Contents, SplitArrays
from reparam.data.large_arrays import refuse_too_large
from reparam.data.values import FLOAT32_LARGEST, FLOAT64_EXACT, fits_float32, is_absent
from reparam.wording import listed

NOTES = {
    "attributes": "Attributes, to be conditions: {}.",
    "factors": "Factors of variation, which models do not see: {}.",
}
NAMED = {"x": "columns", "attributes": "attribute_names", "factors": "factor_names"}
CLASSES_NAMED = 10  # in a note


def with_class_indices(contents: Contents) -> tuple[Contents, tuple[str, ...] | None]:
    """The same data with labels as indices into the sorted classes of all splits, and their names.

    Args:
        contents: labels (N,) of integers or strings, in all splits or in some.

    Raises:
        ValueError: not one label for each row, or labels that are no classes.

    >>> from reparam.data.contents import SplitArrays
    >>> arrays = SplitArrays(np.zeros((3, 2)), np.array(["no", "yes", "no"]))
    >>> contents, names = with_class_indices(Contents({"train": arrays}, "x", "array"))
    >>> contents.splits["train"].labels.tolist(), names
    ([0, 1, 0], ('no', 'yes'))
    """
    labels = {
        split: _flat(contents, split, arrays.labels, len(arrays.x))
        for split, arrays in contents.splits.items()
        if arrays.labels is not None
    }
    if not labels:
        return contents, None
    classes, found = _classes(contents, labels), contents.splits.values()
    splits = dict(contents.splits)
    for split, values in labels.items():
        indices = np.searchsorted(classes, values).astype(np.int64)
        splits[split] = replace(splits[split], labels=indices)
    names, notes = tuple(map(str, classes.tolist())), []
    if any(arrays.labels is not None and arrays.labels.dtype.kind == "f" for arrays in found):
        notes.append("Labels that are whole numbers, as 1.0, became integers.")
    bare = [split for split in splits if split not in labels]
    if bare:
        notes.append(f"No labels in {' and '.join(bare)}: scores that need them are left out.")
    if names != tuple(map(str, range(len(names)))):
        notes.append(
            f"Labels became indices of {len(names)} sorted classes: {listed(names, CLASSES_NAMED)}."
        )
    trained = labels.get("train", classes)
    unseen = np.setdiff1d(classes, trained).astype(str).tolist()
    if unseen:
        notes.append(f"Classes without training examples: {listed(unseen, CLASSES_NAMED)}.")
    return replace(contents, splits=splits).noted(*notes), names


def _classes(contents: Contents, labels: Mapping[str, Array]) -> Array:
    texts = {values.dtype.kind in "UT" for values in labels.values()}
    if len(texts) > 1:
        raise ValueError(
            f"{contents.origin}: labels are strings in one split and integers in another"
        )
    return np.unique(np.concatenate(list(labels.values())))


def _flat(contents: Contents, split: str, labels: Array, rows: int) -> Array:
    """Labels (N,) of one split, of a type that sorts."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (rows,):
        raise ValueError(
            f"{contents.at(split)} has {rows} rows, but labels of shape {labels.shape}; "
            "expected one label for each row"
        )
    where = contents.at(split)
    if labels.dtype == object:
        labels = _sortable(contents, split, labels)
    if labels.dtype.kind == "b":
        return labels.astype(str)  # as text tables have them
    if labels.dtype.kind == "f":
        return _whole(contents, split, labels)
    if labels.dtype.kind not in "uiUT":
        raise ValueError(f"{where} has labels of {labels.dtype}; expected integers or strings")
    return labels


def _whole(contents: Contents, split: str, labels: Array) -> Array:
    """Labels 0.0, 1.0 … as integers."""
    where = contents.at(split)
    if np.isnan(labels).any():
        raise ValueError(_without_label(contents, split, int(np.isnan(labels).argmax())))
    other = labels[(labels != np.floor(labels)) | (np.abs(labels) > FLOAT64_EXACT)]
    if len(other):
        raise ValueError(
            f"{where} has labels of {labels.dtype} ({other[0]:g}); expected integers or strings, "
            "one for each class: bin the quantity, leave it out (drop, --drop), or take its column "
            "as a condition (attributes, --attribute); codes such as versions need a letter (v1.1)"
        )
    return labels.astype(np.int64)


def _sortable(contents: Contents, split: str, labels: Array) -> Array:
    """Labels of one type of Python's as an array of that type."""
    where = contents.at(split)
    for row, label in enumerate(labels):
        if is_absent(label):
            raise ValueError(_without_label(contents, split, row))
    kinds = {type(label) for label in labels}
    if kinds == {bool}:
        return labels.astype(bool)
    if all(issubclass(kind, int) for kind in kinds):
        return labels.astype(np.int64)
    if all(issubclass(kind, numbers.Real | decimal.Decimal) for kind in kinds):
        return labels.astype(np.float64)
    if all(issubclass(kind, str) for kind in kinds):
        width = max(map(len, labels))  # which an array gives to all of them
        refuse_too_large(f"{where} labels", len(labels) * width * np.dtype("U1").itemsize)
        return labels.astype(str)
    named = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(f"{where} has labels of {named}; expected integers or strings")


def _without_label(contents: Contents, split: str, row: int) -> str:
    droppable = contents.columns is not None and split in SPLIT_NAMES  # not of new rows
    remedy = "; missing='drop' (--missing drop) leaves such rows out" if droppable else ""
    return f"{contents.at(split)} row {row} has no label; fill it in, or drop the row{remedy}"


def in_order(
    what: str,
    values: Array,
    names: tuple[str, ...] | None,
    expected: tuple[str, ...] | None,
    origin: str,
) -> Array:
    """Columns (N, F, …) in the order of those in training, where both have names.

    Args:
        what: ``"x"``, ``"attributes"`` or ``"factors"``.
        values: the columns.
        names: of them.
        expected: those in training.
        origin: how messages call the source of the values.

    Raises:
        ValueError: one is missing, or one is not in training, or they are not one for each column.

    >>> in_order("x", np.array([[1, 2]]), ("b", "a"), ("a", "b"), "t.csv")
    array([[2, 1]])
    """
    if names is None or expected is None or names == expected:
        return values
    if what != "x" and (_numbered(names) or _numbered(expected)):
        return values
    place = {name: index for index, name in enumerate(names)}
    width = values.shape[1] if values.ndim > 1 else 1
    if not len(place) == len(names) == width:
        raise ValueError(
            f"{origin}: expected {width} different names of {what}, got {', '.join(names)}"
        )
    one = {"x": "column"}.get(what, what.removesuffix("s"))
    for name in expected:
        if name not in place:
            raise ValueError(f"{origin} has no {one} {name!r}, which the training data have")
    for name in names:
        if name not in expected:
            raise ValueError(f"{origin} has the {one} {name!r}, which the training data have not")
    return values[:, [place[name] for name in expected]]


def ordered_as(ours: Contents, theirs: Contents, split: str, origin: str) -> SplitArrays:
    """A split of other contents with all that has names, in both, in the order that is ours.

    Raises:
        ValueError: see ``in_order``.

    >>> rows = {"train": SplitArrays(np.array([[1, 2]]))}
    >>> ours = Contents(rows, "t", "t.csv", columns=("a", "b"))
    >>> theirs = Contents(rows, "t", "t.csv", columns=("b", "a"))
    >>> ordered_as(ours, theirs, "train", "t.csv").x
    array([[2, 1]])
    """
    arrays = theirs.splits[split]
    ordered: dict[str, Any] = {
        what: in_order(what, values, getattr(theirs, names), getattr(ours, names), origin)
        for what, names in NAMED.items()
        if (values := getattr(arrays, what)) is not None
    }
    return replace(arrays, **ordered)


def _numbered(names: tuple[str, ...]) -> bool:
    """Whether names say no more than that there are so many."""
    return names == tuple(map(str, range(len(names))))


def with_checked_numbers(
    contents: Contents, what: Literal["attributes", "factors"]
) -> tuple[Contents, tuple[str, ...] | None]:
    """The same data with attributes or factors (N, F), and their names; None if there are none.

    They are float32 where that loses nothing, as the columns of a table are; attributes of new
    rows alone stay float64.

    Raises:
        ValueError: they are no finite numbers, not one row for each of x, of different widths, or
            not as many as their names.

    >>> from reparam.data.contents import SplitArrays
    >>> arrays = SplitArrays(np.zeros((2, 3)), attributes=np.array([30, 41]))
    >>> contents, names = with_checked_numbers(
    ...     Contents({"train": arrays}, "x", "array"), "attributes"
    ... )
    >>> contents.splits["train"].attributes.tolist(), names
    ([[30.0], [41.0]], ('0',))
    """
    found = {
        split: _checked(contents, split, what, values)
        for split, arrays in contents.splits.items()
        if (values := getattr(arrays, what)) is not None
    }
    if not found:
        return contents, None
    widths = {split: values.shape[1] for split, values in found.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{split} {width}" for split, width in widths.items())
        raise ValueError(f"{contents.origin}: {what} must be as many in all splits, got {listed}")
    count = next(iter(widths.values()))
    names = _names_of(contents, what) or tuple(map(str, range(count)))
    if len(set(names)) != count:
        raise ValueError(
            f"{contents.origin}: expected {count} different names of {what}, got {', '.join(names)}"
        )
    if what == "factors" or "train" in found:
        first = found.get("train", next(iter(found.values())))
        if fits_float32([first, *found.values()]):
            found = {split: values.astype(np.float32) for split, values in found.items()}
    splits = dict(contents.splits)
    for split, values in found.items():
        changed: dict[str, Any] = {what: values}
        splits[split] = replace(splits[split], **changed)
    notes = [NOTES[what].format(", ".join(names))]
    bare = [split for split in splits if split not in found]
    if bare:
        notes.append(f"No {what} in {' and '.join(bare)}.")
    return replace(contents, splits=splits).noted(*notes), names


def _names_of(contents: Contents, what: str) -> tuple[str, ...] | None:
    return contents.attribute_names if what == "attributes" else contents.factor_names


def _checked(contents: Contents, split: str, what: str, values: Array) -> Array:
    where, rows = f"{contents.at(split)} {what}", len(contents.splits[split].x)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != rows or values.shape[1] == 0:
        raise ValueError(
            f"{where}: expected shape ({rows}, F), one row for each of x, got {values.shape}"
        )
    if values.dtype.kind not in "buif":
        raise ValueError(f"{where}: expected numbers, got {values.dtype}; encode them as numbers")
    values = values.astype(np.float64)
    wrong = ~(np.abs(values) <= FLOAT32_LARGEST)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        names = _names_of(contents, what)
        name = names[column] if names and column < len(names) else str(column)
        value = values[row, column]
        large = "too large for float32; rescale it"
        remedy = large if np.isfinite(value) else "fill it in, or drop the row"
        raise ValueError(f"{where}: row {row}, {name!r} is {value}: {remedy}")
    return values
