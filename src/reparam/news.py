"""News of the steps that one call takes: who makes them tells, and whoever waits may listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tell = Callable[[float], None]  # the share of all steps that is done
_listener: ContextVar[Tell | None] = ContextVar("listener", default=None)


def tell(share: float) -> None:
    """Say which share of the steps of this call is done."""
    listener = _listener.get()
    if listener is not None:
        listener(share)


@contextmanager
def listening(listener: Tell) -> Iterator[None]:
    """Be told of the steps that are made inside.

    >>> with listening(print):
    ...     tell(0.5)
    0.5
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
