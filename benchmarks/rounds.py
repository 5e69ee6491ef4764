"""Sides of a benchmark, taking turns in one run."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

Seconds = dict[str, list[float]]


def parser(description: str | None, rounds: int, threads: int = 2) -> argparse.ArgumentParser:
    """The arguments that all benchmarks of speed take."""
    arguments = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    arguments.add_argument("--rounds", type=int, default=rounds)
    arguments.add_argument("--threads", type=int, default=threads)
    arguments.add_argument(
        "--cpu",
        action="store_true",
        help="CPU seconds of one thread, for a machine that is busy with other work",
    )
    arguments.add_argument("--json", type=Path, help="file for what was found")
    return arguments


def clock_of(arguments: argparse.Namespace) -> Callable[[], float]:
    """The clock that was asked for; torch takes as many threads as were."""
    torch.set_num_threads(1 if arguments.cpu else arguments.threads)
    return time.process_time if arguments.cpu else time.perf_counter


def measured(sides: Mapping[str, Callable[[], object]], arguments: argparse.Namespace) -> Seconds:
    """Seconds of each side in each round; one more round before warms up."""
    clock = clock_of(arguments)
    seconds: Seconds = {name: [] for name in sides}
    for _ in range(arguments.rounds + 1):
        for name, run in sides.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: taken[1:] for name, taken in seconds.items()}


def descend_by_hand(
    parameters: Iterable[Tensor],
    loss_of: Callable[[Tensor], Tensor],
    train: Tensor,
    valid: Tensor,
    batch: int,
    epochs: int,
    after: Callable[[], object] = lambda: None,
) -> float:
    """The fastest loop one writes by hand: data in memory by a permutation, a fused Adam.

    A validation pass follows every epoch, and then ``after``; the result is the mean of its losses
    in the last one.
    """
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)
    found = float("nan")
    for _ in range(epochs):
        order = torch.randperm(len(train), device=train.device)
        for start in range(0, len(train) - batch + 1, batch):
            loss = loss_of(train[order[start : start + batch]].float())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses = [loss_of(part.float()).item() * len(part) for part in valid.split(1000)]
            found = sum(losses) / len(valid)
        after()
    return found


def machine(arguments: argparse.Namespace) -> str:
    """What was measured on, in words."""
    how = "CPU seconds of 1 thread" if arguments.cpu else f"{arguments.threads} threads"
    return f"torch {torch.__version__}, {platform.machine()}, {how}, {arguments.rounds} rounds"


def quotients(seconds: Seconds, side: str, of: str) -> list[float]:
    """How many times as long ``side`` took as ``of``, round by round."""
    return [a / b for a, b in zip(seconds[side], seconds[of], strict=True)]


def tell(seconds: Seconds, parts: int = 1) -> None:
    """The median milliseconds of each side, of so many equal parts of a round."""
    for name, taken in seconds.items():
        print(f"{name}: {1000 * statistics.median(taken) / parts:.4g} ms", flush=True)
