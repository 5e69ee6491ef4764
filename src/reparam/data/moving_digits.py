"""Clips of digits that drift over a canvas, drawn by a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reparam.data.contents import Array, Contents, SplitArrays

FRAMES, CANVAS = 8, 16
FASTEST = 2.0  # pixels a frame, along each axis
CLIPS = {"train": 5000, "valid": 500, "test": 1000}


def moving_contents(digits: Contents) -> Contents:
    """Clips (8, 16, 16) of the digits of each split, with the digit's label.

    >>> from reparam.data.named_sets import NAMED_SETS
    >>> moving = moving_contents(NAMED_SETS["digits"].read())
    >>> moving.splits["test"].x.shape
    (1000, 8, 16, 16)
    """
    splits = {
        split: _clips(arrays, CLIPS[split], seed)
        for seed, (split, arrays) in enumerate(digits.splits.items())
    }
    note = f"Clips are drawn from the digits of their split: {FRAMES} frames, as channels."
    return replace(digits, splits=splits, name="moving-digits", origin="moving-digits").noted(note)


def _clips(digits: SplitArrays, n: int, seed: int) -> SplitArrays:
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(digits.x), size=n)
    sprites, side = digits.x[rows], digits.x.shape[-1]
    clips = np.zeros((n, FRAMES, CANVAS, CANVAS), sprites.dtype)
    places = _drifting(rng, n, CANVAS - side)
    within, every = np.arange(side), np.arange(n)[:, None, None]
    for frame in range(FRAMES):
        down, across = (places[:, frame, axis, None] + within for axis in (0, 1))
        clips[every, frame, down[:, :, None], across[:, None]] = sprites
    assert digits.labels is not None
    return SplitArrays(clips, digits.labels[rows])


def _drifting(rng: np.random.Generator, n: int, room: int) -> Array:
    """Where corners stand in every frame, (n, frames, 2): straight on, and back from the edges."""
    start, speed = rng.uniform(0, room, (n, 1, 2)), rng.uniform(-FASTEST, FASTEST, (n, 1, 2))
    at = (start + speed * np.arange(FRAMES)[:, None]) % (2 * room)
    return np.rint(np.minimum(at, 2 * room - at)).astype(np.intp)
