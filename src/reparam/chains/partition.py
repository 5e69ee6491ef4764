"""log Z where it is kept: the number beside the weights that it was measured of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from reparam.buffers import Float64Buffers, OfData
from reparam.chains.enumeration import MOST_BITS, refuse_beyond
from reparam.exchange import LogPartition
from reparam.limits import Count, Several, limited

By = Literal["auto", "enumerate", "annealed"]
REMEDY = "take partition=annealed"


class Partition(Float64Buffers, OfData):
    """log Z of a model, with its standard error and its effective sample size.

    Weights that have moved since are known by their version counters, without a look at any value;
    those that a captured step moves by the 0 effective samples that ``forget`` puts here. It is
    no NaN, as runs with a NaN among their weights are not saved.

    Args:
        bits: of the states that could be summed over; None: there are none.
        by: whether they are summed over, ``"auto"``: where they are 2^20 at most.
        runs: of annealing; the spread of two or more says how far they are off.
        temperatures: of each run.

    Raises:
        ValueError: enumeration of more than 2^20 states, or of what is not binary.

    >>> Partition(9).enumerates, Partition(64).enumerates
    (True, False)
    """

    found: Tensor

    @limited
    def __init__(
        self, bits: int | None, by: By = "auto", runs: Several = 200, temperatures: Count = 1000
    ) -> None:
        super().__init__()
        if by == "enumerate" and bits is None:
            raise ValueError(f"partition: expected binary data to enumerate, got others; {REMEDY}")
        if by == "enumerate" and bits is not None:
            refuse_beyond(bits, REMEDY)
        self.bits, self.runs, self.temperatures = bits or 0, runs, temperatures
        self.enumerates = bits is not None and bits <= MOST_BITS and by != "annealed"
        self.register_buffer("found", torch.zeros(3, dtype=torch.float64))
        self._of: tuple[tuple[int, int], ...] | None = None

    @property
    def value(self) -> LogPartition:
        """What was put here last."""
        value, stderr, effective = self.found.unbind()
        if self.enumerates:
            return LogPartition(value, stderr, effective, 2**self.bits, 0)
        return LogPartition(value, stderr, effective, self.runs, self.temperatures)

    def put(self, found: LogPartition, weights: Iterable[nn.Parameter]) -> None:
        """Keep what was found of these weights."""
        numbers = (found.value, found.stderr, found.effective_samples)
        self.found.copy_(torch.stack([number.to(self.found) for number in numbers]))
        self.trust(weights)

    def forget(self) -> None:
        """The weights have moved: what is here is of none."""
        self._of = None
        self.found.zero_()

    @property
    def measured(self) -> bool:
        """Whether the number is of any weights; its value is read."""
        return bool(self.found[2] > 0)

    def trust(self, weights: Iterable[nn.Parameter]) -> None:
        """What is here is of the weights as they are now."""
        self._of = _versions(weights)

    def is_of(self, weights: Iterable[nn.Parameter]) -> bool:
        """Whether these weights are those that it was found of."""
        return self._of == _versions(weights)


def _versions(weights: Iterable[nn.Parameter]) -> tuple[tuple[int, int], ...]:
    return tuple((id(weight), weight._version) for weight in weights)
