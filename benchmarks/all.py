"""Every ratio of speed that has a goal, in one run: one table at the end.

    python benchmarks/all.py --json all.json
    python benchmarks/all.py --json all.json --markdown          # for the README
    python benchmarks/all.py --only training sampling --rounds 9

Each line of ``COMMANDS`` runs in a process of its own, one after the other, and its results are
kept in the file of --json; the same command goes on with what is missing or was measured by another
command or commit, and then with what failed. The table names the command that measures a row alone.
What `growth.py --json` found in a run of its own ends it (--growth). The exit status is 1 where
something failed. With --cpu it leaves out what has no meaning but on the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from results import HEAD, Kept, Result, head, row
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
    "browser": "explore.py --decodes 50",
    "explorer": "explore.py --page --decodes 50",
    "start": "startup.py --rounds 5",
    "gpu": "gpu_training.py --rounds 3",
}
WALL = ("browser", "explorer", "gpu")  # which are not measured in CPU seconds of a thread


def command_of(name: str, asked: argparse.Namespace) -> str:
    """As one types it."""
    command = COMMANDS[name]
    if asked.rounds:
        command = re.sub(r"--rounds \d+", f"--rounds {asked.rounds}", command)
    return f"{command} --cpu" if asked.cpu else command


def commit() -> str:
    """Of what is measured; "unknown" without git."""
    try:
        said = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=FOLDER, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


def measure(command: str) -> dict[str, Any]:
    """The results of a command, and in what words it failed, if it did."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "results.json")
        failed = failure([sys.executable, *shlex.split(command), "--json", str(file)])
        results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    seconds = time.perf_counter() - start
    return {"command": command, "results": results, "failed": failed, "seconds": seconds}


def failure(words: list[str]) -> str:
    """What went wrong in a process, which is ended with all its children when the time is up."""
    how: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=FOLDER, start_new_session=True, **how) as process:
        try:
            _, said = process.communicate(timeout=LIMIT)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, KeyboardInterrupt):
                raise
            return f"not finished within {LIMIT} s"
    if not process.returncode:
        return ""
    return (said.strip() or f"status {process.returncode}").splitlines()[-1]


def run(names: list[str], kept: Kept, asked: argparse.Namespace) -> None:
    """What is missing or was measured otherwise, and then what failed."""
    now, wanted = commit(), {name: command_of(name, asked) for name in names}

    def there(name: str) -> bool:
        found = kept.found.get(name, {})
        return (found.get("command"), found.get("commit")) == (wanted[name], now)

    missing = [name for name in names if not there(name)]
    failed = [name for name in names if there(name) and kept.found[name]["failed"]]
    for name in missing + failed:
        found = measure(wanted[name]) | {"commit": now}
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
        found = json.loads(growth.read_text(encoding="utf-8"))
        yield "python benchmarks/growth.py", [Result.read(fields).cells for fields in found]


def show(found: list[tuple[str, Rows]], title: str) -> None:
    table = Table(*HEAD, "command", title=title)
    for command, cells in found:
        table.add_section()
        for index, each in enumerate(cells):
            table.add_row(*each, "" if index else command)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--rounds", type=int, help="of every command that has some")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of one thread")
    parser.add_argument("--json", type=Path, help="file of the results, which are not lost")
    parser.add_argument("--growth", type=Path, help="file that growth.py wrote")
    parser.add_argument("--markdown", action="store_true", help="to be pasted")
    asked = parser.parse_args()
    if asked.cpu:
        asked.only = [name for name in asked.only if name not in WALL]
    return asked


def main() -> None:
    asked = parsed()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}"
    machine += ", CPU seconds of one thread" * asked.cpu
    try:
        kept = Kept.open(asked.json, {"machine": machine})
    except ValueError as error:
        raise SystemExit(str(error)) from error
    run(asked.only, kept, asked)
    found = list(tables(asked.only, kept, asked.growth))
    if asked.markdown:
        print(f"{machine}, commit {commit()[:12]}.\n\n{head('command')}")
        for command, cells in found:
            print(*(row([*each, f"`{command}`"]) for each in cells), sep="\n")
    else:
        show(found, machine)
    if any(kept.found[name]["failed"] for name in asked.only):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
