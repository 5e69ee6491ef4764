"""Text tables, .csv and .tsv: the parsing of their numbers, and places in messages."""

from __future__ import annotations

import csv
import mmap
from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.data.contents import Array, Contents, ReadOptions
from reparam.data.large_arrays import memory, refuse_too_large
from reparam.data.tables.cells import MISSING, is_missing, is_truth, numbers, unquoted
from reparam.data.tables.column_values import exchanged, is_index_name
from reparam.data.tables.table_columns import (
    choose_columns,
    order_notes,
    table_contents,
    used_columns,
)
from reparam.data.tables.text_layout import COMMENT, Layout, Line, otherwise, text_layout
from reparam.data.values import FLOAT64_EXACT
from reparam.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

NULLS = sorted({way(word) for word in MISSING for way in (str, str.upper, str.title)} | {"NaN"})
CELL = 8  # bytes of a number
ROWS = 4096  # of text that are held as Python's objects at a time


def read_csv(path: Path, options: ReadOptions) -> Contents:
    """The rows of a text table as training examples, numbers as float64, missing cells as NaN.

    Args:
        path: UTF-8 text, with or without a header line; commas, semicolons, tabs, bars or spaces
            between cells, which may be quoted; lines of comment begin with #.
        options: which columns are what; without a header they are called by their numbers.

    Raises:
        ValueError: numbers and text in one column, or what ``read_frame`` refuses; lines of another
            length; with the line.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "two.csv")
    >>> _ = path.write_text("a,b,y" + chr(10) + "1,2,no" + chr(10) + "3,4,yes")
    >>> contents = read_csv(path, ReadOptions(label="y"))
    >>> contents.splits["train"].x.tolist(), contents.splits["train"].labels.tolist()
    ([[1.0, 2.0], [3.0, 4.0]], ['no', 'yes'])
    """
    import pyarrow as pa

    try:
        layout = text_layout(path, options)
        options = options.of_table(layout.names)
        x_columns = choose_columns(layout.names, options, f"{path}{layout.without_header}")
        used = used_columns(x_columns, options)
        _refuse_too_large(path, layout, len(used))
        kinds = options.kind or {}
        written = {name for name in used if name == options.label or kinds.get(name) == "category"}
        table, notes, rows = _parsed(path, layout, used, options, written)

        def find(row: int, column: str) -> tuple[str, Any]:
            _, line, cells = next(islice(layout.rows(path), row, None))
            return f"line {line}", cells[layout.names.index(column)]

        marks = otherwise(options, layout.delimiter), layout.mark, layout.usual
        contents = table_contents(table, x_columns, options, path.stem, str(path), find, marks)
        train = replace(contents.splits["train"], rows=rows)
        contents = replace(contents, splits={"train": train})
        del table
        pa.default_memory_pool().release_unused()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error
    except (csv.Error, OSError) as error:
        raise ValueError(f"{path}: cannot be read as text ({error})") from error
    found = {**layout.found, **contents.found}
    notes += order_notes(layout.names, options)
    return replace(contents, found=found).noted(layout.header, *notes)


def _refuse_too_large(path: Path, layout: Layout, columns: int) -> None:
    """ValueError where the numbers would not fit into memory; lines are only counted in doubt."""
    row = columns * CELL
    if path.stat().st_size / layout.row_size * row > memory():
        with open(path, "rb") as file:
            lines = sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))
        refuse_too_large(str(path), lines * row)


def _parsed(
    path: Path, layout: Layout, columns: Sequence[str], options: ReadOptions, written: set[str]
) -> tuple[pa.Table, list[str], Array | None]:
    """Columns as numbers where the parser takes all of them for such, else as text; and notes.

    Those that are ``written`` stay text in any case. Also which rows of the file these are, where
    some between them are left out as they have no cell.
    """
    import pyarrow as pa

    label, holes = options.label, not options.one_kind or options.dropping
    texts = written | {name for name in columns if is_index_name(name, layout.names)}
    texts |= set() if options.one_kind else layout.words.intersection(columns)
    types = {name: pa.bool_() if name in layout.truths else pa.float64() for name in columns}
    types |= dict.fromkeys(texts, pa.string())
    comments: list[Line] = []
    kept = array("q")
    try:
        table = _as_types(path, layout, types) if _is_plain(path, layout) else None
    except pa.ArrowInvalid:
        table = None
    if table is None or _lost(table, holes):
        table = _as_text(path, layout, columns, comments, kept)
    if label is not None:
        labels = as_labels(table.column(label), layout.decimal, options.classes)
        table = exchanged(table, {label: labels})
    notes = ["Lines of comment, which begin with #, are left out."]
    notes = notes if comments or layout.comments else []
    between = kept[-1] + 1 - len(kept) if kept else 0  # not those that spreadsheets leave below
    if between:
        notes.append(f"Left out: {counted(between, 'row')} without any cell.")
    return table, notes, np.array(kept) if between else None


def _is_plain(path: Path, layout: Layout) -> bool:
    """Whether the rows have no comments, and no spaces before quotes, which the parser takes."""
    with open(path, "rb") as file:
        for _ in range(layout.skip):
            file.readline()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            start = max(file.tell() - 1, 0)
            return not any(
                text.find(mark.encode(), start) >= 0
                for mark in (f"\n{COMMENT}", f'{layout.delimiter} "', '\n "')
            )


def _lost(table: pa.Table, holes: bool) -> bool:
    """Whether numbers are missing that may not, or have more digits than float64: as text they do.

    Labels are text, of which the parser lets nothing be missing.
    """
    missing = [bool(column.null_count) for column in table.columns]
    texts = [column.type == "string" for column in table.columns]
    possible = all(text or null for text, null in zip(texts, missing, strict=True))
    if (any(missing) and not holes) or (possible and _has_empty_rows(table)):
        return True
    return any(
        bool((np.abs(column.to_numpy()) >= FLOAT64_EXACT).any())
        for column in table.columns
        if column.type == "double"
    )


def _has_empty_rows(table: pa.Table) -> bool:
    """Whether a row may have no cell that is there: spreadsheets leave such behind."""
    empty = np.ones(table.num_rows, bool)
    for column in sorted(table.columns, key=lambda column: column.type == "string"):
        if column.type == "string":
            rows = np.flatnonzero(empty)
            empty[rows] = [not column[int(row)].as_py().strip() for row in rows]
        else:
            empty &= column.is_null().to_numpy()
    return bool(empty.any())


def _as_types(path: Path, layout: Layout, types: dict[str, pa.DataType]) -> pa.Table:
    """The parser's table, numbers as such."""
    from pyarrow import csv as parser

    return parser.read_csv(
        str(path),
        parser.ReadOptions(
            column_names=layout.names, skip_rows=layout.skip, block_size=layout.block
        ),
        parser.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        parser.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            decimal_point=layout.decimal,
            null_values=NULLS,
        ),
    )


def _as_text(
    path: Path, layout: Layout, columns: Sequence[str], comments: list[Line], kept: array[int]
) -> pa.Table:
    """All cells of some columns as they are written, but for comments, which are appended.

    So are the numbers of rows that have a cell, which alone are kept.
    """
    import pyarrow as pa

    place = {name: index for index, name in enumerate(layout.names)}
    at, blocks = [place[name] for name in columns], []
    rows = layout.rows(path, comments)
    while block := list(islice(rows, ROWS)):
        for row, line, cells in block:
            if len(cells) != len(layout.names):
                raise ValueError(
                    f"{path}: line {line} has {len(cells)} cells, expected {len(layout.names)} as "
                    f"in the first line; quote cells with {layout.delimiter!r}, or mend the line"
                )
            kept.append(row)
        cut = [pa.array([cells[i] for *_, cells in block], pa.string()) for i in at]
        blocks.append(pa.table(cut, names=columns))
    return pa.concat_tables(blocks)


def as_labels(column: pa.ChunkedArray, decimal: str, known: Sequence[str] = ()) -> pa.ChunkedArray:
    """Labels as integers where all of them are, else as floats, else as they are written.

    Those are as they are written, too, of which some, or some of the ``known`` classes, are codes.
    """
    import pyarrow as pa

    encoded = column.combine_chunks().dictionary_encode()
    words = [None if is_missing(word) else word.strip() for word in encoded.dictionary.to_pylist()]
    values = numbers(words, decimal)
    classes = pa.array([None if word is None else unquoted(word) for word in words], pa.string())
    codes = values is not None and (_are_codes(words, decimal) or _are_codes(known, decimal))
    if values is not None and not is_truth(words) and not codes:
        whole = all(word is None or word.lstrip("+-").isdecimal() for word in words)
        exact = [None if word is None else int(word) for word in words] if whole else values
        try:
            classes = pa.array(exact)
        except OverflowError:  # identifiers of more than 18 digits stay text
            pass
    return pa.chunked_array([classes.take(encoded.indices)])


def _are_codes(words: Sequence[str | None], decimal: str) -> bool:
    """Whether numbers do not say what is written: 01, or 1.1 and 1.10."""
    values = numbers(words, decimal) or [None] * len(words)
    parts = {word: value for word, value in zip(words, values, strict=True) if value is not None}
    broken = [value for value in parts.values() if value % 1]
    zeros = (word for word in parts if word and word.isdecimal() and str(int(word)) != word)
    return len(set(broken)) < len(broken) or any(zeros)
