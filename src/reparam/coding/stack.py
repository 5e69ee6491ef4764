"""The stack of an entropy coder, onto which draws of distributions are pushed and popped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.coding.leaves import PRECISION, Grid, Leaf, coder, leaves_of
from reparam.distribution import Visit
from reparam.model import Distribution

# An empty coder stands at 0, from where the first of all values is free, however improbable it is;
# from here on every push takes what it should.
BOTTOM = (0, 1)
LEFT = 64  # bits that stay: the coder's own state, below which a pop gives what was never pushed

Words = NDArray[np.uint32]


class Short(Exception):
    """The stack holds fewer bits than a draw takes."""


class Drawn(NamedTuple):
    """A draw (B, …), and by row −log₂ of its probability, the expectation of that, and a scale."""

    value: Tensor
    cost: Tensor
    expected: Tensor
    scale: Tensor  # the smallest of a normal entry


class Stack:
    """Last in, first out: what is pushed comes back from a pop under the same distribution.

    Pushing x under p makes the stack −log₂ p(x) bits longer. Popping under p takes a draw of p off
    it and makes it −log₂ p(x) bits shorter.

    Args:
        grid: on which real entries lie.
        words: what is on the stack.

    Raises:
        ValueError: words that no coder left.
    """

    def __init__(self, grid: Grid, words: Words | None = None) -> None:
        words = np.array(BOTTOM, np.uint32) if words is None else words
        self.coder: Any = coder().stack.AnsCoder(words)
        self.grid = grid

    def copy(self) -> Stack:
        other = Stack(self.grid)
        other.coder = self.coder.clone()
        return other

    @property
    def bits(self) -> int:
        return int(self.coder.num_valid_bits())

    @property
    def empty(self) -> bool:
        return tuple(self.words) == BOTTOM

    @property
    def overdrawn(self) -> bool:
        """Whether it is below empty, where no push ever left it.

        >>> stack = Stack(Grid(6, 8), np.array([5], np.uint32))
        >>> stack.overdrawn, Stack(Grid(6, 8)).overdrawn
        (True, False)
        """
        return self.bits < 32 * (len(BOTTOM) - 1)

    @property
    def words(self) -> Words:
        found: Words = self.coder.get_compressed()
        return found

    def scramble(self) -> None:
        """Make what is on the stack look like noise; a second time makes it what it was.

        All words but the last, which keeps the length, are combined with numbers that only depend
        on how many there are. What lies on the stack is no noise to a posterior near which the last
        z was pushed, so that a draw would be much like the last one.
        """
        words = self.words
        noise = np.random.PCG64(len(words)).random_raw(len(words) - 1)
        words[:-1] ^= (noise & 0xFFFFFFFF).astype(np.uint32)
        self.coder = coder().stack.AnsCoder(words)

    def push(self, p: Distribution, x: Tensor, rows: int) -> Tensor:
        """The first rows of x (B, …) under p; their costs in bits, (rows,)."""
        return self._push(p, x, rows, near=False)

    def give_back(self, q: Distribution, z: Tensor, rows: int) -> None:
        """Push what ``draw`` took, after which the stack is what it was before."""
        self._push(q, z, rows, near=True)
        self.scramble()

    def _push(self, p: Distribution, x: Tensor, rows: int, near: bool) -> Tensor:
        found: list[tuple[Leaf, Tensor, slice]] = []

        def look(leaves: Sequence[Leaf], value: Tensor | None) -> Tensor:
            assert value is not None
            found.extend((leaf, value[own], own) for leaf, own in _coded(leaves, rows))
            return value

        _walk(p, self.grid, look, x, near)
        cost = torch.zeros(rows, dtype=torch.float64)
        for leaf, value, own in reversed(found):  # what a pop asks for first comes last
            symbols = leaf.symbols(value)
            leaf.push(self.coder, symbols)
            cost[own] += leaf.cost(symbols).sum(1)
        return cost

    def pop(self, p: Distribution, rows: int) -> Tensor:
        """What was pushed last, (B, …), with 0 in all but the first rows."""
        return _walk(p, self.grid, lambda leaves, _: self._pop(leaves, rows))

    def draw(self, p: Distribution, rows: int) -> Drawn:
        """A pop of what nobody pushed under p, which a push under p gives back.

        Raises:
            Short: the stack does not pay for it.
            Beyond: a draw might lie outside of the grid.
        """
        self.scramble()

        def pop(leaves: Sequence[Leaf]) -> Tensor:
            value = self._pop(leaves, rows)
            if self.bits < LEFT:
                raise Short
            return value

        return self._choose(p, rows, pop)

    def middle(self, p: Distribution, rows: int) -> Drawn:
        """The point of the grid in the middle of p, for which the stack pays nothing."""

        def nearest(leaves: Sequence[Leaf]) -> Tensor:
            return torch.cat([leaf.values(leaf.nearest()) for leaf in leaves])

        found = self._choose(p, rows, nearest)
        return found._replace(cost=torch.zeros_like(found.cost))

    def _choose(
        self, p: Distribution, rows: int, choose: Callable[[Sequence[Leaf]], Tensor]
    ) -> Drawn:
        cost, expected = torch.zeros(2, rows, dtype=torch.float64)
        scale = torch.full_like(cost, torch.inf)

        def visit(leaves: Sequence[Leaf], _: Tensor | None) -> Tensor:
            coded = [*_coded(leaves, rows)]
            for leaf, own in coded:
                leaf.refuse_beyond(own.stop - own.start)
            value = choose(leaves)
            for leaf, own in coded:
                cost[own] += leaf.cost(leaf.symbols(value[own])).sum(1)
                expected[own] += leaf.entropy(own.stop - own.start).sum(1)
                scale[own] = scale[own].minimum(leaf.scale(own.stop - own.start))
            return value

        return Drawn(_walk(p, self.grid, visit, near=True), cost, expected, scale)

    def _pop(self, leaves: Sequence[Leaf], rows: int) -> Tensor:
        found = [leaf.values(torch.empty(0, leaf.entries, dtype=torch.int32)) for leaf in leaves]
        for index, (leaf, own) in enumerate(_coded(leaves, rows)):
            found[index] = leaf.values(leaf.pop(self.coder, own.stop - own.start))
        return found[0] if len(found) == 1 else torch.cat(found)


def _walk(
    p: Distribution, grid: Grid, choose: Any, x: Tensor | None = None, near: bool = False
) -> Tensor:
    """Through p down to its leaves: ``choose(leaves, value)``, the value known where x is."""

    def visit(of: Distribution, x: Tensor | None) -> Visit:
        def at(part: Distribution, sites: Any) -> Tensor:
            value, part = None if x is None else of.part(x, sites), part.rounded(PRECISION)
            leaves = leaves_of(part, grid, near)
            found: Tensor = (
                part.walk(visit(part, value)) if leaves is None else choose(leaves, value)
            )
            return found

        return at

    p = p.rounded(PRECISION)
    return p.walk(visit(p, x))


def _coded(leaves: Sequence[Leaf], rows: int) -> Iterator[tuple[Leaf, slice]]:
    """The leaves of the first rows, and which these are."""
    start = 0
    for leaf in leaves:
        if start < rows:
            yield leaf, slice(start, min(rows, start + leaf.rows))
        start += leaf.rows
