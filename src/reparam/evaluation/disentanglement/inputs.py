"""Codes and known factors as the metrics of disentanglement take them, checked and decided once."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict, get_args

import numpy as np
import torch
from torch import Tensor

from reparam.data.contents import Array, FactorKind
from reparam.wording import counted, listed

MOST_LEVELS = 100  # of a factor of floats; one with more is binned
FACTOR_BINS = 20  # of equally many rows, where it is, and
FEWEST_IN_BIN = 5  # rows in each, so that there are fewer bins of fewer than 100 rows
FEWEST_ROWS, FEW_ROWS = 20, 100  # refused below, warned below
DEAD_DEVIATION = 1e-6  # of the largest: a latent that varies less is dead
DEAD_NATS = 0.01  # a latent with a lower mean rate is dead
ON_GRID = 0.01  # of the distance of neighbors, by which circular values may be off
LARGEST = 1e150  # beyond it squares overflow


class UnmeasurableError(ValueError):
    """Codes and factors of which nothing can be said; ``evaluate`` then leaves the scores out."""


class UndefinedError(UnmeasurableError):
    """A metric that is not defined for so few factors or latents."""


class Reading(TypedDict, total=False):
    """How every metric reads codes and factors.

    Args:
        ordered: which factors are numbers (their names or indices), or by name or index what they
            are: ``"names"`` (levels without order), ``"numbers"`` or ``"circular"`` (levels evenly
            over a turn, of which some may lack). Where nothing is said, whole numbers are names and
            others are numbers.
        names: of the factors.
        rates: KL of each latent in nats, (L,) or (N, L); what has less than 0.01 on average is
            dead.
    """

    ordered: Mapping[Any, FactorKind] | Collection[Any] | None
    names: Collection[str] | None
    rates: Any


@dataclass(frozen=True)
class Coded:
    """Codes and factors of N rows.

    Args:
        z: (N, L) in float64; those of dead latents are 0.
        levels: (N, F), which level each factor has, from 0.
        values: (N, F), the factors as they were given.
        kinds: what each factor is.
        names: of the factors.
        dead: (L,), which latents are dead.
        notes: what was decided.
    """

    z: Array
    levels: Array
    values: Array
    kinds: tuple[FactorKind, ...]
    names: tuple[str, ...]
    dead: Array
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.z)

    @property
    def latents(self) -> int:
        return self.z.shape[1]

    @property
    def factors(self) -> int:
        return self.levels.shape[1]

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many levels each factor has."""
        return tuple(int(count) + 1 for count in self.levels.max(0))

    def level_values(self, factor: int) -> Array:
        """The mean value of the factor at each of its levels, (K,)."""
        index = self.levels[:, factor]
        sums = np.bincount(index, self.values[:, factor])
        found: Array = sums / np.bincount(index)
        return found

    def turns(self, factor: int) -> Array:
        """Where on a turn, from 0 to 1, the levels of a circular factor stand, (K,).

        The least distance of two values is taken for that of neighbors, and the end of the turn
        for the one after the largest value: so levels that no row has leave their place empty, but
        for those beyond the largest and the least. Values that are no such grid stand evenly.
        """
        values = self.level_values(factor)
        places = (values - values[0]) / np.diff(values).min()
        whole = np.round(places)
        if np.abs(places - whole).max() > ON_GRID:
            whole = np.arange(len(values), dtype=float)
        found: Array = whole / (whole[-1] + 1)
        return found


def read(
    codes: Any,
    factors: Any,
    ordered: Mapping[Any, FactorKind] | Collection[Any] | None = None,
    names: Collection[str] | None = None,
    rates: Any = None,
) -> Coded:
    """Codes (N, L) and factors (N, F), arrays or tensors, read as ``Reading`` says.

    Raises:
        ValueError: they are not finite numbers of as many rows, 20 at least, or nothing can be
            said of them: all latents dead, no factor with two levels, a factor that tells every
            row apart.

    >>> coded = read(np.eye(4)[np.arange(200) % 4], np.arange(200)[:, None] % 4)
    >>> coded.kinds, coded.counts, coded.notes
    (('names',), (4,), ('0 of 4 latents dead.',))
    """
    z, table = numbers("codes", codes), numbers("factors", factors)
    if len(z) != len(table):
        raise ValueError(f"factors: expected {len(z)} rows, one per code, got {len(table)}")
    refuse_few(len(z))
    named = _names(names, table.shape[1])
    kinds = _kinds(ordered, named)
    z, dead, notes = live_codes(z, rates)
    if dead.all():
        raise UnmeasurableError(
            "codes: all latents are dead, no code varies; train with a smaller weight of the rate"
        )
    read_factors = [_factor(name, column) for name, column in zip(named, table.T, strict=True)]
    kept = [i for i, (levels, _) in enumerate(read_factors) if levels.max() > 0]
    if not kept:
        raise UnmeasurableError("factors: expected one with two levels or more, got none")
    alone = [name for i, name in enumerate(named) if i not in kept]
    if alone:
        notes += (f"Left out for having one level only: {listed(alone, 10)}.",)
    notes += tuple(note for i in kept if (note := read_factors[i][1]))
    found = tuple(kinds.get(i) or default_kind(table[:, i]) for i in kept)
    levels = np.stack([read_factors[i][0] for i in kept], 1)
    values = table[:, kept].astype(np.float64)
    return Coded(z, levels, values, found, tuple(named[i] for i in kept), dead, notes)


def numbers(name: str, values: Any) -> Array:
    """Finite real numbers (N, D) of an array, tensor or table."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values  # NumPy has none
    array = np.asarray(values)
    if array.ndim != 2 or not array.shape[1]:
        remedy = "; for one column give values[:, None]" if array.ndim == 1 else ""
        raise ValueError(f"{name}: expected rows and columns, got shape {array.shape}{remedy}")
    if array.dtype.kind not in "buif":
        raise ValueError(
            f"{name}: expected real numbers, got {array.dtype}; give the number of each level"
        )
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        value = array[row, column]
        raise ValueError(
            f"{name}: expected finite numbers, got {value} in row {row}, column {column}"
        )
    if array.dtype.kind == "f" and np.abs(array.astype(np.float64)).max(initial=0) > LARGEST:
        raise ValueError(f"{name}: expected numbers of at most {LARGEST:g}, got larger ones")
    return array


def refuse_few(rows: int) -> None:
    """ValueError under 20 rows, a warning under 100."""
    if rows < FEWEST_ROWS:
        raise UnmeasurableError(f"rows: expected at least {FEWEST_ROWS}, got {rows}")
    if rows < FEW_ROWS:
        warnings.warn(
            f"rows: {rows} are few, scores of fewer than {FEW_ROWS} say little", stacklevel=4
        )


def live_codes(z: Array, rates: Any = None) -> tuple[Array, Array, tuple[str, ...]]:
    """Codes (N, L) in float64 with 0 for dead latents, which these are (L,), and a note of it."""
    z = z.astype(np.float64)
    deviation = (z - z[:1]).std(0)  # so that a constant deviates by 0, not by rounding
    dead = deviation <= DEAD_DEVIATION * deviation.max()
    if rates is not None:
        dead |= mean_rates(rates, z.shape[1]) < DEAD_NATS
    z[:, dead] = 0
    which = f": {listed([f'z{i}' for i in np.flatnonzero(dead)], 10)}" if dead.any() else ""
    return z, dead, (f"{dead.sum()} of {counted(len(dead), 'latent')} dead{which}.",)


def mean_rates(rates: Any, latents: int) -> Array:
    """The mean KL of each latent, (L,), of rates that are (L,) or (N, L)."""
    found = np.asarray(rates.detach().cpu().double() if isinstance(rates, Tensor) else rates)
    found = found.astype(np.float64)
    if found.ndim not in (1, 2) or found.shape[-1] != latents or not np.isfinite(found).all():
        raise ValueError(
            f"rates: expected a finite number for each of {latents} latents, got {found.shape}"
        )
    return found if found.ndim == 1 else found.mean(0)


def _names(names: Collection[str] | None, factors: int) -> list[str]:
    found = [str(name) for name in (range(factors) if names is None else names)]
    if len(set(found)) != factors or len(found) != factors:
        raise ValueError(
            f"names: expected {factors} different ones, one per factor, got {', '.join(found)}"
        )
    return found


def _kinds(
    ordered: Mapping[Any, FactorKind] | Collection[Any] | None, names: list[str]
) -> dict[int, FactorKind]:
    """What was said of factors, by index."""
    if ordered is None:
        return {}
    listed_ones = [ordered] if isinstance(ordered, str) else ordered
    said: Mapping[Any, FactorKind] = (
        ordered if isinstance(ordered, Mapping) else dict.fromkeys(listed_ones, "numbers")
    )
    found: dict[int, FactorKind] = {}
    for which, kind in said.items():
        if kind not in get_args(FactorKind):
            known = ", ".join(get_args(FactorKind))
            raise ValueError(f"ordered: expected one of {known}, got {kind!r}")
        if which in names:
            found[names.index(which)] = kind
        elif isinstance(which, int | np.integer) and 0 <= which < len(names):
            found[int(which)] = kind
        else:
            raise ValueError(f"ordered: expected one of {listed(names, 10)}, got {which!r}")
    return found


def default_kind(column: Array) -> FactorKind:
    """Whole numbers are levels without order, others are numbers."""
    return "names" if _whole(column) else "numbers"


def _whole(column: Array) -> bool:
    return column.dtype.kind != "f" or bool((column == np.round(column)).all())


def _factor(name: str, column: Array) -> tuple[Array, str]:
    """Which level each row has, and a note where they were made by bins."""
    values, index = np.unique(column, return_inverse=True)
    alone = 2 * len(values) > len(column)
    if alone and _whole(column):
        raise UnmeasurableError(
            f"factors: {name} has {len(values)} levels in {len(column)} rows, as a number of the "
            "row has; leave it out, or give more rows"
        )
    if column.dtype.kind != "f" or (len(values) <= MOST_LEVELS and not alone):
        return index.astype(np.int64), ""
    count = min(FACTOR_BINS, len(column) // FEWEST_IN_BIN)
    edges = np.quantile(column, np.linspace(0, 1, count + 1)[1:-1])
    bins = np.unique(np.searchsorted(edges, column, side="right"), return_inverse=True)[1]
    note = f"{name} has {len(values)} values: taken as {bins.max() + 1} levels of as many rows."
    return bins.astype(np.int64), note
