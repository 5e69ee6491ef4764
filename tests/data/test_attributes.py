"""Attributes: columns of tables or arrays of archives that are conditions, not entries of x."""

import numpy as np
import pandas as pd
import pytest
import torch

from reparam.data import DataRecord, check_record, describe, load_data, load_rows, record_json

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "height": RNG.normal(size=30),
        "born": 1.7e9 + RNG.normal(size=30),
        "weight": RNG.normal(size=30),
        "age": RNG.integers(18, 80, 30),
        "sex": RNG.choice(["f", "m"], 30),
    }
)
ASKED = {"label": "sex", "attributes": ["age", "born"]}


def stored(kind, folder):
    path = folder / f"people.{kind}"
    if kind == "csv":
        TABLE.to_csv(path, index=False)
    if kind == "parquet":
        TABLE.to_parquet(path)
    return TABLE if kind == "frame" else path


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_columns_of_a_table_become_attributes_in_the_order_asked_for(tmp_path, kind):
    source = stored(kind, tmp_path)
    data = load_data(source, **ASKED)
    assert data.columns == ("height", "weight") and data.attribute_names == ("age", "born")
    assert (data.space.shape, data.space.attributes, data.space.classes) == ((2,), 2, 2)
    found = torch.cat([split.attributes for split in data.splits.values()])
    # 1.7e9 ± 1 would have no precision in float32.
    assert found.dtype == torch.float64 and found.shape == (30, 2)
    x = torch.cat([split.x for split in data.splits.values()])
    for row, attributes in zip(x, found, strict=True):  # each beside its own x
        at = int(np.argmin(np.abs(TABLE.height.to_numpy() - row[0].item())))
        assert attributes.tolist() == pytest.approx(
            TABLE[["age", "born"]].iloc[at].tolist(), abs=1e-6
        )
    assert describe(data)["attributes"] == "age, born"
    assert load_data(source, label="sex", attributes="age").train.attributes.dtype == torch.float32
    plain = load_data(source, label="sex", drop=["age", "born"])
    assert torch.equal(plain.train.x, data.train.x) and plain.fingerprint() != data.fingerprint()


def test_new_rows_of_a_table_bring_their_attributes(tmp_path):
    data = load_data(stored("csv", tmp_path), **ASKED)
    entry = record_json(data)
    check_record(entry)
    record = DataRecord.from_json(entry, data.space)
    assert record.attribute_names == ("age", "born")
    assert load_data(**record.source).fingerprint() == data.fingerprint()
    shuffled = TABLE[["sex", "born", "age", "weight", "height"]][:2]
    rows = load_rows(shuffled, record, label="sex")
    np.testing.assert_array_equal(rows.attributes, TABLE[["age", "born"]][:2])
    np.testing.assert_allclose(rows.x, TABLE[["height", "weight"]][:2], rtol=1e-6)
    with pytest.raises(ValueError, match="attributes: DataFrame has no column 'born'"):
        load_rows(TABLE.drop(columns="born")[:2], record)


def test_a_test_file_brings_its_attributes(tmp_path):
    data = load_data(TABLE, test=stored("csv", tmp_path), **ASKED)
    np.testing.assert_allclose(data.test.attributes, TABLE[["age", "born"]], rtol=1e-12)
    assert len(data.train) == 27


@pytest.mark.parametrize("kind", ["npz", "dictionary"])
def test_arrays_called_attributes(tmp_path, kind):
    arrays = {"x": RNG.normal(size=(20, 3)), "attributes": RNG.normal(size=(20, 2))}
    np.savez(tmp_path / "a.npz", **arrays)
    data = load_data(tmp_path / "a.npz" if kind == "npz" else arrays)
    assert data.attribute_names == ("0", "1") and data.space.attributes == 2
    splits = {"x_train": arrays["x"], "attributes_train": arrays["attributes"][:, 0]}
    splits |= {"x_test": arrays["x"], "attributes_test": arrays["attributes"][:, 0]}
    data = load_data(splits)
    assert data.test.attributes.shape == (20, 1)
    without = load_data(
        {"x_train": arrays["x"], "attributes_train": arrays["attributes"], "x_test": arrays["x"]}
    )
    assert without.test.attributes is None
    assert "No attributes in test." in without.notes
    assert load_data(arrays, drop="attributes").space.attributes is None


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (TABLE, {"attributes": ["agee"]}, "attributes: DataFrame has no column 'agee'; .*'age'"),
        (TABLE, {"attributes": "sex"}, "row 0, column 'sex' holds text"),
        (TABLE, {"label": "sex", "attributes": ["sex"]}, "'sex' is named twice, or is the label"),
        (TABLE, {"drop": "age", "attributes": ["age"]}, "'age' is named twice, or is the label"),
        (TABLE, {"label": "sex", "attributes": ["age", "age"]}, "'age' is named twice"),
        (
            TABLE,
            {"label": "sex", "attributes": ["height", "weight", "age", "born"]},
            "no columns are left besides label, attributes, factors and drop",
        ),
        (
            TABLE.assign(age=TABLE.age.where(TABLE.index != 4)),
            {"label": "sex", "attributes": "age"},
            "row 4, column 'age' is missing",
        ),
        (
            TABLE.assign(age=TABLE.age.where(TABLE.index != 4, np.inf)),
            {"label": "sex", "attributes": "age"},
            "train attributes: row 4, 'age' is inf: fill it in",
        ),
        ("digits", {"attributes": "age"}, "attributes: does not apply to the named set"),
        (np.zeros((9, 2)), {"attributes": "age"}, "attributes: does not apply to data in memory"),
        (
            {"x": RNG.normal(size=(9, 2)), "attributes": np.zeros((8, 1))},
            {},
            r"train attributes: expected shape \(9, F\), one row for each of x, got \(8, 1\)",
        ),
        (
            {"x": RNG.normal(size=(9, 2)), "attributes": np.array(["a"] * 9)},
            {},
            "train attributes: expected numbers, got <U1",
        ),
        (
            {
                "x_train": RNG.normal(size=(9, 2)),
                "x_test": RNG.normal(size=(9, 2)),
                "attributes_train": np.zeros((9, 1)),
                "attributes_test": np.zeros((9, 2)),
            },
            {},
            "attributes must be as many in all splits, got train 1, test 2",
        ),
    ],
)
def test_what_cannot_be_attributes_is_refused(source, options, message):
    with pytest.raises(ValueError, match=message):
        load_data(source, **options)


def test_rows_are_taken_with_all_that_belongs_to_them():
    data = load_data(TABLE, **ASKED)
    part = data.train.take(torch.tensor([3, 1]))
    for name in ("x", "labels", "attributes"):
        assert torch.equal(getattr(part, name), getattr(data.train, name)[[3, 1]])
    gray = load_data("digits", binarize="dynamic").train.take(slice(2, 5))
    assert len(gray.gray.values) == 3 and gray.gray.levels == 17
