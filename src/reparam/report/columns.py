"""The columns of a table: their names and scales, and how they answer a walk through code space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import rows_at_once
from reparam.data import Data
from reparam.report.pictures import Picture, png

NAMED = 24  # columns at most whose names are written
DIVERGING, RANGE = "RdBu_r", 2.5  # colors of standard deviations, up to so many


@dataclass(frozen=True)
class Columns:
    """The names of the columns, x1 … where they have none, and their scale in the training data."""

    names: list[str]
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, data: Data) -> Columns:
        parts = data.train.x.split(rows_at_once(data.space))
        mean, deviation = numerics.moments(lambda: parts)
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        names = list(data.columns or [f"x{i + 1}" for i in range(data.space.dimension)])
        return cls([_clip(name) for name in names], mean, deviation)

    @property
    def few(self) -> bool:
        """Whether there is room to name them all."""
        return len(self.names) <= NAMED

    def standardized(self, x: Tensor) -> Tensor:
        """In standard deviations from the mean of the training data, column by column."""
        return ((x.double() - self.mean) / self.deviation).float()


def _clip(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"


def colors(columns: Columns, x: Tensor, alt: str) -> Picture:
    """How the columns change along a walk x (steps, D): a pixel for each, downwards, and step."""
    from matplotlib import colormaps

    values = columns.standardized(x.flatten(1)).T / (2 * RANGE) + 0.5
    return png(colormaps[DIVERGING](values.numpy(), bytes=True)[..., :3], alt, crisp=True)
