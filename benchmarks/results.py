"""What benchmarks find: quantities and their goals, judged alike, printed alike, kept as JSON."""

from __future__ import annotations

import importlib.util
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reparam.checkpoint import read_json, write_json

HEAD = ("what", "median (extremes)", "goal", "")


class Goal(NamedTuple):
    """What a median is to reach."""

    sign: str
    value: float

    def met_by(self, value: float) -> bool:
        return value >= self.value if self.sign == "≥" else value <= self.value

    def __str__(self) -> str:
        return f"{self.sign} {number(self.value)}"


def at_least(value: float) -> Goal:
    return Goal("≥", value)


def at_most(value: float) -> Goal:
    return Goal("≤", value)


class Result(NamedTuple):
    """A quantity and its value in every round, or what it lacks to be measured."""

    what: str
    goal: Goal | None
    unit: str
    values: list[float]
    lacks: str = ""

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Result:
        """From what ``json.loads`` makes of ``_asdict()``, in which a goal is a list."""
        goal = fields["goal"]
        return cls(**fields | {"goal": Goal(*goal) if goal else None})

    @property
    def median(self) -> str:
        """With the extremes behind it."""
        if not self.values:
            return ""
        middle, low, high = (f(self.values) for f in (statistics.median, min, max))
        extremes = f" ({number(low)}–{number(high)})" if len(self.values) > 1 else ""
        # A digit more tells a median that is not the goal from one that is.
        goal = middle if self.goal is None else self.goal.value
        alike = middle != goal and number(middle) == number(goal)
        return f"{number(middle, int(alike))}{f' {self.unit}' if self.unit else ''}{extremes}"

    @property
    def verdict(self) -> str:
        """By the median; beside it, whether the goal lies within the spread of the rounds."""
        if not self.values:
            return f"not measured: needs {self.lacks}"
        if self.goal is None:
            return ""
        said = "reached" if self.goal.met_by(statistics.median(self.values)) else "not reached"
        if len(self.values) == 1:
            return f"{said}, one run"
        both = {self.goal.met_by(value) for value in self.spread}
        return said if len(both) == 1 else f"{said}, within the noise"

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles, or the extremes of fewer than four values."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        low, _, high = statistics.quantiles(self.values, n=4)
        return low, high

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """A row of the table ``HEAD``."""
        return self.what, self.median, str(self.goal or ""), self.verdict


class Quantity(NamedTuple):
    """What is measured; without a unit it is a ratio."""

    what: str
    goal: Goal | None = None
    unit: str = ""

    def found(self, values: Iterable[float]) -> Result:
        """ValueError where there is no value, or one that is not finite."""
        found = list(values)
        if not found or not all(map(math.isfinite, found)):
            raise ValueError(f"{self.what}: expected finite values, got {found}")
        return Result(*self, found)

    def lacking(self, needed: str) -> Result:
        return Result(*self, [], needed)


def lacking(quantities: Iterable[Quantity], needed: str) -> Iterator[Result]:
    for quantity in quantities:
        yield quantity.lacking(needed)


def missing(module: str, extra: str = "") -> str:
    """What to install where a module is not there; else nothing."""
    if importlib.util.find_spec(module):
        return ""
    name = module.replace("_", "-")
    return f"{name} (`pip install -e '.[{extra}]'`)" if extra else f"{name} (`pip install {name}`)"


def show(results: Iterable[Result], file: Path | None) -> None:
    """Each as a row of a table once it is there, and all so far in a file."""
    kept: list[dict[str, Any]] = []
    for result in results:
        if not kept:
            print("\n" + head(), flush=True)
        print(row(result.cells), flush=True)
        kept.append(result._asdict())
        if file is not None:
            write_json(file, kept)


class Kept(NamedTuple):
    """What was found, by name, the settings it was found with, and the file that keeps both."""

    file: Path | None
    settings: dict[str, Any]
    found: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, file: Path | None, settings: dict[str, Any]) -> Kept:
        """What is in the file so far; ValueError where it was measured on something else."""
        there: dict[str, Any] = read_json(file) if file is not None and file.exists() else {}
        before = there.get("settings", settings)
        if before != settings:
            raise ValueError(f"{file}: holds results of {before}; give another file")
        return cls(file, settings, there.get("found", {}))

    def put(self, name: str, found: dict[str, Any]) -> None:
        self.found[name] = found
        if self.file is not None:
            write_json(self.file, {"settings": self.settings, "found": self.found})


def head(*more: str) -> str:
    """The first two lines of a table."""
    cells = (*HEAD, *more)
    return row(cells) + "\n" + row(["---"] * len(cells))


def row(cells: Sequence[str]) -> str:
    """A row of a table in markdown."""
    safe = (" ".join(cell.replace("|", r"\|").split("\n")) for cell in cells)
    return f"| {' | '.join(safe)} |"


def number(value: float, more: int = 0) -> str:
    """Three digits, or all before the point, and so many more."""
    return f"{value:.{more}f}" if abs(value) >= 100 else f"{value:.{3 + more}g}"
