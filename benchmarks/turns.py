"""Trainings that take turns, each in a process of its own, so that all see the same moments."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

Work = Callable[[Callable[[], None]], object]  # calls what it is given to hand over


def in_turn(works: Mapping[str, Work], cpu: bool = False) -> dict[str, list[float]]:
    """Seconds of each turn of each side by its own clock, until all have ended.

    A side hands over whenever it calls its argument, and when it ends. Processes are spawned: what
    one side does to its threads, memory, warnings and output concerns no other.

    Args:
        works: functions of a module, or partial applications of such.
        cpu: whether seconds are those that the process had of its processors.

    Raises:
        RuntimeError: a side failed, after its traceback.
    """
    context = multiprocessing.get_context("spawn")
    there: dict[str, Connection] = {}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for name, work in works.items():
        there[name], own = context.Pipe()
        context.Process(target=_side, args=(work, own, cpu), daemon=True).start()
        own.close()
    while there:
        for name, pipe in list(there.items()):
            pipe.send("go")
            try:
                taken, ended = pipe.recv()
            except EOFError:
                raise RuntimeError(f"{name}: failed") from None
            seconds[name].append(taken)
            if ended:
                del there[name]
    return seconds


def _side(work: Work, pipe: Connection, cpu: bool) -> None:
    clock = time.process_time if cpu else time.perf_counter

    def hand_over(ended: bool = False) -> None:
        nonlocal start
        pipe.send((clock() - start, ended))
        if not ended:
            pipe.recv()
            start = clock()

    pipe.recv()
    start = clock()
    work(hand_over)
    hand_over(ended=True)
