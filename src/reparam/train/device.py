"""Which device, and in which precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from reparam.config import TrainConfig
from reparam.model import Model

SHARED_FROM = 2**25  # multiplications of a forward pass from which they are worth several threads


def find_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA, then MPS, then CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros((), device=device).item()  # which a device without memory refuses
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"device: {name!r} is not available here") from error
    return device


def fits(x: torch.Tensor, device: torch.device) -> bool:
    """Whether data may stay on the device: on a GPU they get half of the memory that is free."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return x.nbytes <= free // 2


def weights_dtype(config: TrainConfig) -> torch.dtype:
    """The type of the weights: bfloat16 is for activations only."""
    return torch.float64 if config.precision == "float64" else torch.float32


def autocast(config: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    """The context in which a loss is computed."""
    if config.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def lacks_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    """Whether bfloat16 is asked of a CPU that has no instructions for it, and so is slower."""
    if config.precision != "bfloat16" or device.type != "cpu":
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


@contextmanager
def chosen_threads(model: Model, rows: int) -> Iterator[None]:
    """One thread inside for models whose steps are too small to be shared among several.

    Where a core has other work to do, threads that wait for each other after every small product
    make a step ten times longer, and on an idle machine they save little.

    Args:
        model: fully connected (some matrix has a side for all of x, there are no kernels, and no
            module says that it ``shares_weights`` among places), or else nothing changes: weights
            used at many places make more work than they show.
        rows: of a batch.
    """
    shapes = [p.squeeze().shape for p in model.parameters()]
    matrices = [max(shape) for shape in shapes if len(shape) == 2]
    connected = max(matrices, default=0) >= model.space.dimension and max(map(len, shapes)) < 3
    shared = any(getattr(module, "shares_weights", False) for module in model.modules())
    small = rows * sum(shape.numel() for shape in shapes) < SHARED_FROM
    with threads(1 if connected and not shared and small else torch.get_num_threads()):
        yield


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads of PyTorch's in this process inside, and as many as before outside."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers too small for full precision count as 0 inside, on CPUs that can.

    A unit that no longer gets a gradient leaves Adam's means to decay by a factor per step, in
    float32 below 10⁻³⁸ after some 800 steps, where arithmetic is twenty times slower.
    """
    tiny = torch.finfo(torch.float32).tiny / 4
    flushed = (torch.full((), tiny) * 1).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
