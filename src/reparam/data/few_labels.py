"""Which training rows have a label where there are to be few: the same for every model."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from reparam.wording import listed

Count = int | Literal["all"]
FIFTH = 5  # of so many labels of a class one is for validation


@dataclass(frozen=True)
class FewLabels:
    """How many labels there are to be, and of which draw.

    Args:
        labels: in training and validation together; None: all.
        labels_seed: of the rows that have them.
    """

    labels: int | None = None
    labels_seed: int = 0


def labels_by_class(frequencies: Sequence[int], n: int) -> list[int]:
    """n labels divided among classes, so that fewer of them are among more.

    Every class gets one, then every class a second one, the frequent ones first, and each further
    label goes where f / (2s + 1) is largest, with f the frequency of a class and s what it has.
    No class gets more than f, since f / (2f + 1) < ½ < f / (2f − 1).

    Reference: Sainte-Laguë 1910; Balinski and Young 1982, "Fair representation", on methods by
    divisors.

    >>> [labels_by_class((600, 300, 100), n) for n in (3, 4, 6, 10)]
    [[1, 1, 1], [2, 1, 1], [2, 2, 2], [5, 3, 2]]
    """
    classes = range(len(frequencies))
    often = sorted(classes, key=lambda k: -frequencies[k])
    given = [1 + (k in often[: max(0, n - len(frequencies))]) for k in classes]
    waiting = [
        (-f / (2 * s + 1), k) for k, (f, s) in enumerate(zip(frequencies, given, strict=True))
    ]
    heapq.heapify(waiting)
    for _ in range(n - sum(given)):
        k = waiting[0][1]
        given[k] += 1
        heapq.heapreplace(waiting, (-frequencies[k] / (2 * given[k] + 1), k))
    return given


def labeled_rows(
    labels: Tensor, names: Sequence[str], n: int, seed: int
) -> tuple[Tensor, Tensor | None]:
    """The rows whose labels train and those whose labels choose, in ascending order.

    Of n labels of a class a fifth choose, at least one. Where there are fewer than two for each
    class, none does: None.

    Args:
        labels: (N,) class indices.
        names: of the classes.
        n: labels in all.
        seed: of the order of rows in each class. Rows that train are taken from its front, those
            that choose from its back, so that each of the two nests for growing n; where nothing is
            chosen, the second label of a class is the last one, too, so that all labels nest.

    Raises:
        ValueError: fewer labels than classes, or more than a class or all of them have.

    >>> train, valid = labeled_rows(torch.tensor([0, 1, 0, 1, 0, 1]), ("a", "b"), 4, seed=0)
    >>> len(train), len(valid)
    (2, 2)
    """
    counts = torch.bincount(labels.cpu(), minlength=len(names)).tolist()
    _refuse_counts(counts, names, n)
    chooses = n >= 2 * len(names)
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for k, asked in enumerate(labels_by_class(counts, n)):
        if asked > counts[k]:
            raise ValueError(
                f"labels: {n} of {len(names)} classes are {asked} or more of each, got only "
                f"{counts[k]} of class {names[k]!r} in training; take fewer, or leave the class out"
            )
        back = max(1, round(asked / FIFTH)) if asked > 1 else 0
        order = _order(labels, k, seed)
        parts[0].append(order[: asked - back])
        parts[1].append(order[len(order) - back :])
    train, valid = (torch.cat(part).sort().values for part in parts)
    return (train, valid) if chooses else (torch.cat([train, valid]).sort().values, None)


def _order(labels: Tensor, k: int, seed: int) -> Tensor:
    """The rows of a class in an order of (seed, k): the same whatever the other classes are."""
    rows = (labels.cpu() == k).nonzero().squeeze(1)
    return rows[torch.from_numpy(np.random.default_rng([seed, k]).permutation(len(rows)))]


def _refuse_counts(counts: Sequence[int], names: Sequence[str], n: int) -> None:
    if n < len(names):
        raise ValueError(
            f"labels: expected at least {len(names)}, one for each class, got {n}; take more, or "
            "fewer classes (only, --only)"
        )
    bare = [name for name, count in zip(names, counts, strict=True) if not count]
    if bare:
        raise ValueError(
            f"labels: expected training rows of every class, got none of {listed(bare, 10)}; leave "
            "such classes out (without, --without)"
        )
    if n > sum(counts):
        raise ValueError(
            f"labels: expected at most {sum(counts)}, as many as training has, got {n}; take "
            "'all', or fewer"
        )
