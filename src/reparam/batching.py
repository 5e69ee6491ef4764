"""How many rows pass through a model at once where nobody asks for a number, and their loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from reparam.exchange import Batch
from reparam.space import Space

# Entries and rows of x in one pass without gradients: enough rows for a fast matrix product, few
# enough for activations to stay in the cache, and of large images few enough for any memory of a
# CPU's; on CUDA 256 draws of 3 × 256 × 256 have layers of about a gigabyte.
ENTRIES_AT_ONCE, ROWS_AT_ONCE, DRAWS_AT_ONCE, LEAST_AT_ONCE = 1_000_000, 500, 2000, 16
ON_CUDA = 16  # times as many draws: fewer would not keep so many cores busy
LARGEST_MLP_IMAGE = 1024  # entries, 32 × 32: above it fully connected layers waste their weights
MOST_PASSED = 10**10  # entries of x, through networks, for all draws of a score by default
SMALL = 64  # entries of a channel of images that count as small, as all vectors do
CONVOLVED = 10  # times as dear is an entry of x where networks are convolutional


def rows_at_once(space: Space) -> int:
    """How many examples to put through a model at once.

    >>> rows_at_once(Space((1, 28, 28), "binary")), rows_at_once(Space((3, 256, 256), "real"))
    (500, 16)
    """
    return min(max(ENTRIES_AT_ONCE // space.dimension, LEAST_AT_ONCE), ROWS_AT_ONCE)


def draws_at_once(space: Space, device: torch.device | None = None) -> int:
    """How many draws of z to decode at once: more, as no objective sees several of them.

    >>> space = Space((1, 28, 28), "binary")
    >>> draws_at_once(space), draws_at_once(space, torch.device("cuda"))
    (1275, 20400)
    """
    most = min(max(ENTRIES_AT_ONCE // space.dimension, LEAST_AT_ONCE), DRAWS_AT_ONCE)
    return most * ON_CUDA if device is not None and device.type == "cuda" else most


def convolved(space: Space) -> bool:
    """Whether networks of such x are convolutional where nobody says which."""
    return space.is_image and space.dimension > LARGEST_MLP_IMAGE


def is_small(space: Space) -> bool:
    """Whether x is a vector or an image of up to 8 × 8, of which many steps are cheap."""
    return not space.is_image or math.prod(space.shape[1:]) <= SMALL


def cost(space: Space) -> int:
    """About what one pass through a network costs: the entries of x, those of large images tenfold.

    Images of more than 1024 entries have convolutional networks by default. In the default VAE, on
    one core, an entry took 30 ns for 1 × 28 × 28 and 260 ns for 3 × 64 × 64.
    """
    return space.dimension * (CONVOLVED if convolved(space) else 1)


def affordable(space: Space, rows: int, passes: int = 1) -> int:
    """How many times so many passes of all rows may be asked for where nobody says how often.

    The one bound on passes through networks that defaults of evaluation keep to: a rule by sizes,
    not by clocks, so that scores are the same everywhere.

    >>> affordable(Space((1, 28, 28), "binary"), 10_000)  # MNIST
    1275
    """
    return MOST_PASSED // (rows * passes * cost(space))


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
    if torch.compiler.is_exporting():  # a graph of any number of rows has no slices of them
        return function(x, *others)
    parts = []
    for part in slices(0, len(x), rows):
        parts.append(function(x[part], *(None if t is None else t[part] for t in others)))
    return torch.cat(parts)


def spread_rows(batches: Iterable[Batch], least: int) -> Batch:
    """So many rows of a split, up to twice as many, spread over it evenly; all where it has fewer.

    >>> spread_rows([Batch(torch.arange(5)), Batch(torch.arange(5, 9))], 3).x
    tensor([0, 2, 4, 6, 8])
    """
    x, c, step, seen = [], [], 1, 0
    for batch in batches:
        kept = slice(-seen % step, None, step)
        x.append(batch.x[kept])
        c += [] if batch.c is None else [batch.c[kept]]
        seen += len(batch.x)
        while sum(map(len, x)) >= 2 * least:
            step, x = 2 * step, [torch.cat(x)[::2]]
            c = [torch.cat(c)[::2]] if c else c
    return Batch(torch.cat(x), torch.cat(c) if c else None)
