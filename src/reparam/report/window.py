"""The part of the plane that pictures of points show."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MARGIN, EDGE = 0.08, 0.001  # of the points' width, around all but such a share of them


class Window(NamedTuple):
    """The part of the plane that is shown: left, right, bottom, top."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, x: Tensor) -> Window:
        """Where nearly all rows (N, 2) are."""
        low, high = torch.quantile(x, x.new_tensor([EDGE, 1 - EDGE]), dim=0)
        wide = (high - low).clamp(min=1e-6) * MARGIN
        (left, bottom), (right, top) = (low - wide).tolist(), (high + wide).tolist()
        return cls(left, right, bottom, top)

    def cells(self, side: int) -> Tensor:
        """The centers of so many cells across and up, (side², 2), row by row from the top."""
        steps = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        across = self.left + (self.right - self.left) * steps
        up = self.top - (self.top - self.bottom) * steps
        return torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).flatten(0, 1)
