"""Reading executes nothing, and believes no size that a file only claims."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam import checkpoint
from reparam.allotment import OF_A_TENSOR, Allotment
from reparam.data.large_arrays import memory
from reparam.model import Space


class Harm:
    """Leaves a folder where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def object_array(place: Path) -> np.ndarray:
    return np.array([Harm(place), 1], dtype=object)


def written(path: Path, harm: Path) -> Path:
    """A file that does harm when it is unpickled, in the way of its name."""
    if path.name.startswith("torch"):
        torch.save({"weights": Harm(harm)}, path)
    elif path.name.startswith("plain"):
        path.write_bytes(pickle.dumps(Harm(harm)))
    elif path.suffix == ".npy":
        np.save(path, object_array(harm), allow_pickle=True)
    else:
        np.savez(path, x=object_array(harm), allow_pickle=True)
    return path


NAMES = [
    f"{how}{suffix}"
    for how in ("torch", "plain", "array")
    for suffix in (".npy", ".npz", ".csv", ".parquet", ".safetensors", ".png")
    if how != "array" or suffix in (".npy", ".npz")
]


@pytest.mark.parametrize("name", NAMES)
def test_pickles_are_refused_and_not_run(tmp_path, name):
    harm = tmp_path / "harm"
    file = written(tmp_path / name, harm)
    pickle.loads(pickle.dumps(Harm(harm)))
    assert harm.exists(), "else this test could not fail"
    harm.rmdir()
    for read in (rp.load_data, rp.load, lambda path: rp.resume(path.parent)):
        with pytest.raises(ValueError):
            read(file)
        assert not harm.exists()


@pytest.mark.parametrize("name", ["run.json", "state.safetensors", "model.safetensors"])
def test_pickles_in_the_place_of_a_runs_files(tmp_path, name):
    data = rp.load_data(np.random.default_rng(0).normal(size=(30, 3)))
    run, harm = tmp_path / "run", tmp_path / "harm"
    rp.fit(rp.build("pca", data.space, latent_dim=1), data, out=run, progress=False)
    for content in (pickle.dumps(Harm(harm)), zipped_pickle(harm)):
        (run / name).write_bytes(content)
        reads = [lambda: rp.load(run), lambda: rp.resume(run, data=data, progress=False)]
        for read in reads[name == "run.json" :]:
            if name == "model.safetensors" and read is reads[1]:
                continue  # resume reads the state, and writes the model anew
            if name == "state.safetensors" and read is reads[0]:
                continue
            with pytest.raises(ValueError, match=name):
                read()
        assert not harm.exists()


def zipped_pickle(harm: Path) -> bytes:
    content = io.BytesIO()
    torch.save(Harm(harm), content)
    return content.getvalue()


# --------------------------------------------------------------------------- claimed sizes


def npy_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    text = str({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(path: Path, content: bytes, **options: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        archive.writestr("x.npy", content)


def png(width: int, height: int) -> bytes:
    """A few bytes that claim so many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 999))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.fixture
def little_memory():
    """So little more than there is in use that what is claimed cannot be had, not even unused."""
    import resource  # where there is /proc, there is this

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * os.sysconf("SC_PAGE_SIZE") + 400_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is not known here")
@pytest.mark.parametrize(
    "shape",
    [(10**12, 4), (10**8, 100), (2**62, 2**62), (-1, 4)],
    ids=["TB", "GB", "over", "negative"],
)
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_rows_that_are_claimed_but_not_there(tmp_path, little_memory, shape, form):
    file = tmp_path / f"a.{form}"
    content = npy_header(shape) + b"\0" * 800
    file.write_bytes(content) if form == "npy" else zipped(file, content)
    with pytest.raises(ValueError, match=f"a.{form}: cannot be read .*shape"):
        rp.load_data(file)


def test_zeros_that_unpack_to_more_than_memory(tmp_path, monkeypatch):
    """A megabyte of zip can be a gigabyte of zeros: refused before it is unpacked."""
    zeros = np.zeros((2_000_000, 4))
    zipped(tmp_path / "a.npz", npy_header(zeros.shape) + zeros.tobytes())
    assert (tmp_path / "a.npz").stat().st_size < zeros.nbytes / 500
    monkeypatch.setattr("reparam.data.large_arrays.memory", lambda: 10_000_000)
    with pytest.raises(ValueError, match="a.npz: would take 0.1 GB of memory, but this"):
        rp.load_data(tmp_path / "a.npz")
    assert memory() > 10**8


def test_pictures_that_claim_more_pixels_than_a_photo_has(tmp_path):
    for index in range(4):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    for name, size in {"a": (60_000, 60_000), "b": (10_000, 10_000), "c": (2**31 - 1, 9)}.items():
        (tmp_path / f"bomb_{name}.png").write_bytes(png(*size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nor does Pillow warn of some file or other
        data = rp.load_data(tmp_path)
    (note,) = [note for note in data.notes if "skipped" in note]
    assert note.startswith("3 of 7 images could not be read and were skipped")
    for name in "abc":
        assert f"bomb_{name}.png (more than 89,478,485 pixels" in note


# --------------------------------------------------------------------------- safetensors


def test_a_header_that_claims_what_the_file_has_not(tmp_path):
    rp.save(rp.build("pca", Space((3,), "real"), latent_dim=1), tmp_path)
    file = tmp_path / "model.safetensors"
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    for shape in ([10**12], [2**62, 2**62], [-3], ["3"], 3):
        header["mean"]["shape"] = shape
        text = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
        with pytest.raises(ValueError, match="model.safetensors: not a file of reparam"):
            rp.load(file)
    file.write_bytes(struct.pack("<Q", 2**63) + content[8:])
    with pytest.raises(ValueError, match="model.safetensors: not a file of reparam"):
        rp.load(file)


@pytest.mark.parametrize(
    "preset, sizes",
    [
        ("pca", {"latent_dim": 2**62}),
        ("ae", {"latent_dim": 10**12}),
        ("vae", {"hidden": [2 * 10**9, 4]}),
        ("ae", {"hidden": [4] * 20_000}),
        ("made", {"hidden": [10**6]}),
        ("maf", {"layers": 10**9}),
        ("pixel-cnn", {"width": 2 * 10**4}),
        ("ae-gmm", {"generator.components": 600_000}),
        ("ddpm", {"times": 10**9}),
    ],
)
def test_sizes_that_are_claimed_of_a_model_whose_weights_are_few(
    tmp_path, little_memory, preset, sizes
):
    """Refused before that much memory is taken; the true weights of no preset come near."""
    model = rp.build(preset, Space((9,), "real") if preset == "maf" else Space((1, 4, 4), "binary"))
    header = checkpoint.describe(model)
    header["parameters"] |= sizes
    file = tmp_path / "model.safetensors"
    checkpoint.write_tensors(file, model.state_dict(), header)
    said = "not describe a model of this version: (the sizes it names|latent_dim: expected less)"
    with pytest.raises(ValueError, match=said):
        rp.load(file)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.linspace(0, 1, 10**9),
        lambda: torch.arange(0.0, 10**9),
        lambda: torch.eye(10**5),
        lambda: torch.tril_indices(10**4, 10**4),
        lambda: torch.zeros(6 * 10**7, dtype=torch.float64),
        lambda: torch.randperm(10**8, generator=torch.Generator()),
        lambda: torch.zeros(2).repeat(10**9, 1),
        lambda: torch.zeros(2).new_zeros(10**9),
        lambda: torch.zeros(1).expand(10**9).double(),
        lambda: torch.zeros_like(torch.zeros(1).expand(10**9)),
        lambda: torch.empty(2**62, 2**62),
    ],
)
def test_a_tensor_is_refused_before_its_memory_is_written(little_memory, make):
    with Allotment(weights=2**24), pytest.raises(ValueError, match="more than 268 MB"):
        make()


def test_an_allotment_counts_what_is_made_and_not_how_it_is_said():
    """Ends and bounds are no sizes; views and what is written in place take nothing."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with Allotment(weights=0) as allotment:
        assert torch.equal(torch.rand(3), expected), "asking draws nothing"
        torch.arange(10**9, 10**9 + 5)
        torch.randint(2**31 - 1, ())
        taken, x = allotment.taken, torch.zeros(1000)
        for _ in range(10):
            x.add_(1).view(10, 100).T.expand(10**6, 100, 10)
        assert allotment.taken == taken + 4000 + OF_A_TENSOR
        with pytest.raises(ValueError, match="more than 67 MB"):
            x[:, None] + torch.zeros(20_000)


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"a": ' * 10**5, '{"n": ' + "9" * 10**5 + "}", "NaN"]
)
def test_json_that_overwhelms_its_parser(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match="run.json: "):
        rp.resume(tmp_path)
    with pytest.raises(ValueError, match="run.json: "):
        checkpoint.read_json(tmp_path / "run.json")


def test_commands_believe_nothing_either(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy_header((10**12, 4)) + b"\0" * 64)
    command = [sys.executable, "-m", "reparam", "fit", "ae", str(tmp_path / "a.npy"), "-o"]
    done = subprocess.run([*command, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "takes 32,000,000,000,000 bytes, of which there are 64" in done.stderr
    assert not (tmp_path / "run").exists()
