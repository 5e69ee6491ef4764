"""Columns of a table (DataFrame, Parquet, or text once parsed): x, label, attributes, factors."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.data.contents import Array, Contents, ReadOptions, SplitArrays
from reparam.data.large_arrays import refuse_too_large

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


HINTED = 10  # columns that a remedy names
ROW_NUMBERS = "__index_level_"  # how pandas calls an unnamed index in a Parquet file
ROWS_AT_ONCE = 4096  # written to a matrix while they are in the cache
MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}

# Where a cell is, "row 7" or "line 9", and what stands there, by row from 0 and column.
FindCell = Callable[[int, str], tuple[str, Any]]


def is_frame(source: object) -> bool:
    """Whether this is a pandas DataFrame, without importing pandas for the question.

    >>> is_frame([1, 2])
    False
    """
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def read_frame(frame: pd.DataFrame, options: ReadOptions) -> Contents:
    """The rows of a DataFrame as training examples.

    Args:
        frame: numeric columns; other ones must be the label or dropped.
        options: which columns are what.

    Raises:
        ValueError: columns that do not exist or hold no numbers, missing cells.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": [1, 2], "b": [3.5, 4], "y": ["no", "yes"]})
    >>> contents = read_frame(frame, ReadOptions(label="y"))
    >>> contents.splits["train"].x.tolist(), contents.columns
    ([[1.0, 3.5], [2.0, 4.0]], ('a', 'b'))
    """
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    x_columns, columns = choose_columns(names, options, "DataFrame"), {}
    for name in used_columns(x_columns, options):
        try:
            columns[name] = pa.array(frame.iloc[:, names.index(name)], from_pandas=True)
        except pa.ArrowException as error:
            raise ValueError(
                f"DataFrame: column {name!r} is of no one type that is known ({error}); make it "
                f"numbers or text, or leave it out with {drop_hint([name])}"
            ) from error
    return table_contents(pa.table(columns), x_columns, options, "DataFrame", "DataFrame")


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
    x_columns = choose_columns(names, options, str(path))
    used = used_columns(x_columns, options)
    refuse_too_large(str(path), rows * len(used) * np.dtype(np.float64).itemsize)
    try:
        table = parquet.read_table(path, columns=used, page_checksum_verification=True)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(_unreadable(path, error)) from error
    return table_contents(table, x_columns, options, path.stem, str(path))


def choose_columns(names: Sequence[str], options: ReadOptions, origin: str) -> tuple[str, ...]:
    """The columns that become entries of x: those asked for, or all that are nothing else.

    Raises:
        ValueError: repeated names, or no such column, or one with two parts to play, or none left.

    >>> choose_columns(["a", "b", "y"], ReadOptions("y", ("a",)), "table")
    ('b',)
    """
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"{origin}: columns must have different names; {repeated[0]!r} repeats")
    asked_for = {
        "label": () if options.label is None else (options.label,),
        "drop": options.drop,
        "attributes": options.attributes,
        "factors": options.factors,
    }
    for argument, asked in (asked_for | {"columns": options.only or ()}).items():
        for name in asked:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1) or list(names[:8])
                found = ", ".join(map(repr, near))
                raise ValueError(f"{argument}: {origin} has no column {name!r}; there is {found}")
    apart = [name for asked in asked_for.values() for name in asked]
    for argument in ("attributes", "factors"):
        for name in asked_for[argument]:
            if apart.count(name) > 1:
                raise ValueError(
                    f"{argument}: {name!r} is named twice, or is the label or dropped too"
                )
    if options.label in options.drop:
        raise ValueError(f"label: {options.label!r} is dropped too; leave one of both out")
    if options.label in (options.only or ()):
        raise ValueError(f"label: {options.label!r} is an entry of x; name another column")
    x_columns = tuple(options.only or (name for name in names if name not in apart))
    if not x_columns:
        raise ValueError(
            f"{origin}: no columns are left besides label, attributes, factors and drop"
        )
    return x_columns


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
) -> Contents:
    """The rows of a table as training examples, once all cells are what their column needs.

    Args:
        table: at least ``used_columns``, each of the type that it was found to have.
        x_columns: the entries of x, in their order.
        options: which columns are label, attributes and factors.
        name: of the data.
        origin: how messages call the table.
        find: how messages call a cell; None: by its row, from 0.

    Raises:
        ValueError: text where numbers are needed, or missing cells, with the place and the remedy.

    >>> import pyarrow as pa
    >>> table = pa.table({"a": [1, 2], "y": ["u", None]})
    >>> table_contents(table, ["a"], ReadOptions("y"), "two", "two.csv")
    Traceback (most recent call last):
    ValueError: two.csv: row 1 has no label in column 'y'; fill it in, or drop the row
    """
    find = find or (lambda row, column: (f"row {row}", table.column(column)[row].as_py()))
    attributes, factors, label = options.attributes, options.factors, options.label
    _refuse_text(table, [*x_columns, *attributes, *factors], origin, find)
    _refuse_missing(table, used_columns(x_columns, options), label, origin, find)
    arrays = SplitArrays(
        _matrix(table, x_columns),
        None if label is None else _plain(table.column(label)).to_numpy(),
        _matrix(table, factors) if factors else None,
        _matrix(table, attributes) if attributes else None,
    )
    return Contents(
        {"train": arrays},
        name,
        origin,
        "table",
        columns=tuple(x_columns),
        attribute_names=attributes or None,
        factor_names=factors or None,
    )


def first_text(cells: Sequence[str | None]) -> int | None:
    """The first of some cells that is neither a number nor missing, if there is one.

    >>> first_text(["1", " NA", "1_000"])
    2
    """
    texts = (i for i, cell in enumerate(cells) if not (is_missing(cell) or is_number(cell)))
    return next(texts, None)


def is_missing(cell: str | None) -> bool:
    """Whether a cell of text says that there is nothing.

    >>> is_missing(" N/A"), is_missing("0")
    (True, False)
    """
    return cell is None or cell.strip().lower() in MISSING


def is_number(cell: str | None) -> bool:
    """Whether a cell of text is a number as files have them.

    >>> is_number("1e5"), is_number("1_000"), is_number("nan")
    (True, False, False)
    """
    try:
        return "_" not in str(cell) and not np.isnan(float(str(cell)))  # 1_000 is Python only
    except ValueError:
        return False


def _refuse_text(table: pa.Table, columns: Sequence[str], origin: str, find: FindCell) -> None:
    import pyarrow as pa

    others = [column for column in columns if not _is_numeric(table.column(column).type)]
    if not others:
        return
    cells, kind = table.column(others[0]), table.column(others[0]).type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    row = (first_text(cells.to_pylist()) if text else None) or 0
    place, cell = find(row, others[0]) if len(cells) else ("no row", None)
    held = f"holds {'text' if text else 'no numbers'} ({cell!r})"
    what, them, one = "it", "it", "it"
    if len(others) > 1:
        what, them, one = f"the {len(others)} columns without numbers", "them", "one"
    raise ValueError(
        f"{origin}: {place}, column {others[0]!r} {held}; leave {what} out with "
        f"{drop_hint(others)}, encode {them} as numbers, or make {one} the label"
    )


def _refuse_missing(
    table: pa.Table, columns: Sequence[str], label: str | None, origin: str, find: FindCell
) -> None:
    for column in columns:
        missing = _missing(table.column(column))
        if not missing.any():
            continue
        row, more = int(missing.argmax()), int(missing.sum()) - 1
        place, cell = find(row, column)
        line = place.split()[0]
        if column == label:
            raise ValueError(
                f"{origin}: {place} has no label in column {label!r}; fill it in, or drop the "
                f"{line}"
            )
        raise ValueError(
            f"{origin}: {place}, column {column!r} is missing"
            + (f" ({cell!r})" if isinstance(cell, str) else "")
            + (f" (and {more} more in this column)" if more else "")
            + f"; fill it in, drop the {line}, or leave the column out with {drop_hint([column])}"
        )


def _missing(column: pa.ChunkedArray) -> Array:
    """Which cells are null, or NaN where that can be."""
    if column.null_count:
        return column.is_null(nan_is_null=True).to_numpy()
    values = _plain(column).to_numpy()  # without the compute module, which takes time to import
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(column), bool)


def _is_numeric(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    return any(test(kind) for test in tests)  # where all cells are missing, that is to be said


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values themselves of a column of categories."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _matrix(table: pa.Table, columns: Sequence[str]) -> Array:
    """(N, D) of the type that holds all columns of numbers, a block of rows after the other."""
    import pyarrow as pa

    chosen = pa.table({str(i): _plain(table.column(name)) for i, name in enumerate(columns)})
    types = [kind.to_pandas_dtype() for kind in chosen.schema.types]
    matrix, start = np.empty((chosen.num_rows, len(columns)), np.result_type(*types)), 0
    for batch in chosen.to_batches(max_chunksize=ROWS_AT_ONCE):
        rows = matrix[start : start + batch.num_rows]
        for index, column in enumerate(batch.columns):
            rows[:, index] = column.to_numpy(zero_copy_only=False)
        start += batch.num_rows
    return matrix


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path}: cannot be read as Parquet ({error}); it may be cut short: write it again"
