"""Columns of names as flags: what they hold, what is remembered, and how other rows are read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import reparam as rp
from reparam.data import load_rows
from reparam.data.data_record import DataRecord, check_record, record_json

COLORS = ["red", "blue", None, "red", "tan", "blue"] * 5
FRAME = pd.DataFrame(
    {
        "age": np.arange(30) % 4 + 20,
        "color": COLORS,
        "sex": ["f", "m"] * 15,
        "height": np.linspace(1.5, 1.9, 30),
    }
)
FLAGS = ("age", "color=blue", "color=red", "color=tan", "sex", "height")


def all_rows(data):
    return torch.cat([data.train.x, data.valid.x, data.test.x])


def remembered(data):
    entry = record_json(data)
    check_record(entry)
    return DataRecord.from_json(entry, data.space)


@pytest.fixture(params=["csv", "parquet", "frame"])
def table(request, tmp_path):
    if request.param == "frame":
        return FRAME
    path = tmp_path / f"people.{request.param}"
    getattr(FRAME, f"to_{request.param}")(path, index=False)
    return path


def test_each_name_has_a_flag_that_is_missing_where_the_name_is(table):
    data = rp.load_data(table, one_hot=True)
    assert data.columns == FLAGS
    kinds = [column.kind for column in data.space.columns]
    assert kinds == ["levels", "binary", "binary", "binary", "binary", "real"]
    flags = all_rows(data)[:, 1:4]
    missing = flags.isnan()
    assert torch.equal(missing.any(1), missing.all(1)) and missing.all(1).sum() == 5
    there = flags[~missing.any(1)]
    assert torch.equal(there.sum(1), torch.ones(25)) and there.sum(0).tolist() == [10, 10, 5]
    assert "A flag for each name: color (3); 3 columns." in data.notes


def test_a_run_remembers_which_names_have_flags(table):
    data = rp.load_data(table, one_hot=True)
    record = remembered(data)
    assert record.source["one_hot"] == {"color": ["blue", "red", "tan"]}
    if table is not FRAME:
        again = rp.load_data(**record.source)
        assert again.fingerprint() == data.fingerprint() and again.source == data.source
    new = FRAME.assign(color=["tan", None] * 15).iloc[:2]
    written = pd.DataFrame([[20, 0, 0, 1, "f", 1.5]], columns=FLAGS)  # as samples are
    for trained_on in (data, record):
        flags = load_rows(new, trained_on).x[:, 1:4]
        assert flags[0].tolist() == [0, 0, 1] and flags[1].isnan().all()
        assert load_rows(written, trained_on).x[0, 1:4].tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="'green' is none of the 3 names in training"):
        load_rows(new.assign(color="green"), record)


def test_kinds_say_what_flags_are(table):
    kind = {"color": "real", "age": "real", "sex": "real"}
    data = rp.load_data(table, one_hot=True, missing="drop", kind=kind)
    assert data.space == rp.Space((7,), "real") and "sex=m" in data.columns
    assert load_rows(FRAME.iloc[:1], remembered(data)).x[0, 1:6].tolist() == [0, 1, 0, 1, 0]
    one = rp.load_data(table, one_hot=True, kind={"color=red": "real"})
    assert [c.name for c in one.space.columns if c.kind == "real"] == ["color=red", "height"]
    with pytest.raises(ValueError, match=r"kind: 'colr' is no column .*did you mean color"):
        rp.load_data(table, one_hot=True, kind={"colr": "real"})


def test_numbers_that_are_names_have_flags_too(tmp_path):
    path = tmp_path / "codes.csv"
    FRAME.to_csv(path, index=False)
    data = rp.load_data(path, one_hot=True, kind={"age": "category"}, drop=["color", "sex"])
    assert data.columns == ("age=20", "age=21", "age=22", "age=23", "height")
    assert rp.load_data(**data.source).fingerprint() == data.fingerprint()
    assert load_rows(FRAME.iloc[1:2], data).x[0, :4].tolist() == [0, 1, 0, 0]


def test_names_become_rare_before_they_have_flags():
    data = rp.load_data(FRAME, one_hot=True, rare=0.3)
    assert [name for name in data.columns if "=" in name] == [
        "color=blue",
        "color=other",
        "color=red",
    ]
    new = load_rows(FRAME.assign(color="green").iloc[:1], remembered(data))
    assert new.x[0, 1:4].tolist() == [0, 1, 0]


def test_a_test_table_has_the_flags_of_training_and_classes_that_are_left_out_lose_none():
    tested = rp.load_data(FRAME, test=FRAME.assign(color="tan").iloc[:3], one_hot=True)
    assert tested.test.x[:, 1:4].tolist() == [[0, 0, 1]] * 3
    chosen = FRAME.assign(sex=np.where(FRAME["color"] == "tan", "m", "f"))
    left = rp.load_data(chosen, one_hot=True, label="sex", without="m")
    assert left.columns[:4] == FLAGS[:4] and not left.train.x[:, 3].nansum()


def test_what_has_no_names_or_is_of_one_kind_is_refused_or_stays():
    numbers = FRAME[["age", "height"]]
    assert rp.load_data(numbers, one_hot=True).fingerprint() == rp.load_data(numbers).fingerprint()
    with pytest.raises(ValueError, match="one_hot: goes with no levels"):
        rp.load_data(FRAME, one_hot=True, kind="real")
    with pytest.raises(ValueError, match="one_hot: does not apply to the named set 'digits'"):
        rp.load_data("digits", one_hot=True)
    with pytest.raises(
        ValueError,
        match="a flag of 'color' is called 'color=red', as another column.*--drop color=red",
    ):
        rp.load_data(FRAME.assign(**{"color=red": 1.0}), one_hot=True)
