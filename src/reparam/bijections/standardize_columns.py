"""Standardization of mixed data: every column by its kind."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.base import OF_ENTRIES, Bijection
from reparam.bijections.varying import Varying
from reparam.buffers import Float64Buffers
from reparam.model import Batch, Model, Solve, Space


class StandardizeColumns(Float64Buffers, Bijection):
    """z = (x − shift) / scale by column, after the logarithm where a column is modeled by it.

    Real columns are standardized by statistics of the cells that are there; those of whole numbers
    start at 0 (z = x − low); flags and names stay as they are. These are the units of ``Mixed``.
    Networks see columns of K whole numbers divided by K−1 (``scaled``). Real columns that are
    constant in training become 0, as in ``Standardize``. Cells that are missing stay NaN, and are
    no part of the Jacobian.

    Shape: (B, D) both ways, ladj (B,).

    >>> from reparam.model import Column
    >>> columns = (Column("age", "levels", 5, low=18), Column("income", "log"))
    >>> z, ladj = StandardizeColumns(Space((2,), "mixed", columns=columns))(torch.tensor([[20, 1]]))
    >>> z.tolist(), ladj.tolist()
    ([[2.0, 0.0]], [0.0])
    """

    costs, entrywise = OF_ENTRIES, True

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space, columns = space, space.columns or ()
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # the networks' precision
        self.anchor: Tensor
        self.varying = Varying(space)
        shift = torch.tensor([float(c.low) for c in columns], dtype=torch.float64)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", torch.ones_like(shift))
        self.shift: Tensor
        self.scale: Tensor
        tops = [c.count - 1 if c.kind in ("levels", "binary") and c.count else 1 for c in columns]
        self.register_buffer("top", torch.tensor(tops, dtype=torch.float32), persistent=False)
        real = torch.tensor([c.count is None for c in columns])
        self.register_buffer("real", real, persistent=False)
        log = torch.tensor([c.kind == "log" for c in columns])
        self.register_buffer("log", log, persistent=False)
        self.top: Tensor
        self.real: Tensor
        self.log: Tensor
        self.has_log = bool(log.any())

    @property
    def stages(self) -> tuple[Solve, ...]:
        """The pass over the training data that real columns need."""
        return (Solve("standardize", self._solve),)

    @property
    def count(self) -> int:
        """How many entries of x are no constants."""
        return self.varying.count

    @property
    def varies(self) -> Tensor | None:
        return None if self.varying.whole else self.varying.mask

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.has_log:
            zeros = self.anchor.new_zeros(x.shape)
            return self.observed(x), self.factors(zeros, x).sum(1)
        there = (~x.isnan()).to(self.anchor)
        # No matrix product: autocast would round it.
        ladj = (there * self._log_slope(x)[0].to(self.anchor)).sum(1)
        return self.observed(x), ladj + self.varying.log_support(x)

    def observed(self, x: Tensor) -> Tensor:
        """z alone: x as ``Mixed`` takes it."""
        return self.varying(self.precise(x).to(self.anchor))

    def precise(self, x: Tensor) -> Tensor:
        """z before it is rounded to the networks' precision, of constants too."""
        z = (self._log(x) - self.shift) / self.scale
        return torch.where(x.isnan(), torch.nan, z) if self.has_log else z

    def scaled(self, x: Tensor) -> Tensor:
        """x as networks take it."""
        return self.observed(x) / self.top

    def factors(self, log_prob: Tensor, x: Tensor) -> Tensor:
        there = torch.where(x.isnan(), 0.0, log_prob + self._log_slope(x).to(log_prob))
        return self.varying.factors(there, x)

    def _log_slope(self, x: Tensor) -> Tensor:
        """ln dz/dx of every entry, (B, D) or (1, D), 0 of constants and of whole numbers."""
        slope = -self.scale.log()[None]
        if self.has_log:
            slope = slope - torch.where(self.log, self._positive(x).log(), 0.0)
        return self.varying(slope)

    def masked(self, z: Tensor) -> Tensor:
        """Values in network units with 0 in place of constants, as ``scaled`` has them."""
        return self.varying(z)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = z * self.scale + self.shift
        # No exp of other columns: where it overflows, its gradient would be NaN though not used.
        x = torch.where(self.log, torch.where(self.log, y, 0.0).exp(), y) if self.has_log else y
        return self.varying.restore(x), -self._log_slope(x).expand(x.shape).sum(1).to(self.anchor)

    @property
    def slope(self) -> Tensor | None:
        """None of columns modeled by logarithms, though these too are mapped one by one."""
        return None if self.has_log else self.varying(self.scale)

    def _log(self, x: Tensor) -> Tensor:
        """x with the logarithms of the columns that are modeled so."""
        return torch.where(self.log, self._positive(x).log(), x) if self.has_log else x

    def _positive(self, x: Tensor) -> Tensor:
        """x where it has a logarithm, 1 elsewhere: a missing cell must not reach its gradient."""
        return torch.where(self.log & ~x.isnan(), x, 1.0)

    @torch.no_grad()
    def _solve(self, model: Model, batches: Iterable[Batch]) -> None:
        self.varying.learn(batch.x for batch in batches)
        varies = self.varying.mask
        mean = self._means(batches, 0.0)
        # A second pass around the mean: the one-pass formula cancels for columns far from zero.
        deviation = self._means(batches, mean, power=2).sqrt()
        chosen = self.real & varies
        self.shift.copy_(torch.where(chosen, mean, self.shift))
        self.scale.copy_(torch.where(chosen & (deviation > 0), deviation, 1.0))

    def _means(self, batches: Iterable[Batch], center: Tensor | float, power: int = 1) -> Tensor:
        """Means of (x − center)^power by column, after the logarithm, over the cells there are."""
        total, count = torch.zeros(()), torch.zeros(())
        for batch in batches:
            x = batch.x.to(self.log.device, numerics.accumulator(batch.x))
            there = ~x.isnan()
            values = (self._log(x) - center).pow(power)
            total = total.to(x) + torch.where(there, values, 0.0).sum(0)
            count = count.to(x) + there.sum(0)
        return total / count.clamp(min=1)
