"""Speeds beside each other, for `growth.py`: data in files, two processes, two jobs."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results import Quantity, Result, at_most
from rounds import quotients

POINTS = str(Path(__file__).with_name("growth_points.py"))
SECONDS, BATCH = 8.0, 128
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


def in_turn(sides: dict[str, tuple[dict[str, Any], Sequence[str]]], what: str, n: int) -> Sides:
    """Every side in each of n rounds, files read anew; what else a process measured is left out."""
    found: Sides = {name: [] for name in sides}
    for _ in range(n):
        for name, (asked, how) in sides.items():
            if "file" in asked:
                forget(Path(asked["file"]))
            found[name].append(child(asked, how)[what])
    return found


def forget(file: Path) -> None:
    """Let the system drop the pages of a file that it holds in memory, where it can be told to."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())  # what is not on the disk yet cannot be dropped
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def tell(sides: Sides) -> None:
    """Medians of all sides."""
    for name, taken in sides.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"{name}: {1000 * seconds:.4g} ms, {megabytes:.0f} MB", flush=True)


def times_as_long(sides: Sides, side: str, of: str) -> list[float]:
    """How many times the seconds of ``of`` a side took, round by round."""
    return quotients({name: [s for s, _ in taken] for name, taken in sides.items()}, side, of)


def stream(asked: argparse.Namespace, how: dict[str, Any]) -> Iterator[Result]:
    """Training on arrays in files that are mapped, beside the same arrays in memory."""
    for name, shape, dtype in (("reals", TABLE, np.float32), ("images", PICTURES, np.uint8)):
        rows = int(min(shape[0], asked.most))
        with tempfile.TemporaryDirectory() as folder:
            files = {n: Path(folder, f"{n}.npy") for n in (rows, rows // 10)}
            for n, file in files.items():
                write(file, (n, *shape[1:]), dtype)
            train = {"do": "train", "seconds": SECONDS, "epochs": 1000, "batch": BATCH} | how
            mapped, tenth = (
                train | {"rows": n, "file": str(file), "mapped": True} for n, file in files.items()
            )
            in_memory = mapped | {"mapped": False}
            asks = {"mapped": mapped, "in memory": in_memory, "a tenth, mapped": tenth}
            sides = in_turn({side: (ask, ()) for side, ask in asks.items()}, "train", asked.rounds)
        tell(sides)
        yield from streamed(f"{rows:,} {name} of {'×'.join(map(str, shape[1:]))}", rows, sides)


def streamed(what: str, rows: int, sides: Sides) -> Iterator[Result]:
    """A step from mapped files beside one in memory; memory beside that of a tenth of the rows.

    Loading starts without a page of the file in the system's cache, and reads all of it: steps find
    there what fits.
    """
    step = statistics.median(seconds for seconds, _ in sides["mapped"])
    print(
        f"{what}, loaded from a cold cache, which loading fills: {SECONDS / step:.0f} steps "
        f"in {SECONDS:g} s, of {rows // BATCH} in an epoch"
    )
    speed = Quantity(f"training on {what}: a step from a mapped file / in memory", at_most(1.05))
    yield speed.found(times_as_long(sides, "mapped", "in memory"))
    memory = Quantity(f"training on {what}, mapped: memory / that at a tenth", at_most(1.1))
    pairs = zip(sides["mapped"], sides["a tenth, mapped"], strict=True)
    yield memory.found(whole / part for (_, whole), (_, part) in pairs)


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


def torchrun(asked: argparse.Namespace, _: dict[str, Any]) -> Iterator[Result]:
    """Two processes of one thread beside one of one thread and one of two: the same batches."""
    train = {"do": "train", "rows": int(min(asked.most, 20_000)), "columns": 784, "epochs": 15}
    train |= {"batch": 512, "threads": 1}
    sides: dict[str, tuple[dict[str, Any], Sequence[str]]] = {
        "one process, 1 thread": (train, ()),
        "one process, 2 threads": (train | {"threads": 2}, ()),
        "two processes, 1 thread each": (train, TWO_RANKS),
    }
    found = in_turn(sides, "train", asked.rounds)
    tell(found)
    *others, two = found
    for one in others:
        quantity = Quantity(f"a step of 512 rows of 784 reals: {one} / {two}")
        yield quantity.found(times_as_long(found, one, two))


def jobs(asked: argparse.Namespace, _: dict[str, Any]) -> Iterator[Result]:
    """A comparison of four models, one after the other on two threads or two at a time on one."""
    models = [f"vae latent_dim={count}" for count in (2, 4, 8, 16)]
    ask = {"do": "compare", "rows": int(min(asked.most, 10_000)), "columns": 784, "models": models}
    ask |= {"threads": 2, "training": {"epochs": 20}}
    sides = {f"--jobs {count}": (ask | {"jobs": count}, ()) for count in (1, 2)}
    found = in_turn(sides, "compare", asked.rounds)
    tell(found)
    quantity = Quantity(f"`compare` of four models, {ask['rows']:,} rows: --jobs 1 / --jobs 2")
    yield quantity.found(times_as_long(found, "--jobs 1", "--jobs 2"))


PARTS = {"stream": stream, "torchrun": torchrun, "jobs": jobs}
