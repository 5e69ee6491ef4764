"""Memory that one step frees and the next one asks for again."""

from __future__ import annotations

import functools

import torch

LARGEST = 31 * 2**20  # bytes; from 32 MiB on glibc learns nothing


@functools.cache  # once in a process is for good
def keep_freed() -> None:
    """Let glibc keep what is freed, up to twice ``LARGEST``, instead of giving it back.

    By default it hands freed memory to the system from twice the largest block that was ever freed,
    which a step of a small network passes: the next one then gets the same pages anew, each by a
    page fault and filled with zeros. One larger block, freed untouched, raises that limit for
    good (``mallopt(3)``, M_TRIM_THRESHOLD). Of other allocators it asks nothing.
    """
    torch.empty(LARGEST, dtype=torch.uint8, device="cpu")
