"""How a text table is written: its delimiter, comments, header and the marks in its numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from reparam.data.contents import ReadOptions
from reparam.data.tables.cells import (
    ERRORS,
    are_words,
    decimal_mark,
    is_missing,
    is_truth,
    number,
    unquoted,
    usual_mark,
)
from reparam.data.tables.column_values import UNNAMED
from reparam.data.tables.headers import Row, column, names_columns
from reparam.wording import listed

DELIMITERS = (",", ";", "\t", "|")
COMMENT = "#"
SAID = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line, which says the delimiter
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
        found: arguments of ``load_data`` that read more of the same in the same way.
        named: whether a line names the columns.
        header: what was decided about that, in a sentence.
        comments: whether there are lines of comment before it.
        mark: before decimals; None: no number has any.
        usual: the one that its delimiter suggests, which tables need not remember.
        truths: columns of True and False.
        words: columns of text that is no number, as far as the first rows tell.
        alike: whether the user cannot say more, as it is read as other data were.
        hashes: whether rows may begin with #, as the first column is text.
        block: bytes that are parsed at a time, many rows.
        row_size: characters of an average row.

    >>> Layout(",", ("a", "b"), 1).delimiter
    ','
    """

    delimiter: str
    names: tuple[str, ...]
    skip: int
    found: Mapping[str, Any] = field(default_factory=dict)
    named: bool = True
    header: str = ""
    comments: bool = False
    mark: str | None = None
    usual: str = "."
    alike: bool = False
    truths: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    hashes: bool = False
    block: int = BLOCK
    row_size: float = 1.0

    @property
    def decimal(self) -> str:
        """The mark before decimals, whether there are some or not."""
        return self.mark or "."

    @property
    def without_header(self) -> str:
        """What messages add to the name of the file, where columns have no names."""
        if self.named or self.alike:
            return ""
        return " (no header line was found: add one, or header=True or --header if there is one)"

    def rows(
        self, path: Path, comments: list[Line] | None = None
    ) -> Iterator[tuple[int, int, list[str]]]:
        """The rows of data as they are written: their number, from 0, their line, and their cells.

        Comments among them are appended to the list. Rows without any cell are counted, not given.
        """
        row = 0
        for at, cells in _lines(path, self.delimiter):
            if at <= self.skip:
                continue
            if _is_comment(cells, self.hashes, len(self.names)):
                if comments is not None:
                    comments.append((at, cells))
                continue
            if any(cells):
                yield row, at, cells
            row += 1


def otherwise(options: ReadOptions, delimiter: str) -> str:
    """The mark before decimals where no cell says it; "": a comma where one stands.

    Semicolons are between cells where commas are before decimals.

    >>> [otherwise(ReadOptions(), delimiter) for delimiter in ",;| "]
    ['.', ',', '.', '.']
    """
    return options.decimal or {";": ",", "\t": ""}.get(delimiter, ".")


def text_layout(path: Path, options: ReadOptions) -> Layout:
    """How a text table is written, by its first lines.

    Args:
        path: the file.
        options: whether there is a header, and names of columns that the user gave.

    Raises:
        ValueError: there are no rows.
    """
    delimiter, longest, said, quoted = _delimiter(path)
    comments, rows, hashes = _first_lines(path, delimiter)
    cells = list(islice((cell for _, row in rows[1:] or rows for cell in row), CELLS))
    mark = decimal_mark(cells, otherwise(options, delimiter))
    decimal, named, written = mark or ".", options.header, len(comments)
    if named and rows and not set(options.columns or ()) <= {*map(unquoted, rows[0][1])}:
        named = None  # new rows may have no header where those in training had one
    if named is False and options.alike and len(rows) > 1:
        named = _has_positions(path, rows, options.named, decimal)
    if named is None:
        named, comments, rows = _with_header(comments, rows, options.named, decimal)
    data = [row for _, row in (rows[1:] if named else rows)]
    if not data:
        raise ValueError(f"{path}: has no rows")
    names = list(map(unquoted, rows[0][1]) if named else map(str, range(len(data[0]))))
    if named:
        names = _with_more(names, data, options.named, quoted)
    above = rows[:1] if named else comments[-1:]
    return Layout(
        delimiter,
        tuple(names),
        above[0][0] if above else int(said),
        # A comment that names the columns is found again by these names.
        ({"header": bool(named)} if written == len(comments) else {})
        | ({"decimal": options.decimal} if options.decimal else {}),
        bool(named),
        _decision(bool(named), options.header, names),
        bool(comments),
        mark,
        otherwise(ReadOptions(), delimiter) or usual_mark(cells),
        options.alike,
        frozenset(name for i, name in enumerate(names) if is_truth(column(data, i))),
        frozenset(name for i, name in enumerate(names) if are_words(column(data, i))),
        hashes,
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
        named = [above[0].removeprefix(COMMENT).strip() or above[0], *above[1:]]
        if len(named) == len(cells[0]) and names_columns(named, cells, asked, decimal):
            return True, comments[:-1], [(at, named), *rows]
    return False, comments, rows


def _has_positions(path: Path, rows: list[Line], asked: Collection[str], decimal: str) -> bool:
    """Whether the first line numbers the columns, as training without a header did.

    Raises:
        ValueError: it is another header, by which no column is found.
    """
    first, *below = [row for _, row in rows]
    if {str(i) for i in range(max(len(below[0]) - 1, 1))} <= {*first}:
        return names_columns(first, below, asked, decimal)
    numeric = any(number(cell, decimal) is not None for cell in below[0])
    if numeric and all(number(cell, decimal) is None for cell in first):
        if names_columns(first, below, (), decimal):
            numbered = not first[0] or len(first) < len(below[0])
            raise ValueError(
                f"{path}: line {rows[0][0]} names the columns ({listed(list(filter(None, first)))})"
                ", but in training they had no names; remove that line"
                + (" and the names or numbers of the rows" if numbered else "")
            )
    return False


def _decision(header: bool, said: bool | None, names: Sequence[str]) -> str:
    if not header:
        hint = "" if said is False else "; if the first line names them: header=True (--header)"
        return f"Column names: no header line: columns are called 0, 1 …{hint}."
    doubtful = said is None and any(number(name) is not None for name in names)
    hint = ", as they are no row of data; if they are: header=False (--no-header)"
    return f"Column names: its first line{hint if doubtful else ''}."


def _with_more(
    names: list[str], data: Sequence[Row], asked: Collection[str], quoted: bool
) -> list[str]:
    """All columns, those above which nothing stands as pandas calls them, so that they differ."""
    if all(len(row) == len(names) + 1 for row in data):
        if not any(row[-1] for row in data):  # all lines but the first end in a delimiter
            names = [*names, ""]
        elif _names_rows(column(data, 0), quoted):
            names = ["", *names]
    first = f"{UNNAMED}0" if f"{UNNAMED}0" in asked else ""
    return [name or (f"{UNNAMED}{i}" if i else first) for i, name in enumerate(names)]


def _names_rows(own: Sequence[str], quoted: bool) -> bool:
    """Whether rows begin with names or numbers of theirs, above which R writes nothing.

    Numbers without quotes are those of rows only if they count: a name may be missing above others.
    """
    if list(own) == [str(i + 1) for i in range(len(own))]:
        return True
    names = all(quoted and cell.isdecimal() for cell in own if number(cell) is not None)
    return names and len(set(own)) == len(own) > 1


def _delimiter(path: Path) -> tuple[str, int, bool, bool]:
    """The delimiter, the length of the first row, and whether Excel's line says the delimiter.

    Also whether all rows but the first begin with a quote.
    """
    with open(path, newline="", encoding=ENCODING) as file:
        first = file.readline()
        said = SAID.fullmatch(first)
        file.seek(0)
        filled = (line for line in islice(file, int(bool(said)), None) if line.strip())
        lines = list(islice((each for each in filled if not each.startswith(COMMENT)), LOOKED_AT))
    line, below = lines[0] if lines else first, lines[1:]
    quoted = all(each.lstrip().startswith('"') for each in below)
    return said[1] if said else _likely(line, below), len(line), bool(said), quoted


def _likely(line: str, below: Sequence[str]) -> str:
    """The delimiter by the first row, of those that the others have, better as often."""
    there = [mark for mark in DELIMITERS if mark in line]
    others = [mark for mark in there if not below or any(mark in each for each in below)]
    alike = [mark for mark in others if all(each.count(mark) >= line.count(mark) for each in below)]
    for mark in alike or others:
        cells = line.strip().split(mark)
        if mark != "," and all("," not in c or number(c, ",") is not None for c in cells):
            return mark  # 1,5;2,5 has more commas
    if not others and _by_spaces([line, *below]):
        return " "
    return max(alike or others or DELIMITERS[:1], key=line.count)


def _by_spaces(lines: Sequence[str]) -> bool:
    """Whether spaces stand between cells: as many in all lines, R's first one perhaps without."""
    first, *others = [len(_split(line)) for line in lines] or [0]
    width = others[0] if others else 0
    return (
        width > 1
        and set(others) == {width}
        and first in (width, width - 1)
        and any(number(cell) is not None for cell in _split(lines[-1]))
        and any(number(line) is None for line in lines[1:])  # 1 234 is a number
    )


def _split(line: str) -> list[str]:
    return next(csv.reader([line.strip()], delimiter=" ", skipinitialspace=True))


def _first_lines(path: Path, delimiter: str) -> tuple[list[Line], list[Line], bool]:
    """The comments that the file begins with, the first lines after them, and ``hashes``."""
    comments: list[Line] = []
    rows: list[Line] = []
    for line in _lines(path, delimiter):
        if not any(line[1]):
            continue
        if line[1][0].startswith(COMMENT) and not rows and line[1][0].lower() not in ERRORS:
            comments.append(line)
        else:
            rows.append(line)
        if len(rows) > LOOKED_AT:
            break
    if not rows:
        return [], comments, True
    own = [row[0] for _, row in rows[1:] if not row[0].startswith(COMMENT)]
    width = len(rows[0][1])
    hashes = any(number(cell) is None and not is_missing(cell) for cell in own) or (
        not own and width > 1 and all(len(row) == width for _, row in rows)
    )
    return comments, [row for row in rows if not _is_comment(row[1], hashes, width)], hashes


def _is_comment(cells: Sequence[str], hashes: bool, width: int) -> bool:
    hash_cell = cells[0].startswith(COMMENT) and cells[0].lower() not in ERRORS
    return hash_cell and (not hashes or len(cells) != width)


def _lines(path: Path, delimiter: str) -> Iterator[Line]:
    """All lines that are not blank, but for Excel's."""
    with open(path, newline="", encoding=ENCODING) as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        for line in reader:
            cells = [cell.strip() for cell in line]
            if delimiter == " " and cells[-1:] == [""]:
                cells.pop()  # spaces at the end
            said = reader.line_num == 1 and SAID.fullmatch(delimiter.join(line))
            if (any(cells) or len(cells) > 1) and not said:
                yield reader.line_num, cells
