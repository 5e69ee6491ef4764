"""A text table written again with its missing cells filled, and all else as it was."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reparam.data.contents import Array
from reparam.data.tables.cells import TRUTH, number, plain_name, quoted, unquoted, without_sign
from reparam.data.tables.column_text import as_written
from reparam.data.tables.text_layout import ENCODING, Layout
from reparam.space import Space

MARK = b"\xef\xbb\xbf"  # of UTF-8, which spreadsheets put first


@dataclass(frozen=True)
class Filled:
    """Rows of a text table, of which missing cells are filled.

    Args:
        path: of the table.
        layout: how it is written.
        columns: names of the entries of x.
        space: of x, mixed.
        rows: (N,), which rows of the table are written.
        x: (N, D), what they hold, NaN where a cell is missing.
        drawn: (N, draws, D), the same filled.
    """

    path: Path
    layout: Layout
    columns: Sequence[str]
    space: Space
    rows: Array
    x: Array
    drawn: Array


def write_filled(file: str, filled: Filled) -> None:
    """The table as it is written but for its missing cells: their words as other cells have them.

    Lines that are no rows stay. Of several draws each row comes as often, with its number in a
    last column ``draw``.

    Args:
        file: to be written.
        filled: what is written.

    Raises:
        ValueError: a line whose quotes do not close.
    """
    layout, draws = filled.layout, filled.drawn.shape[1]
    texts = _texts(filled)
    place = {int(row): index for index, row in enumerate(filled.rows)}
    at = [layout.names.index(name) for name in filled.columns]
    end = "\n"
    with open(filled.path, "rb") as source:
        encoding = ENCODING if source.read(len(MARK)) == MARK else "utf-8"
    with open(file, "w", encoding=encoding, newline="") as out:
        for row, line, raw in _records(filled.path, layout):
            text = raw.rstrip("\r\n")
            end = raw[len(text) :] or end
            if row is None:
                named = layout.named and line == layout.skip and draws > 1
                out.write(text + _above_draws(text, layout) + end if named else raw)
            elif row in place:
                index = place[row]
                cells = _split(text, layout.delimiter, filled.path, line)
                missing = np.flatnonzero(np.isnan(filled.x[index])).tolist()
                for draw in range(draws):
                    for j in missing:
                        space = re.match(" *", cells[at[j]])
                        cell = texts[j][index, draw]
                        cells[at[j]] = (space[0] if space else "") + cell
                    number = [str(draw + 1)] if draws > 1 else []
                    out.write(layout.delimiter.join([*cells, *number]))
                    out.write(raw[len(text) :] if draw == draws - 1 else end)


def _records(path: Path, layout: Layout) -> Iterator[tuple[int | None, int, str]]:
    """Every line: which row of data it is, if it is one; its number; and the line as it is.

    Lines go together where a cell goes over several.
    """
    taken: list[str] = []
    data = layout.rows(path)
    row, at, _ = next(data)
    with open(path, newline="", encoding=ENCODING) as file:
        reader = csv.reader(
            (taken.append(line) or line for line in file),  # type: ignore[func-returns-value]
            delimiter=layout.delimiter,
            skipinitialspace=True,
        )
        for _ in reader:
            raw = "".join(taken)
            taken.clear()
            is_row = reader.line_num == at
            yield row if is_row else None, reader.line_num, raw
            if is_row:
                row, at, _ = next(data, (row, -1, []))


def _split(text: str, delimiter: str, path: Path, line: int) -> list[str]:
    """The cells of a line as they are, with their quotes and the spaces around them.

    >>> _split('1, "a,b" ,', ",", Path("t.csv"), 1)
    ['1', ' "a,b" ', '']
    """
    mark = re.escape(delimiter)
    cell, cells, at = re.compile(rf' *"(?:[^"]|"")*"[^{mark}]*| *[^{mark}]*'), list[str](), 0
    while at <= len(text):
        found = cell.match(text, at)
        assert found is not None, "nothing is a cell too"
        cells.append(found[0])
        at = found.end() + 1
    parsed = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))
    if len(parsed) != len(cells):
        raise ValueError(f"{path}: line {line} has quotes that do not close; mend it")
    return cells


def _above_draws(header: str, layout: Layout) -> str:
    """What follows the names of the columns above the numbers of draws."""
    short = len(layout.names) - len(next(csv.reader([header], delimiter=layout.delimiter)))
    name = "draw"
    while name in layout.names:
        name += "_"
    # Above names of rows, which come first, nothing may stand.
    return layout.delimiter * (1 + (short if layout.names[0] else 0)) + name


@dataclass
class _Style:
    """How the cells of a column are written.

    Args:
        sign: of percent or of money, that all cells have.
        before: whether it comes before the number.
        exponent: whether some numbers have one.
        words: as values are written.
    """

    sign: str = ""
    before: bool = False
    exponent: bool = False
    words: dict[float, str] = field(default_factory=dict)

    def write(self, value: float, plain: str, name: bool, decimal: str, delimiter: str) -> str:
        """A value as a cell: the word for it, or made like the others."""
        if value in self.words:
            return self.words[value]
        if name:
            return _cell(quoted(plain), delimiter)
        other = next(iter(self.words.values()), "").strip('"')
        if other.lower() in TRUTH:
            truth = str(bool(value))
            return truth if other.istitle() else truth.upper() if other.isupper() else truth.lower()
        minus, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
        digits = digits.replace(".", decimal)
        signed = f"{self.sign}{digits}" if self.before else f"{digits}{self.sign}"
        return _cell(minus + signed, delimiter)


def _cell(text: str, delimiter: str) -> str:
    """A cell, in quotes where it needs them."""
    if any(mark in text for mark in (delimiter, '"', "\r", "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text


def _texts(filled: Filled) -> Mapping[int, Array]:
    """By column with missing cells, what is written for every draw, (N, draws)."""
    columns, delimiter = filled.space.columns or (), filled.layout.delimiter
    styles, decimal = _styles(filled)
    flat = filled.drawn.reshape(-1, filled.drawn.shape[2])
    narrow = flat.astype(np.float32)
    flat = narrow if ((narrow == flat) | np.isnan(flat)).all() else flat
    plain = as_written(flat, filled.space)
    texts = {}
    for j in np.flatnonzero(np.isnan(filled.x).any(0)):
        if columns[j].count is None and not styles[j].exponent:
            plain[:, j] = [np.format_float_positional(value, trim="0") for value in flat[:, j]]
        named = columns[j].names is not None
        cells = [
            styles[j].write(float(value), text, named, decimal, delimiter)
            for value, text in zip(flat[:, j], plain[:, j], strict=True)
        ]
        texts[int(j)] = np.array(cells, object).reshape(filled.drawn.shape[:2])
    return texts


def _styles(filled: Filled) -> tuple[list[_Style], str]:
    """How the cells of each column that are there are written, and the mark before decimals."""
    layout, discrete = filled.layout, ~filled.space.reals.numpy()
    names = [column.names for column in filled.space.columns or ()]
    at = [layout.names.index(name) for name in filled.columns]
    cells: list[list[tuple[str, float]]] = [[] for _ in at]
    styles = [_Style() for _ in at]
    place = {int(row): index for index, row in enumerate(filled.rows)}
    for row, line, raw in _records(filled.path, layout):
        if row not in place:
            continue
        split = _split(raw.rstrip("\r\n"), layout.delimiter, filled.path, line)
        for j, value in enumerate(filled.x[place[row]].tolist()):
            word, known, words = split[at[j]].strip(), names[j], styles[j].words
            if value == value and known is None:
                cells[j].append((word.strip('"'), value))
            if value == value and discrete[j] and value not in words:
                # Not one of the rare names for all of them, which are another one.
                if known is None or _is_name(word, known[int(value)]):
                    words[value] = word
    numbers: list[tuple[str | None, float]] = []
    for style, column in zip(styles, cells, strict=True):
        words_of, values = [word for word, _ in column], [value for _, value in column]
        plain, style.sign = without_sign(words_of)
        style.exponent = any("e" in word.lower() for word in words_of)
        style.before = not (words_of or [""])[0].endswith(style.sign)
        numbers += zip(plain, values, strict=True)
    said = layout.mark or layout.found.get("decimal") or layout.usual
    return styles, _decimal(numbers) or said


def _is_name(cell: str, name: str) -> bool:
    """Whether a cell, perhaps in quotes, holds a name."""
    text = cell[1:-1].replace('""', '"').strip() if cell.startswith('"') else cell
    return plain_name(unquoted(text)) == plain_name(name)


def _decimal(cells: Sequence[tuple[str | None, float]]) -> str | None:
    """The mark before decimals by which cells were read as numbers; None: no cell tells.

    >>> _decimal([("12", 12.0), ("3,911", 3.911)]), _decimal([("3,911", 3911.0)]), _decimal([])
    (',', '.', None)
    """
    for cell, value in cells:
        point, comma = number(cell or ""), number(cell or "", ",")
        if point != comma:
            points = np.inf if point is None else abs(point - value)
            commas = np.inf if comma is None else abs(comma - value)
            return "," if commas < points else "."
    return None
