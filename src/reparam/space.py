"""Space: what one example x is, which values it may have, and when they are looked at."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from reparam.limits import LARGEST

DataKind = Literal["binary", "levels", "real", "mixed"]
ColumnKind = Literal["real", "log", "levels", "binary", "category"]
# "support": what data can be, 0 … K−1 or finite reals; "range": also what lies between the levels,
# as means and gray images do; "finite": any number, as noise and linear decoders make of data.
Domain = Literal["support", "range", "finite"]
ROWS = 1024  # looked at together
FLOAT32_EXACT = 2**24  # float32 holds every integer up to here
ROUNDING = 1e-5  # of sums of a few hundred terms in float32, relative
_TRUSTED = ContextVar("trusted", default=False)


@dataclass(frozen=True)
class Column:
    """One entry of mixed data: its name and its kind.

    Args:
        name: of the column.
        kind: ``"real"``; ``"log"``, real and positive, modeled by its logarithm; ``"levels"``,
            integers with an order; ``"binary"``; ``"category"``, names without an order.
        levels: K, the number of values of a ``levels`` or ``category`` column.
        names: of the values 0, 1, … of a ``category`` or ``binary`` column.
        low: the smallest value of a ``levels`` or ``binary`` column, which has low … low+K−1.

    >>> Column("age", "levels", 100, low=18).count
    100
    """

    name: str
    kind: ColumnKind
    levels: int | None = None
    names: tuple[str, ...] | None = None
    low: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(ColumnKind):
            expected = ", ".join(get_args(ColumnKind))
            raise ValueError(f"{self.name}: expected a kind of {expected}, got {self.kind!r}")
        least = {"levels": 2, "category": 1}.get(self.kind, 0)
        if self.levels is not None and (self.levels != int(self.levels) or self.levels < least):
            raise ValueError(f"{self.name}: expected at least {least} values, got {self.levels}")
        if (self.kind in ("levels", "category")) != (self.levels is not None):
            raise ValueError(
                f"{self.name}: levels are given exactly for levels and categories, got "
                f"{self.levels} for {self.kind}"
            )
        if self.names is not None and len(self.names) != self.count:
            raise ValueError(f"{self.name}: {len(self.names)} names for {self.count} values")
        names = self.names or ()
        if len({*names}) < len(names):
            raise ValueError(f"{self.name}: expected different names, got {', '.join(names)}")

    @property
    def count(self) -> int | None:
        """K, how many values there are; None for real ones."""
        return 2 if self.kind == "binary" else self.levels


@dataclass(frozen=True)
class Space:
    """What one example x is: its shape, the kind of its entries, and what labels it carries.

    Args:
        shape: ``(C, H, W)`` for images, ``(D,)`` for vectors.
        kind: ``"binary"`` (0 or 1), ``"levels"`` (integers 0 … levels−1), ``"real"``, or
            ``"mixed"``, each entry of the kind of its column.
        levels: the number of levels K, for kind ``"levels"`` only.
        classes: the number of classes, where the data have labels.
        attributes: the number of float attributes, where the data have them; these are then what
            conditional models take, not the classes.
        columns: one for each entry of a vector, for kind ``"mixed"`` only.
        given: the shape of a condition that is an image.

    >>> Space((1, 8, 8), "levels", levels=17).dimension
    64
    """

    shape: tuple[int, ...]
    kind: DataKind
    levels: int | None = None
    classes: int | None = None
    attributes: int | None = None
    columns: tuple[Column, ...] | None = None
    given: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if len(self.shape) not in (1, 3) or min(self.shape) < 1:
            raise ValueError(
                f"shape: expected (D,) or (C, H, W) of positive sizes, got {self.shape}"
            )
        if self.kind not in get_args(DataKind):
            raise ValueError(f"kind: expected {', '.join(get_args(DataKind))}, got {self.kind!r}")
        if self.kind == "mixed" and len(self.shape) != 1:
            raise ValueError(f"shape: mixed data are vectors (D,), got {self.shape}")
        if len(self.columns or ()) != (self.dimension if self.kind == "mixed" else 0):
            raise ValueError(
                f"columns: expected one for each entry of mixed data and none for others, got "
                f"{len(self.columns or ())} for {self.kind} {self.shape}"
            )
        if (self.kind == "levels") != (self.levels is not None):
            raise ValueError(
                f"levels: given exactly for kind levels, got {self.levels} for {self.kind}"
            )
        if self.levels is not None and self.levels < 2:
            raise ValueError(f"levels: expected at least 2, got {self.levels}")
        sizes = {"shape": self.dimension, "given": math.prod(self.given or ())}
        for name in ("levels", "classes", "attributes"):
            sizes[name] = getattr(self, name) or 0
        for name, size in sizes.items():
            if size > LARGEST:
                raise ValueError(f"{name}: expected less than 2^63, got {size.bit_length()} bits")

    @property
    def dimension(self) -> int:
        """D, the number of entries of one example."""
        return math.prod(self.shape)

    @property
    def has_reals(self) -> bool:
        """Whether log p(x) is a density in entries of x, which keep their precision."""
        return self.kind == "real" or any(c.count is None for c in self.columns or ())

    @property
    def keeps_precision(self) -> bool:
        """Whether there are values that float32 may round: reals, and large whole numbers."""
        large = any(abs(c.low) + (c.count or 0) > FLOAT32_EXACT for c in self.columns or ())
        return self.has_reals or large

    @property
    def reals(self) -> Tensor:
        """Which entries of x are real, (*shape)."""
        if not self.columns:
            return torch.full(self.shape, self.kind == "real")
        return torch.tensor([column.count is None for column in self.columns])

    @property
    def some_value(self) -> Tensor:
        """A value that every entry may have, (*shape), for those that nothing is said of.

        >>> Space((2,), "mixed", columns=(Column("a", "log"), Column("b", "levels", 4, low=2))).some_value
        tensor([1, 2])
        """  # noqa: E501
        if not self.columns:
            return torch.zeros(self.shape, dtype=torch.int64)
        return torch.tensor([1 if column.kind == "log" else column.low for column in self.columns])

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def level_count(self) -> int | None:
        """K of discrete data (binary data have 2), None for real data."""
        return 2 if self.kind == "binary" else self.levels


@contextmanager
def trusted() -> Iterator[None]:
    """Within, no values are looked at: they were before, or were computed from such.

    A look costs a pass over x, and on a GPU the host waits for its result.

    >>> with trusted():
    ...     looked_at()
    False
    """
    token = _TRUSTED.set(True)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def looked_at() -> bool:
    """Whether values are to be looked at here and now; compiled and mapped code never can."""
    return readable() and not _TRUSTED.get()


def readable() -> bool:
    """Whether values can be read here and now."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.maybe_current_level() is None  # under vmap no value can be read


def as_tensor(values: object, name: str = "x") -> Tensor:
    """A tensor as it is; numbers in arrays, frames and lists as one, float64 where they are.

    Raises:
        ValueError: no numbers, or rows of different shapes.

    >>> as_tensor([[1, 2]]), as_tensor(np.zeros(1, ">f4"))
    (tensor([[1, 2]]), tensor([0.]))
    """
    if isinstance(values, Tensor):
        return values
    refuse_masked(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:  # NumPy says at which axis the lengths differ
        raise ValueError(f"{name}: rows must have one shape ({error})") from error
    kept = {"b": np.bool_, "u": np.int64, "i": np.int64, "f": np.float32}
    if array.dtype.kind not in kept:
        what = type(values).__name__
        raise ValueError(f"{name}: expected a tensor or array of numbers, got {what}")
    dtype = np.float64 if array.dtype.kind == "f" and array.dtype.itemsize > 4 else None
    return torch.from_numpy(np.array(array, dtype or kept[array.dtype.kind], order="C"))


def refuse_masked(values: object, name: str) -> None:
    """ValueError where cells of an array, or of one in a list, are masked.

    >>> refuse_masked([np.ma.masked_equal([1, 2], 2)], "x")
    Traceback (most recent call last):
    ValueError: x: has masked cells, which cannot be learned from; fill them in
    """
    parts = values if isinstance(values, list | tuple) else (values,)
    if any(isinstance(p, np.ma.MaskedArray) and np.ma.is_masked(p) for p in parts):
        raise ValueError(f"{name}: has masked cells, which cannot be learned from; fill them in")


def check_shape(x: Tensor, shape: tuple[int, ...]) -> None:
    """ValueError unless x has shape (B ≥ 1, *shape).

    >>> check_shape(torch.zeros(2, 3), (3,))
    """
    if x.ndim and tuple(x.shape[1:]) == shape and x.shape[0]:
        return
    expected, got = ", ".join(["B ≥ 1", *map(str, shape)]), tuple(x.shape)
    one = "; one example is x[None]" if got == shape else ""
    raise ValueError(f"x: expected a tensor of shape ({expected}), got {got}{one}")


def check_mask(mask: Tensor, x: Tensor) -> None:
    """ValueError unless the mask says of every entry of x (B, *shape) whether it is given.

    >>> check_mask(torch.tensor([True, False]), torch.zeros(3, 2))
    """
    if mask.dtype != torch.bool or mask.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"mask: expected bool of shape {tuple(x.shape[1:])} or {tuple(x.shape)}, "
            f"got {mask.dtype} {tuple(mask.shape)}"
        )


def check_values(
    x: Tensor, levels: int | None, domain: Domain = "support", name: str = "x"
) -> None:
    """ValueError where x holds what its kind of data does not, with the row and the remedy.

    Of more than two levels, data that were divided by K−1 are refused in every domain: all their
    values are multiples of 1/(K−1), which means and noise are not.

    Args:
        x: (B, *shape).
        levels: K of discrete data, 2 of binary ones; None for real data.
        domain: which values are allowed.
        name: what the message calls x.

    >>> check_values(torch.tensor([[0.0, 0.5]]), 17)
    Traceback (most recent call last):
        ...
    ValueError: x: expected integers 0 … 16 (levels), got values in [0, 1]; they seem to be \
divided by 16: give (x * 16).round()
    """
    x = x.detach()
    holds = all(_all_allowed(rows, levels, domain) for rows in x.split(ROWS))
    of_code = name == "code"
    scale = None if of_code or (domain == "support" and holds) else _scale(x, levels)
    if holds and (scale is None or not _on_grid(x, levels, scale)):
        return
    expected = _expected(levels, domain)
    if levels is not None and scale is not None:
        top = levels - 1
        was = f"divided by {top}" if scale else "mapped to [-1, 1]"
        back = f"x * {top}" if scale else f"(x + 1) * {top / 2:g}"
        raise ValueError(
            f"{name}: expected {expected}, got values in [{scale - 1}, 1]; they seem to be {was}: "
            f"give ({back}).round()"
        )
    got, value = _first_wrong(x, levels, domain)
    remedy = "give codes as encode gives them" if of_code else _remedy(value, levels)
    raise ValueError(f"{name}: expected {expected}, got {got}; {remedy}")


def check_columns(
    x: Tensor,
    columns: Sequence[Column],
    missing: bool = False,
    domain: Domain = "support",
    name: str = "x",
) -> None:
    """ValueError where a column of mixed data holds what its kind does not.

    Args:
        x: (B, D).
        columns: of x.
        missing: whether cells may be missing, NaN.
        domain: which values are allowed; names are whole numbers in each.
        name: what the message calls x.

    >>> age = Column("age", "levels", 9, low=18)
    >>> check_columns(torch.tensor([[17.0]]), [age])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: x: column 'age', row 0: expected whole numbers 18 … 26, got 17; leave such rows ...
    """
    x = x.detach()
    wrong = torch.stack([_wrong_cells(x[:, i], c, domain) for i, c in enumerate(columns)], 1)
    absent = x.isnan()
    wrong = wrong & ~absent if missing else wrong | absent
    if not bool(wrong.any()):
        return
    row, column = (int(place) for place in wrong.nonzero()[0])
    place, value = f"{name}: column {columns[column].name!r}, row {row}", float(x[row, column])
    if value != value:
        raise ValueError(
            f"{place}: the cell is missing, and this model takes no missing cells; leave such "
            "rows out (missing='drop', --missing drop)"
        )
    expected = _expected_of(columns[column], domain)
    raise ValueError(f"{place}: expected {expected}, got {value:g}; {_remedy_for(columns[column])}")


def _remedy_for(column: Column) -> str:
    leave = "leave such rows out"
    if column.kind in ("real", "category") or column.names:  # it is, or never can be, real
        return leave
    said = f"kind={{{column.name!r}: 'real'}}, --kind {shlex.quote(column.name + '=real')}"
    return f"{leave}, or train with the column as real ({said})"


def _wrong_cells(x: Tensor, column: Column, domain: Domain) -> Tensor:
    """Of each cell of a column whether it is there and not allowed."""
    if column.count is None or (domain == "finite" and column.kind != "category"):
        wrong = x.isinf()
        return wrong | (x <= 0) if column.kind == "log" else wrong
    whole: Domain = "support" if column.kind == "category" else domain
    return ~_allowed(x - column.low, column.count, whole) & ~x.isnan()


def _expected_of(column: Column, domain: Domain) -> str:
    if column.count is None or (domain == "finite" and column.kind != "category"):
        return "positive numbers" if column.kind == "log" else "finite numbers"
    what = "values in" if domain == "range" and column.kind != "category" else "whole numbers"
    return f"{what} {column.low} … {column.low + column.count - 1}"


def _allowed(x: Tensor, levels: int | None, domain: Domain) -> Tensor:
    """Of each entry whether it is in the domain; NaN never is."""
    if levels is None or domain == "finite":
        return x.isfinite()
    if domain == "range":  # a mean over levels may round to a little more than the highest
        slack = ROUNDING * (levels - 1)
        return (x >= -slack) & (x <= levels - 1 + slack)
    inside = (x >= 0) & (x <= levels - 1)
    return inside & (x == x.floor()) if x.is_floating_point() else inside


def _all_allowed(x: Tensor, levels: int | None, domain: Domain) -> bool:
    """Whether all entries are in the domain; the extremes tell most of it, in one pass."""
    anything = levels is None or domain == "finite"
    if not x.numel() or (anything and not x.is_floating_point()):
        return True
    extremes = torch.stack(x.aminmax())  # NaN where any entry is
    if not bool(_allowed(extremes, levels, domain).all()):
        return False
    whole = levels is not None and domain == "support" and x.is_floating_point()
    return not whole or bool((x == x.floor()).all())


def _scale(x: Tensor, levels: int | None) -> int | None:
    """1 where levels seem to be mapped to [0, 1], 0 where to [−1, 1], else None."""
    if levels is None or levels == 2 or not x.is_floating_point():
        return None
    low, high = (value.item() for value in x.aminmax())
    if not (-1 <= low and high <= 1) or bool((x == x.floor()).all()):
        return None
    return int(low >= 0)


def _on_grid(x: Tensor, levels: int | None, scale: int) -> bool:
    """Whether all values are scaled levels, to their rounding, and some an inner one."""
    top = (levels or 2) - 1
    levels_of = x * top if scale else (x + 1) * (top / 2)
    whole = levels_of.round()
    exact = (levels_of - whole).abs() <= 4 * torch.finfo(x.dtype).eps * top
    return bool(exact.all()) and bool(((whole > 0) & (whole < top)).any())


def _expected(levels: int | None, domain: Domain) -> str:
    if levels is None or domain == "finite":
        return "finite numbers"
    if domain == "range":
        return f"values in [0, {levels - 1}]"
    return "0 or 1 (binary)" if levels == 2 else f"integers 0 … {levels - 1} (levels)"


def _first_wrong(x: Tensor, levels: int | None, domain: Domain) -> tuple[str, float]:
    """In words, a value that is not allowed and in how many rows there are such; and the value."""
    wrong = ~_allowed(x, levels, domain)
    rows = wrong.flatten(1).any(1)
    first = int(rows.int().argmax())
    place = wrong[first].nonzero()[0].tolist()
    value = x[(first, *place)].item()
    got = f"{value:g}".replace("nan", "NaN") + f" in {int(rows.sum())} of {len(x)} rows"
    return f"{got} (first: row {first}{_named_entry(place)})", value


def _named_entry(place: list[int]) -> str:
    """Which entry of a row it is, as messages say it.

    >>> _named_entry([4]), _named_entry([0, 2, 3])
    (', column 4', ', channel 0, pixel (2, 3)')
    """
    if len(place) == 3:
        return f", channel {place[0]}, pixel ({place[1]}, {place[2]})"
    return f", column {place[0]}" if len(place) == 1 else ""


def _remedy(value: float, levels: int | None) -> str:
    if not value - value == 0:  # NaN or infinite
        return "leave such rows out, or fill them in"
    if levels is None or not 0 <= value <= levels - 1:
        return "give x in the units of the training data"
    return "give (x > 0.5).float()" if levels == 2 else "give x.round()"
