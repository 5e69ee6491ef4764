"""Buffers that keep their precision, and those that describe data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class Float64Buffers(nn.Module):
    """A module whose saved float64 buffers stay float64 when the rest is cast to another precision.

    For statistics of the data, whose rounding no network can undo. MPS has no float64: there they
    become float32.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        kept = {
            name: buffer
            for name, buffer in self._buffers.items()
            if buffer is not None
            and buffer.dtype == torch.float64
            and name not in self._non_persistent_buffers_set  # anchors follow the cast
        }
        for name, buffer in kept.items():
            self._buffers[name] = buffer.float()
        super()._apply(fn, recurse)
        for name, buffer in kept.items():
            moved = self._buffers[name]
            assert moved is not None
            if moved.device.type != "mps":
                self._buffers[name] = buffer.to(moved.device)
        return self


class OfData(nn.Module):
    """A module whose buffers describe the training data and are no part of what was learned."""
