"""Which axis is which: arrays as users have them become (N, D) or (N, C, H, W)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reparam.data.raw import Array, Part, Raw

CHANNELS = (1, 3)


def arrange(raw: Raw) -> Raw:
    """The same data with axes (N, D) or (N, C, H, W), and a note where that took a decision.

    Args:
        raw: (N,), (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3.

    Raises:
        ValueError: other axes, no rows, no entries, or splits whose examples differ in shape.

    >>> raw = Raw({"train": Part(np.zeros((5, 4, 6, 3)))}, "zeros", "array")
    >>> arrange(raw).parts["train"].x.shape
    (5, 3, 4, 6)
    """
    parts, note = {}, None
    for split, part in raw.parts.items():
        if part.x.dtype == object:
            raise ValueError(
                f"{raw.at(split)} holds Python objects, not numbers (rows of different "
                "lengths, or pickled); give one array of numbers with rows of one shape"
            )
        if part.x.ndim == 0 or len(part.x) == 0:
            raise ValueError(f"{raw.at(split)} is empty; expected at least 1 row")
        x, note = _arranged(part.x, raw.at(split))
        parts[split] = replace(part, x=x)
    _agree(raw.origin, parts)
    return replace(raw, parts=parts, notes=raw.notes + ((note,) if note else ()))


def _arranged(x: Array, where: str) -> tuple[Array, str | None]:
    if 0 in x.shape:
        raise ValueError(f"{where} has no entries: its shape is {x.shape}")
    if x.ndim == 1:
        return x[:, None], "One number per row: taken as vectors with 1 entry."
    if x.ndim == 2:
        return x, None
    if x.ndim == 3:
        return x[:, None], "No channel axis: taken as images with 1 channel."
    if x.ndim == 4:
        first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
        if first and last:
            return x, f"Axes {x.shape[1:]} could be read both ways: taken as (C, H, W)."
        if first:
            return x, None
        if last:
            return np.moveaxis(x, 3, 1), "Channels came last, (H, W, C): moved to (C, H, W)."
    raise ValueError(
        f"{where}: expected shape (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, "
        f"got {x.shape}; drop other channels, or flatten to (N, D)"
    )


def _agree(origin: str, parts: dict[str, Part]) -> None:
    shapes = {split: part.x.shape[1:] for split, part in parts.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
        raise ValueError(f"{origin}: examples must have one shape in all splits, got {listed}")
