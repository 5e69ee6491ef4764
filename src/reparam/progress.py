"""News of how far something is, and the bar that shows them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from reparam.terminal import console, printable

SECONDS_BETWEEN_LINES = 0.5  # in a notebook, where each one is a message to the page
CELLS = 20  # of the bar in such a line

Watch = Callable[[str, float], None]  # what is being done, and the share of all that is done


def unwatched(doing: str, share: float) -> None:
    """The watch of who wants no news."""


@contextmanager
def bar(name: str, visible: bool = True) -> Iterator[Watch]:
    """A watch that draws a bar on the error stream, if that is a terminal.

    In a notebook it is one line of output, rewritten in its place. It shows the share that is
    done, the time taken and left, and what is being done; nothing before the first news, so that an
    error at once stands alone.
    """
    if visible and in_notebook():
        with _line(name) as tell:
            yield tell
        return
    from rich import progress  # for bars only: no help waits for it

    errors = console(stderr=True)
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[doing]}", markup=False),
    )
    bars = progress.Progress(*columns, console=errors, disable=not (visible and errors.is_terminal))
    task = bars.add_task(printable(name), total=1.0, doing="")

    def watch(doing: str, share: float) -> None:
        if not bars.disable and not bars.live.is_started:
            bars.start()
        bars.update(task, completed=share, doing=printable(doing))

    try:
        yield watch
    finally:
        if bars.live.is_started:
            bars.stop()


def in_notebook() -> bool:
    """Whether a kernel runs this: IPython was loaded by it, and its shell belongs to one.

    >>> in_notebook()
    False
    """
    loaded = sys.modules.get("IPython")
    shell = None if loaded is None else loaded.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def _line(name: str) -> Iterator[Watch]:
    """A watch that rewrites one output of the cell; a notebook that is saved has the last line.

    A display of its own, not carriage returns on the error stream: files of notebooks would keep
    every line of these.
    """
    display: Any = sys.modules["IPython"].display.display
    started = told = time.monotonic()
    handle: Any = None
    last = ("", 0.0)

    def tell() -> None:
        nonlocal handle, told
        told = time.monotonic()
        content = {"text/plain": line(name, *last, told - started)}
        if handle is None:
            handle = display(content, raw=True, display_id=True)
        else:
            handle.update(content, raw=True)

    def watch(doing: str, share: float) -> None:
        nonlocal last
        last = (doing, share)
        if handle is None or time.monotonic() - told >= SECONDS_BETWEEN_LINES:
            tell()

    try:
        yield watch
        last = (last[0], 1.0)
    finally:
        if handle is not None:
            tell()


def line(name: str, doing: str, share: float, seconds: float) -> str:
    """What a notebook is told of how far something is.

    >>> line("vae", "valid/bound -90.1", 0.25, 15.0)
    'vae ━━━━━───────────────  25% 0:00:15, left 0:00:45 valid/bound -90.1'
    """
    full = round(CELLS * min(max(share, 0.0), 1.0))
    left = f", left {_clock(seconds * (1 - share) / share)}" if 0 < share < 1 else ""
    bar_ = "━" * full + "─" * (CELLS - full)
    return (
        f"{printable(name)} {bar_} {share:4.0%} {_clock(seconds)}{left} {printable(doing)}".rstrip()
    )


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
