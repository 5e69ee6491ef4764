"""Ctrl-C and SIGTERM: exceptions everywhere, and a wish, granted between two steps, in training."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS_BETWEEN_LOOKS = 0.5  # after the process that started this one


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends things as Ctrl-C does, but with an exit code of its own.

    >>> Terminated().code, exit_code(KeyboardInterrupt())
    (143, 130)
    """

    code = 128 + signal.SIGTERM


class Granted(KeyboardInterrupt):
    """Ctrl-C, granted between two steps: nothing is half done.

    >>> exit_code(Granted())
    130
    """


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """What shells expect of a command that was interrupted: 128 and the number of the signal."""
    return interrupt.code if isinstance(interrupt, Terminated) else 128 + signal.SIGINT


class Interrupt:
    """Whether the run was asked to end, and by which signal."""

    signal: int | None = None

    @property
    def asked(self) -> bool:
        return self.signal is not None

    def error(self) -> KeyboardInterrupt:
        """What to raise when the wish is granted."""
        return Terminated() if self.signal == signal.SIGTERM else Granted()


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises ``Terminated`` inside, so that half-written files are removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
        interrupt.signal = number
        signal.signal(number, before[signal.Signals(number)])

    for number in signals:
        signal.signal(number, ask)
    try:
        yield interrupt
    finally:
        for number in signals:
            signal.signal(number, before[number])


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """End this process, as SIGTERM would, where the one that started it is gone: in training after
    the step, and saved, else at once.

    A worker whose parent was killed has nobody to report to, and would write on into the folder of
    a comparison that another process may have taken up.
    """
    if _orphaned():
        os._exit(Terminated.code)
    done = threading.Event()

    def look() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            if _orphaned():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    except Terminated:
        if _orphaned():
            os._exit(Terminated.code)  # what waits for this result would wait for ever
        raise
    finally:
        done.set()


def _orphaned() -> bool:
    """Whether a process that multiprocessing started has outlived its parent."""
    import multiprocessing  # by workers only: no command waits for it

    parent = multiprocessing.parent_process()
    if parent is None:
        return False
    if parent.sentinel is None:  # started by joblib on POSIX, where orphans get another parent
        return os.getppid() != parent.pid
    return not parent.is_alive()
