"""Two sources as one: the examples of the second are the test split of the first."""

from __future__ import annotations

from dataclasses import replace

from reparam.data.raw import Array, Raw


def with_test(raw: Raw, other: Raw) -> Raw:
    """The data with the examples of another source as its test split.

    Args:
        raw: data without a test split.
        other: its test split, where it has one; else all of its examples.

    Raises:
        ValueError: there is a test split already, or the columns of two tables differ.

    >>> import numpy as np
    >>> from reparam.data.raw import Part
    >>> a = Raw({"train": Part(np.zeros((3, 2)))}, "a", "a.csv", columns=("u", "v"))
    >>> b = Raw({"train": Part(np.array([[1, 2]]))}, "b", "b.csv", columns=("v", "u"))
    >>> with_test(a, b).parts["test"].x
    array([[2, 1]])
    """
    if "test" in raw.parts:
        raise ValueError(f"test: {raw.origin} has a test split already; leave test out")
    whole = len(other.parts) == 1
    if not whole and "test" not in other.parts:
        raise ValueError(f"test: {other.origin} has splits, but none for test")
    part = other.parts["train" if whole else "test"]
    part = replace(part, x=_in_order(raw, other, part.x))
    note = f"Test examples: {other.origin}{'' if whole else ', its test split'}."
    return replace(
        raw,
        parts={**raw.parts, "test": part},
        notes=(*raw.notes, note, *(n for n in other.notes if n not in raw.notes)),
        origins={"test": other.origin},
        borrowed=raw.borrowed or other.borrowed,
    )


def _in_order(raw: Raw, other: Raw, x: Array) -> Array:
    """x of the other source, with its columns in the order of the first."""
    if raw.columns == other.columns:
        return x
    if raw.columns is None or other.columns is None:
        named = raw if other.columns is None else other
        raise ValueError(f"test: only {named.origin} has named columns; give both or none")
    differ = sorted(set(raw.columns) ^ set(other.columns))
    if differ:
        lacking = other if differ[0] in raw.columns else raw
        raise ValueError(
            f"test: expected the columns of the training data, but {lacking.origin} has no column "
            f"{differ[0]!r}"
        )
    return x[:, [other.columns.index(name) for name in raw.columns]]
