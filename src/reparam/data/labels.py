"""Labels as users have them, integers or strings, become class indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reparam.data.raw import Array, Part, Raw


def indexed(raw: Raw) -> tuple[Raw, tuple[str, ...] | None]:
    """The same data with labels as indices into the sorted classes of all splits, and their names.

    Args:
        raw: labels (N,) of integers or strings, in all splits or in some.

    Raises:
        ValueError: not one label for each row, or labels that are no classes.

    >>> raw = Raw({"train": Part(np.zeros((3, 2)), np.array(["no", "yes", "no"]))}, "x", "array")
    >>> raw, names = indexed(raw)
    >>> raw.parts["train"].labels.tolist(), names
    ([0, 1, 0], ('no', 'yes'))
    """
    labeled = [split for split, part in raw.parts.items() if part.labels is not None]
    if not labeled:
        return raw, None
    labels = {split: _flat(raw, split, raw.parts[split]) for split in labeled}
    classes = _classes(raw, labels)
    indices = {split: np.searchsorted(classes, values) for split, values in labels.items()}
    parts = {
        split: replace(part, labels=indices[split].astype(np.int64)) if split in indices else part
        for split, part in raw.parts.items()
    }
    names = tuple(map(str, classes.tolist()))
    notes = [*raw.notes]
    bare = [split for split in raw.parts if split not in labeled]
    if bare:
        notes.append(f"No labels in {' and '.join(bare)}: scores that need them are left out.")
    if names != tuple(map(str, range(len(names)))):
        notes.append(f"Labels became indices of {len(names)} sorted classes: {_listed(names)}.")
    trained = labels.get("train", classes)
    unseen = np.setdiff1d(classes, trained).astype(str).tolist()
    if unseen:
        notes.append(f"Classes without training examples: {_listed(unseen)}.")
    return replace(raw, parts=parts, notes=tuple(notes)), names


def _classes(raw: Raw, labels: Mapping[str, Array]) -> Array:
    texts = {values.dtype.kind in "UT" for values in labels.values()}
    if len(texts) > 1:
        raise ValueError(f"{raw.origin}: labels are strings in one split and integers in another")
    return np.unique(np.concatenate(list(labels.values())))


def _flat(raw: Raw, split: str, part: Part) -> Array:
    """Labels (N,) of one split, of a type that sorts."""
    labels = part.labels
    assert labels is not None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(part.x),):
        raise ValueError(
            f"{raw.at(split)} has {len(part.x)} rows, but labels of shape {labels.shape}; "
            "expected one label for each row"
        )
    if labels.dtype == object:
        labels = _sortable(raw, split, labels)
    if labels.dtype.kind == "b":
        return labels.astype(np.int64)
    if labels.dtype.kind not in "uiUT":
        raise ValueError(
            f"{raw.at(split)} has labels of {labels.dtype}; expected integers or strings, "
            "one for each class: convert whole numbers with .astype(int), bin or drop a quantity"
        )
    return labels


def _sortable(raw: Raw, split: str, labels: Array) -> Array:
    for row, label in enumerate(labels):
        if label is None or label != label:  # NaN differs from itself
            raise ValueError(f"{raw.at(split)} row {row} has no label; fill it in, or drop the row")
    types = {type(label) for label in labels}
    if all(issubclass(kind, int) for kind in types):
        return labels.astype(np.int64)
    if all(issubclass(kind, str) for kind in types):
        return labels.astype(str)
    named = " and ".join(sorted(kind.__name__ for kind in types))
    raise ValueError(f"{raw.at(split)} has labels of {named}; expected integers or strings")


def _listed(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
