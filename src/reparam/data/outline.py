"""What a run remembers of its data: enough to read more of the same and to show samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from reparam.data.splits import Data
from reparam.model import Space

# The arguments of load_data as JSON keeps them.
RECIPE_TYPES: dict[str, Any] = {
    "source": str,
    "test": str,
    "label": str | int,
    "drop": str | list,
    "attributes": list,
    "kind": str,
    "levels": int,
    "binarize": str | int | float,
    "size": int | list,
    "fit_size": str,
    "seed": int,
}
ENTRY_TYPES: dict[str, Any] = {
    "name": str,
    "fingerprint": str,
    "source": dict | None,
    "class_names": list | None,
    "columns": list | None,
    "attribute_names": list | None,
    "low": int | float,
    "high": int | float,
}


class Like(Protocol):
    """What ``load_rows`` has to know of the data that new examples are to be like."""

    @property
    def space(self) -> Space: ...
    @property
    def class_names(self) -> tuple[str, ...] | None: ...
    @property
    def columns(self) -> tuple[str, ...] | None: ...
    @property
    def attribute_names(self) -> tuple[str, ...] | None: ...
    @property
    def source(self) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class Outline:
    """Data without their examples.

    Args:
        space, name, class_names, columns, attribute_names, source: as in ``Data``.
        low, high: the range of the values: all levels, or what the real training values span.

    >>> from reparam.data.load import load_data
    >>> data = load_data("digits")
    >>> outline = Outline.from_json(outline_json(data), data.space)
    >>> outline.low, outline.high, outline.source
    (0.0, 16.0, {'source': 'digits'})
    """

    space: Space
    name: str
    class_names: tuple[str, ...] | None
    columns: tuple[str, ...] | None
    attribute_names: tuple[str, ...] | None
    source: dict[str, Any] | None
    low: float
    high: float

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], space: Space) -> Outline:
        """The outline in an entry that ``check_outline`` lets pass."""
        return cls(
            space,
            entry["name"],
            _names(entry["class_names"]),
            _names(entry["columns"]),
            _names(entry["attribute_names"]),
            entry["source"],
            entry["low"],
            entry["high"],
        )


def outline_json(data: Data) -> dict[str, Any]:
    """Data without their examples, and their fingerprint, as JSON keeps it."""
    low, high = _span(data)
    return {
        "name": data.name,
        "source": data.source,
        "fingerprint": data.fingerprint(),
        "class_names": None if data.class_names is None else list(data.class_names),
        "columns": None if data.columns is None else list(data.columns),
        "attribute_names": None if data.attribute_names is None else list(data.attribute_names),
        "low": low,
        "high": high,
    }


def check_outline(entry: Mapping[str, Any]) -> None:
    """ValueError where an entry is not what ``outline_json`` gives.

    >>> check_outline({"name": "digits"})
    Traceback (most recent call last):
    ValueError: data.fingerprint is missing
    """
    for name, kind in ENTRY_TYPES.items():
        if name not in entry:
            raise ValueError(f"data.{name} is missing")
        _check(f"data.{name}", entry[name], kind)
    recipe = entry["source"]
    if recipe is None:
        return
    if "source" not in recipe:
        raise ValueError("data.source.source is missing")
    for name, value in recipe.items():
        if name not in RECIPE_TYPES:
            raise ValueError(f"data.source.{name} is no argument of load_data")
        _check(f"data.source.{name}", value, RECIPE_TYPES[name])


def _names(found: list[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)


def _check(name: str, value: object, kind: Any) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} cannot be {value!r}")


def _span(data: Data) -> tuple[float, float]:
    levels = data.space.level_count
    if levels is not None:
        return 0.0, float(levels - 1)
    low, high = (float(end) for end in data.train.x.aminmax())
    # Data built by hand may hold anything, which is for the training to report.
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (0.0, 1.0)
