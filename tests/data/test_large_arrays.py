"""Arrays in files larger than memory are the data that arrays in memory would be."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from allocations import LargestTensor

import reparam as rp
from reparam.data import large_arrays

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
    monkeypatch.setattr(large_arrays, "MAPPED_FROM", 1 if large else 2**40)
    monkeypatch.setattr(large_arrays, "BLOCK", 1000)  # many blocks, the last one shorter
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
    assert not large_arrays.is_mapped(x + 1) and not large_arrays.is_mapped(x[[1, 2]])


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """Loading, carving, fingerprint and an epoch ask for parts of it, by numpy or by PyTorch.

    What is counted is what the program asks for; what the allocator and the system make of it,
    benchmarks/mapped.py measures.
    """
    monkeypatch.setattr(large_arrays, "MAPPED_FROM", 1)
    monkeypatch.setattr(large_arrays, "BLOCK", 2**20)

    def use(rows: int) -> int:
        np.save(tmp_path / "x.npy", RNG.integers(0, 256, (rows, 4096), np.uint8))
        tracemalloc.reset_peak()  # of the array that was just written
        data = rp.load_data(tmp_path / "x.npy")
        data.fingerprint()
        model = rp.build("linear-ae", data.space, latent_dim=2)
        rp.fit(model, data, epochs=1, device="cpu", progress=False)
        return data.train.x.nbytes

    use(100)  # which imports what it needs
    tracemalloc.start()
    with LargestTensor() as largest:
        size = use(8192)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 22 * 2**20 and largest.bytes < 2**23 and most < 2**23


def test_a_mapped_array_may_be_larger_than_memory(tmp_path, monkeypatch):
    values, _ = CASES["uint8"]
    np.save(tmp_path / "x.npy", values)
    monkeypatch.setattr("reparam.data.large_arrays.memory", lambda: 1000)  # bytes
    with pytest.raises(ValueError, match="this machine has"):
        loaded(tmp_path / "x.npy", monkeypatch, False)
    assert len(loaded(tmp_path / "x.npy", monkeypatch, True).train) == 420
