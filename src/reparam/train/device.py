"""Which device, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from reparam.config import TrainConfig


def find_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA, then MPS, then CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"device: {name!r} is not available here") from error
    return device


def weights_dtype(config: TrainConfig) -> torch.dtype:
    """The type of the weights: bfloat16 is for activations only."""
    return torch.float64 if config.precision == "float64" else torch.float32


def autocast(config: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    """The context in which a loss is computed."""
    if config.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
