"""Every ratio of speed that has a goal, in one run of at most 15 minutes: one table at the end.

    python benchmarks/all.py --json all.json
    python benchmarks/all.py --json all.json --markdown          # for the README
    python benchmarks/all.py --only training sampling --rounds 9

Each line of ``COMMANDS`` runs in a process of its own, one after the other, and its results are
kept in the file of --json; the same command goes on with what is missing, and then with what
failed. The table names the command that measures a row alone. What `growth.py --json` found in a
run of its own ends it (--growth).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from results import HEAD, Quantity, Result, head, row
from rich.console import Console
from rich.table import Table

Rows = list[tuple[str, ...]]

FOLDER = Path(__file__).parent
LIMIT = 400  # seconds of a command, after which it has failed
COMMANDS = {
    "training": "speed.py --rounds 5",
    "likelihood": "likelihood.py --rounds 7 --samples 500",
    "autoregressive": "autoregressive_speed.py --rounds 4",
    "convolutions": "convolutions.py --rounds 3",
    "mixed": "mixed_speed.py --rounds 7",
    "flows": "flows.py --rounds 15",
    "codes": "vq.py --rounds 7",
    "diffusion": "diffusion.py steps --rounds 2",
    "diffusion-peer": "diffusion.py peer --rounds 3",
    "adversarial": "adversarial.py steps --rounds 4",
    "masked": "masked.py steps --rounds 5 --threads 1",
    "sampling": "sampling.py --presets pixel-cnn --entries 1 --rounds 7",
    "sampling-others": "sampling.py --presets gated-pixel-cnn pixel-cnn++ pixel-rnn "
    "'pixel-rnn recurrence=row' image-transformer --batches 1 16 --entries 1 --rounds 2",
    "compression": "compression.py vae vae-8bit --only speeds --budget 10 --timed 128 --rounds 5",
    "compression-walk": "compression.py gated-pixel-cnn --only speeds --budget 5 --timed 64 "
    "--batch 64 --rounds 3",
    "browser": "explore.py --rounds 50",
    "explorer": "explore.py --page --rounds 50",
    "start": "startup.py --rounds 5",
    "gpu": "gpu_training.py --rounds 3",
}


class Kept(NamedTuple):
    """What each command found, and the file that keeps it."""

    file: Path | None
    settings: dict[str, Any]
    found: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, file: Path | None, settings: dict[str, Any]) -> Kept:
        """What was measured so far; SystemExit where it was measured otherwise."""
        there = json.loads(file.read_text()) if file is not None and file.exists() else {}
        if there.get("settings", settings) != settings:
            raise SystemExit(f"{file}: holds results of {there['settings']}; give another --json")
        return cls(file, settings, there.get("found", {}))

    def put(self, name: str, found: dict[str, Any]) -> None:
        self.found[name] = found
        if self.file is not None:
            content = {"settings": self.settings, "found": self.found}
            unfinished = self.file.with_suffix(".part")
            unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
            unfinished.replace(self.file)


def command_of(name: str, asked: argparse.Namespace) -> str:
    """As one types it."""
    command = COMMANDS[name]
    if asked.rounds:
        command = re.sub(r"--rounds \d+", f"--rounds {asked.rounds}", command)
    return f"{command} --cpu" if asked.cpu else command


def measure(command: str) -> dict[str, Any]:
    """The results of a command, and in what words it failed, if it did."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "results.json")
        words = [sys.executable, *shlex.split(command), "--json", str(file)]
        failed = ""
        try:
            done = subprocess.run(
                words, cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            failed = f"not finished within {LIMIT} s"
        else:
            if done.returncode:
                failed = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        results = json.loads(file.read_text()) if file.exists() else []
    seconds = time.perf_counter() - start
    return {"command": command, "results": results, "failed": failed, "seconds": seconds}


def run(names: list[str], kept: Kept, asked: argparse.Namespace) -> None:
    """What is missing, and then what failed."""
    missing = [name for name in names if name not in kept.found]
    failed = [name for name in names if kept.found.get(name, {}).get("failed")]
    for name in missing + failed:
        found = measure(command_of(name, asked))
        kept.put(name, found)
        said = found["failed"] or f"{len(found['results'])} results"
        print(f"{name}: {said}, {found['seconds']:.0f} s", file=sys.stderr, flush=True)


def tables(names: list[str], kept: Kept, growth: Path | None) -> Iterator[tuple[str, Rows]]:
    """The rows of each command."""
    for name in names:
        found = kept.found[name]
        cells = [Result.read(fields).cells for fields in found["results"]]
        if found["failed"]:
            cells.append((name, "", "", f"failed: {found['failed']}"))
        yield f"python benchmarks/{found['command']}", cells
    if growth is not None:
        yield "python benchmarks/growth.py", [result.cells for result in grown(growth)]


def grown(file: Path) -> Iterator[Result]:
    """Slopes of seconds on log axes, and how many times as long sides take as the last one."""
    import growth

    found = json.loads(file.read_text())
    points = [growth.Point(**fields) for fields in found["points"]]
    for (what, axis), curve in growth.curves_of(points).items():
        at, seconds, _ = growth.columns(curve)
        slope = growth.slope(at, seconds)
        yield Quantity(f"growth with {axis}, {what}: slope of seconds").found([slope])
    for what, sides in found["speeds"].items():
        *others, last = sides
        for side in others:
            pairs = zip(sides[side], sides[last], strict=True)
            quantity = Quantity(f"growth, {what}: {side} / {last}")
            yield quantity.found(mine[0] / theirs[0] for mine, theirs in pairs)


def show(found: list[tuple[str, Rows]], title: str) -> None:
    table = Table(*HEAD, "command", title=title)
    for command, cells in found:
        table.add_section()
        for index, each in enumerate(cells):
            table.add_row(*each, "" if index else command)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--rounds", type=int, help="of every command, in place of its own")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of one thread")
    parser.add_argument("--json", type=Path, help="file of the results, which are not lost")
    parser.add_argument("--growth", type=Path, help="file that growth.py wrote")
    parser.add_argument("--markdown", action="store_true", help="to be pasted")
    asked = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}"
    settings = {"machine": machine, "cpu": asked.cpu, "rounds": asked.rounds}
    kept = Kept.open(asked.json, settings)
    run(asked.only, kept, asked)
    found = list(tables(asked.only, kept, asked.growth))
    if asked.markdown:
        print(f"{machine}.\n\n{head('command')}")
        for command, cells in found:
            print(*(row([*each, f"`{command}`"]) for each in cells), sep="\n")
    else:
        show(found, machine)


if __name__ == "__main__":
    main()
