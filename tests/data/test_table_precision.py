"""Tables of float64 become float32 only where nothing that a model could learn is lost."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from allocations import largest_tensor, most_of_numpy

from reparam.data import large_arrays, load_data
from reparam.data.values import fits_float32

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


def test_the_precision_of_a_table_is_decided_without_a_copy_of_it(monkeypatch):
    """In parts of 64 kB, of which a few copies are held: an eighth of a table of 8 MB is plenty."""
    monkeypatch.setattr(large_arrays, "BLOCK", 2**16)
    x = RNG.normal(size=(2**16, 16))
    x[::7, 3] = np.nan
    for columns in (None, [0, 3, 5]):
        decide = partial(fits_float32, [x], columns)
        assert decide()
        assert most_of_numpy(decide) < x.nbytes / 8
        assert largest_tensor(decide) < x.nbytes / 8


def test_the_precision_is_decided_by_all_parts_and_not_by_missing_cells(monkeypatch):
    """The one row that float32 rounds too far may be in any part; the spread is that of all."""
    monkeypatch.setattr(large_arrays, "BLOCK", 64)
    for row in (0, 100, 299):
        x = np.zeros((300, 2))
        x[::2] = 2.0**-20
        assert fits_float32([x])
        x[row, 1] = 2.0**-20 + 2.0**-50
        assert fits_float32([x])  # a rounding of 1e-9 of the deviation
        x[:, 1] += 1e4  # now of 1e-3 in float32, where the deviation is 5e-7
        assert not fits_float32([x]) and fits_float32([x], [0])
        x[:, 1] = np.nan
        assert fits_float32([x])


@pytest.mark.filterwarnings("error")
def test_rows_that_run_backwards_or_may_not_be_written_to_are_looked_at():
    x = np.stack([NEAR, FAR_AWAY], 1)
    shut = x.copy()
    shut.flags.writeable = False
    for rows in (x[::-1], x[:, ::-1], shut, np.asfortranarray(x), x.astype(">f8")):
        assert not fits_float32([rows])
    assert fits_float32([np.stack([NEAR, NEAR], 1)[::-1]])
