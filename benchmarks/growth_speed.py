"""Speeds beside each other, for `growth.py`: data in files, two processes, two jobs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("stream", "torchrun", "jobs")
POINTS = str(Path(__file__).with_name("growth_points.py"))
ROUNDS, SECONDS, BATCH = 3, 8.0, 128
TABLE, PICTURES = (1_000_000, 100), (100_000, 3, 64, 64)
TWO_RANKS = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

Sides = dict[str, list[tuple[float, float]]]  # seconds and MB in each round


def child(asked: dict[str, Any], how: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
    """What `growth_points.py` measures of one point, in a process of its own or in several."""
    environment = os.environ | {"OMP_NUM_THREADS": str(asked["threads"])}
    command = [sys.executable, *how, POINTS, json.dumps(asked)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if said.returncode:
        raise SystemExit(f"{asked}: {said.stderr}")
    found: dict[str, tuple[float, float]] = json.loads(said.stdout.splitlines()[-1])
    return found


def in_turn(sides: dict[str, tuple[dict[str, Any], Sequence[str]]], what: str) -> Sides:
    """Every side in every round; what else its process measured is left out."""
    found: Sides = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (asked, how) in sides.items():
            found[name].append(child(asked, how)[what])
    return found


def told(title: str, sides: Sides, each: str) -> None:
    """Medians of all sides, and how many times as long as each the last one takes."""
    print(title)
    (last, taken) = list(sides.items())[-1]
    for name, rounds in sides.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*rounds, strict=True))
        line = f"  {name}: {1000 * seconds:.2f} ms {each}, {megabytes:.0f} MB"
        if name != last:
            ratios = [mine[0] / theirs[0] for mine, theirs in zip(rounds, taken, strict=True)]
            line += (
                f"; takes {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
                f"{max(ratios):.2f}) times as long as {last}"
            )
        print(line, flush=True)


def stream(most: float, how: dict[str, Any]) -> dict[str, Sides]:
    """Training on arrays in files that are mapped, beside the same arrays in memory."""
    found = {}
    for name, shape, dtype in (("reals", TABLE, np.float32), ("images", PICTURES, np.uint8)):
        shape = (int(min(shape[0], most)), *shape[1:])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "x.npy")
            write(file, shape, dtype)
            asked = {"do": "train", "rows": shape[0], "file": str(file)}
            asked |= {"seconds": SECONDS, "epochs": 1000, "batch": BATCH} | how
            sides = {
                "mapped": (asked | {"mapped": True}, ()),
                "in memory": (asked | {"mapped": False}, ()),
            }
            found[name] = in_turn(sides, "train")
            told(f"{name} {shape}, {file.stat().st_size / 1e6:.0f} MB", found[name], "a step")
    return found


def write(file: Path, shape: tuple[int, ...], dtype: Any) -> None:
    """An array of noise, part by part: what a step costs does not depend on what is learned."""
    x = np.lib.format.open_memmap(file, "w+", dtype, shape)
    generator = np.random.default_rng(0)
    for start in range(0, len(x), 1000):
        part = x[start : start + 1000]
        if dtype == np.uint8:
            part[:] = generator.integers(0, 256, part.shape, np.uint8)
        else:
            part[:] = generator.standard_normal(part.shape, dtype)
    x.flush()


def torchrun(most: float, _: dict[str, Any]) -> dict[str, Sides]:
    """Two processes of one thread beside one of one thread and one of two: the same batches."""
    asked = {"do": "train", "rows": int(min(most, 20_000)), "columns": 784, "epochs": 15}
    asked |= {"batch": 512, "threads": 1}
    sides: dict[str, tuple[dict[str, Any], Sequence[str]]] = {
        "one process, 1 thread": (asked, ()),
        "one process, 2 threads": (asked | {"threads": 2}, ()),
        "two processes, 1 thread each": (asked, TWO_RANKS),
    }
    found = in_turn(sides, "train")
    told(f"one model, batches of {asked['batch']} rows of 784 reals", found, "a step")
    return {"torchrun": found}


def jobs(most: float, _: dict[str, Any]) -> dict[str, Sides]:
    """A comparison of four models, one after the other on two threads or two at a time on one."""
    models = [f"vae latent_dim={count}" for count in (2, 4, 8, 16)]
    asked = {"do": "compare", "rows": int(min(most, 10_000)), "columns": 784, "models": models}
    asked |= {"threads": 2, "training": {"epochs": 20}}
    sides = {f"--jobs {count}": (asked | {"jobs": count}, ()) for count in (1, 2)}
    found = in_turn(sides, "compare")
    told(f"four models of {asked['rows']:,} rows of 784 reals, 20 epochs each", found, "in all")
    return {"jobs": found}


def measured(parts: Sequence[str], most: float, how: dict[str, Any]) -> dict[str, Sides]:
    """All sides of some parts, which are printed as they are there."""
    does = {"stream": stream, "torchrun": torchrun, "jobs": jobs}
    return {name: sides for part in parts for name, sides in does[part](most, how).items()}
