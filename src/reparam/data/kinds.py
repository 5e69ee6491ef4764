"""Which kind the values are: what the user says, else what the source and the numbers suggest."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np

from reparam.data.mapped import blocks
from reparam.data.raw import Array, Raw
from reparam.model import DataKind

Decision = tuple[DataKind, int | None, str]  # kind, levels, the sentence that says why


@dataclass(frozen=True)
class Choices:
    """What the user says about the values; None: decide by source.

    Args:
        kind: ``"binary"``, ``"levels"`` or ``"real"``.
        levels: K, for values 0 … K−1.
        binarize: a threshold, ``"static"`` or ``"dynamic"``.
        seed: of the static draw and of the carved splits.

    Raises:
        ValueError: choices that mean nothing, or contradict each other.

    >>> Choices(levels=16).kind
    'levels'
    """

    kind: DataKind | None = None
    levels: int | None = None
    binarize: float | Literal["static", "dynamic"] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in (None, "binary", "levels", "real"):
            raise ValueError(f"kind: expected binary, levels or real, got {self.kind!r}")
        if self.levels is not None:
            if not 2 <= self.levels <= 2**31:
                raise ValueError(f"levels: expected 2 to 2**31, got {self.levels}")
            if self.kind not in (None, "levels"):
                raise ValueError(f"levels: given for kind {self.kind}; leave one of the two out")
            object.__setattr__(self, "kind", "levels")
            object.__setattr__(self, "levels", int(self.levels))
        threshold = isinstance(self.binarize, Real) and not isinstance(self.binarize, bool)
        if not (self.binarize in (None, "static", "dynamic") or threshold):
            raise ValueError(
                f"binarize: expected a number, 'static' or 'dynamic', got {self.binarize!r}"
            )
        if self.seed < 0:
            raise ValueError(f"seed: expected 0 or more, got {self.seed}")


def decide(raw: Raw, choices: Choices) -> Decision:
    """Kind and number of levels, over all splits at once, and the sentence that says why.

    Args:
        raw: arrays of finite numbers.
        choices: what the user says, which goes before everything else.

    Raises:
        ValueError: kind levels without a way to know how many.

    >>> from reparam.data.raw import Part
    >>> decide(Raw({"train": Part(np.array([[0.0, 0.5]]))}, "halves", "array"), Choices())
    ('real', None, 'Kind real: floats.')
    """
    arrays = [part.x for part in raw.parts.values()]
    if choices.kind is not None:
        levels = _levels(raw, arrays, choices) if choices.kind == "levels" else None
        return choices.kind, levels, f"Kind {_say(choices.kind, levels)}: as asked."
    if raw.levels is not None:
        return "levels", raw.levels, f"Kind levels {raw.levels}: known of this source."
    if all(zeros_and_ones(x) for x in arrays):
        return "binary", None, "Kind binary: all values are 0 or 1."
    if raw.form == "images" and all(black_and_white(x) for x in arrays):
        return "binary", None, "Kind binary: all pixels are 0 or 255, which became 0 and 1."
    return _by_type(raw, arrays)


def zeros_and_ones(x: Array) -> bool:
    """Whether every value is 0 or 1."""
    if x.dtype.kind in "bu":
        return bool(x.max() <= 1)
    head = x[:1]  # nearly always enough to say no
    parts = (head, *(x[rows] for rows in blocks(x)))
    return all(bool(((part == 0) | (part == 1)).all()) for part in parts)


def black_and_white(x: Array) -> bool:
    """Whether every value is 0 or 255."""
    parts = (x[rows] for rows in blocks(x))
    return all(bool(((part == 0) | (part == 255)).all()) for part in parts)


def _by_type(raw: Raw, arrays: list[Array]) -> Decision:
    integers = all(x.dtype.kind in "bui" for x in arrays)
    if raw.form == "table":
        return "real", None, "Kind real: columns of a table."
    if all(x.dtype == np.uint8 for x in arrays):
        hint = "; binarize=0.5 makes them binary" if all(map(black_and_white, arrays)) else ""
        what = "image files" if raw.form == "images" else "uint8"
        return "levels", 256, f"Kind levels 256: {what}{hint}."
    if integers and arrays[0].ndim == 4 and all(x.min() >= 0 and x.max() <= 255 for x in arrays):
        return "levels", 256, "Kind levels 256: images of integers 0 … 255; levels=K overrules."
    if integers:
        return "real", None, "Kind real: integers of no known range; levels=K makes them levels."
    return "real", None, "Kind real: floats."


def _levels(raw: Raw, arrays: list[Array], choices: Choices) -> int:
    if choices.levels is not None:
        return choices.levels
    if raw.levels is not None:
        return raw.levels
    if all(x.dtype == np.uint8 for x in arrays):
        return 256
    largest = max(float(x.max()) for x in arrays)
    raise ValueError(
        f"levels: expected the number of levels for kind levels (the largest value of "
        f"{raw.origin} is {largest:g}, so levels={int(max(largest, 1)) + 1} or more)"
    )


def _say(kind: DataKind, levels: int | None) -> str:
    return kind if levels is None else f"{kind} {levels}"
