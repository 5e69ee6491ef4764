"""How images become numbers: one description, shared by all that read some."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Literal, Self

import numpy as np

Fit = Literal["crop", "pad"]
Frames = Literal["first", "all"]
Range = tuple[float, float]
Array = np.ndarray[Any, np.dtype[Any]]


def taken_by(*sources: str, default: Any = None) -> Any:
    """A field of options that some kinds of sources take and all others refuse.

    >>> taken_by("table").metadata["sources"]
    ('table',)
    """
    return field(default=default, metadata={"sources": sources})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How images become numbers, the same for all of some data.

    Args:
        size: height and width to bring all images to, one number for both; None: they have one.
        fit_size: ``"crop"`` cuts the middle out in the proportions of size, ``"pad"`` adds bars.
        range: the values of images of more than 8 bits that become 0 and 255; None: the smallest
            and the largest of all.
        background: the color behind transparent pixels.
        frames: of files with several, the first one or all; None: the first in a folder, all of
            a single file.
        channels: 1 or 3, as other data have; None: 3 where any image is in color.

    Raises:
        ValueError: sizes, ranges or colors that are none.

    >>> Reading(size=8).size
    (8, 8)
    >>> Reading(range=(0, 4095)).scaled(np.array([[0, 4095, 9999]], np.uint16))
    array([[  0, 255, 255]], dtype=uint8)
    """

    size: Any = taken_by("folder", "paths", "pictures")
    fit_size: Fit = taken_by("folder", "paths", "pictures", default="crop")
    range: Range | None = taken_by("folder", "paths", "pictures")
    background: str = taken_by("folder", "paths", "pictures", default="white")
    frames: Frames | None = taken_by("folder")
    channels: int | None = taken_by("folder", "paths", "pictures")

    def __post_init__(self) -> None:
        size, span = (
            plain_numbers(self.size),
            plain_numbers(self.range),
        )
        object.__setattr__(self, "size", (size, size) if isinstance(size, int | float) else size)
        object.__setattr__(self, "range", span)
        if self.fit_size not in ("crop", "pad"):
            raise ValueError(f"fit_size: expected 'crop' or 'pad', got {self.fit_size!r}")
        if self.frames not in (None, "first", "all"):
            raise ValueError(f"frames: expected 'first' or 'all', got {self.frames!r}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(
                f"size: expected positive height and width, or one number, got {self.size}"
            )
        if span is not None and not (
            np.shape(span) == (2,) and -np.inf < span[0] < span[1] < np.inf
        ):
            raise ValueError(f"range: expected two numbers, low and high, got {span}")
        if self.background != "white" and self.color is None:
            raise ValueError(
                f"background: expected a color, as white or #808080, got {self.background!r}"
            )

    def refuse(self, what: str, *sources: str) -> None:
        """Refuse arguments that sources of these kinds do not take."""
        for each in fields(self):
            if _ignored(each, sources) and getattr(self, each.name) != each.default:
                raise ValueError(f"{each.name}: does not apply to {what}")

    def without(self, *sources: str) -> Self:
        """The same with defaults for the arguments that sources of these kinds do not take."""
        left: dict[str, Any] = {f.name: f.default for f in fields(self) if _ignored(f, sources)}
        return replace(self, **left)

    @property
    def color(self) -> tuple[int, ...] | None:
        """The background as red, green and blue; None where it is no color."""
        from PIL import ImageColor

        try:
            return ImageColor.getrgb(self.background)[:3]
        except (ValueError, AttributeError, TypeError):
            return None

    def scaled(self, values: Array) -> Array:
        """Values of more than 8 bits as uint8, in their order; what is beyond the range is cut."""
        assert self.range is not None, "it is found before anything is decoded"
        low, high = self.range
        unit = (values.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
        return np.rint(255 * unit.clip(0, 1)).astype(np.uint8)


def _ignored(argument: Field[Any], sources: Collection[str]) -> bool:
    """Whether no source of these kinds takes an argument; what names no kinds is for all."""
    takers = argument.metadata.get("sources")
    return takers is not None and not {*takers} & {*sources}


def plain_numbers(numbers: Any) -> Any:
    """Numbers of NumPy and torch as Python's own, several as a tuple."""
    found = np.asarray(numbers).tolist()
    return tuple(found) if isinstance(found, list) else found
