"""Whether the first line of a text table names its columns, even where names are numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from reparam.data.tables.cells import is_missing, number, without_sign

SURELY, SEVERAL = 8, 4  # numbers that no row, or hardly one, has in such an order by chance
ENOUGH = 10  # rows below whose range says what values of a column are like
FEW = 5  # rows that one may exceed by chance, as of another scale
YEARS = 1800, 2100
FAR = 10  # times the largest below: of another quantity

Row = Sequence[str]


def names_columns(first: Row, below: Sequence[Row], asked: Collection[str], decimal: str) -> bool:
    """Whether the first line names the columns of the rows below it.

    It does if it holds a name that was asked for, or text only. Beside text, or alone, it may hold
    the wavelengths of a spectrum, or the numbers 0, 1, 2 … that a DataFrame without column names
    writes: numbers in an order that rows of data do not have.

    Args:
        first: its cells.
        below: some rows of data.
        asked: names of columns that the user gave; without a header these are numbers from 0.
        decimal: the mark before decimals.

    >>> names_columns(["id", "400.0", "410.0"], [["7", "0.1", "0.3"]], (), ".")
    True
    >>> names_columns(["1", "2", "3"], [["4", "5", "6"]], (), ".")
    False
    """
    positions = [str(i) for i in range(len(first))]
    if any(name in first for name in asked if name not in positions):
        return True
    plain = [without_sign([cell])[0][0] or "" for cell in first]
    at = [i for i, cell in enumerate(plain) if number(cell, decimal) is not None]
    words = [i for i, cell in enumerate(first) if i not in at and not is_missing(cell)]
    if not at:
        return bool(words)
    if not below and len(at) == len(first):
        return False  # a row alone
    if any(first[i] in column(below, i) for i in words):
        return False  # a class, which is in other rows too
    cells = [first[i] for i in at]
    counted = cells == positions[: len(cells)]
    over_numbers = any(_numeric(below, i, decimal) for i in words)
    if counted and over_numbers:
        return True  # a DataFrame without column names
    if first[0] == "" and _counts(column(below, 0)):
        return True  # its index, which has no name
    rows = [[row[i] for i in at] for row in below if len(row) == len(first)]
    several = len(cells) + min(len(words), 1) >= 3
    if several and _are_years(cells) and not any(map(_are_years, rows)):
        return _even(_numbers(cells, decimal))
    return _stands_apart(cells, rows, decimal, over_numbers)


def _stands_apart(cells: Row, rows: Sequence[Row], decimal: str, over_numbers: bool) -> bool:
    """Whether numbers are the names of columns: ordered as the rows are not, of other values.

    Args:
        cells: the numbers of the first line.
        rows: what stands below them.
        decimal: the mark before decimals.
        over_numbers: whether there is text beside them where numbers stand below.
    """
    values = _numbers(cells, decimal)
    if len(cells) < (2 if over_numbers else 3) or not _rises(values):
        return False
    even = len(cells) > 2 and _even(values)
    table = np.array([_numbers(row, decimal) for row in rows]).reshape(len(rows), len(cells))
    if 2 * sum(map(_even if even else _rises, table)) > len(rows) and not over_numbers:
        return False
    if even and (over_numbers or len(cells) >= SURELY):
        return True
    if not (even or over_numbers or len(cells) >= SEVERAL):
        return False
    return _otherwise_written(cells, rows) or _elsewhere(values, table, 1 if over_numbers else FEW)


def _otherwise_written(cells: Row, rows: Sequence[Row]) -> bool:
    """Whether these are whole numbers, and none below them is."""
    return all(map(str.isdigit, cells)) and not any(map(str.isdigit, np.ravel(rows).tolist()))


def _are_years(cells: Row) -> bool:
    return all(cell.isdecimal() and YEARS[0] <= float(cell) <= YEARS[1] for cell in cells)


def _elsewhere(values: np.ndarray, table: np.ndarray, few: int) -> bool:
    """Whether every number is beyond what the column below it has."""
    if len(table) < few or np.isnan(table).any():
        return False
    outside = (values < table.min(0)) | (values > table.max(0))
    large = np.abs(values) > FAR * np.abs(table).max(0)
    return bool(large.all() or (outside.all() and len(table) >= ENOUGH))


def _counts(cells: Sequence[str]) -> bool:
    """Whether these are the numbers of rows, from 0 or 1."""
    return bool(cells) and any(
        list(cells) == [str(start + i) for i in range(len(cells))] for start in (0, 1)
    )


def _rises(values: np.ndarray) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())


def _even(values: np.ndarray) -> bool:
    steps = np.diff(values)
    return _rises(values) and bool(np.allclose(steps, steps[0], rtol=1e-6, atol=0))


def _numbers(cells: Row, decimal: str) -> np.ndarray:
    found = [number(cell, decimal) for cell in cells]
    return np.array([np.nan if value is None or math.isinf(value) else value for value in found])


def column(below: Sequence[Row], index: int) -> list[str]:
    """The cells below the first line in one place, of rows that go so far."""
    return [row[index] for row in below if index < len(row)]


def _numeric(below: Sequence[Row], index: int, decimal: str) -> bool:
    cells = [cell for cell in column(below, index) if not is_missing(cell)]
    return bool(cells) and all(number(cell, decimal) is not None for cell in cells)
