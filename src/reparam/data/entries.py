"""Which array is what: archives and dictionaries of arrays, by the names of their entries."""

from __future__ import annotations

from collections.abc import Mapping

from reparam.data.raw import Array, Part

SPLIT_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}
# The names of an entry of a collection without splits, and those beside the name of a split.
WHOLE = {"x": ("x", "X", "data", "images"), "y": ("y", "labels")}
IN_SPLIT = {"x": ("x", "X"), "y": ("y", "labels"), "f": ("factors",), "a": ("attributes",)}


def split_named(name: str) -> str | None:
    """The split that a folder or array of this name is, if it is one.

    >>> split_named("val"), split_named("cats")
    ('valid', None)
    """
    matches = (split for split, names in SPLIT_NAMES.items() if name.lower() in names)
    return next(matches, None)


def parts_named(arrays: Mapping[str, Array], origin: str) -> tuple[dict[str, Part], list[str]]:
    """The splits in a collection of arrays, and the names of the arrays that were not used.

    Args:
        arrays: ``train, valid, test``; or ``x_train, y_train, x_test …``; or ``x, y``; in both
            cases with ``factors`` and ``attributes`` beside them; or a single array of any name.
        origin: how messages call the collection.

    Raises:
        ValueError: no array can be told to be the training examples.

    >>> import numpy as np
    >>> parts, unused = parts_named({"x_train": np.zeros((2, 3)), "about": np.zeros(1)}, "a.npz")
    >>> list(parts), unused
    (['train'], ['about'])
    """
    if not arrays:
        raise ValueError(f"{origin}: holds no arrays")
    if len(arrays) == 1:
        return {"train": Part(next(iter(arrays.values())))}, []
    found = {
        split: {entry: _first(arrays, _keys(split, entry)) for entry in IN_SPLIT}
        for split in SPLIT_NAMES
    }
    parts = {
        split: Part(arrays[x], *(None if key is None else arrays[key] for key in others))
        for split, (x, *others) in ((s, entries.values()) for s, entries in found.items())
        if x is not None
    }
    if "train" not in parts:
        raise ValueError(
            f"{origin}: no training examples among {sorted(arrays)}; expected arrays named "
            "train/valid/test, or x_train, y_train, x_test …, or x and y, or a single array"
        )
    used = {key for split in parts for key in found[split].values()}
    return parts, [key for key in arrays if key not in used]


def _keys(split: str, entry: str) -> list[str]:
    """The names under which one entry of a split is looked for, the surest first."""
    words = IN_SPLIT[entry]
    keys = [] if split != "train" else list(WHOLE.get(entry, words))
    for name in SPLIT_NAMES[split]:
        keys += [name] if entry == "x" else []
        keys += [f"{word}_{name}" for word in words] + [f"{name}_{word}" for word in words]
    return keys


def _first(arrays: Mapping[str, Array], keys: list[str]) -> str | None:
    return next((key for key in keys if key in arrays), None)
