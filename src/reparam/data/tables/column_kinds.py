"""Kinds of the columns of a table: reals, whole numbers, flags, names; and missing cells."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from reparam.data.beside_x import in_order
from reparam.data.contents import Array, Contents
from reparam.data.tables.cells import plain_name
from reparam.data.values import fits_float32, is_absent, refuse_infinite
from reparam.space import FLOAT32_EXACT, Column, ColumnKind, as_tensor, check_columns
from reparam.wording import counted, did_you_mean, listed

MOST_LEVELS = 100  # of a column of whole numbers that nobody says is one
OTHER = "other"  # the name of all that are rare
SKEWED = 2.0  # skewness from which a positive column is nearer to a log-normal one
Kinds = Mapping[str, ColumnKind]


def check_kinds(kinds: Mapping[str, str], columns: Sequence[str]) -> None:
    """ValueError where a kind is none, or of no entry of x.

    >>> check_kinds({"age": "real"}, ["age", "city"])
    """
    for name, kind in kinds.items():
        if kind not in get_args(ColumnKind):
            expected = ", ".join(get_args(ColumnKind))
            raise ValueError(f"kind: expected {name}={expected}, got {name}={kind}")
        if name not in columns:
            hint = did_you_mean(name, columns)
            raise ValueError(f"kind: {name!r} is no column that is an entry of x{hint}")


def with_columns(contents: Contents, kinds: Kinds) -> tuple[Contents, tuple[Column, ...] | None]:
    """Kinds of all columns, over all splits at once; None where they are one kind as a whole.

    Text is names, of two values flags. Whole numbers of up to 100 levels that repeat, each twice on
    average, are levels, with two neighbors flags; all else is real.

    Args:
        contents: of a table, NaN where a cell is missing, text as indices of ``names``.
        kinds: by column, what the user says.

    Raises:
        ValueError: a column that cannot be of the kind that is asked for.

    >>> from reparam.data.contents import SplitArrays
    >>> x = np.array([[18, 0.5], [19, 0.25], [18, np.nan], [25, 2.5], [19, 1.0], [25, 3.5]])
    >>> table = Contents({"train": SplitArrays(x)}, "two", "two.csv", "table", columns=("a", "b"))
    >>> [(c.name, c.kind, c.levels, c.low) for c in with_columns(table, {})[1]]
    [('a', 'levels', 8, 18), ('b', 'real', None, 0)]
    """
    assert contents.columns is not None
    for split in contents.splits:
        refuse_infinite(contents, split)
    arrays = [arrays.x for arrays in contents.splits.values()]
    columns = tuple(
        _column(contents, name, [x[:, index] for x in arrays], kinds.get(name))
        for index, name in enumerate(contents.columns)
    )
    complete = not any(bool(np.isnan(x).any()) for x in arrays if x.dtype.kind == "f")
    plain = {column.kind for column in columns}
    if complete and (plain == {"real"} or plain == {"binary"}) and not any(map(_is_own, columns)):
        return contents, None
    return contents.noted(*_notes(contents, columns, arrays, kinds)), columns


def kinds_of_names(columns: Sequence[Column]) -> dict[str, ColumnKind]:
    """By column with names that more is read as names, whichever of them it has.

    >>> kinds_of_names([Column("age", "real"), Column("married", "binary", names=("no", "yes"))])
    {'married': 'category'}
    """
    return {column.name: "category" for column in columns if column.names is not None}


def of_columns(contents: Contents, columns: Sequence[Column], rare: bool = False) -> Contents:
    """More of a table that is known: names counted as there, cells of the kinds there, or missing.

    Args:
        contents: x (N, D) of as many columns.
        columns: of the table that is known.
        rare: whether other names are the one that rare ones became.

    Raises:
        ValueError: other columns, names or values.
    """
    ours = tuple(column.name for column in columns)
    known = {column.name: column.names for column in columns if column.names is not None}
    splits, notes = {}, list[str]()
    for split, arrays in contents.splits.items():
        if contents.columns is None and arrays.x.shape[1:] != (len(ours),):
            raise ValueError(
                f"{contents.origin}: expected {len(ours)} entries in each row, got shape "
                f"{arrays.x.shape[1:]}; give the columns {listed(ours)}, in this order"
            )
        x = in_order("x", arrays.x, contents.columns, ours, contents.origin)
        if contents.names:  # arrays may have indices alone
            x, more = renamed(x, replace(contents, columns=ours), known, rare)
            notes += more
        check_columns(as_tensor(x), columns, missing=True, name=contents.origin)
        splits[split] = replace(arrays, x=x)
    return stored(replace(contents, splits=splits, columns=ours).noted(*notes), columns)


def stored(contents: Contents, columns: Sequence[Column]) -> Contents:
    """x in single precision where that loses nothing of the real columns, else in double."""
    if any(abs(column.low) + (column.count or 0) > FLOAT32_EXACT for column in columns):
        return contents.with_x(lambda x: x.astype(np.float64))
    reals = [i for i, column in enumerate(columns) if column.count is None]
    arrays = [arrays.x for arrays in contents.splits.values()]
    dtype = np.float32 if not reals or fits_float32(arrays, reals) else np.float64
    return contents.with_x(lambda x: x.astype(dtype, copy=False))


def with_rare(contents: Contents, share: float) -> Contents:
    """Names of text columns that less than a share of the training cells have, as one: other.

    >>> from reparam.data.contents import SplitArrays
    >>> cells = SplitArrays(np.array([[0.0], [1.0], [1.0], [2.0], [1.0]]))
    >>> names = {"city": ("Bern", "Genf", "Rome")}
    >>> table = Contents({"train": cells}, "t", "t.csv", "table", columns=("city",), names=names)
    >>> found = with_rare(table, 0.25)
    >>> found.names, found.splits["train"].x.ravel().tolist()
    ({'city': ('Genf', 'other')}, [1.0, 0.0, 0.0, 1.0, 0.0])
    """
    if not 0 < share < 1:
        raise ValueError(f"rare: expected a share between 0 and 1, got {share}")
    names, notes = dict(contents.names), []
    for name, known in contents.names.items():
        assert contents.columns is not None
        column = contents.columns.index(name)
        cells = contents.splits["train"].x[:, column]
        counts = np.bincount(cells[~np.isnan(cells)].astype(int), minlength=len(known))
        few = counts < share * counts.sum()
        if few.sum() < 1 or few.all():
            continue
        kept = [word for word, is_rare in zip(known, few, strict=True) if not is_rare]
        names[name] = tuple(sorted({*kept, OTHER}))
        notes.append(f"{name} ({few.sum()} of {len(known)} names)")
    if not notes:
        return contents.noted("No names are rare.")
    splits = {
        split: replace(arrays, x=renamed(arrays.x, contents, names, True)[0])
        for split, arrays in contents.splits.items()
    }
    note = f"Rare names became {OTHER!r}: {listed(notes)}."
    return replace(contents, splits=splits, names=names).noted(note)


def renamed(
    x: Array, theirs: Contents, ours: Mapping[str, tuple[str, ...]], other: bool = False
) -> tuple[Array, list[str]]:
    """x (N, D) of another table with its names counted as ours are, and notes.

    Args:
        x: of ``theirs``, in the order of its columns.
        theirs: names by column of text.
        ours: likewise.
        other: whether names that are none of ours are the one that is called so, where there is.

    Raises:
        ValueError: a name that is none of ours, or text where ours are numbers, or the reverse.
    """
    assert theirs.columns is not None
    _refuse_other_types(x, theirs, ours)
    x, notes = x.astype(np.float64) if ours else x, []
    for name, known in ours.items():
        if name not in theirs.columns:
            continue
        column, found = theirs.columns.index(name), theirs.names.get(name, ())
        places = {word: place for place, word in enumerate(known)}
        alone = Counter(map(plain_name, known))
        plain = {p: places[word] for word in known if alone[p := plain_name(word)] == 1}
        alike = {word: plain.get(plain_name(word)) for word in found if word not in places}
        places |= {word: place for word, place in alike.items() if place is not None}
        unknown = [word for word in found if word not in places]
        if unknown and other and OTHER in places:
            notes.append(f"Counted as {OTHER!r} of {name}: {listed(unknown)}.")
            places |= dict.fromkeys(unknown, places[OTHER])
        elif unknown:
            row = int((x[:, column] == found.index(unknown[0])).argmax())
            raise ValueError(
                f"{theirs.origin}: row {row}, column {name!r}: {unknown[0]!r} is none of the "
                f"{len(known)} names in training ({listed(known)}); leave such rows out, or train "
                "with rare names as one (rare, --rare)"
            )
        table = np.array([places[word] for word in found] or [0], np.float64)
        there = ~np.isnan(x[:, column])
        x[there, column] = table[x[there, column].astype(int)]
    return x, notes


def _refuse_other_types(x: Array, theirs: Contents, ours: Mapping[str, tuple[str, ...]]) -> None:
    for index, name in enumerate(theirs.columns or ()):
        is_text, there = bool(theirs.names.get(name)), ~np.isnan(x[:, index])
        if is_text == (name in ours) or not there.any():
            continue
        row = int(there.argmax())
        value = x[row, index]
        held = f"text ({theirs.names[name][int(value)]!r})" if is_text else f"numbers ({value:g})"
        what = "numbers" if is_text else "names"
        raise ValueError(
            f"{theirs.origin}: row {row}, column {name!r} holds {held}, and {what} in training; "
            f"write {what}, or leave such rows out"
        )


def _column(
    contents: Contents, name: str, parts: Sequence[Array], asked: ColumnKind | None
) -> Column:
    """What one column is, of its cells in all splits, the training rows first."""
    names = contents.names.get(name)
    if names is not None:
        if asked not in (None, "category", "binary") or (asked == "binary" and len(names) != 2):
            raise ValueError(
                f"{contents.origin}: column {name!r} holds text ({names[0]!r}), which is no "
                f"{asked} column"
            )
        if len(names) == 2 and asked != "category":
            return Column(name, "binary", names=names)
        return Column(name, "category", len(names), names)
    values = np.concatenate([part[~np.isnan(part)] for part in parts]).astype(np.float64)
    if not len(values):
        raise ValueError(_empty(contents.origin, name))
    low, high = values.min(), values.max()
    whole = bool((values == np.floor(values)).all())
    if asked is None:
        return _found(name, values, whole, int(low), int(high))
    if asked == "log" and low <= 0:
        raise ValueError(f"{contents.origin}: column {name!r} has {low:g}, which has no logarithm")
    if asked == "real" or asked == "log":
        return Column(name, asked)
    if asked == "binary" and whole and 0 <= low and high <= 1:
        return Column(name, "binary")  # though all may be the same
    if not whole or (asked == "binary" and high - low != 1):
        what = "two whole numbers side by side" if asked == "binary" else "whole numbers"
        odd = values[values != np.floor(values)][:1].tolist() or [high]
        raise ValueError(f"{contents.origin}: column {name!r} is to be {what}, and has {odd[0]:g}")
    return _whole(name, int(low), max(int(high), int(low) + 1))


def _empty(origin: str, name: str) -> str:
    return f"{origin}: column {name!r} has no cell that is there; leave it out (drop, --drop)"


def _found(name: str, values: Array, whole: bool, low: int, high: int) -> Column:
    repeats = 2 * len(np.unique(values)) <= len(values)
    if whole and repeats and 0 < high - low < MOST_LEVELS:
        return _whole(name, low, high)
    return Column(name, "real")


def _whole(name: str, low: int, high: int) -> Column:
    if high - low == 1:
        return Column(name, "binary", low=low)
    return Column(name, "levels", high - low + 1, low=low)


def _is_own(column: Column) -> bool:
    """Whether a flag is not just 0 or 1."""
    return column.low != 0 or column.names is not None


def _notes(
    contents: Contents, columns: Sequence[Column], arrays: Sequence[Array], kinds: Kinds
) -> list[str]:
    """What the columns were found to be, which cells are missing, and what may be better."""
    said = {
        "real": [c.name for c in columns if c.kind == "real"],
        "logarithm": [c.name for c in columns if c.kind == "log"],
        "whole numbers": [
            f"{c.name} ({c.low} … {c.low + (c.count or 1) - 1})"
            for c in columns
            if c.kind == "levels"
        ],
        "flags": [
            f"{c.name} ({', '.join(c.names or (str(c.low), str(c.low + 1)))})"
            for c in columns
            if c.kind == "binary"
        ],
        "names": [f"{c.name} ({c.count})" for c in columns if c.kind == "category"],
    }
    found = "; ".join(f"{kind}: {listed(names, 10)}" for kind, names in said.items() if names)
    notes = [f"Kind mixed: {found}. kind={{column: kind}} (--kind COLUMN=KIND) overrules."]
    missing = np.sum([np.isnan(x).sum(0) for x in arrays], 0)
    if missing.any():
        share = missing.sum() / sum(x.size for x in arrays)
        where = [f"{c.name} ({n})" for c, n in zip(columns, missing, strict=True) if n]
        notes.append(f"Missing cells: {share:.1%}, in {listed(where)}.")
    skewed = [
        column.name
        for index, column in enumerate(columns)
        if column.kind == "real" and column.name not in kinds and _is_skewed(arrays[0][:, index])
    ]
    if skewed:
        notes.append(
            f"Positive and skewed: {listed(skewed)}; kind log "
            f"(--kind {shlex.quote(skewed[0])}=log) models the logarithm."
        )
    return notes


def _is_skewed(x: Array) -> bool:
    x = x[~np.isnan(x)].astype(np.float64)
    if len(x) < 3 or x.min() <= 0 or x.min() == x.max():
        return False
    return bool((((x - x.mean()) / x.std()) ** 3).mean() > SKEWED)


def without_rows(contents: Contents) -> Contents:
    """The rows in which no cell is missing, nor the label, attributes or factors; with a note.

    >>> from reparam.data.contents import SplitArrays
    >>> rows = SplitArrays(np.array([[1.0], [np.nan], [3.0]]), np.array(["a", "a", None], object))
    >>> found = without_rows(Contents({"train": rows}, "t", "t.csv", "table", columns=("a",)))
    >>> found.splits["train"].x.tolist(), found.notes
    ([[1.0]], ('Left out: 1 row with missing cells, 1 row without a label.',))
    """
    from reparam.data.chosen import taken

    kept, holes, bare = dict(contents.splits), 0, 0
    for split, arrays in contents.splits.items():
        beside = [b for b in (arrays.attributes, arrays.factors) if b is not None]
        labels = np.zeros(len(arrays.x)) if arrays.labels is None else arrays.labels
        if any(values.shape[:1] != arrays.x.shape[:1] for values in (*beside, labels)):
            continue  # which is refused where they are checked
        missing = _missing(arrays.x)
        if missing.all(0).any() and contents.columns:
            column = contents.columns[int(missing.all(0).argmax())]
            raise ValueError(_empty(contents.origin, column))
        incomplete = np.any([_has_missing(values) for values in (arrays.x, *beside)], 0)
        unlabeled = ~incomplete & _has_missing(labels)
        rows = np.flatnonzero(~(incomplete | unlabeled))
        if not len(rows):
            raise ValueError(f"{contents.at(split)}: every row has a missing cell")
        holes, bare = holes + int(incomplete.sum()), bare + int(unlabeled.sum())
        if len(rows) < len(missing):
            kept[split] = taken(arrays, rows)
    left = {"with missing cells": holes, "without a label": bare}
    said = [f"{counted(count, 'row')} {what}" for what, count in left.items() if count]
    return replace(contents, splits=kept).noted(*[f"Left out: {', '.join(said)}."] * bool(said))


def _has_missing(values: Array) -> Array:
    """Which rows of values (N, …) have a missing cell."""
    return np.any(_missing(values).reshape(len(values), -1), axis=1)


def _missing(cells: Array) -> Array:
    """Which cells are NaN or, of objects, absent."""
    if cells.dtype != object:
        return cells != cells
    return np.array([is_absent(cell) for cell in cells.flat]).reshape(cells.shape)
