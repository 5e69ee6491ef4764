"""Rows X (n, D) as the data that a model is trained on: shape, kind, labels, held-out rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target
from torch import Tensor

from reparam.data import Data, Split
from reparam.data.contents import Array, Contents, SplitArrays
from reparam.data.values import ValueOptions, decide_kind, store_values, zeros_and_ones
from reparam.limits import BelowOne, Count, convert
from reparam.numerics import constant_entries
from reparam.space import Space
from reparam.wording import listed

Kind = Literal["auto", "binary", "levels", "real"]
CHANNELS = (1, 3, 4)  # of images as they are mostly


@dataclass(frozen=True)
class Labels:
    """Class labels as numbers: ``classes`` are the sorted values, ``indices`` (n,) point there."""

    classes: Array
    indices: Array


@dataclass(frozen=True)
class Rows:
    """Checked rows of one kind, (n, *shape) in compact storage, and what they are."""

    x: Array
    space: Space
    columns: tuple[str, ...] | None = None


def as_floats(x: Array) -> Array:
    """A copy in float32 where x is, else in float64; memory that is read-only stays as it is.

    >>> as_floats(np.eye(2, dtype=int)).dtype, as_floats(np.eye(2, dtype=np.float32)).dtype
    (dtype('float64'), dtype('float32'))
    """
    return np.array(x, np.float32 if x.dtype == np.float32 else np.float64, order="C")


def rows_of(
    x: Array,
    kind: Kind,
    levels: int | None,
    image_shape: Sequence[int] | None,
    columns: tuple[str, ...] | None = None,
) -> Rows:
    """Rows as they are to be modeled.

    Args:
        x: (n, D), finite numbers.
        kind: ``"auto"``: floats are real, unless all are 0 or 1, which is binary; other numbers
            are what ``load_data`` takes them for.
        levels: K, for integers 0 … K−1.
        image_shape: (C, H, W) or (H, W) of the images that rows are.
        columns: their names, where they have some.

    Raises:
        ValueError: a shape of another number of entries, or values that are not of that kind.

    >>> rows_of(np.array([[0, 1], [1, 1]]), "auto", None, None).space
    Space(shape=(2,), kind='binary', levels=None, classes=None, attributes=None, columns=None, \
given=None)
    """
    shape = _shape(image_shape, x.shape[1])
    named = columns if len(shape) == 1 else None
    arrays = SplitArrays(x.reshape(len(x), *shape))
    contents = Contents({"train": arrays}, "X", "X", columns=named, borrowed=True)
    asked = _asked(x, kind, levels)
    found, count, _ = decide_kind(contents, asked)
    if found == "real":
        contents = contents.with_x(as_floats)
    contents, _, _ = store_values(contents, ValueOptions(found, count))  # type: ignore[arg-type]
    if contents.scaled is not None:
        top = (count or 2) - 1
        back = f"X * {top}" if contents.scaled == 0 else f"(X + 1) * {top / 2:g}"
        raise ValueError(
            f"levels: expected whole numbers 0 … {top}, got X in [{contents.scaled}, 1]; give "
            f"({back}).round()"
        )
    return Rows(contents.splits["train"].x, Space(shape, found, count), named)


def _shape(image_shape: Sequence[int] | None, columns: int) -> tuple[int, ...]:
    if image_shape is None:
        return (columns,)
    given = convert("image_shape", image_shape, tuple[Count, ...], text=False)
    if len(given) not in (2, 3) or math.prod(given) != columns:
        raise ValueError(
            f"image_shape: expected (C, H, W) or (H, W) whose product is {columns}, the columns of "
            f"X, got {given}"
        )
    if len(given) == 3 and given[2] in CHANNELS and given[0] not in CHANNELS:
        height, width, channels = given
        raise ValueError(
            f"image_shape: expected (C, H, W), got {given}, which seems to be (H, W, C); give "
            f"({channels}, {height}, {width}) and X.reshape(-1, {height}, {width}, {channels})"
            ".transpose(0, 3, 1, 2).reshape(len(X), -1)"
        )
    return (1, *given) if len(given) == 2 else given


def _asked(x: Array, kind: Kind, levels: int | None) -> ValueOptions:
    """What is said of the values, and what ``auto`` means of floats."""
    kind = convert("kind", kind, Kind, text=False)
    if levels is not None:
        options = ValueOptions(None if kind == "auto" else kind, levels)
        if x.max() > levels - 1:
            raise ValueError(
                f"levels: expected {math.floor(x.max()) + 1} or more, as X holds {x.max():g}, "
                f"got {levels}"
            )
        return options
    if kind != "auto":
        return ValueOptions(kind)
    floats = x.dtype.kind == "f" and not zeros_and_ones(x)
    return ValueOptions("real" if floats else None)


def data_of(rows: Rows, labels: Labels | None, held_out: float, seed: int) -> Data:
    """Training and validation rows; of fewer than one to hold out, all are both.

    A row is not held out that holds a value, or a label, where all training rows have another: a
    density learned from these would give it probability 0.

    Args:
        rows: all of them.
        labels: of them, for models that take them.
        held_out: the share that is only validated on.
        seed: of which these are.

    >>> rows = rows_of(np.random.default_rng(0).normal(size=(20, 2)), "auto", None, None)
    >>> data = data_of(rows, None, 0.1, 0)
    >>> len(data.train), len(data.valid), data.holds_out
    (18, 2, True)
    """
    share = convert("validation_fraction", held_out, BelowOne, text=False)
    order = np.random.default_rng(seed).permutation(len(rows.x))
    held = np.zeros(len(rows.x), bool)
    held[order[: min(round(share * len(order)), len(order) - 1)]] = True
    x = torch.from_numpy(np.array(rows.x))
    if rows.space.has_reals:
        held &= ~_only_there(x, held)
    if labels is not None:
        held &= np.isin(labels.indices, labels.indices[~held])
    indices = None if labels is None else torch.from_numpy(labels.indices.astype(np.int64))
    whole = Split(x, indices)
    train = whole.take(torch.from_numpy(np.flatnonzero(~held)))
    valid = whole.take(torch.from_numpy(np.flatnonzero(held))) if held.any() else train
    classes = None if labels is None else tuple(map(str, labels.classes.tolist()))
    return Data(
        train,
        valid,
        valid,
        replace(rows.space, classes=None if classes is None else len(classes)),
        "X",
        class_names=classes,
        columns=rows.columns,
        holds_out=bool(held.any()),
    )


def labels_of(y: Any, rows: int) -> Labels:
    """Class labels of so many rows; ValueError where they are something else.

    >>> labels_of(["no", "yes", "no"], 3).indices
    array([0, 1, 0])
    """
    y = column_or_1d(y)
    types = sorted({type(value).__name__ for value in y.tolist()})
    if len(types) > 1:  # there is no order among them
        got = listed(types)
        raise ValueError(f"y: expected class labels of one type, none missing, got {got}")
    with np.errstate(invalid="ignore"):  # NaN, which it refuses
        what = type_of_target(y, input_name="y")
    if what not in ("binary", "multiclass"):
        raise ValueError(f"y: expected class labels, got {what} numbers")
    _check_count(y, rows)
    return Labels(*np.unique(y, return_inverse=True))


def indices_of(y: Any, rows: int, classes: Array) -> Array:
    """Labels (n,) as indices of known classes.

    >>> indices_of(["b"], 1, np.array(["a", "b"]))
    array([1])
    """
    y = column_or_1d(y)
    _check_count(y, rows)
    known = {value: index for index, value in enumerate(classes.tolist())}
    for value in y.tolist():
        if value not in known:
            raise ValueError(f"y: expected one of {listed(list(map(str, known)))}, got {value!r}")
    return np.array([known[value] for value in y.tolist()], np.int64)


def _check_count(y: Array, rows: int) -> None:
    if len(y) != rows:
        raise ValueError(f"y: expected {rows} labels, one per row, got {len(y)}")


def _only_there(x: Tensor, held: Array) -> Array:
    """Which rows hold a value that no row left for training has, where all these have another."""
    train = x[torch.from_numpy(~held)]
    first, same = constant_entries([train])
    return ((x != first) & same).flatten(1).any(1).numpy()
