"""x in the units of models that draw it out of noise: standardized, or from −1 to 1."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from reparam.bijections.dequantization import Uniform
from reparam.bijections.standardization import standardization
from reparam.model import Batch, Model, Solve, Space


class Units(nn.Module):
    """Real x standardized; whole numbers from −1 to 1, as they are or with uniform noise.

    Levels 0 … K−1 become 2x/(K−1) − 1 where they stay whole numbers, and 2(x + u)/K − 1 where they
    are ``dequantized``. Columns of whole numbers in a table always are. Real entries that are
    constant in training are 0 and no part of what is counted, and so are entries that are known.

    Args:
        space: what x is, without columns of names.
        dequantized: whether binary and levels data get noise.
        known: bool (*shape), entries that are said otherwise; None: none are.

    Shape: x and y (B, *shape), ladj (B,).

    >>> units = Units(Space((2,), "levels", levels=5), dequantized=False)
    >>> units(torch.tensor([[0.0, 4.0]]))[0].tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, space: Space, dequantized: bool, known: Tensor | None = None) -> None:
        super().__init__()
        free = None if known is None or not known.any() else ~known
        self.register_buffer("free", free, persistent=False)
        self.free: Tensor | None
        self.levels = space.level_count
        wanted = not space.reals.all() and (dequantized or space.kind == "mixed")
        self.box = Uniform(space) if wanted else None
        self.standardize = standardization(space) if self.levels is None else None
        self.dimension = space.dimension
        ends = torch.ones(space.shape) * (1 if self.discrete else math.inf)
        self.register_buffer("low", -ends, persistent=not self.discrete)  # of y, in training
        self.register_buffer("high", ends.clone(), persistent=not self.discrete)
        self.register_buffer("some_value", space.some_value, persistent=False)
        self.some_value: Tensor
        self.low: Tensor
        self.high: Tensor

    @property
    def stages(self) -> tuple[Solve, ...]:
        first = () if self.standardize is None else self.standardize.stages
        return first if self.discrete else (*first, Solve("range", self._solve))

    @property
    def counted(self) -> int:
        if self.free is None:
            return self.dimension if self.standardize is None else self.standardize.count
        return int(self.entries(torch.ones_like(self.low)[None]).sum())

    @property
    def dequantizes(self) -> bool:
        return self.box is not None

    @property
    def discrete(self) -> bool:
        """Whether y is of whole numbers, within −1 and 1."""
        return self.levels is not None and self.box is None

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None, middle: bool = False
    ) -> tuple[Tensor, Tensor]:
        """y and log |det ∂y/∂x|; ``middle`` takes the middles of boxes in place of noise."""
        y, ladj = self._of_all(x, generator, middle)
        if self.free is None:
            return y, ladj
        slopes = torch.zeros_like(y)
        if self.standardize is not None:
            slopes = self.standardize.factors(slopes, x)
        elif self.box is not None:
            slopes = slopes - (0.5 * (self.box.top + 1).to(y)).log()
        return self.hidden(y), self.hidden(slopes).flatten(1).sum(1)

    def _of_all(
        self, x: Tensor, generator: torch.Generator | None, middle: bool
    ) -> tuple[Tensor, Tensor]:
        if self.discrete:
            assert self.levels is not None
            return 2 * x / (self.levels - 1) - 1, x.new_zeros(x.shape[0])
        y, ladj = (x, x.new_zeros(x.shape[0])) if self.standardize is None else self.standardize(x)
        if self.box is None:
            return y, ladj
        y = self.box.middle(y) if middle else self.box.draw(y, None, generator)[0]
        half = 0.5 * (self.box.top + 1).to(y)
        scaled = torch.where(self.box.discrete, y / half - 1, y)
        slope = torch.where(self.box.discrete, -half.log(), 0.0).sum()
        return scaled, ladj + slope

    @torch.no_grad()
    def _solve(self, model: Model, batches: Iterable[Batch]) -> None:
        """The smallest and the largest y of every entry, of boxes their ends."""
        low, high = torch.full_like(self.low, math.inf), torch.full_like(self.high, -math.inf)
        for batch in batches:
            y = self(model.prepare(batch.x, batch.c)[0], middle=True)[0]
            low, high = torch.minimum(low, y.amin(0)), torch.maximum(high, y.amax(0))
        if self.box is not None:  # from the middles to the ends
            half = torch.where(self.box.discrete, 1 / (self.box.top + 1), 0.0)
            low, high = low - half, high + half
        self.low.copy_(low)
        self.high.copy_(high)

    def mean(self, y: Tensor) -> Tensor:
        """x of y without rounding: means of whole numbers are none."""
        if self.discrete:
            assert self.levels is not None
            return (0.5 * (y + 1) * (self.levels - 1)).clamp(0, self.levels - 1)
        if self.box is not None:
            half = 0.5 * (self.box.top + 1).to(y)
            level = torch.clamp((y + 1) * half - 0.5, torch.zeros_like(y), self.box.top.to(y))
            y = torch.where(self.box.discrete, level, y)
        return y if self.standardize is None else self.standardize.inverse(y)[0]

    def back(self, y: Tensor) -> Tensor:
        """x of y, whole numbers where these are asked for."""
        if self.discrete:
            return self.mean(y).round()
        if self.box is not None:
            half = 0.5 * (self.box.top + 1).to(y)
            y = self.box.quantize(torch.where(self.box.discrete, (y + 1) * half, y))
        return y if self.standardize is None else self.standardize.inverse(y)[0]

    def entries(self, values: Tensor) -> Tensor:
        """Values of entries (B, *shape), those of constants and of what is known 0."""
        values = self.hidden(values)
        return values if self.standardize is None else self.standardize.masked(values)

    def hidden(self, values: Tensor) -> Tensor:
        """Values of entries (B, *shape), those of what is known 0."""
        return values if self.free is None else torch.where(self.free, values, 0.0)

    def sum(self, values: Tensor) -> Tensor:
        """Over the entries that are counted, (B,)."""
        return self.entries(values).flatten(1).sum(1)
