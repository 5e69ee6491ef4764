"""Batches in the order that seed and step decide, from data that stays on the device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from reparam.data import Split
from reparam.model import Batch


class Batches:
    """The training data on a device; batch ``step`` depends on (seed, step) alone.

    Every epoch is one permutation, drawn on the CPU from (seed, epoch), so that a resumed run sees
    what the uninterrupted one would have. All steps have the same number of rows: an epoch leaves
    out those that do not fill its last batch, other ones each time. Where that would be more than a
    tenth of the data, the batches are made a little smaller.

    Args:
        split: the data; all rows make one batch when there are fewer than ``batch_size``.
        conditional: whether the labels come along as c.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, device: torch.device, conditional: bool
    ) -> None:
        self.x = split.x.to(device)
        self.c = split.labels.to(device) if conditional and split.labels is not None else None
        self.batch_size = _even(len(split), batch_size)
        self.seed, self.epoch = seed, -1

    @property
    def steps_per_epoch(self) -> int:
        return len(self.x) // self.batch_size

    def at(self, step: int) -> Batch:
        """The batch of an optimiser step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self._permutation(epoch)
        rows = self.order[position * self.batch_size : (position + 1) * self.batch_size]
        c = None if self.c is None else self.c.index_select(0, rows)
        return Batch(self.x.index_select(0, rows), c)

    def _permutation(self, epoch: int) -> torch.Tensor:
        # Both numbers mixed into 32 bits: of a longer seed the CPU generator reads only the low 32.
        mixed = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        return torch.randperm(len(self.x), generator=generator).to(self.x.device)

    def __iter__(self) -> Iterator[Batch]:
        """Every row once, in the data's order: what a ``Solve`` reads."""
        for start in range(0, len(self.x), 1024):
            c = None if self.c is None else self.c[start : start + 1024]
            yield Batch(self.x[start : start + 1024], c)


def _even(n: int, batch_size: int) -> int:
    """Rows per step: ``batch_size``, or fewer so that an epoch misses at most a tenth of n rows.

    >>> _even(60_000, 128), _even(200, 128), _even(5, 128)
    (128, 100, 5)
    """
    if n % batch_size <= n / 10:
        return batch_size if n >= batch_size else n
    return n // -(-n // batch_size)
