"""Text tables: .csv and .tsv files of numbers, one column of which may be the label."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reparam.data.raw import Array, Part, Raw
from reparam.data.tables import drop_hint, table_raw, wanted_columns

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
DELIMITERS = (",", ";", "\t")
ENCODING = "utf-8-sig"  # UTF-8, with or without the mark that spreadsheets put first


@dataclass(frozen=True)
class Layout:
    """How a text table is written.

    Args:
        delimiter: between cells.
        names: of the columns, from the header line or else their numbers.
        skip: lines before the first row of data.

    >>> Layout(",", ("a", "b"), 1).delimiter
    ','
    """

    delimiter: str
    names: tuple[str, ...]
    skip: int


def read_delimited(
    path: Path,
    label: str | None = None,
    drop: Collection[str] = (),
    only: Sequence[str] | None = None,
    attributes: Sequence[str] = (),
) -> Raw:
    """The rows of a text table as training examples, read by NumPy's parser as float64.

    Args:
        path: UTF-8 text, with or without a header line; commas, semicolons or tabs between cells,
            which may be quoted.
        label: name of the column with class labels (its number, where there is no header).
        drop: names of columns to leave out.
        only: the columns to take, in this order; None: all.
        attributes: names of columns of numbers that are conditions, not entries of x.

    Raises:
        ValueError: cells that are missing or no numbers, lines of another length; with the line.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "two.csv")
    >>> _ = path.write_text("a,b,y" + chr(10) + "1,2,no" + chr(10) + "3,4,yes")
    >>> raw = read_delimited(path, label="y")
    >>> raw.parts["train"].x.tolist(), raw.parts["train"].labels.tolist()
    ([[1.0, 2.0], [3.0, 4.0]], ['no', 'yes'])
    """
    try:
        layout = _layout(path, label)
        wanted = wanted_columns(layout.names, label, drop, str(path), only, attributes)
        everything = wanted == layout.names
        labels = None if everything else _labels(path, layout, label)
        numbers = _numbers(path, layout, (*wanted, *attributes))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error
    except (csv.Error, OSError) as error:
        raise ValueError(f"{path}: cannot be read as text ({error})") from error
    header = "its first line" if layout.skip else "no header line: columns are called 0, 1 …"
    x, beside = np.split(numbers, [len(wanted)], 1)
    part = Part(x, labels, attributes=beside if attributes else None)
    raw = table_raw(part, path.stem, str(path), wanted, attributes)
    return replace(raw, notes=(f"Column names: {header}.",))


def _numbers(path: Path, layout: Layout, wanted: tuple[str, ...]) -> Array:
    everything = wanted == layout.names
    columns = None if everything else [layout.names.index(name) for name in wanted]
    try:
        x = np.loadtxt(
            path,
            dtype=np.float64,
            comments=None,
            delimiter=layout.delimiter,
            skiprows=layout.skip,
            usecols=columns,
            quotechar='"',
            encoding=ENCODING,
            ndmin=2,
        )
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        _refuse_cell(path, layout, wanted)
        raise ValueError(f"{path}: {error}") from error
    if np.isnan(x).any() or x.shape[1] != len(wanted):
        _refuse_cell(path, layout, wanted)
    return x


def _labels(path: Path, layout: Layout, label: str | None) -> Array | None:
    """The label column; on the way, every line is checked to have all cells.

    NumPy ignores cells after the ones it is asked for, so a stray comma would go unnoticed.
    """
    column = None if label is None else layout.names.index(label)
    cells = []
    for line, row in _rows(path, layout):
        _require_length(path, layout, line, row)
        if column is not None:
            cell = row[column].strip()
            if cell.lower() in MISSING:
                raise ValueError(
                    f"{path}: line {line} has no label in column {label!r}; fill it in, or drop "
                    "the line"
                )
            cells.append(cell)
    if column is None:
        return None
    for number in (np.int64, np.float64):
        try:
            return np.array(cells).astype(number)
        except ValueError:
            continue
    return np.array(cells)


def _refuse_cell(path: Path, layout: Layout, wanted: tuple[str, ...]) -> None:
    """Find the first cell that is no number and say so, naming the row's other text columns."""
    columns = {layout.names.index(name): name for name in wanted}
    for line, row in _rows(path, layout):
        _require_length(path, layout, line, row)
        for column, name in columns.items():
            cell = row[column].strip()
            if cell.lower() in MISSING:
                raise ValueError(
                    f"{path}: line {line}, column {name!r} is missing ({cell!r}); fill it in, drop "
                    f"the line, or leave the column out with {drop_hint([name])}"
                )
            if not _is_number(cell):
                texts = [n for c, n in columns.items() if _is_text(row[c].strip())]
                it = "it" if len(texts) == 1 else f"the {len(texts)} columns of text"
                raise ValueError(
                    f"{path}: line {line}, column {name!r} holds text ({cell!r}); leave {it} out "
                    f"with {drop_hint(texts)}, encode as numbers, or make one the label"
                )


def _require_length(path: Path, layout: Layout, line: int, row: list[str]) -> None:
    if len(row) != len(layout.names):
        raise ValueError(
            f"{path}: line {line} has {len(row)} cells, expected {len(layout.names)} as in the "
            "first line"
        )


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Line numbers (from 1, of a row's last line) and cells of the rows of data."""
    with open(path, newline="", encoding=ENCODING) as file:
        reader = csv.reader(file, delimiter=layout.delimiter)
        for row in reader:
            if row and reader.line_num > layout.skip:
                yield reader.line_num, row


def _layout(path: Path, label: str | None) -> Layout:
    with open(path, newline="", encoding=ENCODING) as file:
        line = next((line for line in file if line.strip()), "")
        delimiter = max(DELIMITERS, key=line.count)  # the first one, where all are absent
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter)
        first, skip = next(((row, reader.line_num) for row in reader if row), ([], 0))
        second = next((row for row in reader if row), [])
    first = [cell.strip() for cell in first]
    header = _is_header(first, second, label)
    if not first or (header and not second):
        raise ValueError(f"{path}: has no rows")
    names = first if header else list(map(str, range(len(first))))
    return Layout(delimiter, tuple(names), skip if header else 0)


def _is_header(first: list[str], second: list[str], label: str | None) -> bool:
    """Whether the first line names the columns.

    It does if it holds text only. Beside text it may hold the numbers 0, 1, 2 … that a DataFrame
    without column names writes, but no other number: else it is data with a text column.
    """
    numbers = [cell for cell in first if _is_number(cell)]
    if not numbers:
        return any(cell.lower() not in MISSING for cell in first)
    counted = numbers == [str(i) for i in range(len(numbers))]
    if not counted or len(numbers) == len(first):
        return False
    return label in first or any(
        _is_number(below) and not _is_number(cell) and cell.lower() not in MISSING
        for cell, below in zip(first, second, strict=False)
    )


def _is_text(cell: str) -> bool:
    return cell.lower() not in MISSING and not _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        return "_" not in cell and not np.isnan(
            float(cell)
        )  # Python's 1_000 is no number in a file
    except ValueError:
        return False
