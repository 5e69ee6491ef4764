"""Columns of a table as what they hold: numbers that are written as text, names, the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reparam.data.contents import ReadOptions
from reparam.data.tables.cells import (
    decimal_mark,
    is_grouped,
    is_missing,
    numbers,
    without_sign,
)
from reparam.data.values import FLOAT64_EXACT
from reparam.wording import listed

if TYPE_CHECKING:
    import pyarrow as pa

THOUSANDS = r"^\s*[+-]?[1-9]\d{0,2}(\.\d{3})+\s*$"
UNNAMED = "Unnamed: "  # and its number: how pandas calls a column without a name


def is_index_name(name: str, names: Sequence[str]) -> bool:
    """Whether this is the first of several columns and has no name: perhaps numbers of rows.

    >>> is_index_name("", ["", "a"]), is_index_name("a", ["a", "b"])
    (True, False)
    """
    return len(names) > 1 and name == names[0] and name in ("", f"{UNNAMED}0")


def exchanged(table: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    """The same table with some columns in place of those of their names."""
    import pyarrow as pa

    names = zip(table.column_names, table.columns, strict=True)
    return pa.table({name: columns.get(name, column) for name, column in names})


def with_numbers(
    table: pa.Table, columns: Sequence[str], otherwise: str, mark: str | None
) -> tuple[pa.Table, list[str], str | None]:
    """The table with numbers that are written as text as such: by the parser, or cell by cell.

    Also notes, and the mark before decimals: that of the cells, else what is said otherwise where
    these can be read in two ways, else the one that was found before, if it was.
    """
    import pyarrow as pa

    given, signs = table, {}
    casts: dict[str, pa.ChunkedArray] = {}
    odd: dict[str, list[str | None]] = {}
    cells: list[str] = []
    texts = [name for name in columns if is_text(table.column(name).type)]
    for name in texts:
        column = table.column(name)
        try:
            casts[name] = column.cast(pa.float64())
        except pa.ArrowInvalid:
            odd[name], signs[name] = without_sign(column.to_pylist())
            continue
        if _may_be_thousands(column):
            odd[name] = column.to_pylist()
        elif (values := casts[name].to_numpy()).size and (np.floor(values) < values).any():
            cells.append("0.5")
    cells += [str(cell) for column in odd.values() for cell in column if not is_missing(cell)]
    mark, grouped = decimal_mark(cells, otherwise) or mark, []
    decimal = mark or "."
    for name, column in odd.items():
        if decimal == "." and name in casts:
            continue
        read = numbers(column, decimal)
        casts.pop(name, None)
        if read is not None:
            casts[name] = pa.chunked_array([pa.array(read)])
            if any(is_grouped(str(cell), decimal) for cell in column):
                grouped.append(name)
    table = exchanged(table, casts)
    notes = ["Commas stand before decimals: 1,5 is 1.5."] if decimal == "," else []
    signed = [f"{signs[name]} of {name}" for name in casts if signs.get(name)]
    if signed:
        notes.append(f"Signs are left out: {listed(signed)}.")
    rounded = [name for name in columns if _is_rounded(given.column(name), table.column(name))]
    if rounded:
        notes.append(
            f"Whole numbers beyond 2^53 lost their last digits: {listed(rounded)}; leave "
            "identifiers out (drop, --drop)."
        )
    if grouped:
        notes.append(f"Separators of thousands are left out of: {listed(grouped)}.")
    return table, notes, mark


def _is_rounded(given: pa.ChunkedArray, column: pa.ChunkedArray) -> bool:
    """Whether float64 holds other whole numbers than those that a column was given."""
    import pyarrow as pa

    whole = (is_text, pa.types.is_integer, pa.types.is_decimal)
    if not any(test(given.type) for test in whole) or is_text(column.type):
        return False
    values = plain(column).to_numpy().astype(np.float64)
    large = np.flatnonzero((np.abs(values) >= FLOAT64_EXACT) & np.isfinite(values))
    cells = (str(given[int(row)].as_py()).strip() for row in large)
    return any(
        cell.lstrip("+-").isdecimal() and int(cell) != int(values[row])
        for cell, row in zip(cells, large, strict=True)
    )


def _may_be_thousands(column: pa.ChunkedArray) -> bool:
    """Whether every point in a column of text may stand between thousands, as in 1.000."""
    import pyarrow.compute as pc

    pointed = column.filter(pc.match_substring(column, "."))
    return bool(len(pointed)) and bool(pc.all(pc.match_substring_regex(pointed, THOUSANDS)).as_py())


def is_text(kind: pa.DataType) -> bool:
    """Whether cells of this type are text."""
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def with_names(
    table: pa.Table, x_columns: Sequence[str], options: ReadOptions
) -> tuple[Sequence[str], list[str]]:
    """The entries of x without nameless columns that are empty or stand for the rows."""
    if options.columns is not None:
        return x_columns, []
    full = [
        name
        for name in x_columns
        if not name.startswith(UNNAMED) or table.column(name).null_count < table.num_rows
    ]
    empty = len(x_columns) - len(full)
    notes = (
        [f"Left out: {empty} column{'s' if empty > 1 else ''} without a name and without cells."]
        if empty and full
        else []
    )
    x_columns, more = _without_index(table, full or x_columns)
    return x_columns, notes + more


def _without_index(table: pa.Table, x_columns: Sequence[str]) -> tuple[Sequence[str], list[str]]:
    """The entries of x without a nameless first column that numbers or names the rows."""
    if not is_index_name(x_columns[0], x_columns):
        return x_columns, []
    cells = plain(table.column(x_columns[0])).to_pylist()
    text = any(isinstance(cell, str) for cell in cells)
    if text and len(set(cells)) < len(cells):
        return x_columns, []
    if not text and any(cell is None or cell != cell // 1 for cell in cells):
        return x_columns, []
    note = f"Left out: the first column, which has no name and {'names' if text else 'numbers'} "
    return x_columns[1:], [f"{note}the rows; with a name it would be read."]


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values themselves of a column of categories; decimal numbers, or none, as float64."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    as_floats = pa.types.is_decimal(column.type) or pa.types.is_null(column.type)
    return column.cast(pa.float64()) if as_floats else column
