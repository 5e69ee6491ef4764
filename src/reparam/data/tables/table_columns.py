"""Columns of a table (DataFrame, Parquet, or text once parsed): x, label, attributes, factors."""

from __future__ import annotations

import difflib
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.data.contents import Array, Contents, ReadOptions, SplitArrays
from reparam.data.large_arrays import blocks, refuse_too_large
from reparam.data.tables.cells import first_text, is_missing, number
from reparam.data.tables.column_kinds import check_kinds
from reparam.data.tables.column_values import is_text, plain, with_names, with_numbers
from reparam.data.tables.named_values import holds_words, with_indices
from reparam.data.values import is_absent
from reparam.wording import listed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


TEXT = (".csv", ".tsv")
TABLES = (*TEXT, ".parquet")
HINTED = 10  # columns that a remedy names
ROW_NUMBERS = "__index_level_"  # how pandas calls an unnamed index in a Parquet file
ROWS_AT_ONCE = 4096  # written to a matrix while they are in the cache

# Where a cell is, "row 7" or "line 9", and what stands there, by row from 0 and column.
FindCell = Callable[[int, str], tuple[str, Any]]


def is_frame(source: object) -> bool:
    """Whether this is a pandas DataFrame, without importing pandas for the question.

    >>> is_frame([1, 2])
    False
    """
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def has_columns(source: Any) -> bool:
    """Whether this is a table, or labels beside one, or one for each split.

    >>> has_columns("people.csv"), has_columns([1, 2])
    (True, False)
    """
    if isinstance(source, Mapping):
        return bool(source) and all(map(has_columns, source.values()))
    if isinstance(source, str | os.PathLike):
        return Path(source).suffix.lower() in TABLES
    return is_frame(source[0] if isinstance(source, tuple) and source else source)


def written_alike(source: Any, options: ReadOptions, found: Mapping[str, Any]) -> ReadOptions:
    """The options by which a table is read as another one was, in what it does not say itself.

    >>> written_alike("new.csv", ReadOptions(), {"header": True, "decimal": ","}).decimal
    ','
    """
    if isinstance(source, tuple) and source:
        source = source[0]  # of (x, labels)
    suffix = Path(source).suffix.lower() if isinstance(source, str | os.PathLike) else ""
    takes = {"header": suffix in TEXT, "decimal": suffix in TABLES or is_frame(source)}
    alike: dict[str, Any] = {
        name: found.get(name, getattr(options, name)) if taken else None
        for name, taken in takes.items()
    }
    return replace(options, alike=options.header is None, **alike)


def read_frame(frame: pd.DataFrame, options: ReadOptions) -> Contents:
    """The rows of a DataFrame as training examples.

    Args:
        frame: columns of numbers, truth values or text, whose cells may be missing.
        options: which columns are what.

    Raises:
        ValueError: columns that do not exist, or hold dates, numbers and text, or too many names;
            missing labels, attributes or factors, or cells where all are of one kind.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": [1, 2], "b": [3.5, 4], "y": ["no", "yes"]})
    >>> contents = read_frame(frame, ReadOptions(label="y"))
    >>> contents.splits["train"].x.tolist(), contents.columns
    ([[1.0, 3.5], [2.0, 4.0]], ('a', 'b'))
    """
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    options = options.of_table(names)
    x_columns = choose_columns(names, options, "DataFrame")
    found = dict(zip(names, (series for _, series in frame.items()), strict=True))
    used = used_columns(x_columns, options)
    columns = {name: _from_pandas(found[name], name == options.label) for name in used}

    def find(row: int, column: str) -> tuple[str, Any]:
        return f"row {row}", found[column].iloc[row]

    table = pa.table(columns)
    contents = table_contents(table, x_columns, options, "DataFrame", "DataFrame", find)
    return contents.noted(*order_notes(names, options))


def _from_pandas(series: pd.Series, label: bool) -> pa.Array:
    """A column of a DataFrame; one of several types as text, but for labels."""
    import pyarrow as pa

    try:
        column = pa.array(series, from_pandas=True)
    except pa.ArrowException as error:
        _refuse_containers(series)
        if label:
            raise ValueError(
                f"label: column {series.name!r} is of no one type that is known ({error}); make "
                "all labels text, or all numbers"
            ) from error
        cells = [None if is_absent(cell) else str(cell) for cell in series]
        return pa.array(cells, pa.string())
    if pa.types.is_nested(column.type):
        _refuse_containers(series)
    return column


def _refuse_containers(series: pd.Series) -> None:
    """ValueError where a cell of a DataFrame is a list, an array or the like."""
    for row, cell in enumerate(series):
        single = isinstance(cell, str) or (isinstance(cell, np.ndarray) and cell.ndim == 0)
        if hasattr(cell, "__len__") and not single:
            raise ValueError(
                f"DataFrame: row {row}, column {series.name!r} holds a {type(cell).__name__}, not "
                "one number or name; give each of its values a column, or leave it out with "
                f"{drop_hint([str(series.name)])}"
            )


def read_parquet(path: Path, options: ReadOptions) -> Contents:
    """The rows of a Parquet file as training examples.

    Args:
        path: the file.
        options: which columns are what.

    Raises:
        ValueError: a broken file, or as in ``read_frame``.

    >>> import tempfile
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp(), "two.parquet")
    >>> pd.DataFrame({"a": [1, 2], "b": [3.5, 4]}).to_parquet(path)
    >>> read_parquet(path, ReadOptions(drop=("b",))).columns
    ('a',)
    """
    from pyarrow import parquet

    try:
        names, rows = parquet.read_schema(path).names, parquet.read_metadata(path).num_rows
    except Exception as error:  # what pyarrow raises on damage depends on where it is
        raise ValueError(_unreadable(path, error)) from error
    names = [name for name in names if not name.startswith(ROW_NUMBERS)]
    options = options.of_table(names)
    x_columns = choose_columns(names, options, str(path))
    used = used_columns(x_columns, options)
    words = [] if options.label is None else [options.label]  # of which few may fill many rows
    refuse_too_large(str(path), rows * len(used) * np.dtype(np.float64).itemsize)
    try:
        table = parquet.read_table(
            path, columns=used, page_checksum_verification=True, read_dictionary=words
        )
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(_unreadable(path, error)) from error
    contents = table_contents(table, x_columns, options, path.stem, str(path))
    return contents.noted(*order_notes(names, options))


def choose_columns(names: Sequence[str], options: ReadOptions, origin: str) -> tuple[str, ...]:
    """The columns that become entries of x: those asked for, or all that are nothing else.

    Raises:
        ValueError: repeated names, or no such column, or one with two parts to play, or none left.

    >>> choose_columns(["a", "b", "y"], ReadOptions("y", ("a",)), "table")
    ('b',)
    """
    refuse_repeated(names, origin)
    asked_for = {
        "label": () if options.label is None else (options.label,),
        "drop": options.drop,
        "attributes": options.attributes,
        "factors": options.factors,
    }
    place = _places(names)
    for argument, asked in (asked_for | {"columns": options.columns or ()}).items():
        for name in asked:
            if name not in place:
                near = difflib.get_close_matches(name, names, 1) or list(names[:8])
                found = ", ".join(map(repr, near))
                raise ValueError(f"{argument}: {origin} has no column {name!r}; there is {found}")
    apart = Counter(name for asked in asked_for.values() for name in asked)
    for argument in ("attributes", "factors"):
        for name in asked_for[argument]:
            if apart[name] > 1:
                raise ValueError(
                    f"{argument}: {name!r} is named twice, or is the label or dropped too"
                )
    if options.label in options.drop:
        raise ValueError(f"label: {options.label!r} is dropped too; leave one of both out")
    if options.label in (options.columns or ()):
        raise ValueError(f"label: {options.label!r} is an entry of x; name another column")
    x_columns = tuple(options.columns or (name for name in names if name not in apart))
    if not x_columns:
        raise ValueError(
            f"{origin}: no columns are left besides label, attributes, factors and drop"
        )
    return x_columns


def refuse_repeated(names: Sequence[str], origin: str) -> None:
    """ValueError where two columns have one name.

    >>> refuse_repeated(["a", "b"], "table")
    """
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"{origin}: columns must have different names; {repeated[0]!r} repeats")


def order_notes(names: Sequence[str], options: ReadOptions) -> list[str]:
    """That columns of other rows are taken in the order of those in training, where it is another.

    >>> order_notes(["b", "y", "a"], ReadOptions(columns=("a", "b")))
    ['Columns are in another order than in training; they were ordered by their names.']
    """
    asked = list(options.columns or ())
    if [name for name in names if name in asked] == asked or not asked:
        return []
    return ["Columns are in another order than in training; they were ordered by their names."]


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def used_columns(x_columns: Sequence[str], options: ReadOptions) -> list[str]:
    """All columns that are read: those of numbers first, then the label.

    >>> used_columns(["b"], ReadOptions("y", ("a",)))
    ['b', 'y']
    """
    label = [] if options.label is None else [options.label]
    return [*x_columns, *options.attributes, *options.factors, *label]


def drop_hint(columns: Sequence[str]) -> str:
    """How columns are left out, in Python and on the command line.

    >>> drop_hint(["a b", "c"])
    "drop=['a b', 'c'] (--drop 'a b' --drop c)"
    """
    words = " ".join(f"--drop {shlex.quote(name)}" for name in columns[:HINTED])
    more = f" and {len(columns) - HINTED} more" if len(columns) > HINTED else ""
    return f"drop={list(columns[:HINTED])!r}{more} ({words}{more and ' …'})"


def table_contents(
    table: pa.Table,
    x_columns: Sequence[str],
    options: ReadOptions,
    name: str,
    origin: str,
    find: FindCell | None = None,
    marks: tuple[str, str | None, str] | None = None,
) -> Contents:
    """The rows of a table as training examples, once all cells are what their column needs.

    Args:
        table: at least ``used_columns``, each of the type that it was found to have.
        x_columns: the entries of x, in their order.
        options: which columns are label, attributes and factors.
        name: of the data.
        origin: how messages call the table.
        find: how messages call a cell; None: by its row, from 0.
        marks: of a text table, the mark before decimals where no cell says it, that of the first
            cells, and the one that need not be remembered; None: columns of text are noted.

    Raises:
        ValueError: text where numbers are needed, or cells missing where all have to be there, with
            the place and the remedy.

    >>> import pyarrow as pa
    >>> table = pa.table({"a": [1, 2], "y": ["u", None]})
    >>> table_contents(table, ["a"], ReadOptions("y"), "two", "two.csv")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: two.csv: row 1 has no label in column 'y'; fill it in, or drop the row; ...
    """
    import pyarrow as pa

    find = find or (lambda row, column: (f"row {row}", table.column(column)[row].as_py()))
    attributes, factors, label = options.attributes, options.factors, options.label
    of_numbers = [*x_columns, *attributes, *factors]
    texts = [name for name in of_numbers if marks is None and is_text(table.column(name).type)]
    kinds = options.kind or {}
    check_kinds(kinds, x_columns)
    as_named = [name for name, kind in kinds.items() if kind == "category"]
    if not options.one_kind:
        as_named += [name for name in x_columns if holds_words(table.column(name))]
    told = [name for name in of_numbers if name not in as_named]
    otherwise, first, usual = marks or (options.decimal or ".", None, ".")
    table, notes, mark = with_numbers(table, told, otherwise, first)
    texts = [name for name in texts if not is_text(table.column(name).type)]
    if texts:
        notes.append(f"Text that is read as numbers: {listed(texts)}.")
    x_columns, more = with_names(table, x_columns, options)
    notes += more
    names: dict[str, tuple[str, ...]] = {}
    if not options.one_kind:
        table, names = with_indices(table, x_columns, kinds, origin)
    _refuse_text(table, [*x_columns, *attributes, *factors], origin, find)
    if not options.dropping:
        complete = used_columns(x_columns if options.one_kind else (), options)
        _refuse_missing(table, complete, options, origin, find)
    arrays = SplitArrays(
        _matrix(table, x_columns),
        None if label is None else _labels(table.column(label)),
        _matrix(table, factors) if factors else None,
        _matrix(table, attributes) if attributes else None,
    )
    usual = options.decimal or usual
    if marks is not None and mark is None and usual == "," and _has_fractions(arrays.x):
        mark = "."  # of numbers that the parser read, rows of which may say nothing
    truths = [name for name in x_columns if pa.types.is_boolean(table.column(name).type)]
    if truths:
        notes.append(f"True and False became 1 and 0: {listed(truths)}.")
    return Contents(
        {"train": arrays},
        name,
        origin,
        "table",
        columns=tuple(x_columns),
        notes=tuple(notes),
        attribute_names=attributes or None,
        factor_names=factors or None,
        found={} if mark in (None, usual) else {"decimal": mark},
        names=names,
    )


def _has_fractions(x: Array) -> bool:
    return any(bool(np.modf(x[rows])[0].any()) for rows in blocks(x))


def _refuse_text(table: pa.Table, columns: Sequence[str], origin: str, find: FindCell) -> None:
    others = [column for column in columns if not _is_numeric(table.column(column).type)]
    if not others:
        return
    cells, text = table.column(others[0]), is_text(table.column(others[0]).type)
    if text:
        _refuse_marks(cells.to_pylist(), others[0], origin)
    found = [first_text(cells.to_pylist(), mark) for mark in (".", ",")] if text else []
    row = max((row for row in found if row is not None), default=0)
    place, cell = find(row, others[0]) if len(cells) else ("no row", None)
    held = f"holds {'text' if text else 'no numbers'} ({cell!r})"
    what, them, one = "it", "it", "it"
    if len(others) > 1:
        what, them, one = f"the {len(others)} columns without numbers", "them", "one"
    raise ValueError(
        f"{origin}: {place}, column {others[0]!r} {held}; leave {what} out with "
        f"{drop_hint(others)}, encode {them} as numbers, or make {one} the label"
        + (f"; if all cells are names, --kind {shlex.quote(others[0])}=category" if text else "")
    )


def _refuse_marks(cells: Sequence[str | None], column: str, origin: str) -> None:
    """ValueError where some numbers have points before their decimals, and others commas."""
    firsts = [first_text(cells, mark) for mark in (",", ".")]
    either = all(is_missing(c) or any(number(str(c), m) is not None for m in ".,") for c in cells)
    if either and None not in firsts:
        words = " and ".join(repr(cells[row]) for row in firsts if row is not None)
        raise ValueError(
            f"{origin}: column {column!r} has numbers with points and with commas before their "
            f"decimals ({words}); write all with points"
        )


def _refuse_missing(
    table: pa.Table, columns: Sequence[str], options: ReadOptions, origin: str, find: FindCell
) -> None:
    of_training = options.columns is None  # new rows are left out by none but their owner
    dropped = "; missing='drop' (--missing drop) leaves such rows out" if of_training else ""
    for column in columns:
        missing = _missing(table.column(column))
        if not missing.any():
            continue
        row, more = int(missing.argmax()), int(missing.sum()) - 1
        place, cell = find(row, column)
        line = place.split()[0]
        if column == options.label:
            word = isinstance(cell, str) and cell
            raise ValueError(
                f"{origin}: {place} has no label in column {column!r}"
                + (f", as {cell!r} says that there is none" if word else "")
                + f"; fill it in, or drop the {line}{dropped}"
                + (f"; if {cell!r} is a class, give it another name ('{cell}_')" if word else "")
            )
        raise ValueError(
            f"{origin}: {place}, column {column!r} is missing"
            + (f" ({cell!r})" if isinstance(cell, str) else "")
            + (f" (and {more} more in this column)" if more else "")
            + f"; fill it in, drop the {line}, or leave the column out with {drop_hint([column])}"
            + dropped
        )


def _labels(column: pa.ChunkedArray) -> Array:
    """The labels of a column, None or NaN where there is none; of categories each name is kept."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column.to_numpy()
    encoded = column.combine_chunks()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    names = encoded.dictionary.to_pylist()
    words = np.empty(len(names) + 1, object)  # None is the last
    words[:-1] = names
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    absent = encoded.indices.is_null().to_numpy(zero_copy_only=False)
    return words[np.where(absent, len(names), indices).astype(int)]


def _missing(column: pa.ChunkedArray) -> Array:
    """Which cells are null, or NaN where that can be."""
    if column.null_count:
        return column.is_null(nan_is_null=True).to_numpy()
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not pa.types.is_floating(kind):
        return np.zeros(len(column), bool)
    return np.isnan(plain(column).to_numpy())  # without the compute module, slow to import


def _is_numeric(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_null, types.is_decimal)
    return any(test(kind) for test in tests)  # where all cells are missing, that is to be said


def _matrix(table: pa.Table, columns: Sequence[str]) -> Array:
    """(N, D) of the type that holds all columns of numbers, a block of rows after the other."""
    import pyarrow as pa

    chosen = pa.table({str(i): plain(table.column(name)) for i, name in enumerate(columns)})
    types = [
        np.float64 if column.null_count else column.type.to_pandas_dtype()
        for column in chosen.columns
    ]
    matrix, start = np.empty((chosen.num_rows, len(columns)), np.result_type(*types)), 0
    for batch in chosen.to_batches(max_chunksize=ROWS_AT_ONCE):
        rows = matrix[start : start + batch.num_rows]
        for index, column in enumerate(batch.columns):
            if column.null_count:
                column = column.cast(pa.float64())
            rows[:, index] = column.to_numpy(zero_copy_only=False)
        start += batch.num_rows
    return matrix


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path}: cannot be read as Parquet ({error}); it may be cut short: write it again"
