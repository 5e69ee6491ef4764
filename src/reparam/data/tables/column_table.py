"""A table described column by column."""

from __future__ import annotations

import torch

from reparam.data.splits import Data
from reparam.space import Column

NUMBERS = ("column", "kind", "missing", "minimum", "mean", "deviation", "maximum", "different")
NAMES = ("column", "kind", "missing", "different", "most frequent")
MOST_NAMES = 3  # the most frequent ones, that are shown with their shares
Rows = list[tuple[str, ...]]


def describe_columns(data: Data, most: int = 50) -> dict[tuple[str, ...], Rows]:
    """What the training rows have in every column: by headings, a row for each.

    Of the cells that are there: numbers by their range, names and flags by how frequent they are.

    Args:
        data: of a table; other data have no columns to describe.
        most: columns that are described.

    >>> from reparam.data.loading import load_data
    >>> data = load_data(([[0.0, 5], [1, 6], [3, 7], [2, 8]], [0, 1, 0, 1]))
    >>> describe_columns(data)
    {}
    """
    if data.columns is None or data.space.is_image:
        return {}
    x = data.space.columns or [Column(name, "real") for name in data.columns]
    parts = [
        ("attribute", data.attribute_names or (), data.train.attributes),
        ("factor", data.factor_names or (), data.train.factors),
    ]
    found: list[tuple[Column, str, torch.Tensor]] = [
        (column, column.kind if data.space.columns else "x", data.train.x[:, index])
        for index, column in enumerate(x)
    ]
    found += [
        (Column(name, "real"), what, values[:, index])
        for what, names, values in parts
        if values is not None
        for index, name in enumerate(names)
    ]
    tables: dict[tuple[str, ...], Rows] = {}
    for column, kind, cells in found[:most]:
        there = cells[~cells.isnan()].double()
        missing = f"{1 - len(there) / len(cells):.1%}" if len(there) < len(cells) else ""
        named = column.kind in ("category", "binary")
        different = f"{len(there.unique()):,}"
        row = (different, _shares(there, column)) if named else (*_numbers(there), different)
        table = tables.setdefault(NAMES if named else NUMBERS, [])
        table.append((column.name, kind, missing, *row))
    return tables


def _numbers(there: torch.Tensor) -> tuple[str, ...]:
    if not len(there):
        return ("",) * 4
    numbers = (there.min(), there.mean(), there.std(correction=0), there.max())
    return tuple(_short(number.item()) for number in numbers)


def _short(number: float) -> str:
    """Four digits, or a whole number of up to nine: 0.1235, 12.35, 12,346."""
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.4g}"


def _shares(there: torch.Tensor, column: Column) -> str:
    """The most frequent names, and how many more there are."""
    count = column.count or 1
    names = column.names or tuple(str(column.low + index) for index in range(count))
    counts = torch.bincount((there - column.low).long(), minlength=count)
    order = counts.argsort(descending=True, stable=True)
    shares = [f"{names[i]} {counts[i] / max(len(there), 1):.0%}" for i in order]
    more = len(shares) - MOST_NAMES
    return ", ".join(shares[:MOST_NAMES]) + (f", {more} more" if more > 0 else "")
