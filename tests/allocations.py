"""What a program asks memory for, whatever the allocator and the system make of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that was made inside."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {t.data_ptr() for t in storages((args, kwargs))}
        sizes = (t.nbytes() for t in storages(made) if t.data_ptr() not in given)
        self.bytes = max(self.bytes, *sizes, 0)
        return made


def storages(tree: Any) -> list[torch.UntypedStorage]:
    return [t.untyped_storage() for t in tree_leaves(tree) if isinstance(t, torch.Tensor)]


def largest_tensor(call: Callable[[], object]) -> int:
    """Bytes of the largest tensor that a call makes."""
    with LargestTensor() as largest:
        call()
    return largest.bytes


def most_of_numpy(call: Callable[[], object]) -> int:
    """Bytes that NumPy and Python hold at most at a time during a call, beside those before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
