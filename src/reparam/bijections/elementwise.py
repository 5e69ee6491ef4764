"""Bijections that act on each entry alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.base import OF_ENTRIES, Bijection
from reparam.bijections.varying import Varying
from reparam.buffers import Float64Buffers
from reparam.model import Batch, Model, Solve, Space


class Standardize(Float64Buffers, Bijection):
    """z = (x − shift) / scale: from the data's units to those of networks, and back.

    Binary data stay as they are, levels become x/(K−1) ∈ [0, 1], and real data are standardized by
    statistics that the stage ``stages`` reads off the training data: per column for vectors, per
    channel for images. Real entries that are constant there become 0 and come back exactly; they
    are no part of the Jacobian (see ``Varying``), and ladj is −∞ of an x in which they differ. Real
    data come back in the precision of the training data.

    Shape: (B, *shape) both ways, ladj (B,).

    >>> import torch
    >>> from reparam.model import Space
    >>> z, ladj = Standardize(Space((2,), "levels", levels=5))(torch.tensor([[0.0, 4.0]]))
    >>> z.tolist(), round(ladj.item(), 3)
    ([[0.0, 1.0]], -2.773)
    """

    costs, entrywise = OF_ENTRIES, True

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.top = 1 if space.level_count is None else space.level_count - 1
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # the networks' precision
        self.anchor: Tensor
        self.varying = Varying(space) if space.kind == "real" else None
        if space.kind == "real":
            shape = (space.shape[0],) + (1,) * (len(space.shape) - 1)
            self.register_buffer("shift", torch.zeros(shape, dtype=torch.float64))
            self.register_buffer("scale", torch.ones(shape, dtype=torch.float64))
            self.shift: Tensor
            self.scale: Tensor

    @property
    def stages(self) -> tuple[Solve, ...]:
        """The pass over the training data that real data need."""
        return (Solve("standardize", self._solve),) if self.space.kind == "real" else ()

    @property
    def count(self) -> int:
        """How many entries of x are no constants."""
        return self.space.dimension if self.varying is None else self.varying.count

    @property
    def varies(self) -> Tensor | None:
        return None if self.varying is None or self.varying.whole else self.varying.mask

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        ladj = self._ladj(x, -1.0)
        return self.scaled(x), ladj if self.varying is None else ladj + self.varying.log_support(x)

    def scaled(self, x: Tensor) -> Tensor:
        """z alone: what networks take, without the cost of the Jacobian."""
        if self.varying is not None:
            # Centered before it is rounded to the networks' precision.
            return self.varying(((x - self.shift) / self.scale).to(self.anchor))
        return x if self.top == 1 else x / self.top

    def observed(self, x: Tensor) -> Tensor:
        """x as likelihoods take it: real data standardized, others as they are."""
        return x if self.varying is None else self.scaled(x)

    def factors(self, log_prob: Tensor, x: Tensor) -> Tensor:
        if self.varying is None:
            return log_prob - math.log(self.top)
        return self.varying.factors(log_prob - self.scale.log().to(log_prob), x)

    def masked(self, z: Tensor) -> Tensor:
        """Values in network units with 0 in place of constants, as ``scaled`` has them."""
        return z if self.varying is None else self.varying(z)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.varying is None:
            return z * self.top, self._ladj(z, 1.0)
        return self.varying.restore(z * self.scale + self.shift), self._ladj(z, 1.0)

    @property
    def slope(self) -> Tensor:
        if self.varying is None:
            return self.anchor.new_full((), self.top)
        return self.varying(self.scale)

    def _ladj(self, x: Tensor, sign: float) -> Tensor:
        if self.varying is not None:
            log_scale = self.varying(self.scale.log().expand(self.space.shape)).sum()
        else:
            log_scale = self.anchor.new_full((), self.space.dimension * math.log(self.top))
        return (sign * log_scale).to(self.anchor).expand(x.shape[0])

    @torch.no_grad()
    def _solve(self, model: Model, batches: Iterable[Batch]) -> None:
        assert self.varying is not None
        self.varying.learn(batch.x for batch in batches)
        mean = _column_means(batches, 0.0, self.varies)
        # A second pass around the mean: the one-pass formula cancels for columns far from zero.
        deviation = _column_means(batches, mean, self.varies, power=2).sqrt()
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        self.shift.copy_(mean.reshape(self.shift.shape))
        self.scale.copy_(deviation.reshape(self.scale.shape))


def _column_means(
    batches: Iterable[Batch], center: Tensor | float, varies: Tensor | None, power: int = 1
) -> Tensor:
    """Means of (x − center)^power by column of vectors, by channel of images.

    Only over the entries ``varies`` (*shape), where not all do; 0 where none does.
    """
    total, count = torch.zeros(()), torch.zeros((), dtype=torch.float64)
    for batch in batches:
        x = batch.x
        columns = x.to(numerics.accumulator(x)).movedim(1, -1).flatten(0, -2)
        values = (columns - center).pow(power)
        if varies is None:
            count = count + len(columns)
        else:
            kept = varies.to(x.device).expand(x.shape).movedim(1, -1).flatten(0, -2)
            values = torch.where(kept, values, 0.0)
            count = count.to(columns) + kept.sum(0)
        total = total.to(columns) + values.sum(0)
    return total / count.clamp(min=1).to(total)
