"""The named sets: contents, fixed splits, supplied archives, downloads and being offline."""

import gzip
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from sklearn.datasets import load_digits

from reparam.data import DataUnavailable, describe, load_data, named_sets, sources

supplied = os.environ.get("REPARAM_DATA")
needs_data = pytest.mark.skipif(
    not supplied, reason="REPARAM_DATA, a folder with mnist.npz and binarized_mnist.npz, is not set"
)


def test_digits_are_sklearns_partitioned():
    data, bunch = load_data("digits"), load_digits()
    loaded = torch.cat([split.x for split in data.splits.values()]).flatten(1).numpy()
    labels = torch.cat([split.labels for split in data.splits.values()]).numpy()
    rows = sorted(map(tuple, np.column_stack([loaded, labels]).astype(int)))
    expected = sorted(map(tuple, np.column_stack([bunch.data, bunch.target]).astype(int)))
    assert rows == expected
    assert (data.space.kind, data.space.levels, data.space.classes) == ("levels", 17, 10)
    assert data.train.x.dtype == torch.uint8 and data.class_names == tuple("0123456789")


def test_digits_split_is_the_same_whatever_the_seed():
    assert load_data("digits").fingerprint() == load_data("digits", seed=3).fingerprint()


def test_fingerprint_sees_values_labels_and_order():
    data = load_data("digits")
    prints = {data.fingerprint()}
    for change in ("x", "labels"):
        other = load_data("digits")
        getattr(other.test, change)[5] = (getattr(other.test, change)[5] + 1) % 2
        prints.add(other.fingerprint())
    other = load_data("digits")
    other.train.x[[0, 1]] = other.train.x[[1, 0]]
    prints.add(other.fingerprint())
    assert len(prints) == 4


def test_source_loads_the_same_again():
    data = load_data("digits", binarize="static", seed=4)
    recipe = json.loads(json.dumps(data.source))
    # With the kind before binarization, so that new rows are binarized alike.
    given = {"source": "digits", "binarize": "static", "seed": 4}
    assert recipe == given | {"kind": "levels", "levels": 17}
    assert load_data(**recipe).fingerprint() == data.fingerprint()


def test_describe_counts():
    lines = describe(load_data("digits"))
    assert lines["examples"] == "train 1258, valid 180, test 359"
    assert lines["kind"] == "levels 17" and lines["shape"] == "1 × 8 × 8 (C, H, W)"


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"'minst' is neither .* did you mean 'mnist'"):
        load_data("minst")


def test_options_of_other_sources_are_refused():
    with pytest.raises(ValueError, match="label: does not apply to the named set 'digits'"):
        load_data("digits", label="y")
    with pytest.raises(ValueError, match="size: does not apply"):
        load_data("digits", size=16)


def write_idx(folder: Path, name: str, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    (folder / name).write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small MNIST in the published format, served instead of the network."""
    monkeypatch.delenv("REPARAM_DATA", raising=False)
    monkeypatch.setattr("reparam.data.named_sets.VALIDATION_ROWS", 2)
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (6, 28, 28), np.uint8),
        "train-labels-idx1-ubyte.gz": np.arange(6, dtype=np.uint8),
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (3, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte.gz": np.arange(3, dtype=np.uint8),
    }
    for name, array in arrays.items():
        write_idx(tmp_path, name, array)
    asked = []

    def retrieve(url, known_hash, fname, path, **_):
        asked.append((url, known_hash, path))
        return str(tmp_path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    return arrays, asked, tmp_path


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_downloaded_idx_files_become_the_splits(published, name):
    arrays, asked, _ = published
    data = load_data(name)
    train = arrays["train-images-idx3-ubyte.gz"]
    assert np.array_equal(data.train.x[:, 0], train[:4])
    assert np.array_equal(data.valid.x[:, 0], train[4:])
    assert np.array_equal(data.test.x[:, 0], arrays["t10k-images-idx3-ubyte.gz"])
    assert data.valid.labels.tolist() == [4, 5]
    assert all(known.startswith("md5:") and path.name == name for _, known, path in asked)


def test_downloaded_amat_files_become_the_splits(published):
    _, asked, folder = published
    bits = np.random.default_rng(1).integers(0, 2, (2, 784))
    for split in ("train", "valid", "test"):
        lines = (" ".join(map(str, row)) + "\n" for row in bits)
        (folder / f"binarized_mnist_{split}.amat").write_text("".join(lines))
    data = load_data("binarized-mnist")
    assert np.array_equal(data.test.x.flatten(1), bits) and data.space.kind == "binary"
    assert data.train.labels is None
    assert all(known.startswith("sha256:") for _, known, _ in asked)


@pytest.mark.parametrize("failure", [ConnectionError("no route"), ValueError("hash differs")])
@pytest.mark.parametrize("name", ["mnist", "binarized-mnist", "fashion-mnist"])
def test_offline_names_the_set_and_the_remedy(monkeypatch, name, failure):
    def retrieve(*_, **__):
        raise failure

    monkeypatch.delenv("REPARAM_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    archive = name.replace("-", "_") + ".npz"
    with pytest.raises(DataUnavailable, match=f"{name}: .*{archive}.*REPARAM_DATA"):
        load_data(name)


@pytest.mark.parametrize(
    "content", [b"\x1f\x8bnot gzip", gzip.compress(b"\0\0\x08\x01\0\0\0\x05a", mtime=0)]
)
def test_broken_idx_file_is_refused(tmp_path, content):
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken.gz: .*delete it to fetch it again"):
        named_sets.read_idx(path)


def test_supplied_archive_of_other_contents_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("REPARAM_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", train=np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(ValueError, match="mnist.npz: expected mnist as x_train, y_train"):
        load_data("mnist")


@needs_data
def test_mnist():
    data = load_data("mnist")
    arrays = np.load(Path(supplied) / "mnist.npz")
    assert np.array_equal(data.valid.x[:, 0], arrays["x_train"][50_000:])
    assert np.array_equal(data.train.labels, arrays["y_train"][:50_000])
    assert np.array_equal(data.test.labels, arrays["y_test"])
    assert (len(data.train), data.space.levels, data.space.classes) == (50_000, 256, 10)


@needs_data
def test_binarized_mnist_has_the_known_independent_pixel_floor():
    data = load_data("binarized-mnist")
    mean = data.train.x.double().mean(0).clamp(1e-4, 1 - 1e-4)
    x = data.test.x.double()
    nats = -(x * mean.log() + (1 - x) * (1 - mean).log()).sum() / len(x)
    assert nats.item() == pytest.approx(205.80, abs=0.005)
    assert [len(split) for split in data.splits.values()] == [50_000, 10_000, 10_000]
    assert data.space.kind == "binary" and data.space.classes is None


def test_sources_has_a_sentence_for_each():
    assert all(about.endswith(".") and name for name, about in sources())


@needs_data
def test_dna_is_binary_in_its_published_split():
    data = load_data("dna")
    assert (data.space.kind, data.space.shape) == ("binary", (180,))
    assert [len(data.splits[name]) for name in ("train", "valid", "test")] == [1400, 600, 1186]
    p = data.train.x.double().mean(0).clamp(1e-3, 1 - 1e-3)
    floor = -torch.distributions.Bernoulli(p).log_prob(data.test.x.double()).sum(1).mean()
    assert abs(floor.item() - 100.39) < 0.05  # of independent entries


def test_dna_says_what_it_needs(monkeypatch):
    monkeypatch.delenv("REPARAM_DATA", raising=False)
    with pytest.raises(DataUnavailable, match="dna: .*dna.npz.*REPARAM_DATA"):
        load_data("dna")


BATCHES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


@pytest.fixture
def cifar(tmp_path):
    """A small CIFAR-10 in the published format: two records in each batch."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 3, 32, 32), np.uint8), rng.integers(0, 10, 12, np.uint8)
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for i, name in enumerate(BATCHES):
        rows = range(2 * i, 2 * i + 2)
        (folder / name).write_bytes(b"".join(bytes([y[r]]) + x[r].tobytes() for r in rows))
    return folder, x, y


def packed(folder):
    archive = folder.with_name("cifar-10-binary.tar.gz")
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)
    return archive


def is_cifar(data, x, y):
    names = named_sets.CIFAR10_CLASSES
    assert np.array_equal(data.train.x, x[:8]) and np.array_equal(data.valid.x, x[8:10])
    assert np.array_equal(data.test.x, x[10:]) and data.train.x.dtype == torch.uint8
    assert [data.class_names[label] for label in data.test.labels] == [names[i] for i in y[10:]]
    assert data.space.shape == (3, 32, 32) and data.space.levels == 256


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_cifar10_from_the_users_folder(cifar, monkeypatch, form):
    folder, x, y = cifar
    if form == "archive":
        packed(folder)
        shutil.rmtree(folder)
    monkeypatch.setenv("REPARAM_DATA", str(folder.parent))
    is_cifar(load_data("cifar10"), x, y)
    assert load_data(**load_data("cifar10").source).name == "cifar10"


def test_cifar10_is_downloaded_by_its_published_checksum(cifar, monkeypatch):
    folder, x, y = cifar
    asked = []

    def retrieve(url, known_hash, **_):
        asked.append((url, known_hash))
        return str(packed(folder))

    monkeypatch.delenv("REPARAM_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    is_cifar(load_data("cifar10"), x, y)
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert asked == [(url, "md5:c32a1d4ab5d03f1284b67883e8d87530")]  # of the binary version

    def fail(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(DataUnavailable, match="cifar10: .*put cifar-10-batches-bin into a folder"):
        load_data("cifar10")


@pytest.mark.parametrize("damage", ["missing", "cut", "label", "archive"])
def test_cifar10_of_another_format_is_refused(cifar, monkeypatch, damage):
    folder, *_ = cifar
    file = folder / "data_batch_2.bin"
    if damage == "missing":
        file.unlink()
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    if damage == "label":
        file.write_bytes(b"\xff" + file.read_bytes()[1:])
    if damage == "archive":
        archive = packed(folder)
        archive.write_bytes(archive.read_bytes()[:3000])
        shutil.rmtree(folder)
    monkeypatch.setenv("REPARAM_DATA", str(folder.parent))
    with pytest.raises(ValueError, match="is missing|no batches of CIFAR-10|no archive of gzip"):
        load_data("cifar10")


def test_supplied_validation_images_are_kept(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 9), ("valid", 4), ("test", 3)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        arrays[f"y_{split}"] = np.arange(n) % 2
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("REPARAM_DATA", str(tmp_path))
    data = load_data("mnist")
    for split, found in data.splits.items():
        assert np.array_equal(found.x[:, 0], arrays[f"x_{split}"])
    assert not any("are valid" in note for note in data.notes)
