"""Which rows of a split are read, and how many at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from reparam.batching import rows_at_once, slices
from reparam.data import Split, condition
from reparam.model import Batch, Model


def batches(model: Model, split: Split, rows: int | None = None) -> Iterator[Batch]:
    """Every row of a split as the model takes it, the last batch as short as it is.

    Args:
        model: what the batches are for.
        split: its rows, in order.
        rows: in a batch; None: as many as memory allows for the model's space.
    """
    c = condition(model, split)
    for part in slices(0, len(split), rows or rows_at_once(model.space)):
        yield Batch(split.x[part], None if c is None else c[part])


def subset(split: Split, count: int, seed: int) -> Split:
    """At most ``count`` rows, drawn at random without replacement, in the order of the split.

    The first rows would not do: data are often stored class by class.

    >>> rows = subset(Split(torch.arange(100.0)[:, None]), 4, seed=0).x.flatten()
    >>> len(rows), bool((rows.diff() > 0).all()), bool(rows.max() > 4)
    (4, True, True)
    """
    if len(split) <= count:
        return split
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split.take(order[:count].sort().values)
