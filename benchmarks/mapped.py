"""Memory of a process that trains on an array in a file, beside the size of the array.

    python benchmarks/mapped.py

Loading, carving, fingerprint and an epoch of `linear-ae` on uint8 images of 64 × 64 from an .npy
file that is mapped, as files from 1 GB on are: what the process has of its own (RssAnon) is read
from Linux every 5 ms. Pages of the file are not counted, as the system can drop them at any time.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

import reparam as rp
from reparam.data import large_arrays

PIXELS = 4096


def own() -> float:
    """MB of memory that are this process's own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def trained(source: object) -> rp.Data:
    data = rp.load_data(source)
    data.fingerprint()
    model = rp.build("linear-ae", data.space, latent_dim=2)
    rp.fit(model, data, epochs=1, device="cpu", progress=False)
    return data


def write(file: Path, rows: int) -> None:
    x = np.lib.format.open_memmap(file, "w+", np.uint8, (rows, PIXELS))
    for start in range(0, rows, PIXELS):
        part = x[start : start + PIXELS]
        part[:] = np.random.default_rng(start).integers(0, 256, part.shape)
    x.flush()


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--rows", type=int, default=2**16)
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    large_arrays.MAPPED_FROM = 1
    trained(np.random.default_rng(0).integers(0, 256, (500, PIXELS), np.uint8))  # imports
    seen = [own()]

    def look() -> None:
        while True:
            seen.append(own())
            time.sleep(0.005)

    threading.Thread(target=look, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "x.npy"), asked.rows)
        data = trained(Path(folder, "x.npy"))
    growth, size = max(seen) - seen[0], data.train.x.nbytes / 2**20
    print(f"{growth:.0f} MB more than before, for {size:.0f} MB of training data")


if __name__ == "__main__":
    main()
