"""Means of whole numbers, rounded at random."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam import numerics
from reparam.buffers import Float64Buffers
from reparam.space import Space


class Rounding(Float64Buffers):
    """x with its mean where whole numbers are asked for: ⌊mean + u⌋, u uniform in [0, 1).

    Of a binary entry that is a coin of that probability. Real entries stay as they are.

    Args:
        space: what x is.

    Shape: means (B, *shape) in data units → x (B, *shape).

    >>> Rounding(Space((2,), "levels", levels=5))(torch.tensor([[2.0, 7.5]]))
    tensor([[2., 4.]])
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.levels, self.of_columns = space.level_count, bool(space.columns)
        columns = space.columns or ()
        counts = [c.count or 1 if c.kind in ("levels", "binary") else 0 for c in columns]
        self.register_buffer("whole", torch.tensor(counts) > 0, persistent=False)
        low = torch.tensor([float(c.low) for c in columns], dtype=torch.float64)
        self.register_buffer("low", low, persistent=self.of_columns)  # so that no cast rounds it
        self.register_buffer("top", torch.tensor(counts).float() - 1, persistent=False)
        self.whole: Tensor
        self.low: Tensor
        self.top: Tensor

    def forward(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if not self.of_columns and self.levels is None:
            return mean
        uniform = numerics.noise(mean, "uniform", generator)
        if self.levels is not None:
            return (mean + uniform).floor().clamp(0, self.levels - 1)
        drawn = (mean - self.low + uniform).floor()
        whole = drawn.clamp(min=0).minimum(self.top) + self.low
        return torch.where(self.whole, whole.to(mean), mean)
