"""How a text table is written: its delimiter, comments, header and the marks in its numbers."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from reparam.data.tables.cells import decimal_mark, is_truth, number, unquoted
from reparam.data.tables.column_values import UNNAMED
from reparam.data.tables.headers import column, names_columns

DELIMITERS = (",", ";", "\t")
COMMENTS = ("#", "sep=")  # what lines begin with that are no rows; the second is Excel's
ENCODING = "utf-8-sig"  # UTF-8, with or without the mark that spreadsheets put first
BLOCK = 2**20  # bytes that are parsed at a time, unless the header alone is long
LARGEST_BLOCK = 2**31 - 1
LOOKED_AT = 50  # rows that say how a table is written
CELLS = 5000  # of them that say how numbers are

Line = tuple[int, list[str]]  # its number, from 1 (the last one's, where cells go over several)


@dataclass(frozen=True)
class Layout:
    """How a text table is written.

    Args:
        delimiter: between cells.
        names: of the columns, from the header line or else their numbers.
        skip: lines before the first row of data.
        named: whether a line names the columns.
        header: what was decided about that, in a sentence.
        comments: whether there are lines of comment before it.
        decimal: the mark before decimals.
        truths: columns of True and False.
        block: bytes that are parsed at a time, many rows.
        row_size: characters of an average row.

    >>> Layout(",", ("a", "b"), 1).delimiter
    ','
    """

    delimiter: str
    names: tuple[str, ...]
    skip: int
    named: bool = True
    header: str = ""
    comments: bool = False
    decimal: str = "."
    truths: frozenset[str] = frozenset()
    block: int = BLOCK
    row_size: float = 1.0

    @property
    def without_header(self) -> str:
        """What messages add to the name of the file, where columns have no names."""
        if self.named:
            return ""
        return " (no header line was found: header=True or --header, if there is one)"

    def rows(self, path: Path) -> Iterator[Line]:
        """The rows of data as they are written, for messages."""
        for at, cells in _lines(path, self.delimiter):
            comment = cells[0].startswith(COMMENTS) and len(cells) != len(self.names)
            if at > self.skip and not comment:
                yield at, cells


def text_layout(path: Path, header: bool | None, asked: Collection[str]) -> Layout:
    """How a text table is written, by its first lines.

    Args:
        path: the file.
        header: whether its first line names the columns; None: decide.
        asked: names of columns that the user gave.

    Raises:
        ValueError: there are no rows.
    """
    delimiter, longest = _delimiter(path)
    comments, rows = _first_lines(path, delimiter)
    cells = islice((cell for _, row in rows[1:] or rows for cell in row), CELLS)
    decimal = decimal_mark(list(cells), delimiter)
    named = header
    if header is None:
        named, comments, rows = _with_header(comments, rows, asked, decimal)
    data = [row for _, row in (rows[1:] if named else rows)]
    if not data:
        raise ValueError(f"{path}: has no rows")
    names = list(map(unquoted, rows[0][1]) if named else map(str, range(len(data[0]))))
    # As pandas calls them, so that several are told apart.
    names = [name or (f"{UNNAMED}{i}" if i else "") for i, name in enumerate(names)]
    if named and _has_more_cells(data, len(names)):
        names = ["", *names]
    above = rows[:1] if named else comments[-1:]
    return Layout(
        delimiter,
        tuple(names),
        above[0][0] if above else 0,
        bool(named),
        _decision(bool(named), header, names),
        bool(comments),
        decimal,
        frozenset(name for i, name in enumerate(names) if is_truth(column(data, i))),
        min(max(BLOCK, 64 * longest), LARGEST_BLOCK),
        sum(len(cell) + 1 for row in data for cell in row) / len(data),
    )


def _with_header(
    comments: list[Line], rows: list[Line], asked: Collection[str], decimal: str
) -> tuple[bool, list[Line], list[Line]]:
    """Whether there is a header, perhaps in a comment; the other comments, and the rows from it."""
    cells = [row for _, row in rows]
    if not cells or names_columns(cells[0], cells[1:], asked, decimal):
        return bool(cells), comments, rows
    for at, above in comments[-1:]:
        named = [above[0].removeprefix(COMMENTS[0]).strip() or above[0], *above[1:]]
        if len(named) == len(cells[0]) and names_columns(named, cells, asked, decimal):
            return True, comments[:-1], [(at, named), *rows]
    return False, comments, rows


def _decision(header: bool, said: bool | None, names: Sequence[str]) -> str:
    if not header:
        hint = "" if said is False else "; if the first line names them: header=True (--header)"
        return f"Column names: no header line: columns are called 0, 1 …{hint}."
    doubtful = said is None and any(number(name) is not None for name in names)
    hint = ", as they are no row of data; if they are: header=False (--no-header)"
    return f"Column names: its first line{hint if doubtful else ''}."


def _has_more_cells(data: Sequence[Sequence[str]], width: int) -> bool:
    """Whether rows begin with names or numbers of theirs, above which R writes nothing."""
    own = column(data, 0)
    counted = [str(i) for i in range(1, len(data) + 1)]
    named = len(set(own)) == len(own) > 1 and all(number(cell) is None for cell in own)
    return all(len(row) == width + 1 for row in data) and (own == counted or named)


def _delimiter(path: Path) -> tuple[str, int]:
    """The delimiter, and the length of the line that says it."""
    with open(path, newline="", encoding=ENCODING) as file:
        filled = (line for line in file if line.strip())
        first = next(filled, "")
        line = first
        while line.startswith(COMMENTS):
            line = next(filled, "")
        line = line or first
    for mark in DELIMITERS[1:]:  # 1,5;2,5 has more commas
        cells = line.strip().split(mark)
        if len(cells) > 1 and all("," not in c or number(c, ",") is not None for c in cells):
            return mark, len(line)
    return max(DELIMITERS, key=line.count), len(line)  # the first one, where all are absent


def _first_lines(path: Path, delimiter: str) -> tuple[list[Line], list[Line]]:
    """The comments that the file begins with, and the first lines after them, if there are any."""
    comments: list[Line] = []
    rows: list[Line] = []
    for line in _lines(path, delimiter):
        comment = line[1][0].startswith(COMMENTS)
        if comment and not rows:
            comments.append(line)
        elif not comment or len(line[1]) == len(rows[0][1]):
            rows.append(line)
        if len(rows) > LOOKED_AT:
            break
    return (comments, rows) if rows else ([], comments)


def _lines(path: Path, delimiter: str) -> Iterator[Line]:
    with open(path, newline="", encoding=ENCODING) as file:
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
