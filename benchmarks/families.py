"""One tuned model of every family on digits, each for the same seconds, with the report of it.

    python benchmarks/families.py [--data digits] [--budget 40] [--seeds 1] [--out runs/families]

Prints where the time went: training by model, and what measuring and the report took beside it,
and the table of scores. The goal is 12 minutes on two cores for digits at 40 s each. The folder is
that of ``reparam compare digits --families``; where it has runs, they are taken over, and the times
of this call say nothing.
"""

from __future__ import annotations

import argparse
import time

import torch

import reparam as rp
from reparam.cli.tables import comparison_table, show

GOAL = 12 * 60.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--budget", type=float, default=40.0, help="seconds for each model")
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--out", default="runs/families")
    asked = arguments.parse_args()
    clock = Clock()
    start = time.perf_counter()
    result = rp.compare(
        asked.data,
        families=True,
        budget=asked.budget,
        seeds=asked.seeds,
        out=asked.out,
        watch=clock,
    )
    clock("", 1.0)
    wall = time.perf_counter() - start
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for what, seconds in clock.seconds.items():
        print(f"{seconds:8.1f} s  {what}")
    reached = "reached" if wall <= GOAL else "not reached"
    print(f"{wall:8.1f} s  in all (goal {GOAL:.0f} s for digits at 40 s each: {reached})")
    if result.found:
        print(f"{len(result.found)} runs were there before: these times are not those of all.")
    rows = {entry.label: dict(entry.scores) for entry in result.entries}
    show(comparison_table(rows | {"training data": result.reference}))


class Clock:
    """Adds up the seconds between news: of training, measuring and the report."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.doing, self.since = "", time.perf_counter()

    def __call__(self, doing: str, done: float) -> None:
        now = time.perf_counter()
        if self.doing:
            self.seconds[self.doing] = self.seconds.get(self.doing, 0.0) + now - self.since
        self.doing, self.since = doing.partition(":")[0].partition(" (")[0], now


if __name__ == "__main__":
    main()
