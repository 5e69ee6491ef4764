"""Text tables, .csv and .tsv: their header, the parsing of their numbers, lines in messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.data.contents import Contents, ReadOptions
from reparam.data.table_columns import (
    MISSING,
    choose_columns,
    first_text,
    is_missing,
    is_number,
    table_contents,
    used_columns,
)

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = (",", ";", "\t")
ENCODING = "utf-8-sig"  # UTF-8, with or without the mark that spreadsheets put first
BLOCK = 2**20  # bytes that are parsed at a time, unless the header alone is long
LARGEST_BLOCK = 2**31 - 1


@dataclass(frozen=True)
class Layout:
    """How a text table is written.

    Args:
        delimiter: between cells.
        names: of the columns, from the header line or else their numbers.
        skip: lines before the first row of data.
        block: bytes that are parsed at a time, many rows.

    >>> Layout(",", ("a", "b"), 1).delimiter
    ','
    """

    delimiter: str
    names: tuple[str, ...]
    skip: int
    block: int = BLOCK


def read_csv(path: Path, options: ReadOptions) -> Contents:
    """The rows of a text table as training examples, numbers as float64.

    Args:
        path: UTF-8 text, with or without a header line; commas, semicolons or tabs between cells,
            which may be quoted.
        options: which columns are what; without a header they are called by their numbers.

    Raises:
        ValueError: cells that are missing or no numbers, lines of another length; with the line.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "two.csv")
    >>> _ = path.write_text("a,b,y" + chr(10) + "1,2,no" + chr(10) + "3,4,yes")
    >>> contents = read_csv(path, ReadOptions(label="y"))
    >>> contents.splits["train"].x.tolist(), contents.splits["train"].labels.tolist()
    ([[1.0, 2.0], [3.0, 4.0]], ['no', 'yes'])
    """
    import pyarrow as pa

    try:
        layout = _layout(path, options.label)
        x_columns = choose_columns(layout.names, options, str(path))
        table = _parsed(path, layout, used_columns(x_columns, options), options.label)

        def find(row: int, column: str) -> tuple[str, Any]:
            line, cells = next(islice(_rows(path, layout), row, None))
            return f"line {line}", cells[layout.names.index(column)].strip()

        contents = table_contents(table, x_columns, options, path.stem, str(path), find)
        del table
        pa.default_memory_pool().release_unused()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error
    except (csv.Error, OSError) as error:
        raise ValueError(f"{path}: cannot be read as text ({error})") from error
    header = "its first line" if layout.skip else "no header line: columns are called 0, 1 …"
    return contents.noted(f"Column names: {header}.")


def _parsed(path: Path, layout: Layout, columns: Sequence[str], label: str | None) -> pa.Table:
    """Columns as numbers; those that hold something else stay text, and are refused later."""
    import pyarrow as pa

    types = {name: pa.string() if name == label else pa.float64() for name in columns}
    try:
        table = _as_types(path, layout, types, layout.block)
    except pa.ArrowInvalid:
        _refuse_other_lengths(path, layout)
        whole = min(max(path.stat().st_size, BLOCK), LARGEST_BLOCK)  # a row may be of any length
        try:
            table = _as_types(path, layout, dict.fromkeys(columns, pa.string()), whole)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: cannot be read as text ({error})") from error
        for index, name in enumerate(columns):
            if name != label:
                table = table.set_column(index, name, _numbers(table.column(name)))
    if label is None:
        return table
    return table.set_column(columns.index(label), label, _labels(table.column(label)))


def _as_types(path: Path, layout: Layout, types: dict[str, pa.DataType], block: int) -> pa.Table:
    from pyarrow import csv as parser

    return parser.read_csv(
        str(path),
        parser.ReadOptions(column_names=layout.names, skip_rows=layout.skip, block_size=block),
        parser.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        parser.ConvertOptions(column_types=types, include_columns=list(types)),
    )


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text as numbers, cell by cell; the same where a cell is neither nor missing."""
    import pyarrow as pa

    cells = column.to_pylist()
    if first_text(cells) is not None:
        return column
    numbers = [None if is_missing(cell) else float(cell) for cell in cells]
    return pa.chunked_array([pa.array(numbers, pa.float64())])


def _labels(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Labels as integers where all of them are, else as floats, else as they are written."""
    import pyarrow as pa

    encoded = column.combine_chunks().dictionary_encode()
    words = [None if is_missing(word) else word.strip() for word in encoded.dictionary.to_pylist()]
    numbers = all(word is None or is_number(word) for word in words)
    for number in (int, float) if numbers else ():
        try:
            classes = pa.array([None if word is None else number(word) for word in words])
            break
        except (ValueError, OverflowError):
            continue
    else:
        classes = pa.array(words, pa.string())
    return pa.chunked_array([classes.take(encoded.indices)])


def _refuse_other_lengths(path: Path, layout: Layout) -> None:
    for line, cells in _rows(path, layout):
        if len(cells) != len(layout.names):
            raise ValueError(
                f"{path}: line {line} has {len(cells)} cells, expected {len(layout.names)} as in "
                "the first line"
            )


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Line numbers (from 1, of a row's last line) and cells of the rows of data, for messages."""
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
    block = min(max(BLOCK, 64 * len(line)), LARGEST_BLOCK)
    return Layout(delimiter, tuple(names), skip if header else 0, block)


def _is_header(first: list[str], second: list[str], label: str | None) -> bool:
    """Whether the first line names the columns.

    It does if it holds text only. Beside text it may hold the numbers 0, 1, 2 … that a DataFrame
    without column names writes, but no other number: else it is data with a text column.
    """
    numbers = [cell for cell in first if is_number(cell)]
    if not numbers:
        return any(cell.lower() not in MISSING for cell in first)
    counted = numbers == [str(i) for i in range(len(numbers))]
    if not counted or len(numbers) == len(first):
        return False
    return label in first or any(
        is_number(below) and not is_number(cell) and cell.lower() not in MISSING
        for cell, below in zip(first, second, strict=False)
    )
