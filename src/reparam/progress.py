"""News of how far something is, and the bar that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from reparam.terminal import console, printable

Watch = Callable[[str, float], None]  # what is being done, and the share of all that is done


def unwatched(doing: str, share: float) -> None:
    """The watch of who wants no news."""


@contextmanager
def bar(name: str, visible: bool = True) -> Iterator[Watch]:
    """A watch that draws a bar on the error stream, if that is a terminal.

    It shows the share that is done, the time taken and left, and what is being done; nothing
    before the first news, so that an error at once stands alone.
    """
    errors = console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[doing]}", markup=False),
    )
    bars = Progress(*columns, console=errors, disable=not (visible and errors.is_terminal))
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
