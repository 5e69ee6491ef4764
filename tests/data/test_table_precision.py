"""Tables of float64 become float32 only where nothing that a model could learn is lost."""

import numpy as np
import pandas as pd
import pytest
import torch

from reparam.data import load_data

RNG = np.random.default_rng(0)
NEAR, FAR_AWAY = RNG.normal(size=300), 1.7e9 + RNG.uniform(-10, 10, 300)


def stored(frame, form, folder):
    if form == "frame":
        return frame
    path = folder / f"t.{form}"
    frame.to_parquet(path) if form == "parquet" else frame.to_csv(path, index=False)
    return path


FORMS = pytest.mark.parametrize("form", ["frame", "parquet", "csv"])


@FORMS
def test_a_column_far_from_zero_keeps_its_values(form, tmp_path):
    frame = pd.DataFrame({"near": NEAR, "time": FAR_AWAY})
    data = load_data(stored(frame, form, tmp_path))
    assert data.train.x.dtype == data.test.x.dtype == torch.float64
    times = torch.cat([split.x[:, 1] for split in data.splits.values()])
    assert torch.equal(times.sort().values, torch.tensor(np.sort(FAR_AWAY)))
    (note,) = (note for note in data.notes if "standard deviations" in note)
    assert "'time'" in note and "stays float64" in note


def test_a_column_far_from_zero_alone_is_not_constant(tmp_path):
    path = stored(pd.DataFrame({"time": FAR_AWAY}), "csv", tmp_path)
    assert load_data(path).train.x.unique().numel() > 200


@FORMS
def test_an_ordinary_table_is_float32_whatever_it_came_from(form, tmp_path):
    frame = pd.DataFrame({"near": NEAR, "far": 1e3 + NEAR, "constant": 0.1, "count": range(300)})
    data = load_data(stored(frame, form, tmp_path))
    assert {split.x.dtype for split in data.splits.values()} == {torch.float32}
    assert data.fingerprint() == load_data(frame).fingerprint()
    assert not any("standard deviations" in note for note in data.notes)


def test_one_row_of_another_split_is_compared_with_the_training_spread(tmp_path):
    near = pd.DataFrame({"a": NEAR})
    test = pd.DataFrame({"a": [0.1]})
    assert load_data(near, test=test).test.x.dtype == torch.float32
    far = load_data(pd.DataFrame({"a": FAR_AWAY}), test=pd.DataFrame({"a": [0.5]}))
    assert {split.x.dtype for split in far.splits.values()} == {torch.float64}


def test_arrays_stay_as_the_user_gave_them():
    assert load_data(NEAR[:, None]).train.x.dtype == torch.float64


def test_many_columns_are_all_looked_at():
    x = RNG.normal(size=(20, 130))
    x[:, 128] += 1e9
    data = load_data(pd.DataFrame(x, columns=[f"c{i}" for i in range(130)]))
    assert data.train.x.dtype == torch.float64
    assert [note for note in data.notes if "'c128'" in note]
