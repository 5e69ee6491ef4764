"""Arrays in memory (tensors, pairs, dictionaries, datasets, lists), and what their names say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from reparam.data.contents import Array, Contents, ReadOptions, SplitArrays
from reparam.data.table_columns import is_frame, read_frame

SPLIT_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}
# What arrays of a collection without splits are called, and those beside the name of a split.
NAMES_ALONE = {"x": ("x", "X", "data", "images"), "labels": ("y", "labels")}
NAMES_IN_SPLIT = {
    "x": ("x", "X"),
    "labels": ("y", "labels"),
    "factors": ("factors",),
    "attributes": ("attributes",),
}
NAMES_OF = ("attribute_names", "factor_names")


def read_memory(source: Any, options: ReadOptions) -> Contents:
    """What an object in memory holds.

    Args:
        source: an array or tensor; a DataFrame; a pair (x, labels); a dictionary of arrays (names
            as in an archive, see ``named_contents``); a map-style torch Dataset or a list, yielding
            x or (x, label).
        options: columns of a DataFrame; drop also names arrays of a dictionary.

    Raises:
        ValueError: something else, or rows of different shapes.

    >>> read_memory((torch.zeros(2, 3), [0, 1]), ReadOptions()).splits["train"].labels
    array([0, 1])
    """
    if is_frame(source):
        return read_frame(source, options)
    if isinstance(source, Mapping):
        return _from_mapping(source, options.drop)
    if isinstance(source, tuple) and len(source) == 2:
        return with_labels(read_memory(source[0], options), source[1])
    if isinstance(source, TensorDataset) and len(source.tensors) in (1, 2):
        return _alone(SplitArrays(*(to_array(t, "tensors") for t in source.tensors)), "dataset")
    if isinstance(source, torch.Tensor) or (
        hasattr(source, "__array__") and not isinstance(source, Dataset)
    ):
        name = "tensor" if isinstance(source, torch.Tensor) else "array"
        return _alone(SplitArrays(to_array(source, name)), name)
    if hasattr(source, "toarray"):
        raise ValueError("source: expected a dense array, got a sparse one; give x.toarray()")
    rows = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    if not rows or isinstance(source, IterableDataset | str | bytes):
        raise ValueError(
            "source: expected a name, path, array, tensor, DataFrame or map-style Dataset, got "
            f"{type(source).__name__}"
        )
    return _alone(_stacked(source), "list" if isinstance(source, list) else "dataset")


def with_labels(contents: Contents, labels: Any) -> Contents:
    """The same data with these labels of its training rows.

    Raises:
        ValueError: there are labels already, or it is in several splits.

    >>> contents = read_memory(torch.zeros(2, 3), ReadOptions())
    >>> with_labels(contents, ["a", "b"]).splits["train"].labels.tolist()
    ['a', 'b']
    """
    train = contents.splits["train"]
    if train.labels is not None or len(contents.splits) > 1:
        what = "has labels already" if train.labels is not None else "is in several splits"
        raise ValueError(
            f"label: {contents.origin} {what}; labels apply to a single array without any"
        )
    labeled = replace(train, labels=to_array(labels, "labels"))
    return replace(contents, splits={"train": labeled})


def to_array(values: Any, name: str) -> Array:
    """Values as a NumPy array, on the CPU and without gradients.

    Raises:
        ValueError: rows of different shapes, or masked cells.

    >>> to_array(torch.ones(2, requires_grad=True), "x")
    array([1., 1.], dtype=float32)
    """
    if isinstance(values, torch.Tensor):
        tensor = values.detach().cpu().to_dense()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: has masked cells, which cannot be learned from; fill them in")
    try:
        return np.asarray(values)
    except ValueError as error:  # NumPy says at which axis the lengths differ
        raise ValueError(f"{name}: rows must have one shape ({error})") from error


def split_named(name: str) -> str | None:
    """The split that a folder or array of this name is, if it is one.

    >>> split_named("val"), split_named("cats")
    ('valid', None)
    """
    matches = (split for split, names in SPLIT_NAMES.items() if name.lower() in names)
    return next(matches, None)


def named_contents(arrays: Mapping[str, Array], name: str, origin: str) -> Contents:
    """What a collection of arrays holds, by their names.

    Args:
        arrays: ``train, valid, test``; or ``x_train, y_train, x_test …``; or ``x, y``; in all
            cases with ``attributes`` and ``factors`` beside them, and ``attribute_names`` and
            ``factor_names``; or a single array of any name.
        name: of the data.
        origin: how messages call the collection.

    Raises:
        ValueError: no array can be told to be the training examples.

    >>> contents = named_contents({"x_train": np.zeros((2, 3)), "about": np.zeros(1)}, "a", "a.npz")
    >>> list(contents.splits), contents.notes
    (['train'], ('Arrays not used: about.',))
    """
    if not arrays:
        raise ValueError(f"{origin}: holds no arrays")
    if len(arrays) == 1:
        return Contents({"train": SplitArrays(next(iter(arrays.values())))}, name, origin)
    found = {
        split: {what: _first(arrays, _keys(split, what)) for what in NAMES_IN_SPLIT}
        for split in SPLIT_NAMES
    }
    found = {split: keys for split, keys in found.items() if keys["x"] is not None}
    if "train" not in found:
        raise ValueError(
            f"{origin}: no training examples among {sorted(arrays)}; expected arrays named "
            "train/valid/test, or x_train, y_train, x_test …, or x and y, or a single array"
        )
    splits = {}
    for split, keys in found.items():
        named: dict[str, Any] = {what: arrays[key] for what, key in keys.items() if key is not None}
        splits[split] = SplitArrays(**named)
    attribute_names, factor_names = (
        None if key not in arrays else tuple(map(str, arrays[key].ravel().tolist()))
        for key in NAMES_OF
    )
    used = {*NAMES_OF, *(key for keys in found.values() for key in keys.values())}
    unused = [key for key in arrays if key not in used]
    return Contents(
        splits,
        name,
        origin,
        notes=(f"Arrays not used: {', '.join(unused)}.",) if unused else (),
        attribute_names=attribute_names,
        factor_names=factor_names,
    )


def _keys(split: str, what: str) -> list[str]:
    """The names under which one array of a split is looked for, the surest first."""
    words = NAMES_IN_SPLIT[what]
    keys = [] if split != "train" else list(NAMES_ALONE.get(what, words))
    for name in SPLIT_NAMES[split]:
        keys += [name] if what == "x" else []
        keys += [f"{word}_{name}" for word in words] + [f"{name}_{word}" for word in words]
    return keys


def _first(arrays: Mapping[str, Array], keys: list[str]) -> str | None:
    return next((key for key in keys if key in arrays), None)


def _alone(arrays: SplitArrays, name: str) -> Contents:
    return Contents({"train": arrays}, name, name, borrowed=True)


def _from_mapping(source: Mapping[Any, Any], drop: Collection[str]) -> Contents:
    absent = [name for name in drop if name not in source]
    if absent:
        raise ValueError(f"drop: no array {absent[0]!r} among {sorted(map(str, source))}")
    arrays = {str(k): to_array(value, str(k)) for k, value in source.items() if k not in drop}
    return replace(named_contents(arrays, "arrays", "dictionary"), borrowed=True)


def _stacked(dataset: Any) -> SplitArrays:
    """Every item of a dataset, as one array of x and one of labels."""
    rows: list[Array] = []
    labels: list[Any] = []
    for index in range(len(dataset)):
        row, label = _item(dataset[index], f"item {index}")
        if rows and row.shape != rows[0].shape:
            raise ValueError(
                f"item {index}: expected shape {rows[0].shape}, that of item 0, got {row.shape}; "
                "give every item one shape"
            )
        rows.append(row)
        labels += [] if label is None else [label]
        if labels and len(labels) != len(rows):
            raise ValueError(f"item {index}: labels for some items only; give all or none a label")
    if not rows:
        raise ValueError("dataset: is empty; expected at least 1 item")
    return SplitArrays(np.stack(rows), to_array(labels, "labels") if labels else None)


def _item(item: Any, name: str) -> tuple[Array, Any]:
    """x and label (or None) of one item; a pair of numbers is a vector."""
    if isinstance(item, tuple) and len(item) == 2 and np.ndim(item[0]) > 0:
        x, label = item
        return to_array(x, name), label.tolist() if isinstance(label, torch.Tensor) else label
    return to_array(item, name), None
