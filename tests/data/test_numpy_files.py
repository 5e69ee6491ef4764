"""NumPy files and paths: contents, names of arrays, and every way in which a file can be broken."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from reparam.data import load_data

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype(np.float32)
Y = np.arange(20) % 2


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train", "train_labels", "test", "test_labels"),
        ("x", "y", "X_test", "labels_test"),
    ],
)
def test_npz_by_names(tmp_path, names):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **dict(zip(names, (X, Y, X[:5], Y[:5]), strict=True)))
    data = load_data(path)
    assert np.array_equal(data.test.x, X[:5]) and data.test.labels.tolist() == Y[:5].tolist()
    assert (len(data.train), len(data.valid), data.name) == (18, 2, "set")


def test_npz_without_test_labels(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=X[:5])
    data = load_data(tmp_path / "set.npz")
    assert data.test.labels is None and len(data.valid.labels) == len(data.valid)


def test_npz_of_one_array_and_npy(tmp_path):
    np.savez(tmp_path / "one.npz", whatever=X)
    np.save(tmp_path / "one.npy", X)
    prints = {load_data(tmp_path / name).fingerprint() for name in ("one.npz", "one.npy")}
    assert prints == {load_data(X).fingerprint()}


def test_recipe_of_a_path(tmp_path, monkeypatch):
    np.savez(tmp_path / "set.npz", train=X, test=X[:5], other=Y)
    monkeypatch.chdir(tmp_path)
    data = load_data("set.npz", drop=["other"], seed=2)
    recipe = json.loads(json.dumps(data.source))
    expected = {"source": str(tmp_path / "set.npz"), "drop": ["other"], "seed": 2}
    assert recipe == expected
    monkeypatch.chdir("/")
    assert load_data(**recipe).fingerprint() == data.fingerprint()


def test_unused_arrays_are_noted(tmp_path):
    np.savez(tmp_path / "set.npz", train=X, about=Y)
    assert "Arrays not used: about." in load_data(tmp_path / "set.npz").notes


def test_test_split_from_another_file(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", train=X[:3], test=X[3:7])
    data = load_data(tmp_path / "a.npy", test=tmp_path / "b.npz")
    assert np.array_equal(data.test.x, X[3:7])
    assert data.source == {"source": str(tmp_path / "a.npy"), "test": str(tmp_path / "b.npz")}


def test_position_in_the_other_file_is_named(tmp_path):
    bad = X.copy()
    bad[2, 1] = np.nan
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", bad)
    with pytest.raises(ValueError, match=r"b.npy: test row 2, column 1 is nan: impute"):
        load_data(tmp_path / "a.npy", test=tmp_path / "b.npy")


def truncated(path: Path) -> None:
    np.savez(path, x=RNG.normal(size=(100, 10)))
    path.write_bytes(path.read_bytes()[:-300])


def flipped(path: Path) -> None:
    np.savez(path, x=RNG.normal(size=(100, 10)))
    content = bytearray(path.read_bytes())
    content[500:520] = bytes(20)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [truncated, flipped, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"PK\x03\x04oh no")],
    ids=["truncated", "flipped", "empty", "garbage"],
)
def test_broken_npz_is_named(tmp_path, spoil):
    path = tmp_path / "broken.npz"
    spoil(path)
    with pytest.raises(ValueError, match=r"broken.npz: cannot be read .*save it again"):
        load_data(path)


def test_broken_npy_is_named(tmp_path):
    path = tmp_path / "broken.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="broken.npy: cannot be read"):
        load_data(path)


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_pickles_are_not_read(tmp_path, name):
    objects = np.array([[1, 2], [3]], dtype=object)
    (np.savez if name.endswith("z") else np.save)(tmp_path / name, objects, allow_pickle=True)
    with pytest.raises(ValueError, match=rf"{name}: holds Python objects \(pickled\)"):
        load_data(tmp_path / name)


def test_plain_pickle_called_npy_is_not_read(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x80\x04N.")
    with pytest.raises(ValueError, match="a.npy: holds Python objects"):
        load_data(tmp_path / "a.npy")


def test_mixed_up_suffixes_are_explained(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", X)
    os.rename(tmp_path / "a.npy", tmp_path / "a.npz")
    os.rename(tmp_path / "b.npz", tmp_path / "b.npy")
    with pytest.raises(ValueError, match="a.npz: is a single array.*name it .npy"):
        load_data(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="b.npy: is an archive.*name it .npz"):
        load_data(tmp_path / "b.npy")


def test_npz_of_unknown_names_lists_them(tmp_path):
    np.savez(tmp_path / "a.npz", u=X, v=X)
    with pytest.raises(ValueError, match=r"a.npz: no training examples among \['u', 'v'\]"):
        load_data(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz")
    with pytest.raises(ValueError, match="b.npz: holds no arrays"):
        load_data(tmp_path / "b.npz")
    with pytest.raises(ValueError, match=r"drop: no array 'w' among \['u', 'v'\]"):
        load_data(tmp_path / "a.npz", drop=["w"])


def test_missing_file_suggests_its_neighbor(tmp_path):
    np.save(tmp_path / "faces.npy", X)
    with pytest.raises(ValueError, match="neither a named set nor a file; did you mean .*faces.np"):
        load_data(tmp_path / "face.npy")
    with pytest.raises(
        ValueError, match="expected one of digits, moving-.*or the path of a folder"
    ):
        load_data(tmp_path / "nowhere" / "else")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="notes.txt: expected a folder of images.*got a file"):
        load_data(tmp_path / "notes.txt")
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(ValueError, match="one.png: cannot be read as an image"):
        load_data(tmp_path / "one.png")
