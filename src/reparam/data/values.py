"""Values as they are stored: checked, of their kind, binarized if asked, in a compact type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reparam.data.kinds import Choices, black_and_white, decide, zeros_and_ones
from reparam.data.mapped import blank, blocks, changed, is_mapped
from reparam.data.precision import far_columns, fits_float32
from reparam.data.raw import Array, Raw
from reparam.model import DataKind

FLOAT32_EXACT = 2**24  # float32 holds every integer up to here
FLOAT32_LARGEST = float(np.finfo(np.float32).max)
ROWS_PER_DRAW = 4096  # bounds the memory of a static draw


def settle(raw: Raw, choices: Choices, *, vary: bool = True) -> tuple[Raw, DataKind, int | None]:
    """Checked values in their compact storage, with their kind and levels before binarization.

    Args:
        raw: arrays (N, *shape) of one shape.
        choices: what the user says.
        vary: whether the rows are data to learn from: values that are all the same are refused,
            and how a table is stored is decided by its spread.

    Raises:
        ValueError: values that are not numbers, not finite, all the same, or not of their kind;
            with the cell at fault and the remedy.

    >>> from reparam.data.raw import Part
    >>> raw = Raw({"train": Part(np.array([[0, 1], [1, 1]]))}, "bits", "array")
    >>> settled, kind, levels = settle(raw, Choices())
    >>> settled.parts["train"].x.dtype, kind, levels
    (dtype('uint8'), 'binary', None)
    """
    _require_numbers(raw)
    kind, levels, why = decide(raw, choices)
    notes = [*raw.notes, why]
    if kind == "binary" and raw.form == "images" and not _each(raw, zeros_and_ones):
        raw = _each_as(raw, lambda x: x // 255 if black_and_white(x) else x)
    _require_kind(raw, kind, levels)
    raw = _each_as(raw, lambda x: _stored(x, kind, levels))
    if kind == "real" and raw.form == "table" and vary:
        notes += far_columns(raw)
        raw = _narrowed(raw)
    if vary:
        _require_variation(raw, "nothing can be learned from it")
    if choices.binarize is not None:
        raw, how = binarized(raw, kind, levels, choices)
        notes.append(how)
        if vary:
            _require_variation(raw, f"binarize={choices.binarize!r} leaves no difference")
    return replace(raw, notes=tuple(notes)), kind, levels


def binarized(raw: Raw, kind: DataKind, levels: int | None, choices: Choices) -> tuple[Raw, str]:
    """The data as 0 and 1, by a threshold or by a Bernoulli draw, and a note on how.

    Levels are divided by K−1 first, so that they are probabilities; real data are compared with
    the threshold in their own units. The name of the data says how too: numbers of different
    binarizations are not to be compared. ``"dynamic"`` keeps the levels beside one fixed draw.

    Raises:
        ValueError: a threshold outside (0, 1) for levels, or a draw from real data.

    >>> from reparam.data.raw import Part
    >>> raw = Raw({"train": Part(np.array([[0, 130], [255, 127]], np.uint8))}, "gray", "array")
    >>> half, how = binarized(raw, "levels", 256, Choices(binarize=0.5))
    >>> half.parts["train"].x.tolist(), how
    ([[0, 1], [1, 0]], 'Binarized: x/255 > 0.5.')
    """
    threshold = choices.binarize
    if kind == "binary":
        return raw, "Binary already: binarize changed nothing."
    if threshold == "static" or threshold == "dynamic":
        if levels is None:
            raise ValueError(
                f"binarize: {threshold!r} draws with probability x/(K−1) and so needs levels; real "
                "data take a threshold in their own units"
            )
        return _drawn_from(raw, levels, choices.seed, afresh=threshold == "dynamic")
    assert threshold is not None
    if levels is not None and not 0 < threshold < 1:
        raise ValueError(f"binarize: expected a threshold of x/(K−1) in (0, 1), got {threshold}")
    cut = threshold if levels is None else threshold * (levels - 1)
    what = "x" if levels is None else f"x/{levels - 1}"
    raw = replace(raw, name=f"{raw.name}, {what} > {threshold}")
    raw = _each_as(raw, lambda x: changed(x, lambda rows: rows > cut, np.uint8))
    return raw, f"Binarized: {what} > {threshold}."


def _drawn_from(raw: Raw, levels: int, seed: int, afresh: bool) -> tuple[Raw, str]:
    """x by one fixed Bernoulli draw of its levels, which stay beside it to be drawn afresh."""
    rng, top = np.random.default_rng(seed), levels - 1
    drawn = _each_as(raw, lambda x: _drawn(x, top, rng))
    fixed = f"one fixed Bernoulli draw of x/{top}, seed {seed}"
    if not afresh:
        name = f"{raw.name}, statically binarized"
        return replace(drawn, name=name), f"Binarized by {fixed}."
    parts = {s: replace(part, gray=raw.parts[s].x) for s, part in drawn.parts.items()}
    name = f"{raw.name}, dynamically binarized"
    how = (
        f"Binarized dynamically: training draws x/{top} afresh in every batch; validation and "
        f"evaluation read {fixed}."
    )
    return replace(drawn, parts=parts, name=name, gray_levels=levels), how


def _each_as(raw: Raw, change: Callable[[Array], Array]) -> Raw:
    parts = {split: replace(part, x=change(part.x)) for split, part in raw.parts.items()}
    return replace(raw, parts=parts)


def _each(raw: Raw, holds: Callable[[Array], bool]) -> bool:
    return all(holds(part.x) for part in raw.parts.values())


def _drawn(x: Array, top: int, rng: np.random.Generator) -> Array:
    drawn = blank(x.shape, np.uint8, on_disk=is_mapped(x))
    for start in range(0, len(x), ROWS_PER_DRAW):
        rows = slice(start, start + ROWS_PER_DRAW)
        drawn[rows] = rng.random(x[rows].shape, np.float32) * np.float32(top) < x[rows]
    return drawn


def _stored(x: Array, kind: DataKind, levels: int | None) -> Array:
    dtype = np.dtype(_storage(x, kind, levels))
    return x if x.dtype == dtype else changed(x, lambda rows: rows.astype(dtype), dtype)


def _storage(x: Array, kind: DataKind, levels: int | None) -> type:
    if kind == "binary" or (levels is not None and levels <= 256):
        return np.uint8
    if kind == "levels":
        return np.int32
    if x.dtype.kind in "bui":
        wide = max(abs(int(x.min())), abs(int(x.max()))) > FLOAT32_EXACT
        return np.float64 if wide else np.float32
    return np.float64 if x.dtype.itemsize >= 8 else np.float32


def _narrowed(raw: Raw) -> Raw:
    """A table of float64 as float32, where that loses nothing: text knows of no precision."""
    arrays = [raw.parts["train"].x, *(p.x for s, p in raw.parts.items() if s != "train")]
    if not fits_float32(arrays):
        return raw
    return _each_as(raw, lambda x: x.astype(np.float32, copy=False))


def _require_numbers(raw: Raw) -> None:
    for split, part in raw.parts.items():
        if part.x.dtype.kind not in "buif":
            raise ValueError(
                f"{raw.at(split)} holds {part.x.dtype}, not numbers; encode it as numbers"
            )
        if part.x.dtype.kind == "f":
            # One pass without a temporary of the data's size: extremes carry NaN and infinities.
            extremes = np.array([part.x.min(), part.x.max()], np.float64)
            if not (np.abs(extremes) <= FLOAT32_LARGEST).all():
                _refuse_first(raw, split, ~np.isfinite(part.x), "impute it, or drop the row")
                large = np.abs(part.x) > FLOAT32_LARGEST
                _refuse_first(raw, split, large, "too large for float32; rescale the data")


def _require_kind(raw: Raw, kind: DataKind, levels: int | None) -> None:
    if kind == "real":
        return
    top = 1 if levels is None else levels - 1
    expected = "0 or 1" if levels is None else f"an integer 0 … {top}"
    for split, part in raw.parts.items():
        x = part.x
        if x.dtype.kind == "b" or (x.dtype.kind in "ui" and x.min() >= 0 and x.max() <= top):
            continue
        if is_mapped(x) and not any(_outside(x[rows], top).any() for rows in blocks(x)):
            continue
        remedy = f"kind {kind} expects {expected}; choose another kind or levels, or binarize"
        _refuse_first(raw, split, _outside(x, top), remedy)


def _outside(x: Array, top: int) -> Array:
    with np.errstate(invalid="ignore"):
        return (x < 0) | (x > top) | (x != np.floor(x))


def _refuse_first(raw: Raw, split: str, wrong: Array, remedy: str) -> None:
    if wrong.any():
        index = np.unravel_index(int(wrong.argmax()), wrong.shape)
        value = raw.parts[split].x[index].item()
        where = raw.where(split, tuple(int(i) for i in index))
        others = int(wrong.sum()) - 1
        more = f" (and {others} more)" if others else ""
        raise ValueError(f"{where} is {value!r}{more}: {remedy}")


def _require_variation(raw: Raw, consequence: str) -> None:
    low = min(part.x.min() for part in raw.parts.values())
    high = max(part.x.max() for part in raw.parts.values())
    if low == high:
        raise ValueError(f"{raw.origin}: every value is {low.item()!r}; {consequence}")
