"""Cells that are missing."""

from __future__ import annotations

import torch
from torch import Tensor


def with_holes(x: Tensor) -> Tensor:
    """x with every fourth cell missing, of every row another."""
    cells = torch.arange(x.numel(), device=x.device).view_as(x) * 7 % 4
    return torch.where(cells == 0, torch.nan, x)
