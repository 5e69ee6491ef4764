"""A text table with a row for each image file: its columns are attributes, factors or labels."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.data.contents import Array, Contents, Files, ReadOptions, file_and_frame
from reparam.data.tables.cells import is_missing, unquoted
from reparam.data.tables.column_values import is_text, with_numbers
from reparam.data.tables.csv_files import as_labels
from reparam.data.tables.table_columns import drop_hint
from reparam.data.tables.text_layout import Layout, otherwise, text_layout
from reparam.wording import counted, did_you_mean, listed

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

MOST_WORDS = 50  # of a column of text, each of which becomes an attribute


def with_table(contents: Contents, options: ReadOptions) -> Contents:
    """The same images with what a table says of their files, where one is given.

    Args:
        contents: decoded image files.
        options: the table; which of its columns are attributes (no column named: all but the file
            names and those to drop) or factors, and which is the label. Of a column of text each
            word is an attribute of 0 and 1, called ``column:word``, or a level of the factor.

    Raises:
        ValueError: no column of file names, no row for a file or several, cells without a value.

    >>> from reparam.data.contents import Files, SplitArrays
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "people.csv"
    >>> _ = table.write_text("file,age,hair" + chr(10) + "b.png,41,red" + chr(10) + "a.png,30,gray")
    >>> files = Files(Path("photos"), np.array(["a.png", "b.png"], object))
    >>> photos = Contents({"train": SplitArrays(np.zeros((2, 3)), files=files)}, "photos", "photos")
    >>> with_table(photos, ReadOptions(attribute_table=str(table))).splits["train"].attributes
    array([[30.,  1.,  0.],
           [41.,  0.,  1.]])
    """
    if options.attribute_table is None:
        return contents
    import pyarrow as pa

    path = Path(options.attribute_table).expanduser()
    names = {
        split: [file_and_frame(name)[0] for name in arrays.files.names]
        for split, arrays in contents.splits.items()
        if arrays.files is not None
    }
    files = sorted({name for found in names.values() for name in found})
    layout, opened = _opened(path, options)
    table, notes = _rows_of(files, opened, path)
    chosen = _columns(table.column_names, options, path)
    factors = options.factors
    used = (*chosen, *factors, options.label)
    unused = [name for name in table.column_names if name not in used]
    if unused:
        notes.append(f"Columns of {path.name} not used: {listed(unused)}.")
    marks = otherwise(options, layout.delimiter), layout.mark
    numbers = [*chosen, *factors]
    cells = pa.table({name: _cells(table, name, files, path) for name in numbers})
    columns, more, mark = with_numbers(cells, numbers, *marks)
    notes += more
    found: dict[str, Array] = {}
    for name in chosen:
        found |= _numbers(name, columns.column(name), path)
    beside: dict[str, Array] = {"attributes": np.stack(list(found.values()), 1)} if found else {}
    level_names: dict[str, tuple[str, ...]] = {}
    if factors:
        levels = [_levels(columns.column(name)) for name in factors]
        beside["factors"] = np.stack([values for values, _ in levels], 1)
        for name, (_, words) in zip(factors, levels, strict=True):
            if words:
                level_names[name] = words
                named = [f"{level} {word}" for level, word in enumerate(words)]
                notes.append(f"Levels of the factor {name}: {listed(named, MOST_WORDS)}.")
    if options.label is not None:
        written = pa.chunked_array([_cells(table, options.label, files, path)])
        beside["labels"] = as_labels(written, mark or ".").to_numpy()
        notes.append(f"Labels are in column {options.label!r} of {path.name}.")
    index = {name: row for row, name in enumerate(files)}
    splits = dict(contents.splits)
    for split, in_split in names.items():
        rows = [index[name] for name in in_split]
        taken: dict[str, Any] = {what: values[rows] for what, values in beside.items()}
        splits[split] = replace(splits[split], **taken)
    contents = replace(contents, splits=splits, attribute_names=tuple(found) or None)
    contents = replace(contents, factor_names=factors or None, level_names=level_names)
    return contents.noted(*notes)


def numbers_beside(
    path: Path, files: Files | None, rows: int
) -> tuple[tuple[str, ...], torch.Tensor]:
    """The columns of a table beside examples that were read before: names, and (N, F) in float64.

    Args:
        path: the table.
        files: that the examples were decoded from, by which their rows are found; None: the table
            has a row for each example, in their order.
        rows: how many examples there are.

    Raises:
        ValueError: as of ``with_table``; or not as many rows as examples.

    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "ages.csv"
    >>> _ = table.write_text("age" + chr(10) + "41" + chr(10) + "30")
    >>> numbers_beside(table, None, 2)
    (('age',), tensor([[41.],
            [30.]], dtype=torch.float64))
    """
    import pyarrow as pa
    import torch

    path, options = path.expanduser(), ReadOptions()
    if not path.is_file():
        raise ValueError(f"attribute_table: expected a file, got {path}")
    layout, table = _opened(path, options)
    of_each: list[str] = [f"row {row}" for row in range(rows)]
    if files is not None:
        of_each = [file_and_frame(name)[0] for name in files.names]
        names = sorted(set(of_each))
        table, _ = _rows_of(names, table, path)
        index = {name: row for row, name in enumerate(names)}
        table = table.take([index[name] for name in of_each])
    if table.num_rows != rows:
        raise ValueError(
            f"attribute_table: {path} has {counted(table.num_rows, 'row')} for "
            f"{counted(rows, 'training example')}; give one for each, in their order"
        )
    chosen = [name for name in table.column_names if name]
    cells = pa.table({name: _cells(table, name, of_each, path) for name in chosen})
    marks = otherwise(options, layout.delimiter), layout.mark
    columns, _, _ = with_numbers(cells, chosen, *marks)
    found: dict[str, Array] = {}
    for name in chosen:
        found |= _numbers(name, columns.column(name), path)
    if not found:
        raise ValueError(f"attribute_table: {path} has no columns beside the names of the images")
    return tuple(found), torch.from_numpy(np.stack(list(found.values()), 1))


def _opened(path: Path, options: ReadOptions) -> tuple[Layout, pa.Table]:
    """How the table is written, and all its cells as text."""
    import pyarrow as pa

    try:
        layout = text_layout(path, ReadOptions(header=True, decimal=options.decimal))
        twice = [name for name, times in Counter(layout.names).items() if times > 1]
        if twice:
            raise ValueError(f"attribute_table: {path} has several columns {twice[0]!r}")
        columns: list[list[str]] = [[] for _ in layout.names]
        for _, line, cells in layout.rows(path):
            if len(cells) != len(columns):
                raise ValueError(
                    f"attribute_table: {path} has {len(cells)} cells in line {line}, where the "
                    f"header has {len(columns)}"
                )
            for column, cell in zip(columns, cells, strict=True):
                column.append(unquoted(cell))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"attribute_table: {path} cannot be read as text ({error})") from error
    return layout, pa.table(columns, names=layout.names)


def _rows_of(files: Sequence[str], table: pa.Table, path: Path) -> tuple[pa.Table, list[str]]:
    """The rows of these files, in their order and without the column that names them.

    It is the one that holds the path, else the name, else the name without suffix, of the most of
    them, and of more than half.
    """
    ways = (str, lambda file: PurePosixPath(file).name, lambda file: PurePosixPath(file).stem)
    posix = [Path(file).as_posix() for file in files]
    for way in ways:
        wanted = [way(file) for file in posix]
        columns = {
            name: [_as_path(cell) for cell in table.column(name).to_pylist()]
            for name in table.column_names
        }
        named = {name: len(set(wanted) & set(cells)) for name, cells in columns.items()}
        most = max(named.values())
        best = [name for name, count in named.items() if count == most]
        if 2 * most <= len(set(wanted)):
            continue
        if len(best) > 1:
            raise ValueError(
                f"attribute_table: the columns {listed(best)} of {path} could all name the images; "
                "write the names with their suffix, or leave one out of the file"
            )
        cells = columns[best[0]]
        chosen, more = _chosen(wanted, cells, path), len(set(cells) - set(wanted))
        notes = [f"The images are named in column {best[0]!r} of {path.name}."]
        notes += [f"{more} rows of {path.name} name no image that was read."] if more else []
        return table.drop_columns(best).take(chosen), notes
    raise ValueError(
        f"attribute_table: {path} has no column that names the images, as {files[0]!r}; its "
        f"columns are {listed(table.column_names)}"
    )


def _chosen(wanted: Sequence[str], cells: Sequence[str], path: Path) -> list[int]:
    row_of = {cell: row for row, cell in enumerate(cells)}
    lacking = [name for name in wanted if name not in row_of]
    if lacking:
        raise ValueError(
            f"attribute_table: {path} has no row for {listed(lacking)}; add it, or move the images "
            "elsewhere"
        )
    rows, images = Counter(cells), Counter(wanted)
    for name in wanted:
        if rows[name] > 1 or images[name] > 1:
            raise ValueError(
                f"attribute_table: {path} has {rows[name]} rows for {name!r}, which {images[name]} "
                "images are called; give one row for each, with the path below the folder"
            )
    return [row_of[name] for name in wanted]


def _as_path(cell: str | None) -> str:
    return (cell or "").strip().replace("\\", "/").removeprefix("./")


def _columns(there: Sequence[str], options: ReadOptions, path: Path) -> list[str]:
    """Those that are attributes; refused where the table has none that is asked for."""
    label = [] if options.label is None else [options.label]
    for argument, names in (
        ("label", label),
        ("drop", options.drop),
        ("attributes", options.attributes),
        ("factors", options.factors),
    ):
        for name in names:
            if name not in there:
                hint = did_you_mean(name, there)
                raise ValueError(f"{argument}: {path} has no column {name!r}{hint}")
    named = Counter((*label, *options.drop, *options.attributes, *options.factors))
    twice = [name for name in options.factors if named[name] > 1]
    if twice:
        raise ValueError(
            f"factors: {twice[0]!r} is named twice, or is the label or dropped too; name it once"
        )
    if options.attributes or options.factors or label:
        return list(options.attributes)
    return [name for name in there if name and name not in options.drop]  # nameless: row numbers


def _cells(table: pa.Table, column: str, files: Sequence[str], path: Path) -> list[str]:
    cells = table.column(column).to_pylist()
    for file, cell in zip(files, cells, strict=True):
        if is_missing(cell):
            raise ValueError(
                f"attribute_table: {path} has no value in column {column!r} for {file}"
                + (f" ({cell!r})" if cell else "")
                + f"; fill it in, or leave the column out with {drop_hint([column])}"
            )
    return [cell.strip() for cell in cells]


def _numbers(column: str, values: pa.ChunkedArray, path: Path) -> dict[str, Array]:
    """A column of numbers, or one of 0 and 1 for every word."""
    if not is_text(values.type):
        return {column: values.to_numpy().astype(np.float64)}
    cells = values.to_pylist()
    words = sorted(set(cells))
    if len(words) > MOST_WORDS:
        raise ValueError(
            f"attribute_table: column {column!r} of {path} holds {len(words)} different words; "
            f"leave it out with {drop_hint([column])}, or name others as attributes"
        )
    return {f"{column}:{w}": np.array([cell == w for cell in cells], np.float64) for w in words}


def _levels(values: pa.ChunkedArray) -> tuple[Array, tuple[str, ...]]:
    """A column of numbers, or of words as the levels that these are in their order, with these."""
    if not is_text(values.type):
        return values.to_numpy().astype(np.float64), ()
    words, levels = np.unique(np.array(values.to_pylist()), return_inverse=True)
    return levels.astype(np.float64), tuple(words.tolist())
