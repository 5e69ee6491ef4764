"""How far a training is, as a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from reparam.progress import progress_bars, watched_by_a_person
from reparam.train.judge import judged


@contextmanager
def bar(name: str, visible: bool) -> Iterator[Callable[[Any], None]]:
    """A watcher for ``fit`` that draws one bar, on a terminal only."""
    with progress_bars(visible and watched_by_a_person()) as bars:
        task = bars.add_task(name, total=None, value="")

        def watch(news: Any) -> None:
            bars.update(task, completed=news.share, total=1.0, value=judged(news.row))

        yield watch
