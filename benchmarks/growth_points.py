"""One point of `growth.py`, in a process of its own: what is done, its seconds and its memory.

    python benchmarks/growth_points.py '{"do": "compare", "rows": 1000}'

Memory is what the process has of its own (RssAnon, read from Linux every 5 ms) at its highest
during the call, less what it had before it. Whatever is imported on first use was used once before,
on few rows.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mapped import own

import reparam as rp
from reparam.data import large_arrays
from reparam.report import write_page
from reparam.train import News

WARM = 200  # rows of the call before the one that is measured
COLUMNS, CELLS = 100, 20  # of arrays in memory, and of tables in files
TRAINING, SAMPLES = 0.5, 10  # seconds of each model, and draws: what is measured is all the rest

Measured = dict[str, tuple[float, float]]  # seconds and MB, by what was done


class Watch:
    """Seconds that pass inside and the highest MB of memory beyond what there was before."""

    clock = staticmethod(time.perf_counter)

    def __enter__(self) -> Watch:
        self.done, self.most, self.before = threading.Event(), own(), own()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        self.start = self.clock()
        return self

    def _look(self) -> None:
        while not self.done.wait(0.005):
            self.most = max(self.most, own())

    def __exit__(self, *_: object) -> None:
        self.seconds = self.clock() - self.start
        self.most = max(self.most, own())
        self.done.set()
        self.thread.join()

    @property
    def result(self) -> tuple[float, float]:
        return self.seconds, self.most - self.before


def reals(rows: int, columns: int = COLUMNS) -> np.ndarray[Any, Any]:
    """Rows of few factors and noise, so that there is something to learn."""
    generator = np.random.default_rng(0)
    loadings = generator.standard_normal((8, columns), np.float32)
    x = np.empty((rows, columns), np.float32)
    for start in range(0, rows, 10_000):
        part = x[start : start + 10_000]
        generator.standard_normal(out=part, dtype=np.float32)
        part += generator.standard_normal((len(part), 8), np.float32) @ loadings
    return x


def images(rows: int, side: int, channels: int = 1) -> np.ndarray[Any, Any]:
    """Bytes: a disc of random place and brightness on noise."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 32, (rows, channels, side, side), np.uint8)
    rim = np.arange(side)
    for image, (row, column, light) in zip(x, generator.random((rows, 3)), strict=True):
        disc = (rim[:, None] - row * side) ** 2 + (rim - column * side) ** 2 < (side / 4) ** 2
        image[:, disc] += np.uint8(50 + 170 * light)
    return x


def examples(asked: dict[str, Any], rows: int) -> rp.Data:
    side = asked.get("side")
    x = reals(rows, asked.get("columns", COLUMNS)) if side is None else images(rows, side)
    return rp.load_data(x)


def compared(asked: dict[str, Any], rows: int, folder: Path) -> Measured:
    """A comparison, and its report written once more."""
    data = examples(asked, rows)
    with Watch() as whole:
        found = rp.compare(
            data,
            asked["models"],
            out=folder,
            jobs=asked.get("jobs", 1),
            samples=SAMPLES,
            device="cpu",
            **asked.get("training", {"budget": TRAINING}),
        )
    with Watch() as report:
        write_page(folder / "again.html", data, found.entries, reference=found.reference)
    return {"compare": whole.result, "report": report.result}


def loaded(asked: dict[str, Any], rows: int, folder: Path) -> Measured:
    """`load_data` of a file of so many rows, or of a folder of so many images."""
    source = WRITERS[asked["form"]](folder, rows)
    with Watch() as reading:
        data = rp.load_data(source)
    assert sum(map(len, data.splits.values())) == rows
    return {f"load {asked['form']}": reading.result}


class Enough(Exception):
    """So many seconds of steps were seen."""


def trained(asked: dict[str, Any], rows: int, folder: Path) -> Measured:
    """Seconds of a training step, from the first to the last that is told of, and all memory."""
    if "mapped" in asked:
        large_arrays.MAPPED_FROM = 1 if asked["mapped"] else sys.maxsize
    seen: list[tuple[float, int]] = []

    def look(news: News) -> None:
        if news.step > 0:
            seen.append((Watch.clock(), news.step))
            if seen[-1][0] - seen[0][0] > asked.get("seconds", math.inf):
                raise Enough

    with Watch() as whole:
        data = rp.load_data(asked["file"]) if "file" in asked else examples(asked, rows)
        model = rp.build("vae", data.space, seed=0)
        how = {"batch_size": asked["batch"], "epochs": asked["epochs"], "device": "cpu"}
        with suppress(Enough):
            rp.fit(model, data, progress=False, watch=look, **how)
    (start, first), (end, last) = seen[0], seen[-1]
    return {"train": ((end - start) / (last - first), whole.result[1])}


def write_csv(folder: Path, rows: int) -> Path:
    from pyarrow import csv

    csv.write_csv(_table(rows), folder / "x.csv")
    return folder / "x.csv"


def write_parquet(folder: Path, rows: int) -> Path:
    from pyarrow import parquet

    parquet.write_table(_table(rows), folder / "x.parquet")
    return folder / "x.parquet"


def _table(rows: int) -> Any:
    """Reals, and a last column of whole numbers and one of names."""
    import pyarrow as pa

    x = reals(rows, CELLS)
    columns = {f"c{index}": column for index, column in enumerate(x.T[:-2])}
    names = np.array(["red", "green", "blue"])[np.digitize(x[:, -2], (-1, 1))]
    return pa.table(columns | {"count": np.abs(x[:, -1]).astype(np.int64), "color": names})


def write_npy(folder: Path, rows: int) -> Path:
    np.save(folder / "x.npy", reals(rows, CELLS))
    return folder / "x.npy"


def write_npz(folder: Path, rows: int) -> Path:
    np.savez(folder / "x.npz", x=reals(rows, CELLS), y=np.arange(rows) % 3)
    return folder / "x.npz"


def write_folder(folder: Path, rows: int) -> Path:
    from PIL import Image

    place = folder / "images"
    for index, image in enumerate(images(rows, 32)[:, 0]):
        name = place / f"{index % 3}" / f"{index:06}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(name)
    return place


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "npy": write_npy,
    "npz": write_npz,
    "folder": write_folder,
}
DO = {"compare": compared, "load": loaded, "train": trained}


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked.get("threads", 2))
    os.environ["REPARAM_CACHE"] = "off"
    if asked.get("cpu"):
        Watch.clock = time.process_time
    small = asked | {"rows": WARM} | ({"columns": 4} if "side" not in asked else {"side": 8})
    small |= {"models": asked.get("models", [])[-1:], "jobs": 1}
    measured: Measured = {}
    for each in (small, asked) if asked["do"] != "train" else (asked,):
        with tempfile.TemporaryDirectory() as folder:
            measured = DO[asked["do"]](each, each["rows"], Path(folder))
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(measured))


if __name__ == "__main__":
    main()
