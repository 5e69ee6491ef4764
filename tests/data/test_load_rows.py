"""New examples for a trained model: read as its data were, however few, with its class indices."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reparam.data import DataRecord, check_record, load_data, load_rows, record_json

RNG = np.random.default_rng(0)


def test_one_constant_example_is_enough():
    digits = load_data("digits")
    rows = load_rows(np.zeros((1, 8, 8), np.float32), digits)
    assert rows.x.shape == (1, 1, 8, 8) and rows.x.dtype == digits.train.x.dtype


def test_named_set_gives_its_test_split():
    digits = load_data("digits")
    rows = load_rows("digits", digits)
    assert rows.x.equal(digits.test.x) and rows.labels.equal(digits.test.labels)


def test_another_shape_or_range_is_refused():
    digits = load_data("digits")
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\), got \(1, 8, 9\)"):
        load_rows(np.zeros((1, 8, 9)), digits)
    with pytest.raises(ValueError, match=r"pixel \(0, 0\) is 17.0 .*expects an integer 0 … 16"):
        load_rows(np.full((1, 8, 8), 17.0), digits)


def test_binarization_is_repeated():
    digits = load_data("digits", binarize=0.5)
    gray = load_data("digits").test
    assert load_rows("digits", digits).x.equal(digits.test.x)
    assert np.array_equal(load_rows("digits", digits).x, gray.x > 8)


@pytest.mark.parametrize("how", [0.5, "static"])
def test_binarization_takes_the_levels_of_the_data(how, tmp_path):
    """Rows that show a few levels do not change the scale; binary rows and pictures have theirs."""
    digits = load_data("digits", binarize=how)
    again = DataRecord.from_json(json.loads(json.dumps(record_json(digits))), digits.space)
    for like in (digits, again):
        dark = load_rows(np.full((2, 8, 8), 2, np.uint8), like).x  # 2 of 0 … 16, not of 0 … 255
        assert (dark.float().mean() < 0.5) and dark.max() <= 1
        white = load_rows(np.full((2, 8, 8), 16, np.uint8), like).x
        assert white.min() == 1  # of 256 levels it would be near black
        binary = digits.test.x  # what the model itself draws is binary
        for values in (binary, binary.float(), binary.double().numpy()):
            assert load_rows(values, like).x.equal(binary)
        pixels = binary[0, 0].numpy() * np.uint8(255)
        Image.fromarray(pixels).save(tmp_path / "one.png")
        assert np.array_equal(load_rows(tmp_path / "one.png", like).x[0, 0], pixels // 255)
    reloaded = load_data(**digits.source)
    assert reloaded.train.x.equal(digits.train.x) and reloaded.space == digits.space


def test_conditions_are_wanted_only_where_they_are_used(tmp_path):
    frame = pd.DataFrame(RNG.normal(size=(30, 3)), columns=["a", "x", "y"])
    data = load_data(frame, attributes=["a"])
    new = frame.drop(columns="a").head(2)
    with pytest.raises(ValueError, match="no column 'a'"):
        load_rows(new, data)
    assert load_rows(new, data, attributes=False).x.shape == (2, 2)


@pytest.mark.parametrize("form", ["frame", "csv", "parquet"])
def test_columns_are_found_by_name_and_others_ignored(form, tmp_path):
    frame = pd.DataFrame(RNG.normal(size=(9, 2)), columns=["a", "b"]).assign(y=list("uvw" * 3))
    data = load_data(frame, label="y")
    new = pd.DataFrame({"b": [1.0, 2.0], "text": ["s", "t"], "a": [3.0, 4.0], "y": ["w", "u"]})
    source = new
    if form != "frame":
        source = tmp_path / f"new.{form}"
        new.to_csv(source, index=False) if form == "csv" else new.to_parquet(source)
    rows = load_rows(source, data)
    assert rows.x.tolist() == [[3, 1], [4, 2]] and rows.labels is None
    assert load_rows(source, data, label="y").labels.tolist() == [2, 0]
    with pytest.raises(ValueError, match="class 's' is none of the classes u, v, w"):
        load_rows(source, data, label="text")
    with pytest.raises(ValueError, match="label: 'a' is an entry of x; name another column"):
        load_rows(source, data, label="a")
    with pytest.raises(ValueError, match="columns: DataFrame has no column 'a'"):
        load_rows(new.drop(columns="a"), data)


def test_folder_is_brought_to_the_size_and_channels(tmp_path):
    data = load_data(RNG.integers(0, 256, (5, 3, 4, 6), np.uint8))
    pixels = RNG.integers(0, 256, (4, 6), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(tmp_path / "b.png")
    rows = load_rows(tmp_path, data)
    assert np.array_equal(rows.x[0], np.stack([pixels] * 3)) and (rows.x[1] == 9).all()


def test_the_record_of_data_is_enough(tmp_path):
    frame = pd.DataFrame(RNG.normal(size=(9, 2)), columns=["a", "b"]).assign(y=list("uvw" * 3))
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load_data(tmp_path / "t.csv", label="y", binarize=0.1)
    entry = json.loads(json.dumps(record_json(data)))
    check_record(entry)
    record = DataRecord.from_json(entry, data.space)
    new = pd.DataFrame({"b": [1.0, 0.0], "a": [0.0, 4.0], "y": ["w", "u"]})
    rows, expected = (load_rows(new, like, label="y") for like in (record, data))
    assert rows.x.equal(expected.x) and rows.labels.tolist() == [2, 0]


def test_the_record_spans_levels_or_training_values():
    x = RNG.normal(size=(20, 3))
    entry = record_json(load_data({"train": x, "valid": 3 * x, "test": 9 * x}))
    assert (entry["low"], entry["high"]) == (x.min(), x.max())
    digits = record_json(load_data("digits"))
    assert (digits["low"], digits["high"]) == (0, 16)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"source": {"source": "digits", "color": "red"}}, "data.source.color is unknown"),
        ({"source": {"seed": 1}}, "data.source.source is missing"),
        ({"source": {"source": "digits", "levels": "x"}}, "data.source.levels: expected int"),
        ({"source": "digits"}, "data.source: expected object"),
        ({"fingerprint": 7}, "data.fingerprint: expected str, got int"),
        ({"low": None}, "data.low: expected float, got null"),
    ],
)
def test_a_damaged_record_is_refused(change, message):
    entry = record_json(load_data("digits"))
    with pytest.raises(ValueError, match=message):
        check_record(entry | change)


@pytest.mark.parametrize(
    "name", sorted(record_json(load_data("digits")).keys() - {"bands", "scaled", "factor_names"})
)
def test_a_record_without_an_entry_is_refused(name):
    entry = record_json(load_data("digits"))
    del entry[name]
    with pytest.raises(ValueError, match=f"data.{name} is missing"):
        check_record(entry)


def test_arrays_of_other_names_are_found_in_rows_as_in_the_data(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"pixels": rng.normal(size=(40, 3)), "who": np.arange(40) % 2, "x": np.zeros((40, 3))}
    np.savez(tmp_path / "a.npz", **arrays)
    data = load_data(tmp_path / "a.npz", x="pixels", y="who")
    rows = load_rows(tmp_path / "a.npz", data)
    assert np.allclose(rows.x, arrays["pixels"]) and rows.labels.tolist() == arrays["who"].tolist()
    np.savez(tmp_path / "b.npz", x=arrays["pixels"][:2])  # a common name, where that is not there
    assert np.allclose(load_rows(tmp_path / "b.npz", data).x, arrays["pixels"][:2])


def test_arrays_are_not_asked_for_attributes_of_a_table():
    frame = pd.DataFrame(RNG.normal(size=(20, 3)), columns=["a", "b", "age"])
    data = load_data(frame, attributes="age")
    rows = frame[["a", "b"]].to_numpy()
    for source in (rows, rows.tolist(), (rows, np.zeros(20, int)), {"x": rows}):
        assert load_rows(source, data).x.shape == (20, 2)
        assert load_rows(source, data).attributes is None
    brought = load_rows({"x": rows, "attributes": frame[["age"]].to_numpy()}, data)
    assert np.allclose(brought.attributes[:, 0], frame["age"])
    with pytest.raises(ValueError, match="has no column 'age'"):
        load_rows(frame[["a", "b"]], data)


def test_named_features_are_ordered_as_in_training(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 3))
    data = load_data({"x": x, "feature_names": ["a", "b", "c"]})
    assert data.space.kind == "real"
    np.savez(tmp_path / "rows.npz", x=x[:, ::-1], feature_names=["c", "b", "a"])
    for source in (tmp_path / "rows.npz", dict(np.load(tmp_path / "rows.npz"))):
        rows = load_rows(source, data)
        np.testing.assert_array_equal(rows.x, x)
        assert any("ordered by their names" in note for note in rows.notes)
    with pytest.raises(ValueError, match="dictionary has no column 'b', which the training data"):
        load_rows({"x": x, "feature_names": ["a", "d", "c"]}, data)
