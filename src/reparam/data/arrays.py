"""Data in memory: arrays, tensors, DataFrames, dictionaries, pairs, torch datasets, lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from reparam.data.entries import parts_named
from reparam.data.raw import Array, Part, Raw
from reparam.data.tables import is_frame, read_frame


def read_memory(
    source: Any,
    label: str | None = None,
    drop: Collection[str] = (),
    only: Sequence[str] | None = None,
    attributes: Sequence[str] = (),
) -> Raw:
    """What an object in memory holds.

    Args:
        source: an array or tensor; a DataFrame; a pair (x, labels); a dictionary of arrays (names
            as in an archive, see ``parts_named``); a map-style torch Dataset or a list, yielding
            x or (x, label).
        label, drop, only, attributes: columns of a DataFrame; drop also names arrays of a
            dictionary.

    Raises:
        ValueError: something else, or rows of different shapes.

    >>> read_memory((torch.zeros(2, 3), [0, 1])).parts["train"].labels
    array([0, 1])
    """
    if is_frame(source):
        return read_frame(source, label, drop, only, attributes)
    if isinstance(source, Mapping):
        return _from_mapping(source, drop)
    if isinstance(source, tuple) and len(source) == 2:
        return with_labels(read_memory(source[0], label, drop, only), source[1])
    if isinstance(source, TensorDataset) and len(source.tensors) in (1, 2):
        return _raw(Part(*(to_array(tensor, "tensors") for tensor in source.tensors)), "dataset")
    if isinstance(source, torch.Tensor) or (
        hasattr(source, "__array__") and not isinstance(source, Dataset)
    ):
        name = "tensor" if isinstance(source, torch.Tensor) else "array"
        return _raw(Part(to_array(source, name)), name)
    if hasattr(source, "toarray"):
        raise ValueError("source: expected a dense array, got a sparse one; give x.toarray()")
    rows = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    if not rows or isinstance(source, IterableDataset | str | bytes):
        raise ValueError(
            "source: expected a name, path, array, tensor, DataFrame or map-style Dataset, got "
            f"{type(source).__name__}"
        )
    return _raw(_stacked(source), "list" if isinstance(source, list) else "dataset")


def with_labels(raw: Raw, labels: Any) -> Raw:
    """The same data with these labels of its training rows.

    Raises:
        ValueError: there are labels already, or it is in several splits.

    >>> with_labels(read_memory(torch.zeros(2, 3)), ["a", "b"]).parts["train"].labels.tolist()
    ['a', 'b']
    """
    train = raw.parts["train"]
    if train.labels is not None or len(raw.parts) > 1:
        what = "has labels already" if train.labels is not None else "is in several splits"
        raise ValueError(f"label: {raw.origin} {what}; labels apply to a single array without any")
    return replace(raw, parts={"train": replace(train, labels=to_array(labels, "labels"))})


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


def _raw(part: Part, name: str) -> Raw:
    return Raw({"train": part}, name, name, borrowed=True)


def _from_mapping(source: Mapping[Any, Any], drop: Collection[str]) -> Raw:
    absent = [name for name in drop if name not in source]
    if absent:
        raise ValueError(f"drop: no array {absent[0]!r} among {sorted(map(str, source))}")
    arrays = {str(k): to_array(value, str(k)) for k, value in source.items() if k not in drop}
    parts, unused = parts_named(arrays, "dictionary")
    notes = (f"Arrays not used: {', '.join(unused)}.",) if unused else ()
    return Raw(parts, "arrays", "dictionary", notes=notes, borrowed=True)


def _stacked(dataset: Any) -> Part:
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
    return Part(np.stack(rows), to_array(labels, "labels") if labels else None)


def _item(item: Any, name: str) -> tuple[Array, Any]:
    """x and label (or None) of one item; a pair of numbers is a vector."""
    if isinstance(item, tuple) and len(item) == 2 and np.ndim(item[0]) > 0:
        x, label = item
        return to_array(x, name), label.tolist() if isinstance(label, torch.Tensor) else label
    return to_array(item, name), None
