"""Trainings that take turns of some steps each, so that all see the same moments of a machine.

Every side runs in a thread of its own, and only one of them at a time: after so many steps of its
optimizer, of whatever class, it waits until it is its turn again. What a side does before its first
step and after its last one belongs to its first and its last turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook


class Side(threading.Thread):
    """A training that goes on for ``every`` steps whenever ``advance`` is called."""

    def __init__(self, work: Callable[[], object], every: int) -> None:
        super().__init__(daemon=True)
        self.work, self.every = work, every
        self.steps, self.error = 0, None
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        self.start()

    def run(self) -> None:
        self._mine.acquire()
        try:
            self.work()
        except BaseException as error:  # of any kind: it is raised where the side is advanced
            self.error = error
        finally:
            self.every = 0  # which says that there is no more
            self._others.release()

    def stepped(self) -> None:
        self.steps += 1
        if self.steps % self.every == 0:
            self._others.release()
            self._mine.acquire()

    def advance(self) -> None:
        self._mine.release()
        self._others.acquire()
        if self.error is not None:
            raise self.error

    @property
    def ended(self) -> bool:
        return self.every == 0


def in_turn(
    works: Mapping[str, Callable[[], object]],
    every: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each turn of each side, until all have ended."""

    def stepped(*_: Any) -> None:
        side = threading.current_thread()
        if isinstance(side, Side):
            side.stepped()

    sides = {name: Side(work, every) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    handle = register_optimizer_step_post_hook(stepped)
    try:
        while not all(side.ended for side in sides.values()):
            for name, side in sides.items():
                if not side.ended:
                    start = clock()
                    side.advance()
                    seconds[name].append(clock() - start)
    finally:
        handle.remove()
    for name, side in sides.items():
        assert len(seconds[name]) == 1 + side.steps // every, f"{name} did not hand over"
    return seconds
