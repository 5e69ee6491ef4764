"""How many rows pass through a model at once where nobody asks for a number, and their loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reparam.space import Space

# Entries and rows of x in one pass without gradients: enough rows for a fast matrix product, few
# enough for activations to stay in the cache, and of large images few enough for any memory.
ENTRIES_AT_ONCE, ROWS_AT_ONCE, DRAWS_AT_ONCE, LEAST_AT_ONCE = 1_000_000, 500, 2000, 16


def rows_at_once(space: Space) -> int:
    """How many examples to put through a model at once.

    >>> rows_at_once(Space((1, 28, 28), "binary")), rows_at_once(Space((3, 256, 256), "real"))
    (500, 16)
    """
    return min(max(ENTRIES_AT_ONCE // space.dimension, LEAST_AT_ONCE), ROWS_AT_ONCE)


def draws_at_once(space: Space) -> int:
    """How many draws of z to decode at once: more, as no objective sees several of them."""
    return min(max(ENTRIES_AT_ONCE // space.dimension, LEAST_AT_ONCE), DRAWS_AT_ONCE)


def slices(start: int, stop: int, rows: int) -> Iterator[slice]:
    """Consecutive slices of so many rows, the last one as long as it is.

    >>> list(slices(0, 5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return (slice(at, min(at + rows, stop)) for at in range(start, stop, rows))


def in_batches(
    function: Callable[..., Tensor], rows: int, x: Tensor, *others: Tensor | None
) -> Tensor:
    """``function(x, *others)``, so many rows at a time; what is None is None for all of them.

    >>> in_batches(lambda x, c: x.flip(0), 2, torch.arange(5), None)
    tensor([1, 0, 3, 2, 4])
    """
    parts = []
    for part in slices(0, len(x), rows):
        parts.append(function(x[part], *(None if t is None else t[part] for t in others)))
    return torch.cat(parts)
