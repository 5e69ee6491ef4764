"""Steps without those that nothing needs, in as few buffers as they can share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

Step = list[Any]  # operation, output buffer, input buffers, parameters


def needed(steps: Sequence[Step], output: int) -> list[Step]:
    """Those whose results reach the output.

    >>> needed([["map", 1, [0], {}], ["map", 2, [0], {}]], 2)
    [['map', 2, [0], {}]]
    """
    wanted, kept = {output}, []
    for step in reversed(steps):
        if step[1] in wanted:
            wanted.update(step[2])
            kept.append(step)
    return kept[::-1]


def shared(
    steps: Sequence[Step], buffers: Sequence[tuple[int, str]], own: Collection[int]
) -> dict[int, int]:
    """Where each buffer of some steps is kept: alike ones in one place when they have been read.

    Args:
        steps: in order.
        buffers: size and precision of each.
        own: those that share with none, as inputs and constants.

    >>> chain = [["map", 1, [0], {}], ["map", 2, [1], {}], ["map", 3, [2], {}]]
    >>> shared(chain, [(4, "f32")] * 4, own={0})
    {0: 0, 1: 1, 2: 2, 3: 1}
    """
    last = {buffer: at for at, step in enumerate(steps) for buffer in (step[1], *step[2])}
    places = {buffer: number for number, buffer in enumerate(own)}
    free: dict[tuple[int, str], list[int]] = defaultdict(list)
    count = len(places)
    for at, (_, out, reads, _) in enumerate(steps):
        if out not in places:
            alike = free[buffers[out]]
            places[out] = alike.pop() if alike else count
            count = max(count, places[out] + 1)
        for buffer in {*reads, out}:
            if last[buffer] == at and buffer not in own:
                free[buffers[buffer]].append(places[buffer])
    return places
