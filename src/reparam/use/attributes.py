"""What an attribute of examples is: a class, a column beside x, or a measure of gray images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from reparam.batching import rows_at_once, slices
from reparam.data import Data, Split
from reparam.data.data_record import span
from reparam.data.tables.attribute_tables import numbers_beside
from reparam.space import Space
from reparam.use.moments import MEASURES, measure_images
from reparam.wording import did_you_mean, listed

AttributeKind = Literal["class", "flag", "number", "measured"]
Source = Literal["labels", "attributes", "factors", "table", "images"]
MOST_NAMED = 20  # attributes, in a message


@dataclass(frozen=True)
class Attribute:
    """One thing that can be said of every example.

    Args:
        name: unique among all.
        kind: a class against the rest (0 or 1, one of each ``group``), a flag (0 or 1), a number,
            or one that is measured on the images themselves, with no annotation.
        source: where its values come from.
        index: of the class, or of the column in its source.
        group: of classes that exclude each other, as those of the labels; "" of others.
        unit: of its values, as it is written behind them.

    >>> Attribute("slant", "measured", "images", 1, unit="°").whole_way
    False
    """

    name: str
    kind: AttributeKind
    source: Source
    index: int
    group: str = ""
    unit: str = ""

    @property
    def whole_way(self) -> bool:
        """Whether strength 1 goes from 0 to 1; of numbers it is one standard deviation."""
        return self.kind in ("class", "flag")


@dataclass(frozen=True)
class Attributes:
    """All that can be said of some examples.

    Args:
        each: which attributes there are.
        values: (N, A) in float64, a column for each; NaN where an image is black.
        scale: the values of x that are black and white, by which images are measured.
    """

    each: tuple[Attribute, ...]
    values: Tensor
    scale: tuple[float, float] = (0.0, 1.0)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.each)

    def find(self, names: Sequence[str]) -> Attributes:
        """Those of these names, in their order; refused where there is no such attribute."""
        at = []
        for name in names:
            if name not in self.names:
                known = listed(self.names, MOST_NAMED) or "none, as nothing is known of these data"
                hint = did_you_mean(name, self.names)
                raise ValueError(f"names: expected some of {known}; got {name!r}{hint}")
            at.append(self.names.index(name))
        return self.take(at)

    def take(self, at: Sequence[int]) -> Attributes:
        """Those at these places."""
        columns = self.values[:, list(at)]
        return replace(self, each=tuple(self.each[i] for i in at), values=columns)


def find_attributes(
    data: Data | Split, *, table: str | Path | None = None, space: Space | None = None
) -> Attributes:
    """The attributes of training examples: classes, columns, factors, a table, and measures.

    Of equal names the first in this order counts.

    Args:
        data: of which the training split counts; or that split itself, which knows no names:
            classes are then called by their numbers, and columns "attribute 0" or "factor 0".
        table: a text table that brings attributes along. It has a row for each image file of the
            training split and names it in a column; or, of data that were read from no image files,
            a row for each training example in order.
        space: of a split by itself, whose images are measured where this is given.

    Raises:
        ValueError: a table that cannot be read or has another number of rows.

    >>> from reparam.data import load_data
    >>> found = find_attributes(load_data("digits"))
    >>> found.names[8:], found.values.shape
    (('8', '9', 'slant', 'width', 'height', 'thickness', 'ink'), torch.Size([1258, 15]))
    """
    whole = data if isinstance(data, Data) else None
    split = data.train if isinstance(data, Data) else data
    space = whole.space if whole is not None else space
    columns = [*_classes(split, whole), *_beside(split, whole, "attributes")]
    columns += _factors(split, whole)
    if table is not None:
        columns += _numbers(*numbers_beside(Path(table), split.files, len(split)), "table")
    scale = (0.0, 1.0)
    if space is not None and is_gray(space):
        scale = span(whole) if whole is not None else _span(split.x, space)
        columns += _measured(split.x, space, scale)
    first: dict[str, tuple[Attribute, Tensor]] = {}
    for one, values in columns:
        first.setdefault(one.name, (one, values))
    each = [values for _, values in first.values()]
    together = torch.stack(each, 1) if each else torch.zeros(len(split), 0).double()
    return Attributes(tuple(one for one, _ in first.values()), together, scale)


def is_gray(space: Space) -> bool:
    """Whether x are images of one channel, which can be measured."""
    return space.is_image and space.shape[0] == 1


Columns = list[tuple[Attribute, Tensor]]


def _classes(split: Split, data: Data | None) -> Columns:
    if split.labels is None:
        return []
    labels = split.labels.cpu()
    names = data.class_names if data is not None else None
    names = names or tuple(map(str, range(int(labels.max()) + 1)))
    return [
        (Attribute(name, "class", "labels", index, "labels"), (labels == index).double())
        for index, name in enumerate(names)
    ]


def _beside(split: Split, data: Data | None, source: Literal["attributes"]) -> Columns:
    if split.attributes is None:
        return []
    names = data.attribute_names if data is not None else None
    names = names or tuple(f"attribute {i}" for i in range(split.attributes.shape[1]))
    return _numbers(names, split.attributes.cpu().double(), source)


def _factors(split: Split, data: Data | None) -> Columns:
    """Factors; those whose levels have names are classes, of which each example has one."""
    if split.factors is None:
        return []
    values = split.factors.cpu().double()
    names = data.factor_names if data is not None else None
    names = names or tuple(f"factor {i}" for i in range(values.shape[1]))
    levels = {} if data is None else data.level_names
    found: Columns = []
    for index, name in enumerate(names):
        if name not in levels:
            found += _numbers((name,), values[:, index, None], "factors", index)
            continue
        found += [
            (
                Attribute(f"{name}:{word}", "class", "factors", index, name),
                (values[:, index] == level).double(),
            )
            for level, word in enumerate(levels[name])
        ]
    return found


def _numbers(names: Sequence[str], values: Tensor, source: Source, first: int = 0) -> Columns:
    """Columns of numbers; of 0 and 1 they are flags, and classes where each row has one of them."""
    heads = [name.partition(":")[0] if ":" in name else "" for name in names]
    flags = [bool(((column == 0) | (column == 1)).all()) for column in values.T]
    found: Columns = []
    for index, (name, head) in enumerate(zip(names, heads, strict=True)):
        together = [i for i, other in enumerate(heads) if head and other == head]
        exclusive = all(flags[i] for i in together) and bool(
            (values[:, together].sum(1) == 1).all()
        )
        group = head if len(together) > 1 and exclusive else ""
        kind: AttributeKind = "class" if group else "flag" if flags[index] else "number"
        found.append((Attribute(name, kind, source, first + index, group), values[:, index]))
    return found


def _measured(x: Tensor, space: Space, scale: tuple[float, float]) -> Columns:
    parts = list(slices(0, len(x), rows_at_once(space)))
    return [
        (
            Attribute(name, "measured", "images", index, unit=unit),
            torch.cat([measure_images(x[part], name, scale) for part in parts]),
        )
        for index, (name, (_, unit)) in enumerate(MEASURES.items())
    ]


def _span(x: Tensor, space: Space) -> tuple[float, float]:
    if space.level_count is not None:
        return 0.0, float(space.level_count - 1)
    low, high = x.aminmax()
    return float(low), float(high)
