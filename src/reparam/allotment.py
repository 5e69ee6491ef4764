"""A bound on the memory that building a model may take, for headers that strangers wrote."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

BESIDE_WEIGHTS = 16  # masks, first values and their drafts; no preset takes more than 4
AT_LEAST = 2**26  # bytes that any model may take
OF_A_TENSOR = 2**12  # of the objects around it: thousands of layers take memory without entries


class Allotment(TorchDispatchMode):
    """Within it new tensors may take so many bytes together, asked before they are written to.

    The sizes in a header decide what a model takes, and any number may stand there; how large the
    weights are that lie beside it says what it may take.

    Args:
        weights: bytes of the weights.

    Raises:
        ValueError: the tensors made within it would take more than ``BESIDE_WEIGHTS`` times that.

    >>> import torch
    >>> with Allotment(weights=0):
    ...     _ = torch.empty(2**40)
    Traceback (most recent call last):
    ValueError: the sizes it names ask for more than 67 MB, for weights of 0 MB
    """

    def __init__(self, weights: int) -> None:
        super().__init__()
        self.weights, self.taken = weights, 0
        self.most = max(AT_LEAST, BESIDE_WEIGHTS * weights)

    def __torch_dispatch__(
        self, call: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self._require(_entries(args))
        result = call(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not any(isinstance(a, Tensor) for a in args):
            self.taken += result.numel() * result.element_size() + OF_A_TENSOR
            self._require(0)
        return result

    def _require(self, entries: int) -> None:
        if self.taken + entries > self.most:  # an entry takes a byte or more
            raise ValueError(
                f"the sizes it names ask for more than {self.most / 1e6:.0f} MB, for weights of "
                f"{self.weights / 1e6:.0f} MB"
            )


def _entries(args: tuple[Any, ...]) -> int:
    """How many entries, at least, a call that makes a tensor asks for: a shape or an end first."""
    first = args[0] if args else None
    if isinstance(first, (list, tuple)) and all(isinstance(n, int) for n in first):
        return math.prod(first)
    if isinstance(first, int):
        return max(n for n in args if isinstance(n, int))
    return 0
