"""Ctrl-C and SIGTERM as a wish, granted between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether the run was asked to end."""

    asked = False


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Catch the first Ctrl-C or SIGTERM inside, so that no step is left half done.

    A second one acts at once. In a thread other than the main one signals stay as they are.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: FrameType | None) -> None:
        interrupt.asked = True
        signal.signal(number, before[signal.Signals(number)])

    for number in signals:
        signal.signal(number, ask)
    try:
        yield interrupt
    finally:
        for number in signals:
            signal.signal(number, before[number])
