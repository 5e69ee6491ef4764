"""Text tables, .csv and .tsv: the parsing of their numbers, and places in messages."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.data.contents import Contents, ReadOptions
from reparam.data.large_arrays import memory, refuse_too_large
from reparam.data.tables.cells import is_missing, is_truth, numbers, unquoted
from reparam.data.tables.column_values import decimal_notes, is_index_name, with_column
from reparam.data.tables.table_columns import choose_columns, table_contents, used_columns
from reparam.data.tables.text_layout import COMMENTS, LARGEST_BLOCK, Layout, text_layout

if TYPE_CHECKING:
    import pyarrow as pa

CELL = 8  # bytes of a number


def read_csv(path: Path, options: ReadOptions) -> Contents:
    """The rows of a text table as training examples, numbers as float64.

    Args:
        path: UTF-8 text, with or without a header line; commas, semicolons or tabs between cells,
            which may be quoted; lines of comment begin with #.
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
        layout = text_layout(path, options.header, options.named)
        x_columns = choose_columns(layout.names, options, f"{path}{layout.without_header}")
        used = used_columns(x_columns, options)
        _refuse_too_large(path, layout, len(used))
        table, notes = _parsed(path, layout, used, options.label)

        def find(row: int, column: str) -> tuple[str, Any]:
            line, cells = next(islice(layout.rows(path), row, None))
            return f"line {line}", cells[layout.names.index(column)]

        contents = table_contents(
            table, x_columns, options, path.stem, str(path), find, layout.delimiter
        )
        del table
        pa.default_memory_pool().release_unused()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error
    except (csv.Error, OSError) as error:
        raise ValueError(f"{path}: cannot be read as text ({error})") from error
    return contents.noted(layout.header, *notes)


def _refuse_too_large(path: Path, layout: Layout, columns: int) -> None:
    """ValueError where the numbers would not fit into memory; lines are only counted in doubt."""
    row = columns * CELL
    if path.stat().st_size / layout.row_size * row > memory():
        with open(path, "rb") as file:
            lines = sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))
        refuse_too_large(str(path), lines * row)


def _parsed(
    path: Path, layout: Layout, columns: Sequence[str], label: str | None
) -> tuple[pa.Table, list[str]]:
    """Columns as numbers where the parser takes all of them for such, else as text; and notes."""
    import pyarrow as pa

    texts = {name for name in columns if name == label or is_index_name(name, layout.names)}
    types = {name: pa.bool_() if name in layout.truths else pa.float64() for name in columns}
    types |= dict.fromkeys(texts, pa.string())
    comments: list[str] = []
    try:
        table = _as_types(path, layout, types, layout.block, comments)
        notes = decimal_notes(layout.decimal)
    except pa.ArrowInvalid:
        _refuse_other_lengths(path, layout)
        whole = min(
            max(path.stat().st_size, layout.block), LARGEST_BLOCK
        )  # a row may be of any length
        try:
            table = _as_types(path, layout, dict.fromkeys(columns, pa.string()), whole, comments)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: cannot be read as text ({error})") from error
        notes = []
    if label is not None:
        table = with_column(table, label, _labels(table.column(label), layout.decimal))
    if comments or layout.comments:
        notes.append("Lines of comment, which begin with #, are left out.")
    return table, notes


def _as_types(
    path: Path, layout: Layout, types: dict[str, pa.DataType], block: int, comments: list[str]
) -> pa.Table:
    """The parser's table; of lines of another length it skips comments, which it appends."""
    from pyarrow import csv as parser

    def other_length(row: parser.InvalidRow) -> str:
        if not row.text.startswith(COMMENTS):
            return "error"
        comments.append(row.text)
        return "skip"

    return parser.read_csv(
        str(path),
        parser.ReadOptions(column_names=layout.names, skip_rows=layout.skip, block_size=block),
        parser.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=other_length
        ),
        parser.ConvertOptions(
            column_types=types, include_columns=list(types), decimal_point=layout.decimal
        ),
    )


def _labels(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Labels as integers where all of them are, else as floats, else as they are written."""
    import pyarrow as pa

    encoded = column.combine_chunks().dictionary_encode()
    words = [None if is_missing(word) else word.strip() for word in encoded.dictionary.to_pylist()]
    values = numbers(words, decimal)
    classes = pa.array([None if word is None else unquoted(word) for word in words], pa.string())
    codes = any(word and word.isdecimal() and str(int(word)) != word for word in words)  # as 01
    if values is not None and not is_truth(words) and not codes:
        whole = all(word is None or word.lstrip("+-").isdecimal() for word in words)
        exact = [None if word is None else int(word) for word in words] if whole else values
        try:
            classes = pa.array(exact)
        except OverflowError:  # identifiers of more than 18 digits stay text
            pass
    return pa.chunked_array([classes.take(encoded.indices)])


def _refuse_other_lengths(path: Path, layout: Layout) -> None:
    for line, cells in layout.rows(path):
        if len(cells) != len(layout.names):
            raise ValueError(
                f"{path}: line {line} has {len(cells)} cells, expected {len(layout.names)} as in "
                "the first line"
            )
