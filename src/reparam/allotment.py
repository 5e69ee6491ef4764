"""A bound on the memory that building a model may take, for headers that strangers wrote."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BESIDE_WEIGHTS = 16  # masks, first values and their drafts; no preset takes more than 6
AT_LEAST = 2**26  # bytes that any model may take
OF_A_TENSOR = 2**12  # of the objects around it: thousands of layers take memory without entries


class Allotment(TorchDispatchMode):
    """Within it new tensors may take so many bytes together.

    The sizes in a header decide what a model takes, and any number may stand there; how large the
    weights are that lie beside it says what it may take. Calls that make a tensor of any size from
    a few numbers, or from a small tensor, are asked first how large it would be, before memory is
    written to; other results are counted as they come. What is freed is not given back.

    Args:
        weights: bytes of the weights.

    Raises:
        ValueError: the tensors made within it would take more than ``BESIDE_WEIGHTS`` times that.

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
        kwargs = kwargs or {}
        self._require(self._asked(call, args, kwargs))
        result = call(*args, **kwargs)
        given = {t.untyped_storage()._cdata for t in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            if tensor.untyped_storage()._cdata not in given:  # else a view, or written in place
                self.taken += _bytes(tensor) + OF_A_TENSOR
        self._require(0)
        return result

    def _asked(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """The bytes of a result, found on the device ``meta``, where tensors have sizes alone."""
        try:
            if _takes_device(call):
                own = {"device": "meta"} | ({"generator": None} if "generator" in kwargs else {})
                return _bytes(call(*args, **kwargs | own))
            if call is torch.ops.aten.repeat.default:
                return _bytes(call(args[0].to("meta"), *args[1:]))
        except RuntimeError:  # more than an integer of 64 bits counts
            return self.most + 1
        return 0

    def _require(self, more: int) -> None:
        if self.taken + more > self.most:
            raise ValueError(
                f"the sizes it names ask for more than {self.most / 1e6:.0f} MB, for weights of "
                f"{self.weights / 1e6:.0f} MB"
            )


@functools.cache
def _takes_device(call: Any) -> bool:
    return any(argument.name == "device" for argument in call._schema.arguments)


def _tensors(of: Any) -> Iterator[Tensor]:
    """All dense tensors in arguments or results."""
    found = (leaf for leaf in tree_leaves(of) if isinstance(leaf, Tensor))
    return (tensor for tensor in found if tensor.layout == torch.strided)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
