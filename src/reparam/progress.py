"""Bars with the time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def watched_by_a_person() -> bool:
    """Whether the error stream is a terminal, on which a bar makes sense."""
    return Console(stderr=True).is_terminal


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
