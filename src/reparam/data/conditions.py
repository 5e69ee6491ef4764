"""Conditions of examples: attributes as they are read, and what a conditional model is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from reparam.data.column_notes import refuse_impossible
from reparam.data.precision import fits_float32
from reparam.data.raw import Array, Raw
from reparam.data.splits import Data, Split
from reparam.model import Model


def condition(model: Model, split: Split, name: str = "data") -> Tensor | None:
    """What the model takes as c of these examples: labels, attributes, or None if it takes none.

    Args:
        model: perhaps conditional; on attributes, where its space has them.
        split: the examples.
        name: of the split, for the message.

    Raises:
        ValueError: a conditional model, and examples without its condition.
    """
    if not model.conditional:
        return None
    by_attributes = model.space.attributes is not None
    c = split.attributes if by_attributes else split.labels
    if c is None:
        what = "attributes" if by_attributes else "labels"
        remedy = "name " + (
            "their columns" if by_attributes else "their column, or use class folders"
        )
        raise ValueError(f"{name}: expected {what} for a conditional model, got none; {remedy}")
    return c


def refuse_unfit(model: Model, data: Data, *splits: str) -> None:
    """ValueError where the model cannot read or score these splits.

    They are of another space, or have no conditions, or a density gives them probability 0.
    """
    model.refuse_other(data.space)
    for name in splits:
        condition(model, data.splits[name], f"{data.name}: {name}")
    refuse_impossible(model, data, *splits)


def with_checked_attributes(raw: Raw) -> tuple[Raw, int | None]:
    """The same data with attributes (N, F), and F; None where there are none.

    Those of training data are float32 where that loses nothing, as the columns of a table are.

    Raises:
        ValueError: attributes that are no finite numbers, not one row for each of x, or of
            different widths.

    >>> from reparam.data.raw import Part
    >>> raw = Raw({"train": Part(np.zeros((2, 3)), attributes=np.array([30, 41]))}, "x", "array")
    >>> raw, count = with_checked_attributes(raw)
    >>> raw.parts["train"].attributes.tolist(), raw.attribute_names, count
    ([[30.0], [41.0]], ('0',), 1)
    """
    found = {s: part.attributes for s, part in raw.parts.items() if part.attributes is not None}
    if not found:
        return raw, None
    arrays = {s: _checked(raw, s, array, len(raw.parts[s].x)) for s, array in found.items()}
    widths = {split: array.shape[1] for split, array in arrays.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{split} {width}" for split, width in widths.items())
        raise ValueError(f"{raw.origin}: attributes must be as many in all splits, got {listed}")
    count = next(iter(widths.values()))
    if "train" in arrays and fits_float32([arrays["train"], *arrays.values()]):
        arrays = {split: array.astype(np.float32) for split, array in arrays.items()}
    names = raw.attribute_names or tuple(map(str, range(count)))
    parts = {s: replace(part, attributes=arrays.get(s)) for s, part in raw.parts.items()}
    notes = [f"Attributes, to be conditions: {', '.join(names)}."]
    bare = [split for split in raw.parts if split not in arrays]
    if bare:
        notes.append(f"No attributes in {' and '.join(bare)}.")
    return replace(raw, parts=parts, attribute_names=names, notes=(*raw.notes, *notes)), count


def _checked(raw: Raw, split: str, values: Array, rows: int) -> Array:
    where = f"{raw.at(split)} attributes"
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != rows or values.shape[1] == 0:
        raise ValueError(
            f"{where}: expected shape ({rows}, F), one row for each of x, got {values.shape}"
        )
    if values.dtype.kind not in "buif":
        raise ValueError(f"{where}: expected numbers, got {values.dtype}; encode them as numbers")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0].tolist()
        name = raw.attribute_names[column] if raw.attribute_names else str(column)
        raise ValueError(
            f"{where}: row {row}, {name!r} is {values[row, column]}: fill it in, or drop the row"
        )
    return values
