"""Data of some classes only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reparam.data.contents import Array, Contents, SplitArrays
from reparam.data.large_arrays import take
from reparam.wording import did_you_mean, listed

CLASSES_NAMED = 10  # in a message


@dataclass(frozen=True)
class Chosen:
    """Which classes are kept: those that are named, or all but those.

    Args:
        only, without: names of classes; empty: nothing is said.
    """

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


ALL_CLASSES = Chosen()


def chosen_classes(
    contents: Contents, classes: tuple[str, ...] | None, chosen: Chosen
) -> tuple[Contents, tuple[str, ...] | None]:
    """The rows of some classes, with labels as indices into the names that are left.

    Args:
        contents: labels (N,) as indices into ``classes``.
        classes: names; None: the data have no labels.
        chosen: which are kept.

    Raises:
        ValueError: no such class, no labels, or a split without rows of the classes that are left.

    >>> arrays = SplitArrays(np.arange(3.0)[:, None], np.array([0, 2, 1]))
    >>> data = Contents({"train": arrays}, "x", "array")
    >>> kept, names = chosen_classes(data, ("a", "b", "c"), Chosen(without=("b",)))
    >>> kept.splits["train"].x.tolist(), kept.splits["train"].labels.tolist(), names
    ([[0.0], [1.0]], [0, 1], ('a', 'c'))
    """
    if chosen == ALL_CLASSES:
        return contents, classes
    for argument, asked in (("only", chosen.only), ("without", chosen.without)):
        if asked and classes is None:
            raise ValueError(
                f"{argument}: {contents.origin} has no labels; of a table, name their column "
                "(label, --label)"
            )
        for name in (name for name in asked if name not in (classes or ())):
            hint = did_you_mean(name, classes or ())
            known = listed(classes or (), CLASSES_NAMED)
            raise ValueError(f"{argument}: no class {name!r}; there is {known}{hint}")
    assert classes is not None
    kept = [
        index
        for index, name in enumerate(classes)
        if name not in chosen.without and (not chosen.only or name in chosen.only)
    ]
    if not kept:
        raise ValueError("without: leaves no class; name fewer")
    splits = {
        split: _rows_of(contents.at(split), arrays, kept)
        for split, arrays in contents.splits.items()
    }
    before, after = (sum(len(a.x) for a in s.values()) for s in (contents.splits, splits))
    names = tuple(classes[index] for index in kept)
    note = f"Classes kept: {listed(names, CLASSES_NAMED)}: {after} of {before} rows."
    return replace(contents, splits=splits).noted(note), names


def _rows_of(where: str, arrays: SplitArrays, kept: list[int]) -> SplitArrays:
    if arrays.labels is None:
        raise ValueError(f"{where} has no labels to choose rows by")
    rows = np.flatnonzero(np.isin(arrays.labels, kept))
    if not len(rows):
        raise ValueError(f"{where} has no rows of the classes that are kept")
    found = taken(arrays, rows)
    assert found.labels is not None
    return replace(found, labels=np.searchsorted(kept, found.labels))


def taken(arrays: SplitArrays, rows: Array) -> SplitArrays:
    """Some rows of a split, with all that goes with them."""
    there = {what: values for what, values in vars(arrays).items() if values is not None}
    found: dict[str, Any] = {what: take(values, rows) for what, values in there.items()}
    return SplitArrays(**{"rows": np.asarray(rows)} | found)
