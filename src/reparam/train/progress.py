"""A bar with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bars(visible: bool = True) -> Progress:
    """Bars on the error stream: description, share done, time taken and left, last value."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[value]}"),
        console=Console(stderr=True),
        disable=not visible,
    )


def latest_value(row: dict[str, float]) -> str:
    """What the last row of the curves says in a few words."""
    for name in ("valid/bound", "valid/nll", "valid/squared_error", "valid/cross_entropy"):
        if name in row:
            return f"{name} {row[name]:.2f}"
    return ""


@contextmanager
def bar(name: str, visible: bool) -> Iterator[Callable[[Any], None]]:
    """A watcher for ``fit`` that draws one bar, on a terminal only."""
    with progress_bars(visible and Console(stderr=True).is_terminal) as bars:
        task = bars.add_task(name, total=None, value="")

        def watch(news: Any) -> None:
            value = latest_value(news.row)
            bars.update(task, completed=news.share, total=1.0, value=value)

        yield watch
