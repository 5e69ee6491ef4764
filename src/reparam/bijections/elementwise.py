"""Bijections that act on each entry alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.base import Bijection
from reparam.buffers import Float64Buffers
from reparam.model import Batch, Model, Solve, Space


class Standardise(Float64Buffers, Bijection):
    """z = (x − shift) / scale: from the data's units to those of networks, and back.

    Binary data stay as they are, levels become x/(K−1) ∈ [0, 1], and real data are standardised by
    statistics that the stage ``stages`` reads off the training data: per column for vectors, per
    channel for images. A constant column keeps scale 1.

    Shape: (B, *shape) both ways, ladj (B,).

    >>> import torch
    >>> from reparam.model import Space
    >>> z, ladj = Standardise(Space((2,), "levels", levels=5))(torch.tensor([[0.0, 4.0]]))
    >>> z.tolist(), round(ladj.item(), 3)
    ([[0.0, 1.0]], -2.773)
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.top = 1 if space.level_count is None else space.level_count - 1
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # the networks' precision
        self.anchor: Tensor
        if space.kind == "real":
            shape = (space.shape[0],) + (1,) * (len(space.shape) - 1)
            self.register_buffer("shift", torch.zeros(shape, dtype=torch.float64))
            self.register_buffer("scale", torch.ones(shape, dtype=torch.float64))
            self.shift: Tensor
            self.scale: Tensor

    @property
    def stages(self) -> tuple[Solve, ...]:
        """The pass over the training data that real data need."""
        return (Solve("standardise", self._solve),) if self.space.kind == "real" else ()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.scaled(x), self._ladj(x, -1.0)

    def scaled(self, x: Tensor) -> Tensor:
        """z alone: what networks take, without the cost of the Jacobian."""
        if self.space.kind == "real":
            # Centred before it is rounded to the networks' precision.
            return ((x - self.shift) / self.scale).to(self.anchor)
        return x if self.top == 1 else x / self.top

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = (z * self.scale + self.shift).to(z) if self.space.kind == "real" else z * self.top
        return x, self._ladj(z, 1.0)

    @property
    def slope(self) -> Tensor:
        return self.scale if self.space.kind == "real" else self.anchor.new_full((), self.top)

    def _ladj(self, x: Tensor, sign: float) -> Tensor:
        if self.space.kind == "real":
            log_scale = self.scale.log().expand(self.space.shape).sum()
        else:
            log_scale = self.anchor.new_full((), self.space.dimension * math.log(self.top))
        return (sign * log_scale).to(self.anchor).expand(len(x))

    @torch.no_grad()
    def _solve(self, model: Model, batches: Iterable[Batch]) -> None:
        mean = _column_means(batches, 0.0)
        # A second pass around the mean: the one-pass formula cancels for columns far from zero.
        deviation = _column_means(batches, mean, power=2).sqrt()
        # What is left of a constant column is rounding noise of these sums, not a scale.
        rounding = 1e4 * torch.finfo(mean.dtype).eps
        constant = deviation <= rounding * mean.abs()
        deviation = torch.where(constant, torch.ones_like(deviation), deviation)
        self.shift.copy_(mean.reshape(self.shift.shape))
        self.scale.copy_(deviation.reshape(self.scale.shape))


def _column_means(batches: Iterable[Batch], centre: Tensor | float, power: int = 1) -> Tensor:
    """Means of (x − centre)^power by column of vectors, by channel of images."""
    total, count = torch.zeros(()), 0
    for x, _ in batches:
        columns = x.to(numerics.accumulator(x)).movedim(1, -1).flatten(0, -2)
        total = total.to(columns) + (columns - centre).pow(power).sum(0)
        count += len(columns)
    return total / count
