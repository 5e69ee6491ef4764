"""How far a training is, as a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from reparam.progress import progress_bars, watched_by_a_person


def latest_value(row: dict[str, float]) -> str:
    """What the last row of the curves says in a few words."""
    for name in ("valid/bound", "valid/nll", "valid/squared_error", "valid/cross_entropy"):
        if name in row:
            return f"{name} {row[name]:.2f}"
    return ""


@contextmanager
def bar(name: str, visible: bool) -> Iterator[Callable[[Any], None]]:
    """A watcher for ``fit`` that draws one bar, on a terminal only."""
    with progress_bars(visible and watched_by_a_person()) as bars:
        task = bars.add_task(name, total=None, value="")

        def watch(news: Any) -> None:
            value = latest_value(news.row)
            bars.update(task, completed=news.share, total=1.0, value=value)

        yield watch
