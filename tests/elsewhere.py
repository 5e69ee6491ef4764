"""A device that is not the CPU, on a machine that has none: tensors know that they lie there.

Their values lie beside them in ordinary memory, so that everything can be run, and read. What an
accelerator would refuse raises here as well: an operation on tensors of both devices. What it
would do but wait for is counted: reading a value, and copies between the devices.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

DEVICE = torch.device("meta")  # the only one besides the CPU that every build of torch has
COPIES = {"aten::_to_copy", "aten::copy_", "aten::_foreach_copy_"}
INDEXING = {"aten::index.Tensor", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"}
# The size of their result depends on values, which have to be read.
READ = {"aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2", "aten::equal"}
READ |= {"aten::masked_select", "aten::repeat_interleave.Tensor", "aten::linalg_cholesky_ex.L"}


class There(Tensor):
    """A tensor of the device, with its values in ``here``."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=DEVICE,
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {}, Counter())

    def tolist(self) -> Any:
        return self.here.tolist()

    def __repr__(self, **options: Any) -> str:
        return f"There({self.here})"


def run(func: Any, args: Any, kwargs: dict[str, Any], waits: Counter[str]) -> Any:
    """An operation on the values; ``waits`` counts what an accelerator would be waited for."""
    name = func.name()
    tensors = list(tensors_of((args, kwargs)))
    there = any(isinstance(t, There) for t in tensors)
    plain = [t for t in tensors if not isinstance(t, There)]
    if any(t.device == DEVICE for t in plain):
        raise RuntimeError(f"{name}: a tensor of the device without values, made from numbers")
    onto = kwargs.get("device")
    if not there and onto is None:
        return func(*args, **kwargs)
    mixed = there and any(t.ndim for t in plain)  # a number may lie anywhere
    if mixed and name not in COPIES | INDEXING:
        raise RuntimeError(f"{name}: expected tensors of one device")
    inside = there if onto is None else torch.device(onto) == DEVICE
    read = name in READ or (name in INDEXING and any(t.dtype == torch.bool for t in tensors[1:]))
    if mixed or (there and read) or (name == "aten::_to_copy" and inside != there):
        waits[f"{name} in {place()}"] += 1
    here = kwargs if onto is None else kwargs | {"device": torch.device("cpu")}
    found = func(*changed(args, value), **changed(here, value))
    if not inside:
        return found
    found = changed(found, There)
    return return_and_correct_aliasing(func, args, here, found) if there else found


def tensors_of(tree: Any) -> Iterator[Tensor]:
    """Those among the arguments of an operation, which are in lists at most."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple | dict):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from tensors_of(part)


def changed(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Arguments or results with other tensors; PyTorch's own, of any tree, takes far longer."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, list | tuple):
        return type(tree)([changed(part, change) for part in tree])
    if isinstance(tree, dict):
        return {key: changed(part, change) for key, part in tree.items()}
    return tree


def value(tensor: Tensor) -> Tensor:
    return tensor.here if isinstance(tensor, There) else tensor


def place() -> str:
    """The line of the library that is being executed."""
    for frame, line in traceback.walk_stack(sys._getframe()):  # the innermost first
        name = frame.f_code.co_filename
        if "/reparam/" in name:
            return f"{name}:{line} {linecache.getline(name, line).strip()}"
    return "a test"


class Elsewhere(TorchDispatchMode):
    """Inside, the device is there; ``waits`` says what would have been waited for, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {}, self.waits)
