"""Tables of named columns: DataFrames and Parquet files; one column may be the label."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.data.raw import Array, Part, Raw
from reparam.data.room import refuse_too_large

if TYPE_CHECKING:
    import pandas as pd


HINTED = 10  # columns that a remedy names
ROW_NUMBERS = "__index_level_"  # how pandas calls an unnamed index in a Parquet file


@dataclass(frozen=True)
class Cells:
    """One column: its values, and which of them are missing.

    >>> Cells(np.array([1.0, np.nan]), np.array([False, True])).numeric
    True
    """

    values: Array
    missing: Array

    @property
    def numeric(self) -> bool:
        if self.values.dtype != object:
            return self.values.dtype.kind in "buif"
        present = self.values[~self.missing]  # nullable integers come as objects
        return len(present) > 0 and isinstance(present[0], bool | int | float | np.number)


def is_frame(source: object) -> bool:
    """Whether this is a pandas DataFrame, without importing pandas for the question.

    >>> is_frame([1, 2])
    False
    """
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def read_frame(
    frame: pd.DataFrame,
    label: str | None = None,
    drop: Collection[str] = (),
    only: Sequence[str] | None = None,
    attributes: Sequence[str] = (),
) -> Raw:
    """The rows of a DataFrame as training examples.

    Args:
        frame: numeric columns; other ones must be the label or dropped.
        label: name of the column with class labels.
        drop: names of columns to leave out.
        only: the columns to take, in this order; None: all.
        attributes: names of numeric columns that are conditions, not entries of x.

    Raises:
        ValueError: columns that do not exist or hold no numbers, missing cells.

    >>> import pandas as pd
    >>> raw = read_frame(pd.DataFrame({"a": [1, 2], "b": [3.5, 4], "y": ["no", "yes"]}), label="y")
    >>> raw.parts["train"].x.tolist(), raw.columns
    ([[1.0, 3.5], [2.0, 4.0]], ('a', 'b'))
    """
    names = [str(name) for name in frame.columns]
    wanted = wanted_columns(names, label, drop, "DataFrame", only, attributes)
    read = (*wanted, *attributes, *_one(label))
    series = {name: frame.iloc[:, names.index(name)] for name in read}
    cells = {name: Cells(s.to_numpy(), s.isna().to_numpy()) for name, s in series.items()}
    return _table(cells, wanted, label, "DataFrame", "DataFrame", attributes)


def read_parquet(
    path: Path,
    label: str | None = None,
    drop: Collection[str] = (),
    only: Sequence[str] | None = None,
    attributes: Sequence[str] = (),
) -> Raw:
    """The rows of a Parquet file as training examples.

    Args:
        path, label, drop, only, attributes: as in ``read_frame``.

    Raises:
        ValueError: pyarrow is not installed, a broken file, or as in ``read_frame``.

    >>> import tempfile
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp(), "two.parquet")
    >>> pd.DataFrame({"a": [1, 2], "b": [3.5, 4]}).to_parquet(path)
    >>> read_parquet(path, drop=["b"]).columns
    ('a',)
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: Parquet files need pyarrow: pip install 'reparam[parquet]'"
        ) from error
    try:
        names, rows = parquet.read_schema(path).names, parquet.read_metadata(path).num_rows
    except Exception as error:  # what pyarrow raises on damage depends on where it is
        raise ValueError(_unreadable(path, error)) from error
    names = [name for name in names if not name.startswith(ROW_NUMBERS)]
    wanted = wanted_columns(names, label, drop, str(path), only, attributes)
    refuse_too_large(
        str(path), rows * (len(wanted) + len(attributes)) * np.dtype(np.float64).itemsize
    )
    try:
        columns = [*wanted, *attributes, *_one(label)]
        table = parquet.read_table(path, columns=columns, page_checksum_verification=True)
        cells = {name: _arrow_cells(table.column(name)) for name in table.column_names}
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(_unreadable(path, error)) from error
    return _table(cells, wanted, label, path.stem, str(path), attributes)


def wanted_columns(
    names: Sequence[str],
    label: str | None,
    drop: Collection[str],
    origin: str,
    only: Sequence[str] | None = None,
    attributes: Sequence[str] = (),
) -> tuple[str, ...]:
    """The columns that become entries of x: all but label, attributes and dropped, or these only.

    Raises:
        ValueError: repeated names, or no such column, or one with two parts to play, or none left.

    >>> wanted_columns(["a", "b", "y"], "y", ["a"], "table")
    ('b',)
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{origin}: columns must have different names; {repeated[0]!r} repeats")
    asked_for = {
        "label": _one(label),
        "drop": tuple(drop),
        "attributes": tuple(attributes),
        "columns": tuple(only or ()),
    }
    for argument, asked in asked_for.items():
        for name in asked:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1) or list(names[:8])
                found = ", ".join(map(repr, near))
                raise ValueError(f"{argument}: {origin} has no column {name!r}; there is {found}")
    apart = (*_one(label), *drop, *attributes)
    for name in attributes:
        if apart.count(name) > 1:
            raise ValueError(f"attributes: {name!r} is named twice, or is the label or dropped too")
    wanted = tuple(only or (name for name in names if name not in apart))
    if not wanted:
        raise ValueError(f"{origin}: no columns are left besides label, attributes and drop")
    return wanted


def drop_hint(columns: Sequence[str]) -> str:
    """How columns are left out, in Python and on the command line.

    >>> drop_hint(["a b", "c"])
    "drop=['a b', 'c'] (--drop 'a b' --drop c)"
    """
    words = " ".join(f"--drop {shlex.quote(name)}" for name in columns[:HINTED])
    more = f" and {len(columns) - HINTED} more" if len(columns) > HINTED else ""
    return f"drop={list(columns[:HINTED])!r}{more} ({words}{more and ' …'})"


def _table(
    cells: Mapping[str, Cells],
    wanted: Sequence[str],
    label: str | None,
    name: str,
    origin: str,
    attributes: Sequence[str],
) -> Raw:
    text = [column for column in (*wanted, *attributes) if not cells[column].numeric]
    if text:
        values = cells[text[0]].values
        example = f" ({values[0]!r} in row 0)" if len(values) else ""
        raise ValueError(
            f"{origin}: column {text[0]!r} holds no numbers{example}; leave it out with "
            f"{drop_hint(text)}, encode it as numbers, or make it the label"
        )
    for column, found in cells.items():
        if found.missing.any():
            row, more = int(found.missing.argmax()), int(found.missing.sum()) - 1
            raise ValueError(
                f"{origin}: row {row}, column {column!r} is missing"
                + (f" (and {more} more in this column)" if more else "")
                + f"; fill it in, drop the row, or leave the column out with {drop_hint([column])}"
            )
    part = Part(
        _stacked(cells, wanted),
        None if label is None else cells[label].values,
        attributes=_stacked(cells, attributes) if attributes else None,
    )
    return table_raw(part, name, origin, wanted, attributes)


def table_raw(
    part: Part, name: str, origin: str, columns: Sequence[str], attributes: Sequence[str]
) -> Raw:
    """The rows of a table with the names of its columns, those of x and those of attributes.

    >>> table_raw(Part(np.zeros((2, 1))), "two", "two.csv", ["a"], []).columns
    ('a',)
    """
    named = tuple(attributes) or None
    return Raw(
        {"train": part}, name, origin, "table", columns=tuple(columns), attribute_names=named
    )


def _stacked(cells: Mapping[str, Cells], columns: Sequence[str]) -> Array:
    arrays = [cells[column].values for column in columns]
    return np.column_stack([a.astype(np.float64) if a.dtype == object else a for a in arrays])


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path}: cannot be read as Parquet ({error}); it may be cut short: write it again"


def _arrow_cells(column: Any) -> Cells:
    import pyarrow as pa

    missing = column.is_null().to_numpy()
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return Cells(column.to_numpy(), missing)
    return Cells(np.array(column.to_pylist(), dtype=object), missing)


def _one(label: str | None) -> tuple[str, ...]:
    return () if label is None else (label,)
