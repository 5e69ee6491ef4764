"""Entries of x as a table has them: names, whole numbers, and nothing where a cell is missing."""

from __future__ import annotations

import numpy as np

from reparam.data.contents import Array
from reparam.space import Space


def as_written(x: Array, space: Space) -> Array:
    """x (N, *shape) as text, (N, D).

    Names stand where the data have names, of a mean the nearest one. Whole numbers have no decimals
    but means between them do. Reals have the digits that read back the same.

    Args:
        x: in data units, NaN where a cell is missing.
        space: of x.

    >>> from reparam.space import Column
    >>> columns = (Column("age", "levels", 90), Column("city", "category", 2, ("Bern", "Rome")))
    >>> x = np.array([[31, 1], [31.5, np.nan]])
    >>> as_written(x, Space((2,), "mixed", columns=columns)).tolist()
    [['31', 'Rome'], ['31.5', '']]
    """
    flat = x.reshape(len(x), -1)
    text = flat.astype(str).astype(object)
    missing = np.isnan(flat)
    whole = ~space.reals.numpy().ravel() & (flat == np.floor(flat))
    text[whole] = flat[whole].astype(np.int64).astype(str)
    text[missing] = ""
    for index, column in enumerate(space.columns or ()):
        if column.names is not None:
            there = ~missing[:, index]
            nearest = np.rint(flat[there, index]).astype(int).clip(0, len(column.names) - 1)
            text[there, index] = np.array(column.names, object)[nearest]
    return text
