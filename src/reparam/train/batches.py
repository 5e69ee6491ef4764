"""Batches in the order that seed and step decide, from data on the device or streamed to it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from reparam.config import Augmentation
from reparam.data import Split
from reparam.data.binarization import draw
from reparam.model import Batch
from reparam.train.augmentation import DRAWS, augmented
from reparam.train.device import fits
from reparam.train.random import generator_of
from reparam.train.ranks import Ranks

ROWS_PER_SOLVE = 1024
STEP, SOLVE, TURN, AUGMENT = 1, 2, 3, 4  # the streams of random numbers beside the permutations
READER = ThreadPoolExecutor(1, "batches")  # one at a time: each depends on the epoch's order


class Batches:
    """The training data on a device; a batch depends on (seed, step, turn) alone.

    Every epoch is one permutation, drawn on the CPU from (seed, epoch), so that a resumed run sees
    what the uninterrupted one would have. All steps have the same number of rows: an epoch leaves
    out those that do not fill its last batch, other ones each time. Where that would be more than a
    tenth of the data, the batches are made a little smaller. A player that moves several times in a
    step sees another batch in each turn: every turn has a permutation of its own.

    Data that do not fit the device's memory stay where they are, and each batch is moved.

    Gray data are drawn on the device: every batch afresh, from (seed, step, turn); what a ``Solve``
    reads is one draw, the same in every pass. Images are augmented by the same rule, but for a
    ``Solve``.

    Args:
        split: the data; all rows make one batch when there are fewer than ``batch_size``.
        batch_size: None: see ``TrainConfig``.
        c: the condition of every row of the split, for models that take one.
        target: the label of every row, for models that learn it.
        ranks: the processes among which the rows of each batch are divided; None: this one alone.
        augment: how images are moved at random.

    Raises:
        ValueError: there are fewer rows in a batch than processes.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int | None,
        seed: int,
        device: torch.device,
        c: torch.Tensor | None = None,
        ranks: Ranks | None = None,
        augment: Collection[Augmentation] = (),
        target: torch.Tensor | None = None,
    ) -> None:
        gray = split.gray
        x = split.x if gray is None else gray.values
        self.device, self.streamed = device, split.streamed or not fits(x, device)
        self.x = x if self.streamed else x.to(device)
        self.ahead: Future[Batch] | None = None
        self.ahead_of = (-1, 0)
        self.turns = 1  # of every step: what is read ahead depends on it
        self.augment = augment
        self.gray_levels = None if gray is None else gray.levels
        self.c = None if c is None else c.to(self.x.device)
        self.target = None if target is None else target.to(self.x.device)
        self.batch_size, ranks = _even(len(split), batch_size), ranks or Ranks()
        self.part = ranks.share(self.batch_size)
        self.weight = (self.part.stop - self.part.start) / self.batch_size
        if self.batch_size < ranks.size:
            raise ValueError(
                f"batch_size: expected a row for each of {ranks.size} processes, "
                f"got {self.batch_size}"
            )
        self.seed, self.epoch = seed, -1
        self.orders: dict[int, torch.Tensor] = {}  # of this epoch, by turn

    @property
    def steps_per_epoch(self) -> int:
        return len(self.x) // self.batch_size

    def at(self, step: int, turn: int = 0) -> Batch:
        """The batch of a turn of an optimizer step; of several processes, this one's part of it.

        Where data are streamed, a thread reads the next batch meanwhile.
        """
        if not self.streamed:
            return self._read(step, turn)
        batch = None if self.ahead is None else self.ahead.result()
        if batch is None or self.ahead_of != (step, turn):
            batch = self._read(step, turn)
        self.ahead_of = (step, turn + 1) if turn + 1 < self.turns else (step + 1, 0)
        self.ahead = READER.submit(self._read, *self.ahead_of)
        return batch

    def _read(self, step: int, turn: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order(epoch, turn)
        rows = order[position * self.batch_size : (position + 1) * self.batch_size]
        mine = rows[self.part]
        if self.gray_levels is None:
            x = self.x.index_select(0, mine)
        else:  # drawn for the whole batch: however many processes share it, the draw is the same
            key = (step, STEP, *_later(turn))
            x = self._drawn(self.x.index_select(0, rows), *key)[self.part]
        return self._moved(self._augmented(x, step, turn), mine)

    def _augmented(self, x: torch.Tensor, step: int, turn: int) -> torch.Tensor:
        if not self.augment:
            return x
        generator = generator_of(torch.device("cpu"), self.seed, step, AUGMENT, *_later(turn))
        uniform = torch.rand(self.batch_size, DRAWS, generator=generator)
        return augmented(x, self.augment, uniform[self.part])

    def _moved(self, x: torch.Tensor, rows: torch.Tensor | slice) -> Batch:
        """x on the device, with what goes with these rows."""
        c, target = (_taken(beside, rows) for beside in (self.c, self.target))
        return Batch(x, c, target).each(lambda t: t.to(self.device))

    def _order(self, epoch: int, turn: int) -> torch.Tensor:
        """The permutation of an epoch that a turn goes through."""
        if epoch != self.epoch:
            self.epoch, self.orders = epoch, {}
        if turn not in self.orders:
            generator = generator_of(torch.device("cpu"), self.seed, epoch, *_later(turn))
            order = torch.randperm(len(self.x), generator=generator)
            self.orders[turn] = order.to(self.x.device)
        return self.orders[turn]

    def _drawn(self, x: torch.Tensor, *key: int) -> torch.Tensor:
        """x itself, or a draw of the gray values x that depends on the seed and a key alone."""
        if self.gray_levels is None:
            return x
        return draw(x, self.gray_levels, generator_of(x.device, self.seed, *key))

    @torch.no_grad()
    def encoded(self, code: Callable[[torch.Tensor], torch.Tensor]) -> Batches | None:
        """The same batches of what ``code`` makes of x, made here once, so many rows at a time.

        None where x are other ones every time.
        """
        if self.augment or self.gray_levels is not None:
            return None
        other = copy.copy(self)
        other.x = torch.cat([code(batch.x) for batch in self])
        other.c = None if self.c is None else self.c.to(other.x.device)
        other.target = None if self.target is None else self.target.to(other.x.device)
        other.streamed, other.ahead, other.epoch = False, None, -1
        return other

    def __iter__(self) -> Iterator[Batch]:
        """Every row once, in the data's order: what a ``Solve`` reads."""
        for start in range(0, len(self.x), ROWS_PER_SOLVE):
            rows = slice(start, start + ROWS_PER_SOLVE)
            yield self._moved(self._drawn(self.x[rows], start, SOLVE), rows)


def _taken(beside: torch.Tensor | None, rows: torch.Tensor | slice) -> torch.Tensor | None:
    """Some rows of what goes with x, where there is such."""
    if beside is None or isinstance(rows, slice):
        return None if beside is None else beside[rows]
    return beside.index_select(0, rows)


def _later(turn: int) -> tuple[int, ...]:
    """What a turn adds to the key of a draw: nothing to that of the first."""
    return (TURN, turn) if turn else ()


def _even(n: int, batch_size: int | None) -> int:
    """Rows per step: ``batch_size``, or fewer so that an epoch misses at most a tenth of n rows.

    >>> _even(60_000, 128), _even(200, 128), _even(5, 128), _even(60_000, None), _even(1000, None)
    (128, 100, 5, 128, 50)
    """
    if batch_size is None:
        batch_size = min(128, max(16, n // 20))
    if n % batch_size <= n / 10:
        return batch_size if n >= batch_size else n
    return n // -(-n // batch_size)
