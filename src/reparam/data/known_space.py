"""Data as they are, and all else as data of a space that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from reparam.data.contents import ReadOptions, with_axes
from reparam.data.loading import checked_data, load_data, read
from reparam.data.splits import Data
from reparam.data.tables.column_kinds import kinds_of_names, of_columns
from reparam.data.tables.table_columns import has_columns
from reparam.data.values import OneKind, ValueOptions
from reparam.space import Column, Space


def as_data(source: Any, space: Space | None = None) -> Data:
    """Data as they are; all else as ``load_data`` reads it, its values as those of a space.

    Args:
        source: data, or anything that ``load_data`` takes.
        space: what a model is of; None: the kind of values is decided by the rules.

    Raises:
        ValueError: see ``load_data``.

    >>> import numpy as np
    >>> as_data(np.eye(9), Space((9,), "real")).space.kind
    'real'
    """
    if isinstance(source, Data):
        return source
    if space is None:
        return load_data(source)
    if space.columns:
        return _of_known_columns(source, space, space.columns)
    return load_data(source, kind=cast(OneKind, space.kind), levels=space.levels)


def _of_known_columns(source: Any, space: Space, columns: Sequence[Column]) -> Data:
    """Rows of a table whose columns are known, whatever would be found of these rows alone."""
    options = ReadOptions()
    if has_columns(source):
        names = tuple(column.name for column in columns)
        options = ReadOptions(columns=names, kind=kinds_of_names(columns) or None)
    contents = with_axes(read(source, options))
    return checked_data(of_columns(contents, columns), ValueOptions(), columns=tuple(columns))
