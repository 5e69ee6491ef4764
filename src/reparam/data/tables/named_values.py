"""Columns of text as names: indices into what is written in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reparam.data.tables.cells import are_words, is_missing, is_numeric, unquoted
from reparam.data.tables.column_kinds import Kinds
from reparam.data.tables.column_values import exchanged, is_text, plain

if TYPE_CHECKING:
    import pyarrow as pa

MOST_NAMES = 100
DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*)?")


def with_indices(
    table: pa.Table, columns: Sequence[str], kinds: Kinds, origin: str
) -> tuple[pa.Table, dict[str, tuple[str, ...]]]:
    """The table with columns of text as indices into their names, which are sorted.

    Args:
        table: numbers as such.
        columns: those that are looked at.
        kinds: what is said of them; numbers become text where that is category.
        origin: how messages call the table.

    Raises:
        ValueError: dates, or more names than a category is worth.

    >>> import pyarrow as pa
    >>> cities = pa.table({"city": ["Rome", None, "Bern"]})
    >>> found, names = with_indices(cities, ["city"], {}, "cities.csv")
    >>> found.column("city").to_pylist(), names
    ([1.0, None, 0.0], {'city': ('Bern', 'Rome')})
    """
    import pyarrow as pa

    found: dict[str, tuple[str, ...]] = {}
    counted: dict[str, pa.ChunkedArray] = {}
    for name in columns:
        column = plain(table.column(name))
        asked = kinds.get(name) == "category"
        if pa.types.is_temporal(column.type) and not asked:
            raise ValueError(_of_dates(origin, name, str(column[0].as_py())))
        if not (is_text(column.type) or asked):
            continue
        indices, names = _indexed(column)
        if not asked and any(map(is_numeric, names)):
            continue  # numbers, and text among them, which is to be said
        if not asked:
            _refuse(origin, name, names, len(column) - indices.null_count)
        found[name], counted[name] = names, indices
    return exchanged(table, counted), found


def holds_words(column: pa.ChunkedArray) -> bool:
    """Whether all cells that are there are text that is no number: each name is looked at once."""
    if not is_text(column.type):
        return False
    return are_words(_encoded(column).dictionary.to_pylist())


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    import pyarrow as pa

    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded


def _indexed(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, tuple[str, ...]]:
    """Indices of cells, null where one is missing, and the names in their order."""
    import pyarrow as pa

    encoded, floats = _encoded(column), pa.types.is_floating(column.type)
    words = [
        None if is_missing(word) else _whole(word) if floats else unquoted(word.strip())
        for word in encoded.dictionary.to_pylist()
    ]
    names = tuple(sorted({word for word in words if word is not None}))
    places = {word: float(place) for place, word in enumerate(names)}
    values = pa.array([None if word is None else places[word] for word in words], pa.float64())
    return pa.chunked_array([values.take(encoded.indices)]), names


def _whole(word: str) -> str:
    """A float as the integer that it is, if it is one: frames have floats where cells miss."""
    value = float(word)
    return str(int(value)) if value.is_integer() else word


def _refuse(origin: str, name: str, names: Sequence[str], cells: int) -> None:
    if names and all(DATE.fullmatch(word) for word in names[:MOST_NAMES]):
        raise ValueError(_of_dates(origin, name, names[0]))
    if len(names) > MOST_NAMES or 1 < len(names) == cells > 3:
        which = "every row has its own" if len(names) == cells else f"more than {MOST_NAMES}"
        raise ValueError(
            f"{origin}: column {name!r} is text with {len(names)} names, {which}; leave it out "
            f"(drop, --drop), or ask for it with kind={{{name!r}: 'category'}} "
            f"(--kind {shlex.quote(name)}=category)"
        )


def _of_dates(origin: str, name: str, cell: str) -> str:
    return (
        f"{origin}: column {name!r} holds dates ({cell!r}); give numbers instead, as days since a "
        f"day, the month or the weekday, or leave it out (drop, --drop)"
    )
