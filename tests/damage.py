"""Bytes that came to harm."""

from __future__ import annotations

import numpy as np


def damaged(content: bytes, rng: np.random.Generator, head: int) -> bytes:
    """Bits flipped, or bytes cut off, inserted, left out, overwritten or repeated.

    Args:
        content: what was whole.
        rng: of places and kinds.
        head: bytes at the start of which half of the damage begins.
    """
    found = bytearray(content)
    place = int(rng.integers(len(content) if rng.random() < 0.5 else head))
    span, how = int(rng.integers(1, 9)), rng.integers(6)
    if how == 0:
        for where in {place, *rng.integers(0, len(content), int(rng.integers(3))).tolist()}:
            found[where] ^= 1 << int(rng.integers(8))
    elif how == 1:
        del found[place:]
    elif how == 2:
        found[place:place] = rng.bytes(span)
    elif how == 3:
        del found[place : place + span]
    elif how == 4:
        found[place : place + span] = rng.bytes(len(found[place : place + span]))
    else:
        found[place:place] = found[place : place + 4 * span]
    return bytes(found)


def flipped(content: bytes, place: int, bit: int = 0) -> bytes:
    """One bit of one byte the other way; places below 0 count from the end."""
    found = bytearray(content)
    found[place] ^= 1 << bit
    return bytes(found)
