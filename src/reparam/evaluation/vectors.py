"""x as vectors in which distances are taken, whatever the kind of its entries."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics
from reparam.batching import rows_at_once
from reparam.model import Space


def unit_range(x: Tensor, space: Space) -> Tensor:
    """Discrete data divided by K−1, into [0, 1]; real data as they are."""
    return x if space.level_count is None else x / (space.level_count - 1)


class Vectors:
    """The way from x in data units to vectors, and how far others are from x by entry.

    Discrete data are divided by K−1, real images are as they are, and columns of real tables are
    divided by their training deviation: they have units of their own, and the one with the largest
    numbers would decide alone. Of mixed data numbers are in training deviations (after the
    logarithm, where they are modeled by it), flags 0 or 1 and names one-hot over √2, so that two
    names are as far apart as two flags. Columns that are constant in training keep their unit.

    A cell that is missing counts in a vector as the training mean, of flags and names as the most
    frequent value; it has no error.

    Args:
        space: what x is.
        train: training examples (N, *shape), which set means and deviations of tables.

    Shape: (B, *shape) → (B, W) in float64.

    >>> from reparam.model import Column
    >>> columns = (Column("height", "real"), Column("city", "category", 3))
    >>> train = torch.tensor([[160.0, 1.0], [180.0, 1.0], [torch.nan, 0.0]])  # 170 ± 10
    >>> vectors = Vectors(Space((2,), "mixed", columns=columns), train)
    >>> x = torch.tensor([[180.0, 2.0], [torch.nan, 1.0]])
    >>> round((vectors(x)[0] - vectors(x)[1]).square().sum().item(), 9)  # 1 deviation, 1 name
    2.0
    """

    def __init__(self, space: Space, train: Tensor) -> None:
        self.space, columns = space, space.columns or ()
        self.flags = [i for i, c in enumerate(columns) if c.kind == "binary"]
        self.named = [i for i, c in enumerate(columns) if c.kind == "category"]
        self.log = [i for i, c in enumerate(columns) if c.kind == "log"]
        self.stand_in = self.shift = torch.zeros((), dtype=torch.float64)
        self.scale = torch.ones((), dtype=torch.float64)
        if columns or (space.kind == "real" and not space.is_image):
            self._learn(train)

    @property
    def width(self) -> int:
        """W, how many numbers a vector has."""
        return self.space.dimension + sum(self._count(i) - 1 for i in self.named)

    @property
    def unit(self) -> str:
        """Of ``errors``."""
        if self.space.columns:
            return "per cell that is there, numbers in variances, flags and names 0 or 1"
        if self.space.kind != "real":
            return "per entry, values in [0, 1]"
        return "squared data units" if self.space.is_image else "variances, per entry"

    @property
    def entries(self) -> Tensor:
        """Which entry of a flat x each number of a vector is of, (W,): names come last."""
        kept = [i for i in range(self.space.dimension) if i not in self.named]
        return torch.tensor(kept + [i for i in self.named for _ in range(self._count(i))])

    def __call__(self, x: Tensor) -> Tensor:
        numbers = self._numbers(x).flatten(1)
        if not self.named:
            return numbers
        parts = [numbers[:, [i for i in range(numbers.shape[1]) if i not in self.named]]]
        for index in self.named:
            names = F.one_hot(numbers[:, index].long(), self._count(index))
            parts.append(names.double() / math.sqrt(2))
        return torch.cat(parts, 1)

    def inverse(self, vectors: Tensor) -> Tensor:
        """x (B, D) of mixed data whose vectors these are, names by the largest of their numbers."""
        x = vectors.new_empty(len(vectors), self.space.dimension)
        kept = self.space.dimension - len(self.named)
        x[:, self.entries[:kept]] = vectors[:, :kept]
        x = x * self.scale + self.shift
        x[:, self.log] = x[:, self.log].exp()
        for index in self.flags:  # what is no value of a flag is nearest to one
            low = (self.space.columns or ())[index].low
            x[:, index] = x[:, index].clamp(low, low + 1)
        parts = vectors[:, kept:].split([self._count(i) for i in self.named], 1)
        for index, part in zip(self.named, parts, strict=True):
            x[:, index] = part.argmax(1).double()
        return x

    def _count(self, index: int) -> int:
        return (self.space.columns or ())[index].count or 1

    def errors(self, other: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Σ of the squared errors of each row over the entries of x that are there, (B,), and how
        many these are; other names are an error of 1."""
        squares = self.squares(other, x)
        there = ~x.cpu().isnan() if self.space.columns else torch.ones_like(x, dtype=torch.bool)
        return squares.flatten(1).sum(1), there.cpu().flatten(1).sum(1).double()

    def squares(self, other: Tensor, x: Tensor) -> Tensor:
        """The squared error of each entry, (B, *shape); 0 where x is missing."""
        apart = self._numbers(other) - self._numbers(x)
        if self.named:
            apart[:, self.named] = (apart[:, self.named] != 0).double()
        squares = apart.square()
        return torch.where(x.cpu().isnan(), 0.0, squares) if self.space.columns else squares

    def _numbers(self, x: Tensor) -> Tensor:
        """Every entry as a number: what is missing as what stands in for it, names as indices."""
        x = self._logs(x)
        if self.space.columns:
            x = torch.where(x.isnan(), self.stand_in, x)
        return (unit_range(x, self.space) - self.shift) / self.scale

    def _logs(self, x: Tensor) -> Tensor:
        x = x.cpu().double()
        if not self.log:
            return x
        least = torch.finfo(torch.float32).tiny  # a draw may have come out as 0
        return x.index_copy(1, torch.tensor(self.log), x[:, self.log].clamp(min=least).log())

    def _learn(self, train: Tensor) -> None:
        def parts() -> Iterator[Tensor]:
            return map(self._logs, train.split(rows_at_once(self.space)))

        mean, deviation = numerics.moments(parts)
        self.scale = torch.where(deviation > 0, deviation, 1.0)
        if not self.space.columns:
            return
        self.stand_in, self.shift = mean, torch.zeros_like(mean)
        for index in self.flags + self.named:
            column, cells = (self.space.columns or ())[index], train[:, index].cpu().double()
            counts = (cells[~cells.isnan()] - column.low).long().bincount(minlength=1)
            self.stand_in[index] = counts.argmax() + column.low
            self.shift[index], self.scale[index] = float(column.low), 1.0
