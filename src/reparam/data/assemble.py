"""From what a reader found to Data: axes, values, labels, missing splits, tensors."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam.data.column_notes import column_notes
from reparam.data.conditions import with_checked_attributes
from reparam.data.gray import Gray
from reparam.data.kinds import Choices
from reparam.data.labels import indexed
from reparam.data.mapped import is_mapped, take
from reparam.data.raw import Array, Part, Raw
from reparam.data.shapes import arrange
from reparam.data.splits import Data, Split, carve
from reparam.data.values import settle
from reparam.model import Space


def assemble(raw: Raw, choices: Choices, source: dict[str, Any] | None = None) -> Data:
    """Checked data with all three splits.

    Args:
        raw: what a reader found.
        choices: what the user says about the values, and the seed of carving.
        source: kept in the result, so that the same data can be loaded again.

    Raises:
        ValueError: what the data have wrong, where, and what to do about it.

    >>> raw = Raw({"train": Part(np.arange(10.0)[:, None])}, "ten", "array")
    >>> data = assemble(raw, Choices())
    >>> len(data.train), data.notes[-1]
    (7, 'Carved from 10 rows with seed 0: valid 1, test 2.')
    """
    raw, kind, levels = settle(arrange(raw), choices)
    raw, names = indexed(raw)
    raw, attributes = with_checked_attributes(raw)
    raw = _with_all_splits(raw, choices.seed)
    splits = {s: to_split(part, raw.borrowed, raw.gray_levels) for s, part in raw.parts.items()}
    if choices.binarize is not None:
        # New rows are binarized as these were, whatever they look like by themselves.
        source = source and source | {"kind": kind} | ({} if levels is None else {"levels": levels})
        kind, levels = "binary", None
    shape = tuple(splits["train"].x.shape[1:])
    space = Space(shape, kind, levels, None if names is None else len(names), attributes)
    data = Data(
        **splits,
        space=space,
        name=raw.name,
        class_names=names,
        columns=raw.columns,
        attribute_names=raw.attribute_names,
        notes=raw.notes,
        source=source,
    )
    return replace(data, notes=(*data.notes, *column_notes(data)))


def _with_all_splits(raw: Raw, seed: int) -> Raw:
    missing = [split for split in ("valid", "test") if split not in raw.parts]
    if not missing:
        return raw
    whole = raw.parts["train"]
    try:
        rows = carve(len(whole.x), seed, valid="valid" in missing, test="test" in missing)
    except ValueError as error:
        raise ValueError(f"{raw.origin}: {error}; give more rows, or the splits") from error
    carved = {split: _rows(whole, chosen) for split, chosen in rows.items()}
    sizes = ", ".join(f"{split} {len(carved[split].x)}" for split in missing)
    note = f"Carved from {len(whole.x)} rows with seed {seed}: {sizes}."
    return replace(raw, parts={**raw.parts, **carved}, notes=(*raw.notes, note))


def _rows(part: Part, rows: Array) -> Part:
    arrays = (part.labels, part.factors, part.attributes, part.gray)
    files = None if part.files is None else part.files.take(rows)
    taken = (None if a is None else take(a, rows) for a in arrays)
    return Part(take(part.x, rows), *taken, files=files)


def to_split(part: Part, borrowed: bool, gray_levels: int | None = None) -> Split:
    """A split of checked arrays as tensors, copied if they are the caller's.

    Args:
        part: the arrays.
        borrowed: whether they belong to the caller.
        gray_levels: K of ``part.gray``, which is left out without it.

    >>> to_split(Part(np.zeros((2, 3), np.uint8)), borrowed=False).x.dtype
    torch.uint8
    """
    split = Split(
        _tensor(part.x, borrowed),
        None if part.labels is None else _tensor(part.labels, borrowed),
        None if part.factors is None else _factors(part.factors, borrowed),
        None if part.attributes is None else _tensor(part.attributes, borrowed),
        None
        if part.gray is None or gray_levels is None
        else Gray(_tensor(part.gray, borrowed), gray_levels),
    )
    return replace(split, streamed=is_mapped(part.x), files=part.files)


def _factors(factors: Array, borrowed: bool) -> Tensor:
    factors = factors[:, None] if factors.ndim == 1 else factors
    return _tensor(factors.astype(np.float32), borrowed)


def _tensor(array: Array, borrowed: bool) -> Tensor:
    if is_mapped(array):
        with warnings.catch_warnings():  # that it cannot be written to: nothing does
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(array)
    if borrowed or not array.flags.writeable:
        array = array.copy()
    return torch.from_numpy(np.ascontiguousarray(array))
