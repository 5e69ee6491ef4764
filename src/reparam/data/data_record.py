"""What a run remembers of its data: enough to read more of the same and to show samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from reparam.data.chosen import Chosen
from reparam.data.contents import ReadOptions
from reparam.data.few_labels import FewLabels
from reparam.data.splits import Data
from reparam.data.values import ValueOptions
from reparam.limits import check, hints
from reparam.space import Space

# what is recorded of data without a source
OF_MEMORY = (
    *("binarize", "shape", "range", "frames", "header", "decimal"),
    *("only", "without", "kind", "missing", "rare", "one_hot"),
)


def _recipe() -> Any:
    """The arguments of ``load_data`` as JSON keeps them; ``source`` not of data in memory."""
    given: dict[str, Any] = {"source": str, "test": str}
    for options in (ReadOptions, ValueOptions, Chosen, FewLabels):
        given |= hints(options)
    given["size"] = int | list[int]
    given["kind"] = str | dict[str, str]  # of all entries, or by column
    given["one_hot"] = bool | dict[str, list[str]]
    made = TypedDict("Recipe", given, total=False)  # type: ignore[misc]
    return made


if TYPE_CHECKING:
    Recipe = dict[str, Any]
else:
    Recipe = _recipe()


class RecordEntry(TypedDict):
    """What ``record_json`` gives."""

    name: str
    fingerprint: str
    source: Recipe | None
    class_names: list[str] | None
    columns: list[str] | None
    attribute_names: list[str] | None
    factor_names: NotRequired[list[str] | None]
    bands: NotRequired[list[int] | None]
    scaled: NotRequired[int | None]
    low: float
    high: float


@dataclass(frozen=True)
class DataRecord:
    """What a run remembers of its data: all but the examples.

    Args:
        space, name, class_names, columns, attribute_names, factor_names, source, bands, scaled: as
            in ``Data``.
        low, high: the range of the values: all levels, or what the real training values span.

    >>> from reparam.data.loading import load_data
    >>> data = load_data("digits")
    >>> record = DataRecord.from_json(record_json(data), data.space)
    >>> record.low, record.high, record.source
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
    bands: tuple[int, ...] | None = None
    scaled: int | None = None
    factor_names: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], space: Space) -> DataRecord:
        """The record in an entry that ``check_record`` lets pass."""
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry.items()
            if name != "fingerprint"
        }
        return cls(space, **kept)


def record_json(data: Data) -> dict[str, Any]:
    """What a run remembers of its data, and their fingerprint, as JSON keeps it."""
    low, high = span(data)
    lists = {
        name: None if (names := getattr(data, name)) is None else list(names)
        for name in ("class_names", "columns", "attribute_names", "factor_names", "bands")
    }
    return {
        "name": data.name,
        "source": data.source,
        "fingerprint": data.fingerprint(),
        **lists,
        "scaled": data.scaled,
        "low": low,
        "high": high,
    }


def check_record(entry: Mapping[str, Any]) -> None:
    """ValueError where an entry is not what ``record_json`` gives.

    >>> check_record({"name": "digits"})
    Traceback (most recent call last):
    ValueError: data.fingerprint is missing
    """
    check(entry, RecordEntry, "data")
    source = entry["source"]
    if source is not None and not {"source", *OF_MEMORY} & source.keys():
        raise ValueError("data.source.source is missing")


def span(data: Data) -> tuple[float, float]:
    """The range of the values: all levels, or what the real training values span."""
    levels = data.space.level_count
    if levels is not None:
        return 0.0, float(levels - 1)
    low, high = (float(end) for end in data.train.x.aminmax())
    # Data built by hand may hold anything, which is for the training to report.
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (0.0, 1.0)
