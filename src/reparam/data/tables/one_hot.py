"""Columns of names as flags: one column for each name, 1 where it stands in the cell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reparam.data.contents import Array, Contents, flags_of
from reparam.data.tables.column_kinds import Kinds, check_kinds, renamed
from reparam.data.tables.table_columns import refuse_repeated
from reparam.space import ColumnKind
from reparam.wording import listed

Names = Mapping[str, Sequence[str]]


def with_flags(
    contents: Contents, asked: bool | Names, kinds: Kinds, rare: bool = False
) -> tuple[Contents, Kinds]:
    """The same with columns of names as flags, and the kinds of columns with those of flags.

    A flag is binary, or real where its column was to be. What is missing is so in all its flags.

    Args:
        contents: of a table, text as indices of ``names``.
        asked: names by column, which others have; True: of all columns that are no flag of two
            names, unless these are asked for as ``category`` or ``real``.
        kinds: by column, what the user says.
        rare: whether names that others do not have are the one that rare ones became.

    Raises:
        ValueError: a name that others do not have, or a flag called as another column.

    >>> from reparam.data.contents import SplitArrays
    >>> cells = SplitArrays(np.array([[5.0, 1.0], [6.0, np.nan]]))
    >>> names = {"color": ("blue", "red", "tan")}
    >>> table = Contents({"train": cells}, "t", "t", "table", columns=("a", "color"), names=names)
    >>> found, kinds = with_flags(table, True, {})
    >>> found.columns, found.splits["train"].x[0].tolist()
    (('a', 'color=blue', 'color=red', 'color=tan'), [5.0, 0.0, 1.0, 0.0])
    """
    columns = contents.columns or ()
    if isinstance(asked, Mapping):
        known = {name: tuple(words) for name, words in asked.items() if name in columns}
        contents = _counted_as(contents, known, rare) if known else contents
    else:
        known = _chosen(contents, kinds)
    flags = {name: flags_of(name, words) for name, words in known.items()}
    spread = [flag for name in columns for flag in flags.get(name, (name,))]
    for name, made in flags.items():
        if taken := sorted(set(made) & set(columns)):
            raise ValueError(
                f"{contents.origin}: a flag of {name!r} is called {taken[0]!r}, as another column; "
                f"leave that out: --drop {shlex.quote(taken[0])} (drop=…)"
            )
    refuse_repeated(spread, contents.origin)
    check_kinds(kinds, [*columns, *spread])
    if not known:
        return contents, kinds
    of_flags: dict[str, ColumnKind] = {
        flag: kinds.get(flag, "real" if kinds.get(name) == "real" else "binary")
        for name, words in flags.items()
        for flag in words
    }
    said = listed([f"{name} ({len(words)})" for name, words in known.items()], 10)
    contents = replace(
        contents.with_x(lambda x: _spread(x, [len(known.get(name, ())) for name in columns])),
        columns=tuple(spread),
        names={name: words for name, words in contents.names.items() if name not in known},
        found={**contents.found, "one_hot": {n: list(w) for n, w in known.items()}},
    ).noted(f"A flag for each name: {said}; {len(of_flags)} columns.")
    return contents, {n: kind for n, kind in kinds.items() if n not in known} | of_flags


def _chosen(contents: Contents, kinds: Kinds) -> dict[str, tuple[str, ...]]:
    """Of all columns of text those that get flags; of two names one is there already."""
    return {
        name: words
        for name, words in contents.names.items()
        if kinds.get(name, "binary" if len(words) == 2 else "category") in ("category", "real")
    }


def _counted_as(contents: Contents, known: Mapping[str, tuple[str, ...]], rare: bool) -> Contents:
    """The same with names of some columns counted as others have them."""
    names, splits, notes = {**contents.names, **known}, {}, dict[str, None]()
    for split, arrays in contents.splits.items():
        x, more = renamed(arrays.x, contents, names, rare)
        splits[split], notes = replace(arrays, x=x), notes | dict.fromkeys(more)
    return replace(contents, splits=splits, names=names).noted(*notes)


def _spread(x: Array, counts: Sequence[int]) -> Array:
    """x (N, D) with so many flags in place of each column of indices, 0: it stays."""
    parts = []
    for column, count in zip(x.T[:, :, None], counts, strict=True):
        flags = np.where(np.isnan(column), np.nan, column == np.arange(count))
        parts.append(flags if count else column)
    return np.concatenate(parts, 1)
