"""What a condition c may be: class labels (B,), or float attributes (B, F)."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.space import looked_at


def check_labels(c: object, rows: int, classes: int | None, name: str = "c") -> Tensor:
    """Labels, one integer 0 … classes−1 for each row; ValueError otherwise.

    >>> check_labels(torch.tensor([0, 2]), rows=2, classes=3)
    tensor([0, 2])
    """
    if not isinstance(c, Tensor) or tuple(c.shape) != (rows,) or c.is_floating_point():
        raise ValueError(
            f"{name}: expected a tensor of {rows} integer labels, one per row, got {_got(c)}"
        )
    if classes is not None and looked_at():
        low, high = int(c.min()), int(c.max())
        if low < 0 or high >= classes:
            raise ValueError(f"{name}: expected labels 0 … {classes - 1}, got {low} … {high}")
    return c.to(torch.int64)


def check_attributes(c: object, rows: int, count: int, name: str = "c") -> Tensor:
    """Attributes, ``count`` finite floats for each row; ValueError otherwise.

    >>> check_attributes(torch.tensor([[0.5, 2.0]]), rows=1, count=2)
    tensor([[0.5000, 2.0000]])
    """
    if not isinstance(c, Tensor) or tuple(c.shape) != (rows, count) or not c.is_floating_point():
        raise ValueError(
            f"{name}: expected a float tensor of attributes, shape ({rows}, {count}), got {_got(c)}"
        )
    if looked_at() and not bool(c.isfinite().all()):
        raise ValueError(f"{name}: expected finite attributes, got NaN or infinity")
    return c


def _got(c: object) -> str:
    return f"{c.dtype} {tuple(c.shape)}" if isinstance(c, Tensor) else repr(c)
