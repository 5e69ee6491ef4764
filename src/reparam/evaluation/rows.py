"""Which rows of a split are read, and how many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch

from reparam.batching import rows_at_once, slices
from reparam.data import Split, condition
from reparam.model import Batch, Model
from reparam.numerics import own_noise


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


def seeded_batches(
    model: Model, split: Split, seed: int, rows: int | None = None
) -> Iterator[tuple[Batch, AbstractContextManager[None]]]:
    """``batches``, each with a context in which a row's noise is by the seed and its index alone.

    Which rows stand beside it, how many at once and what was drawn before do not matter; the draws
    of different rows are independent, so that standard errors over rows are right.

    Args:
        model: what the batches are for.
        split: its rows, in order.
        seed: of all noise.
        rows: in a batch; None: as many as memory allows for the model's space.
    """
    rows = rows or rows_at_once(model.space)
    noises = seeded_slices(len(split), rows, seed, model.anchor.device)
    for batch, (_, noise) in zip(batches(model, split, rows), noises, strict=True):
        yield batch, noise


def seeded_slices(
    count: int, rows: int, seed: int, device: torch.device
) -> Iterator[tuple[slice, AbstractContextManager[None]]]:
    """Slices of so many rows at a time, each with a context as of ``seeded_batches``.

    >>> [part for part, _ in seeded_slices(3, 2, 0, torch.device("cpu"))]
    [slice(0, 2, None), slice(2, 3, None)]
    """
    # Mixed for all rows at once, which is faster; the first of them are those of fewer rows.
    seeds = np.random.SeedSequence(seed).generate_state(count).tolist()
    for part in slices(0, count, rows):
        yield part, own_noise([torch.Generator(device).manual_seed(s) for s in seeds[part]])


def subset(split: Split, count: int, seed: int) -> Split:
    """At most ``count`` rows, drawn at random without replacement, in the order of the split.

    The first rows would not do: data are often stored class by class.

    >>> rows = subset(Split(torch.arange(100.0)[:, None]), 4, seed=0).x.flatten()
    >>> len(rows), bool((rows.diff() > 0).all()), bool(rows.max() > 4)
    (4, True, True)
    """
    return split if len(split) <= count else split.take(chosen_rows(len(split), count, seed))


def chosen_rows(rows: int, count: int, seed: int) -> torch.Tensor:
    """The indices of as many rows, at most all, drawn at random without replacement, in order.

    >>> chosen_rows(3, 5, seed=0)
    tensor([0, 1, 2])
    """
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    return order[:count].sort().values
