"""Everything that is to be known of a GPU, in at most eight minutes: one table at the end.

    python benchmarks/gpu.py --out gpu.json
    python benchmarks/gpu.py --out cpu.json --device cpu --quick    # does the script itself work?

What is done is kept in the file, and the same command goes on: with what is missing, or failed.
Every part has its share of the time. On a CPU, what only CUDA has says so.
"""

from __future__ import annotations

import argparse
import platform
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gpu_contract
import gpu_densities
import gpu_training
import torch
from gpu_task import Settings, Task
from results import Kept

from reparam.presets import PRESETS

# What the parts are called, and the most seconds of each: less than eight minutes in all.
PARTS: dict[str, tuple[str, float]] = {
    "contract": ("the same on the device as on the CPU", 110),
    "scores": ("measured on the device as on the CPU", 50),
    "step": ("a step, captured and as it is", 90),
    "fit": ("training beside others", 110),
    "densities": ("likelihoods and samples", 70),
    "bfloat16": ("bfloat16 beside float32", 40),
}


class OutOfTime(BaseException):
    """A task took longer than was left; not to be caught by what catches every ``Exception``."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """OutOfTime after so many seconds, between two calls of Python."""

    def ring(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure(task: Task, seconds: float) -> dict[str, Any]:
    """The rows of a task, and why there are no more."""
    start, rows, failed = time.perf_counter(), [], None
    try:
        with at_most(seconds):
            for row in task.run():
                rows.append(row._asdict())
    except OutOfTime:
        failed = f"not finished within {seconds:.0f} s"
    except Exception as error:  # of any kind: what a GPU does not do is what this is to find
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        failed = f"{type(error).__name__}: {reason}"
    return {"rows": rows, "failed": failed, "seconds": time.perf_counter() - start}


def run(tasks: Mapping[str, list[Task]], kept: Kept, share: float = 1.0) -> None:
    """What is missing of every part, then what failed, until the part's time is used up."""
    for part, some in tasks.items():
        (title, limit), names = PARTS[part], {f"{part}/{task.name}": task for task in some}
        missing = [name for name in names if name not in kept.found]
        failed = [name for name in names if name in kept.found and kept.found[name]["failed"]]
        end = time.perf_counter() + share * limit
        for name in missing + failed:
            left = end - time.perf_counter()
            if left <= 0:
                break
            result = measure(names[name], left)
            kept.put(name, result)
            said = result["failed"] or "done"
            print(f"{title}: {names[name].name}: {said}, {result['seconds']:.1f} s", flush=True)
            if said.startswith("AcceleratorError"):  # nothing works any more in this process
                raise SystemExit("the device is lost; the same command goes on with what follows")


def table(tasks: Mapping[str, list[Task]], kept: Kept) -> str:
    """Everything as markdown, a line for each task; what is missing says so."""
    lines = [f"Measured on {kept.settings['machine']}, torch {torch.__version__}."]
    for part, some in tasks.items():
        found = {task.name: _cells(kept.found.get(f"{part}/{task.name}")) for task in some}
        columns = list(dict.fromkeys(what for cells in found.values() for what in cells))
        title = PARTS[part][0]
        lines += ["", f"**{title[0].upper()}{title[1:]}**", ""]
        lines += [f"| | {' | '.join(columns)} |", f"|{'---|' * (1 + len(columns))}"]
        for name, cells in found.items():
            lines.append(f"| {name} | {' | '.join(cells.get(what, '') for what in columns)} |")
    return "\n".join(lines)


def _cells(result: dict[str, Any] | None) -> dict[str, str]:
    """What was found by what was asked."""
    if result is None:
        return {"missing": "the time was up"}
    cells = {row["what"]: row["found"] for row in result["rows"]}
    return cells if result["failed"] is None else cells | {"failed": result["failed"]}


def find_tasks(settings: Settings, presets: list[str]) -> dict[str, list[Task]]:
    found = gpu_contract.tasks(settings, presets) | gpu_training.tasks(settings)
    found |= {"densities": gpu_densities.tasks(settings)}
    return {part: found[part] for part in PARTS}


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny, to see whether it works")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), help="of the first part")
    parser.add_argument("--share", type=float, default=1.0, help="of the time that parts have")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    asked = arguments(words)
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA here; to try the script: --device cpu --quick")
    name = torch.cuda.get_device_name() if asked.device == "cuda" else platform.machine()
    settings = Settings(asked.device, asked.quick, name)
    try:
        kept = Kept.open(asked.out, settings._asdict())
    except ValueError as error:
        raise SystemExit(str(error)) from error
    tasks = find_tasks(settings, asked.presets)
    tasks = {part: some for part, some in tasks.items() if part in asked.parts}
    run(tasks, kept, asked.share)
    print(table(tasks, kept))


if __name__ == "__main__":
    main()
