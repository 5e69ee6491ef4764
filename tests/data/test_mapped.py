"""Arrays in files larger than memory are the data that arrays in memory would be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.data import mapped

CASES: dict[str, tuple[np.ndarray[Any, Any], dict[str, Any]]] = {}


def case(name: str, values: Any, **options: Any) -> None:
    CASES[name] = (values, options)


RNG = np.random.default_rng(0)
case("uint8", RNG.integers(0, 256, (600, 6), np.uint8))
case("channels last", RNG.integers(0, 256, (600, 4, 5, 3), np.uint8))
case("0 and 255", RNG.integers(0, 2, (600, 4, 4), np.uint8) * np.uint8(255))
case("floats of 0 and 1", RNG.integers(0, 2, (600, 6)).astype(np.float64))
case("float32", RNG.normal(size=(600, 6)).astype(np.float32))
case("integers", RNG.integers(-9, 9, (600, 6)))
case("wide integers", RNG.integers(0, 2**40, (600, 6)))
case("levels", RNG.integers(0, 7, (600, 6)), levels=7)
case("many levels", RNG.integers(0, 700, (600, 6)).astype(np.float32), levels=700)
case("threshold", RNG.integers(0, 256, (600, 6), np.uint8), binarize=0.4)
case("static draw", RNG.integers(0, 256, (600, 6), np.uint8), binarize="static")
case("dynamic draw", RNG.integers(0, 256, (600, 6), np.uint8), binarize="dynamic")


def loaded(path: Path, monkeypatch: pytest.MonkeyPatch, large: bool, **options: Any) -> rp.Data:
    monkeypatch.setattr(mapped, "MAPPED_FROM", 1 if large else 2**40)
    monkeypatch.setattr(mapped, "BLOCK", 1000)  # many blocks, the last one shorter
    return rp.load_data(path, **options)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_mapped_array_is_loaded_as_one_in_memory(name, tmp_path, monkeypatch):
    values, options = CASES[name]
    np.save(tmp_path / "x.npy", values)
    inside = loaded(tmp_path / "x.npy", monkeypatch, False, **options)
    outside = loaded(tmp_path / "x.npy", monkeypatch, True, **options)
    assert outside.space == inside.space and outside.notes == inside.notes
    assert outside.fingerprint() == inside.fingerprint()
    for split in ("train", "valid", "test"):
        mine, theirs = outside.splits[split].x, inside.splits[split].x
        assert torch.equal(mine, theirs) and mine.dtype == theirs.dtype
    assert outside.train.streamed and not inside.train.streamed
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), values)  # never written to


@pytest.mark.parametrize("options", [{"levels": 5}, {"kind": "binary"}])
def test_what_is_wrong_in_a_mapped_array_is_named(options, tmp_path, monkeypatch):
    values = np.zeros((600, 3), np.float32)
    values[:300] = 1
    values[500, 2] = 9
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ValueError, match=r"train row 500, column 2 is 9\.0"):
        loaded(tmp_path / "x.npy", monkeypatch, True, **options)


@pytest.mark.parametrize("name", ["uint8", "float32", "dynamic draw"])
def test_training_on_a_mapped_array_gives_the_same_weights(name, tmp_path, monkeypatch):
    values, options = CASES[name]
    np.save(tmp_path / "x.npy", values)
    weights = []
    for large in (False, True):
        data = loaded(tmp_path / "x.npy", monkeypatch, large, **options)
        torch.manual_seed(0)
        model = rp.build("vae", data.space, hidden=(8,), latent_dim=2)
        rp.fit(model, data, epochs=3, batch_size=50, device="cpu", progress=False)
        weights.append(model.state_dict())
    for name_of, value in weights[0].items():
        assert torch.equal(value, weights[1][name_of]), name_of


def test_arrays_the_user_has_mapped_are_not_copied(tmp_path):
    values, _ = CASES["float32"]
    np.save(tmp_path / "x.npy", values)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = rp.load_data({"train": x[:400], "valid": x[400:500], "test": x[500:]})
    addresses = [split.x.data_ptr() for split in data.splits.values()]
    assert addresses == [x[row:].ctypes.data for row in (0, 400, 500)]
    assert data.train.streamed
    assert not mapped.is_mapped(x + 1) and not mapped.is_mapped(x[[1, 2]])


MEMORY = """
import sys, threading, time
import numpy as np, torch, reparam as rp
from reparam.data import mapped
mapped.MAPPED_FROM = 1

def own():  # MB that are this process's own; pages of files can be dropped at any time
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024

small = rp.load_data({"train": np.random.default_rng(0).integers(0, 256, (500, 4096), np.uint8)})
model = rp.build("linear-ae", small.space, latent_dim=2)
rp.fit(model, small, epochs=1, device="cpu", progress=False)  # what training itself needs
most = before = own()

def look():
    global most
    while True:
        most = max(most, own())
        time.sleep(0.005)

threading.Thread(target=look, daemon=True).start()
data = rp.load_data(sys.argv[1])
data.fingerprint()
model = rp.build("linear-ae", data.space, latent_dim=2)
rp.fit(model, data, epochs=1, device="cpu", progress=False)
print(f"{most - before:.0f}", data.train.x.nbytes // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """256 MB of images: loading, carving, fingerprint and an epoch take a fraction of that.

    Some 80 MB are blocks of 16 MB and a heap in use; a copy of the training data would be 179, and
    small tensors that stayed from each of the 358 steps once held 1 MB apart each.
    """
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (2**16, 4096))
    for start in range(0, len(x), 4096):
        x[start : start + 4096] = np.random.default_rng(start).integers(0, 256, (4096, 4096))
    x.flush()
    (tmp_path / "memory.py").write_text(MEMORY)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "memory.py"), str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    growth, size = map(int, done.stdout.split())
    assert size > 170 and growth < 120, f"{growth} MB more for {size} MB of training data"


def test_a_mapped_array_may_be_larger_than_memory(tmp_path, monkeypatch):
    values, _ = CASES["uint8"]
    np.save(tmp_path / "x.npy", values)
    monkeypatch.setattr("reparam.data.room.memory", lambda: 1000)  # bytes
    with pytest.raises(ValueError, match="this machine has"):
        loaded(tmp_path / "x.npy", monkeypatch, False)
    assert len(loaded(tmp_path / "x.npy", monkeypatch, True).train) == 420
