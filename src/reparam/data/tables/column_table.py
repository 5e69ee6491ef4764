"""A table described column by column."""

from __future__ import annotations

import torch

from reparam.data.splits import Data

HEADINGS = ("column", "what it is", "minimum", "mean", "deviation", "maximum", "different values")


def describe_columns(data: Data, most: int = 50) -> list[tuple[str, ...]]:
    """What the training rows have in every column, in the order of ``HEADINGS``.

    Args:
        data: of a table; other data have no columns to describe.
        most: columns that are described.

    >>> from reparam.data.loading import load_data
    >>> data = load_data(([[0.0, 5], [1, 6], [3, 7], [2, 8]], [0, 1, 0, 1]))
    >>> describe_columns(data)
    []
    """
    if data.columns is None or data.space.is_image:
        return []
    parts = [
        ("x", data.columns, data.train.x),
        ("attribute", data.attribute_names or (), data.train.attributes),
        ("factor", data.factor_names or (), data.train.factors),
    ]
    found = [
        (name, what, values[:, index])
        for what, names, values in parts
        if values is not None
        for index, name in enumerate(names)
    ]
    return [(name, what, *_numbers(column.double())) for name, what, column in found[:most]]


def _numbers(column: torch.Tensor) -> tuple[str, ...]:
    center, deviation = column.mean(), column.std(correction=0)
    numbers = (column.min(), center, deviation, column.max())
    return (*(f"{number.item():.4g}" for number in numbers), f"{len(column.unique()):,}")
