"""The likelihood of mixed data: every column by its kind, and cells that are missing left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reparam.distribution import Visit
from reparam.distributions.likelihoods import (
    ConditionalNormal,
    Likelihood,
    Normal,
    level_units,
)
from reparam.distributions.masses import BernoulliMass, CategoricalMass, DiscretizedLogisticMass
from reparam.model import Column, Distribution, Space

KIND_OF = {"log": "real"}  # how a column is modeled once it is in network units


@dataclass(frozen=True)
class MixedDistribution(Distribution):
    """Independent entries of several kinds; those of x that are NaN count nothing.

    The most probable name stands for the mean of a category in ``center``.

    Likelihood: exact, a density in the real entries and a probability in the others.
    """

    parts: tuple[Distribution, ...]  # one for each kind
    sizes: tuple[int, ...]  # how many entries each has
    places: Tensor  # which entries of x these are, one kind after the other
    order: Tensor  # of the entries of x among those

    @property
    def rows(self) -> int:
        return max(part.rows for part in self.parts)

    @property
    def center(self) -> Tensor:
        return torch.cat([part.center for part in self.parts], 1)[:, self.order]

    @property
    def by_entry(self) -> MixedDistribution:
        return self

    @property
    def undivided(self) -> bool:
        return False

    def walk(self, visit: Visit) -> Tensor:
        """Kind by kind; the sites of each are its columns of x.

        What is missing has no factor, which is left to the visitor that gives NaN for it.
        """
        places = self.places.split(self.sizes)
        values = [visit(part, own) for part, own in zip(self.parts, places, strict=True)]
        return torch.cat(values, 1)[:, self.order]

    def part(self, x: Tensor, sites: Tensor) -> Tensor:
        return x[:, sites]

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return torch.cat([part.rsample(generator) for part in self.parts], 1)[:, self.order]

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return self._terms(x)[:, self.order]

    def log_prob(self, x: Tensor) -> Tensor:
        """The sum of the terms, for which none has to find its place."""
        times = max(1, self.rows // x.shape[0])
        return self._terms(x if times == 1 else x.repeat_interleave(times, 0)).sum(1)

    def _terms(self, x: Tensor) -> Tensor:
        """The terms one kind after the other, 0 of what is missing."""
        x = x[:, self.places]
        missing = x.isnan()
        there = torch.where(missing, 0.0, x).split(self.sizes, 1)
        pairs = zip(self.parts, there, strict=True)
        terms = torch.cat([part.log_prob_terms(own) for part, own in pairs], 1)
        return torch.where(missing, 0.0, terms)

    def repeat(self, k: int) -> MixedDistribution:
        return replace(self, parts=tuple(part.repeat(k) for part in self.parts))

    def detach(self) -> MixedDistribution:
        return replace(self, parts=tuple(part.detach() for part in self.parts))


@dataclass(frozen=True)
class LogisticColumns(DiscretizedLogisticMass):
    """Columns of a ``DiscretizedLogisticMass`` that have numbers of levels of their own, (B, D)."""

    levels: Tensor  # type: ignore[assignment]
    counts: tuple[int, ...] = ()  # the same as numbers, (D,)

    @property
    def center(self) -> Tensor:
        return self._by_levels(lambda mass: mass.center)

    @property
    def variance(self) -> Tensor:
        return self._by_levels(lambda mass: mass.variance)

    def log_table(self) -> Tensor:
        """Of as many levels as the longest column has; others have no mass beyond theirs."""
        levels = torch.arange(max(self.counts)).to(self.levels)
        wide = self._map(lambda value: value.unsqueeze(-1))
        found = wide.log_mass(levels.minimum(wide.levels - 1))
        return torch.where(levels < wide.levels, found, -torch.inf)

    def table(self) -> Tensor:
        return self.log_table().exp()

    def _whole(self, draw: Tensor) -> Tensor:
        return draw.round().clamp(min=0).minimum(self.levels - 1) + 0.0  # 0, not −0

    def _by_levels(self, find: Callable[[DiscretizedLogisticMass], Tensor]) -> Tensor:
        found = []
        for column, levels in enumerate(self.counts):
            at = slice(column, column + 1)
            own = DiscretizedLogisticMass(self.location[:, at], self.log_scale[:, at], levels)
            found.append(find(own))
        return torch.cat(found, 1)


@dataclass(frozen=True)
class NamesMass(CategoricalMass):
    """A ``CategoricalMass`` of values without an order, whose center is the most probable one."""

    @property
    def center(self) -> Tensor:
        return self.logits.argmax(1).to(self.logits.dtype)


class Mixed(Likelihood):
    """p(x|z) = Π_i p(x_i|z), every entry by the kind of its column.

    A normal with a learned scale for real columns, a discretized logistic for levels, Bernoulli for
    flags, a categorical for names. Cells of x that are NaN are left out of the product. x is in the
    units of ``StandardizeColumns``.

    The decoder gives as many numbers as all columns together need: one for each real column, two
    for levels, one for flags, one for every name; kind by kind, in this order.

    Shape: (B, P) → x (B, D).

    Likelihood: exact: a density in real columns, a probability in the others.

    Reference: Nazabal et al. 2020 (HI-VAE), section 3 (https://arxiv.org/abs/1807.03653).

    >>> columns = (Column("height", "real"), Column("city", "category", 3))
    >>> p_x = Mixed(Space((2,), "mixed", columns=columns))
    >>> p_x.parameter_shape
    (4,)
    >>> x = torch.tensor([[torch.nan, 2.0]])
    >>> p_x(torch.zeros(1, 4)).log_prob_terms(x).exp().detach()  # 1 of what is missing
    tensor([[1.0000, 0.3333]])
    """

    kinds = ("mixed",)
    numbers_of_reals = 1
    levels: Tensor
    beyond: Tensor
    numbers_of_names: Tensor

    def __init__(self, space: Space) -> None:
        columns = space.columns or ()
        super().__init__(space)
        self.parts: list[str] = []  # kinds, each the name of its module
        for kind in ("real", "levels", "binary", "category"):
            of_kind = [i for i, c in enumerate(columns) if KIND_OF.get(c.kind, c.kind) == kind]
            if of_kind:
                self.parts.append(kind)
                self._add(kind, [columns[i] for i in of_kind])
                self.register_buffer(f"places_{kind}", torch.tensor(of_kind), persistent=False)
        places = torch.cat([self._places(kind) for kind in self.parts])
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("order", places.argsort(), persistent=False)
        self.places: Tensor
        self.order: Tensor
        self.entries = tuple(len(self._places(kind)) for kind in self.parts)
        self.sizes = [sum(map(self._needs, self._of(kind))) for kind in self.parts]
        self._lay_out()

    def _lay_out(self) -> None:
        """Set ``parameter_shape``: all numbers side by side, as many as are needed."""
        self.parameter_shape = (sum(self.sizes),)

    def distribution(self, parameters: Tensor) -> MixedDistribution:
        chosen = self._by_kind(parameters)
        parts = (self._part(kind, own) for kind, own in zip(self.parts, chosen, strict=True))
        return MixedDistribution(tuple(parts), self.entries, self.places, self.order)

    def _by_kind(self, parameters: Tensor) -> list[Tensor]:
        """The numbers of each kind, (B, numbers of a column, columns)."""
        found = []
        for kind, own in zip(self.parts, parameters.split(self.sizes, 1), strict=True):
            if kind == "category":
                found.append(own[:, self.numbers_of_names])
            else:
                found.append(own.unflatten(1, (-1, len(self._places(kind)))))
        return found

    def _places(self, kind: str) -> Tensor:
        places: Tensor = getattr(self, f"places_{kind}")
        return places

    def _add(self, kind: str, columns: Sequence[Column]) -> None:
        """What the columns of a kind need beside their parameters."""
        if kind == "real":
            self.real = self._normal(Space((len(columns),), "real"))
            return
        counts = torch.tensor([column.count or 0 for column in columns])
        if kind == "levels":
            self.counts = tuple(counts.tolist())
            self.register_buffer("levels", counts.float(), persistent=False)
        if kind == "category":
            names = torch.arange(int(counts.max()))[:, None]
            self.register_buffer("beyond", names >= counts, persistent=False)
            numbers = counts.cumsum(0) - counts + torch.minimum(names, counts - 1)
            self.register_buffer("numbers_of_names", numbers, persistent=False)

    def _part(self, kind: str, parameters: Tensor) -> Distribution:
        """The columns of a kind, from (B, numbers, columns)."""
        if kind == "real":
            return self.real(parameters)
        if kind == "binary":
            return BernoulliMass(parameters.squeeze(1))
        if kind == "category":
            return NamesMass(parameters.masked_fill(self.beyond, -torch.inf))
        location, log_scale = parameters.unbind(1)
        units = level_units(location, log_scale, self.levels)
        return LogisticColumns(*units, self.levels.expand_as(location), self.counts)

    def _normal(self, space: Space) -> Normal:
        return Normal(space, "per-dimension")

    def _of(self, kind: str) -> list[Column]:
        return [c for c in self.space.columns or () if KIND_OF.get(c.kind, c.kind) == kind]

    def _needs(self, column: Column) -> int:
        if column.kind in ("real", "log"):
            return self.numbers_of_reals
        return {"levels": 2, "binary": 1}.get(column.kind) or column.count or 1


class ConditionalMixed(Mixed):
    """``Mixed`` in autoregressive models, the network giving scales of real columns too.

    Their networks give P numbers for every entry, P being what the column that needs most needs;
    the others take the first of theirs.

    Shape: (B, P, D) → x (B, D).

    >>> columns = (Column("height", "real"), Column("city", "category", 3))
    >>> ConditionalMixed(Space((2,), "mixed", columns=columns)).at(slice(0, 1)).parameter_shape
    (2, 1)
    """

    numbers_of_reals = 2

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        several = space.columns if space.dimension > 1 else None
        for entry, column in enumerate(several or ()):
            single = ConditionalMixed(Space((1,), "mixed", columns=(column,)))
            self.add_module(f"entry_{entry}", single)

    def _lay_out(self) -> None:
        most = max(map(self._needs, self.space.columns or ()))
        self.parameter_shape = (most, *self.space.shape)

    def _by_kind(self, parameters: Tensor) -> list[Tensor]:
        widths = [max(map(self._needs, self._of(kind))) for kind in self.parts]
        places = map(self._places, self.parts)
        return [parameters[:, :n, own] for n, own in zip(widths, places, strict=True)]

    def _normal(self, space: Space) -> Normal:
        return ConditionalNormal(space)

    def at(self, sites: slice) -> Likelihood:
        """The likelihood of one entry, or of all there are."""
        if sites.stop - sites.start == self.space.dimension:
            return self
        assert sites.stop - sites.start == 1
        single = self.get_submodule(f"entry_{sites.start}")
        assert isinstance(single, Likelihood)
        return single
