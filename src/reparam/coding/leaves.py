"""One-dimensional distributions as an entropy coder is told of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam import numerics
from reparam.coding.file import POINTS
from reparam.distributions.densities import (
    NormalDensity,
    NormalMixtureDensity,
    Parametric,
    StandardNormalDensity,
)
from reparam.distributions.masses import BernoulliMass
from reparam.model import Distribution

MISSING = "compress: needs constriction, which is not installed; pip install 'reparam[compress]'"
NOT_FINITE = "its networks give parameters that are not finite, which no code can be made of"
PRECISION = 12  # parameters are multiples of 2⁻¹², so that their last digits decide nothing
LEAST = 24  # bits that the most improbable value costs: the coder's probabilities have 24
ENTRIES_AT_ONCE = 2**10  # of which tables of all levels are made: these stay in the cache
POINTS_AT_ONCE = 2**17  # of the grid in all entries, at which a density is looked at
FINEST, MOST_BINS = 16, POINTS  # of the grid: its bits, and its points, each of which has 2⁻²⁴
TAIL = 6.0  # scales from its mean that a posterior is to reach

Arrays = tuple[NDArray[Any], ...]


class Beyond(Exception):
    """A posterior reaches farther than the grid of z; says how far."""

    def __init__(self, reach: float) -> None:
        super().__init__(reach)
        self.reach = reach


@dataclass(frozen=True)
class Grid:
    """Multiples of 2^−bits from −reach to reach, on which every entry of z lies.

    >>> Grid(6, 8).bins
    1025
    """

    bits: int
    reach: int

    @property
    def bins(self) -> int:
        return 2 * self.last + 1

    @property
    def last(self) -> int:
        return self.reach << self.bits

    @property
    def points(self) -> Tensor:
        return torch.arange(-self.last, self.last + 1, dtype=torch.float64) * 2.0**-self.bits


@cache
def coder() -> ModuleType:
    """The library of entropy coders.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import constriction
    except ImportError as error:
        raise ValueError(MISSING) from error
    stream: ModuleType = constriction.stream
    return stream


def installed() -> bool:
    """Whether there is a coder."""
    try:
        coder()
    except ValueError:
        return False
    return True


def coder_version() -> str:
    return metadata.version("constriction")


class Leaf(ABC):
    """Independent entries (B, D), each of whose values has a whole number, its symbol.

    Args:
        shape: (B, *event), of the values.
    """

    unit: float = 1.0  # what a symbol is multiplied by to be a value

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def entries(self) -> int:
        return math.prod(self.shape[1:])

    @abstractmethod
    def model(self, rows: int) -> tuple[Any, Arrays]:
        """The coder's family, and its parameters of all entries of the first rows."""

    def push(self, stack: Any, symbols: Tensor) -> None:
        """Symbols (n, D) of the first rows onto a stack of the coder."""
        family, parameters = self.model(len(symbols))
        stack.encode_reverse(symbols.reshape(-1).numpy(), family, *parameters)

    def pop(self, stack: Any, rows: int) -> Tensor:
        """The symbols (n, D) that a push left there last."""
        family, parameters = self.model(rows)
        return torch.from_numpy(stack.decode(family, *parameters)).view(rows, -1)

    @abstractmethod
    def cost(self, symbols: Tensor) -> Tensor:
        """−log₂ of the probabilities of symbols (n, D) of the first rows, ``LEAST`` at most."""

    @abstractmethod
    def entropy(self, rows: int) -> Tensor:
        """The expectation of the cost, (n, D)."""

    @abstractmethod
    def nearest(self) -> Tensor:
        """The symbols (B, D) in the middle: nearest to the mean, or the most probable ones."""

    def scale(self, rows: int) -> Tensor:
        """The smallest scale of each row, (n,), of normal entries."""
        return torch.full((rows,), torch.inf, dtype=torch.float64)

    def refuse_beyond(self, rows: int) -> None:  # noqa: B027
        """``Beyond`` where draws may lie outside of the grid."""

    def symbols(self, values: Tensor) -> Tensor:
        return (values.reshape(len(values), -1) / self.unit).round().to(torch.int32)

    def values(self, symbols: Tensor) -> Tensor:
        """Symbols (n, D) as values (B, *event) of float64, 0 in the rows that are not coded."""
        found = symbols.new_zeros(self.shape, dtype=torch.float64)
        found.view(len(found), -1)[: len(symbols)] = symbols * self.unit
        return found


class BernoulliLeaf(Leaf):
    """Entries of two levels."""

    def __init__(self, p: BernoulliMass) -> None:
        super().__init__(tuple(p.logits.shape))
        self.one = torch.sigmoid(p.logits).flatten(1)

    def model(self, rows: int) -> tuple[Any, Arrays]:
        return coder().model.Bernoulli(perfect=False), (_finite(self.one[:rows]),)

    def cost(self, symbols: Tensor) -> Tensor:
        one = self.one[: len(symbols)]
        return _bits(torch.where(symbols > 0, one, 1 - one))

    def entropy(self, rows: int) -> Tensor:
        one = self.one[:rows]
        return (torch.special.entr(one) + torch.special.entr(1 - one)) / math.log(2)

    def nearest(self) -> Tensor:
        return (self.one > 0.5).to(torch.int32)


class TableLeaf(Leaf):
    """Entries of few values, whose probabilities are all listed.

    Args:
        shape: of the values.
        table: (B, D, K), rows that sum to 1.
        first: the symbol of the first value.
        unit: of symbols.
    """

    def __init__(
        self, shape: tuple[int, ...], table: Tensor, first: int = 0, unit: float = 1.0
    ) -> None:
        super().__init__(shape)
        alone = table.shape[2] == 1  # nothing is to be said of it, but the coder wants two
        self.table = torch.nn.functional.pad(table, (0, 1)) if alone else table
        self.first, self.unit = first, unit

    def model(self, rows: int) -> tuple[Any, Arrays]:
        table = self.table[:rows].flatten(0, 1).contiguous().numpy()
        _finite(self.table[:rows, :, 0])  # what is no number has none in any place
        return coder().model.Categorical(perfect=False), (table,)

    def symbols(self, values: Tensor) -> Tensor:
        return super().symbols(values) - self.first

    def values(self, symbols: Tensor) -> Tensor:
        return super().values(symbols + self.first)

    def cost(self, symbols: Tensor) -> Tensor:
        table = self.table[: len(symbols)]
        return _bits(table.gather(2, symbols.long().unsqueeze(2)).squeeze(2))

    def entropy(self, rows: int) -> Tensor:
        return torch.special.entr(self.table[:rows]).sum(2) / math.log(2)

    def nearest(self) -> Tensor:
        return self.table.argmax(2).to(torch.int32)


class NormalLeaf(Leaf):
    """Normal entries, rounded to the grid; what lies beyond it is put on its ends."""

    def __init__(self, mean: Tensor, log_scale: Tensor, grid: Grid) -> None:
        mean, log_scale = torch.broadcast_tensors(mean, log_scale)
        super().__init__(tuple(mean.shape))
        self.grid, self.unit = grid, 2.0**-grid.bits
        self.mean, self.log_scale = mean.flatten(1), log_scale.flatten(1)

    def model(self, rows: int) -> tuple[Any, Arrays]:
        last = self.grid.last
        family = coder().model.QuantizedGaussian(-last, last)
        scale = self.log_scale[:rows].exp() / self.unit
        return family, (_finite(self.mean[:rows] / self.unit), _finite(scale))

    def cost(self, symbols: Tensor) -> Tensor:
        n, last = len(symbols), self.grid.last
        nats = numerics.discretized_normal_log_prob(
            symbols.double() + last,
            self.mean[:n] / self.unit + last,
            self.log_scale[:n] - math.log(self.unit),
            self.grid.bins,
        )
        return (-nats / math.log(2)).clamp(max=LEAST)

    def entropy(self, rows: int) -> Tensor:
        """That of the density and log₂ of the bins in a unit: of scales that are not below one."""
        nats = self.log_scale[:rows] + 0.5 * math.log(2 * math.pi * math.e)
        return nats / math.log(2) + self.grid.bits

    def nearest(self) -> Tensor:
        last = self.grid.last
        return self.symbols(self.mean).clamp(-last, last)

    def scale(self, rows: int) -> Tensor:
        return self.log_scale[:rows].exp().amin(1)


class NearLeaf(NormalLeaf):
    """Normal entries of which bits come back, each within some scales of its mean.

    The coder reserves a least probability for every point of the grid that it is told of. Of a
    posterior, which is drawn from, one draw in some thousands would be such a point, anywhere on
    the grid, and p(x|z) would find x very improbable there. So entries of narrower posteriors are
    told of fewer points, of which their symbols are counted from the one nearest to the mean.
    """

    def _steps(self, rows: int) -> tuple[Tensor, Tensor]:
        """The point nearest to the mean, and how many to either side, a power of two, (n, D)."""
        middle = (self.mean[:rows] / self.unit).round()
        scales = TAIL * self.log_scale[:rows].exp() / self.unit
        return middle, 2 ** scales.clamp(min=1.0).log2().ceil()

    def push(self, stack: Any, symbols: Tensor) -> None:
        middle, steps = self._steps(len(symbols))
        apart = symbols - middle
        if (apart.abs() > steps).any():  # what no draw was, and the coder has no ValueError for
            raise ValueError("values are farther from the mean than any draw")
        relative = apart.to(torch.int32)
        for family, chosen, parameters in reversed([*self._groups(middle, steps)]):
            stack.encode_reverse(relative[chosen].numpy(), family, *parameters)

    def pop(self, stack: Any, rows: int) -> Tensor:
        middle, steps = self._steps(rows)
        found = torch.zeros_like(middle)
        for family, chosen, parameters in self._groups(middle, steps):
            found[chosen] = torch.from_numpy(stack.decode(family, *parameters)).to(found)
        return (found + middle).to(torch.int32)

    def _groups(self, middle: Tensor, steps: Tensor) -> Iterator[tuple[Any, Tensor, Arrays]]:
        """Entries of as many points each."""
        mean = self.mean[: len(middle)] / self.unit - middle
        scale = self.log_scale[: len(middle)].exp() / self.unit
        for last in steps.unique().tolist():
            chosen = steps == last
            family = coder().model.QuantizedGaussian(-int(last), int(last))
            yield family, chosen, (_finite(mean[chosen]), _finite(scale[chosen]))

    def refuse_beyond(self, rows: int) -> None:
        middle, steps = self._steps(rows)
        reach = (middle.abs() + steps).max().item() * self.unit
        if math.isnan(reach):
            raise ValueError(NOT_FINITE)
        if not reach <= self.grid.reach:
            raise Beyond(reach)


class GridLeaf(TableLeaf):
    """Entries of z, by the probabilities (B, D, bins) of all points of the grid."""

    def __init__(self, shape: tuple[int, ...], table: Tensor, grid: Grid) -> None:
        super().__init__(shape, table, -grid.last, 2.0**-grid.bits)
        self.reach = grid.reach

    def refuse_beyond(self, rows: int) -> None:
        ends = self.table[:rows, :, :: self.table.shape[2] - 1]
        _finite(ends)
        if not ends.max() <= 2.0**-LEAST:
            raise Beyond(2.0 * self.reach)


class DensityLeaf(GridLeaf):
    """Entries of any density, by its values on the grid."""

    def __init__(self, p: Distribution, grid: Grid) -> None:
        shape, columns = tuple(p.center.shape), []
        for some in grid.points.split(max(1, POINTS_AT_ONCE // math.prod(shape))):
            k = len(some)
            x = some.repeat(shape[0]).view(-1, *[1] * (len(shape) - 1)).expand(-1, *shape[1:])
            columns.append(p.repeat(k).log_prob_terms(x).view(shape[0], k, -1).mT)
        table = torch.cat(columns, 2).softmax(2)
        super().__init__(shape, table, grid)


class MixtureLeaf(GridLeaf):
    """One entry of a mixture of normals: that of the components' values on the grid."""

    def __init__(self, p: NormalMixtureDensity, grid: Grid) -> None:
        self.narrowest = p.log_scale.flatten(1).amin(1).exp()
        mean, log_scale = p.mean, p.log_scale
        if bool((mean == mean[:1]).all() and (log_scale == log_scale[:1]).all()):
            mean, log_scale = mean[:1], log_scale[:1]  # of a prior, only weights differ
        each = numerics.normal_log_prob(grid.points, mean, log_scale)  # (1 or B, K, bins)
        table = p.log_weights.exp().unsqueeze(1) @ each.softmax(2)
        super().__init__((len(table), 1), table, grid)

    def scale(self, rows: int) -> Tensor:
        return self.narrowest.expand(self.rows)[:rows]


def leaves_of(p: Distribution, grid: Grid, near: bool = False) -> list[Leaf] | None:
    """Of some rows each, one after the other; None where p is to be walked through.

    Args:
        p: a part of a walk, its parameters rounded.
        grid: of real entries.
        near: whether normal entries stay within some scales of their means: of a posterior.
    """
    if isinstance(p, BernoulliMass):
        return [BernoulliLeaf(p)]
    if isinstance(p, StandardNormalDensity):
        return [NormalLeaf(p.zeros, torch.zeros_like(p.zeros), grid)]
    if isinstance(p, NormalDensity):
        return [(NearLeaf if near else NormalLeaf)(p.mean, p.log_scale, grid)]
    if isinstance(p, NormalMixtureDensity) and p.event_shape == (1,):
        return [MixtureLeaf(p, grid)]
    parts = []
    for part in _by_rows(p):
        table = part.table()
        if table is None:
            break
        shape = part.event_shape if isinstance(part, Parametric) else part.center.shape[1:]
        parts.append(TableLeaf((len(table), *shape), table))
    else:
        return [*parts]
    return [DensityLeaf(p, grid)] if p.continuous and p.undivided else None


def _by_rows(p: Distribution) -> Iterator[Distribution]:
    """As many rows at once as their tables are small."""
    if isinstance(p, Parametric):
        count = max(1, ENTRIES_AT_ONCE // max(1, math.prod(p.event_shape)))
        for start in range(0, p.rows, count):
            yield p.some(slice(start, start + count))
    else:
        yield p


def _finite(values: Tensor) -> NDArray[np.float64]:
    """Parameters as the coder takes them, which does anything at all with others."""
    found: NDArray[np.float64] = values.double().reshape(-1).numpy()
    if not np.isfinite(found).all():
        raise ValueError(NOT_FINITE)
    return found


def _bits(probabilities: Tensor) -> Tensor:
    return (-probabilities.log2()).clamp(max=LEAST)
