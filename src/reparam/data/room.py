"""Whether something fits into memory, asked before anything is allocated."""

from __future__ import annotations

import os


def refuse_too_large(what: str, size: int) -> None:
    """ValueError where ``size`` bytes are more than this machine has.

    A few bytes of a file can claim, or be compressed from, any number of them.

    >>> refuse_too_large("zeros.npz", 10**15)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: zeros.npz: would take 1,000,000.0 GB of memory, but this machine has ...
    """
    there = memory()
    if size > there:
        raise ValueError(
            f"{what}: would take {size / 1e9:,.1f} GB of memory, but this machine has "
            f"{there / 1e9:,.1f}; store fewer rows, or smaller types"
        )


def memory() -> int:
    """Bytes of memory of this machine; where it does not say, more than any array has.

    >>> memory() > 10**6
    True
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # other systems have no such function, or name
        return 2**62
