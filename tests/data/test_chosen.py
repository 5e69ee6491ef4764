"""Data of some classes only: the same rows by every door, and after a run is opened again."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from reparam.data import DataRecord, check_record, load_data, load_rows, record_json

RNG = np.random.default_rng(0)


@pytest.fixture
def animals(tmp_path):
    frame = pd.DataFrame(RNG.random((40, 2)), columns=["a", "b"])
    frame = frame.assign(y=["cat", "dog", "emu", "fox"] * 10)
    frame.loc[frame["y"] == "fox", "a"] = np.inf  # what is left out may hold anything
    frame.to_csv(tmp_path / "t.csv", index=False)
    return frame, tmp_path / "t.csv"


def rows(data):
    return sorted(torch.cat([split.x for split in data.splits.values()]).tolist())


@pytest.mark.parametrize("asked", [{"only": ["emu", "cat"]}, {"without": ("dog", "fox")}])
def test_rows_of_some_classes(asked, animals):
    frame, path = animals
    expected = frame[frame["y"].isin(["cat", "emu"])]
    for source in (path, frame):
        data = load_data(source, label="y", **asked)
        assert data.class_names == ("cat", "emu") and data.space.classes == 2
        assert np.allclose(rows(data), sorted(expected[["a", "b"]].to_numpy().tolist()))
        names = {
            tuple(x): n
            for x, n in zip(np.float32(expected[["a", "b"]]), expected["y"], strict=True)
        }
        for split in data.splits.values():
            got = [data.class_names[i] for i in split.labels]
            assert got == [names[tuple(x)] for x in split.x.numpy()]
        assert "Classes kept: cat, emu: 20 of 40 rows." in data.notes


def test_a_run_remembers_the_classes(animals):
    _, path = animals
    data = load_data(path, label="y", without="fox", only=["cat", "fox"])
    assert data.class_names == ("cat",)
    data = load_data(path, label="y", without="fox")
    entry = json.loads(json.dumps(record_json(data)))
    check_record(entry)
    record = DataRecord.from_json(entry, data.space)
    assert load_data(**record.source).fingerprint() == data.fingerprint()
    new = pd.DataFrame({"a": [0.1], "b": [0.2], "y": ["emu"]})
    assert load_rows(new, record, label="y").labels.tolist() == [2]


def test_classes_of_named_sets_and_numbers():
    data = load_data("digits", only=[3, 7])
    whole = load_data("digits")
    assert data.class_names == ("3", "7")
    kept = sum(int(((s.labels == 3) | (s.labels == 7)).sum()) for s in whole.splits.values())
    assert sum(map(len, data.splits.values())) == kept


def test_classes_that_cannot_be_chosen(animals):
    frame, path = animals
    with pytest.raises(ValueError, match="only: no class 'dig'; .*did you mean dog"):
        load_data(path, label="y", only="dig")
    with pytest.raises(ValueError, match="without: .* has no labels; .*--label"):
        load_data(path, drop="y", without="cat")
    with pytest.raises(ValueError, match="without: leaves no class"):
        load_data(path, label="y", without=["cat", "dog", "emu", "fox"])
    with pytest.raises(ValueError, match="test has no rows of the classes that are kept"):
        load_data(path, test=frame[frame["y"] == "dog"], label="y", only="cat")


def test_names_of_attributes_are_compared_and_not_only_counted(tmp_path):
    """Swapped columns of a test archive, or of new rows, passed in silence."""
    x, c = RNG.random((30, 2)), RNG.random((30, 2))

    def archive(name, order, names=("age", "height")):
        arrays = {"x": x, "attributes": c[:, order], "factors": c[:, order]}
        given = np.array(names)[order]
        np.savez(tmp_path / name, **arrays, attribute_names=given, factor_names=given)
        return tmp_path / name

    train, swapped = archive("train.npz", [0, 1]), archive("test.npz", [1, 0])
    data = load_data(train, test=swapped)
    assert np.allclose(data.test.attributes, c) and np.allclose(data.test.factors, c)
    assert np.allclose(load_rows(swapped, data).attributes, c)
    other = archive("other.npz", [0, 1], ("age", "weight"))
    with pytest.raises(ValueError, match="test: .* has no attribute 'height', which the training"):
        load_data(train, test=other)
    with pytest.raises(ValueError, match="has no attribute 'height', which the training data have"):
        load_rows(other, data)


@pytest.mark.parametrize("how", [0.4, "static", "dynamic"])
def test_data_in_memory_are_binarized_as_those_before(how):
    gray = RNG.integers(0, 256, (50, 6, 6)).astype(np.uint8)
    data = load_data(gray, binarize=how)
    for like in (data, DataRecord.from_json(json.loads(json.dumps(record_json(data))), data.space)):
        rows = load_rows(np.full((3, 6, 6), 255, np.uint8), like)
        assert rows.x.dtype == torch.uint8 and (rows.x == 1).all()
        assert load_rows(np.full((3, 6, 6), 2, np.uint8), like).x.float().mean() < 0.2
    assert load_data(gray).source is None


def test_notes_on_the_axes_of_every_split():
    last, first = RNG.random((9, 4, 4, 3)), RNG.random((3, 3, 4, 4))
    data = load_data({"x_train": last, "x_test": first})
    assert "Channels came last, (H, W, C): moved to (C, H, W) (train)." in data.notes
    data = load_data({"x_train": last, "x_test": last[:3]})
    assert "Channels came last, (H, W, C): moved to (C, H, W)." in data.notes


@pytest.mark.parametrize("what", ["attributes", "factors"])
def test_numbers_beyond_float32_are_refused(what):
    c = np.array([1.0, 1e300, 3.0])
    with pytest.raises(ValueError, match=r"row 1, '0' is 1e\+300: too large for float32"):
        load_data({"x": RNG.random((3, 2)), what: c})


def test_columns_without_names_are_no_columns_with_names():
    named = pd.DataFrame(RNG.random((9, 2)), columns=["a", "b"])
    with pytest.raises(ValueError, match="test: DataFrame has no column 'a', which the training"):
        load_data(named, test=pd.DataFrame(RNG.random((4, 2))))
    assert load_data(named, test=named[["b", "a"]]).test.x.equal(
        load_data(named, test=named).test.x
    )


@pytest.mark.parametrize(
    "only", [1, 1.0, np.float32(1), np.int64(1), "1", [np.float64(1)], np.array([1])]
)
def test_classes_are_chosen_by_numbers_of_any_type(only):
    data = load_data((np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3), only=only)
    assert data.class_names == ("1",) or set(data.train.labels.tolist()) == {0}
