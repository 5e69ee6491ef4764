"""Kill ``reparam fit`` with SIGKILL at random moments: resumed, it ends as if it never died.

    python benchmarks/soak.py --kills 100

Each model is trained once in one piece. Then it is trained again, saving after every step, and
killed: after a random time, or when a file of the run is just being written or was just replaced.
What was killed is resumed, and killed again. At the end its weights, best weights, optimizer,
generators and curves must equal those of the run in one piece, bit for bit.

Every training is a process of its own, forked from this one after PyTorch was loaded.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # optimizers import it at their first step

import reparam.comparison  # noqa: F401  (as commands do: once for all processes)
from reparam.checkpoint import MODEL_FILE, RUN_FILE, read_tensors
from reparam.cli.main import main as reparam
from reparam.data import load_data
from reparam.lock import LOCK_FILE
from reparam.train.folder import STATE_FILE

MODELS = {
    "vae": [
        *("vae", "latent_dim=2", "hidden=8", "batch_norm=true", "--ema", "0.9", "--clip", "1"),
        *("--warmup", "20", "--schedule", "cosine"),
    ],
    "two stages": ["ae-gmm", "codec.latent_dim=2", "codec.hidden=8", "generator.components=2"],
    "running scale": ["sigma-vae", "scale=optimal", "latent_dim=2", "hidden=8"],
}
SOON = 2.0  # seconds within which a random moment lies
LOOK = 0.0002  # seconds between two looks at the folder


def start(words: list[str]) -> int:
    """A command in a process of its own, silent; returns its id."""
    process = os.fork()
    if process == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.argv = ["reparam", *words]
        try:
            reparam()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        finally:
            os._exit(99)
    return process


def finished(words: list[str]) -> None:
    """Run a command to its end; RuntimeError where it fails."""
    _, status = os.waitpid(start(words), 0)
    if status != 0:
        raise RuntimeError(f"reparam {' '.join(words)} ended with {status}")


def half_written(run: Path) -> list[str]:
    """Temporary folders: those of a write that goes on, or that was killed."""
    return [p.name for p in run.glob(".*") if p.name != LOCK_FILE] if run.is_dir() else []


def changed(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def moments(run: Path, rng: random.Random) -> tuple[str, Callable[[], bool]]:
    """A kind of moment, and whether it has come."""
    kind = rng.choice(("random time", "while a file is written", "after a file was replaced"))
    if kind == "random time":
        end = time.perf_counter() + rng.uniform(0, SOON)
        return kind, lambda: time.perf_counter() >= end
    begin = time.perf_counter() + rng.uniform(0, SOON)
    if kind == "while a file is written":
        old = set(half_written(run))
        return kind, lambda: time.perf_counter() >= begin and bool(set(half_written(run)) - old)
    file = run / rng.choice((STATE_FILE, MODEL_FILE, "history.csv"))
    seen: list[Any] = []

    def replaced() -> bool:
        if time.perf_counter() < begin:
            return False
        seen.append(changed(file))
        return seen[-1] != seen[0]

    return kind, replaced


def kill_once(words: list[str], run: Path, rng: random.Random, seen: Counter[str]) -> bool:
    """Start a command and kill it at some moment; False where it was over before."""
    process = start(words)
    kind, come = moments(run, rng)
    while not come():
        over, status = os.waitpid(process, os.WNOHANG)
        if over:
            if status != 0:
                raise RuntimeError(f"reparam {' '.join(words)} ended with {status}")
            return False
        time.sleep(LOOK)
    time.sleep(rng.choice((0, rng.uniform(0, 0.003))))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    seen[kind] += 1
    seen["that left a half-written file"] += bool(half_written(run))
    return True


def same(one: Path, two: Path) -> bool:
    """Whether two runs ended alike, but for their ids and the seconds they took."""
    for file in (STATE_FILE, MODEL_FILE):
        (ours, our_header), (theirs, their_header) = (
            read_tensors(one / file),
            read_tensors(two / file),
        )
        if ours.keys() != theirs.keys() or _comparable(our_header) != _comparable(their_header):
            return False
        if not all(torch.equal(value, theirs[name]) for name, value in ours.items()):
            return False
    return not half_written(two)


def _comparable(header: dict[str, Any]) -> Any:
    header = header | {"run": None}
    if "history" not in header:
        return header
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in header["history"]["rows"]]
    return header | {"history": header["history"] | {"rows": rows, "seconds": 0}}


def soak(words: list[str], kills: int, epochs: int, folder: Path, seed: int) -> Counter[str]:
    """Kill one model's training that many times; counts by kind of moment."""
    rng, seen, done = random.Random(seed), Counter[str](), 0
    model, *parameters = words
    fit = ["fit", model, "digits", *parameters, "--epochs", str(epochs)]
    whole, run = folder / "whole", folder / "killed"
    finished([*fit, "-o", str(whole)])
    while done < kills:
        shutil.rmtree(run, ignore_errors=True)
        again = [*fit, "-o", str(run), "--save-every", "0", "--force"]
        while done < kills:
            begun = (run / RUN_FILE).exists()
            if not kill_once(["resume", str(run)] if begun else again, run, rng, seen):
                break
            done += 1
        finished(["resume", str(run)] if (run / RUN_FILE).exists() else again)
        seen["runs"] += 1
        if not same(whole, run):
            raise AssertionError(f"{model}: {run} is not {whole}")
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where the runs lie for the time; memory is fastest")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # threads do not survive a fork
    load_data("digits")  # and what it imports
    for index, (name, words) in enumerate(MODELS.items()):
        kills = asked.kills // len(MODELS) + (index < asked.kills % len(MODELS))
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            seen = soak(words, kills, asked.epochs, Path(folder), asked.seed + index)
        counts = ", ".join(f"{kind} {n}" for kind, n in sorted(seen.items()))
        seconds = time.perf_counter() - begin
        print(f"{name}: {kills} kills, equal in the end; {counts}; {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
