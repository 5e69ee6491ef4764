"""Images read as others were: what the others are read by is refused by no source."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.cli.options import DataOptions
from reparam.data import DataRecord, load_data, load_rows, record_json
from reparam.data.contents import ReadOptions
from reparam.data.data_record import check_record

DEEP = np.array([[[0, 9, 1000]]] * 10, np.uint16)


def saved(folder, arrays, suffix="png"):
    folder.mkdir()
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{i}.{suffix}")
    return folder


def again(data):
    """As its record in JSON says."""
    return load_data(**json.loads(json.dumps(data.source)))


@pytest.mark.parametrize("axes", [(), (3,)])
def test_a_test_folder_beside_pictures_in_memory(tmp_path, axes):
    arrays = np.random.default_rng(0).integers(0, 256, (10, 5, 4, *axes), np.uint8)
    folder = saved(tmp_path / "test", arrays[:2])
    data = load_data(list(map(Image.fromarray, arrays)), test=folder)
    expected = arrays[:2] if axes else arrays[:2, ..., None]
    assert np.array_equal(data.test.x.permute(0, 2, 3, 1), expected)


def test_a_test_file_of_arrays_beside_deep_images(tmp_path):
    folder = saved(tmp_path / "deep", DEEP)
    np.save(tmp_path / "t.npy", np.array([[[0, 255, 7]]], np.uint8))
    for options in ({}, {"range": (0, 2000)}, {"size": (1, 3), "background": "black"}):
        data = load_data(folder, test=tmp_path / "t.npy", **options)
        assert data.test.x.flatten().tolist() == [0, 255, 7]
        assert again(data).fingerprint() == data.fingerprint()
    in_memory = load_data(folder, test=np.zeros((2, 1, 3), np.uint8))
    assert in_memory.test.x.shape == (2, 1, 1, 3)
    with pytest.raises(ValueError, match="range: does not apply to .npy files"):
        load_data(tmp_path / "t.npy", range=(0, 1000))


def test_lists_of_files_beside_a_folder_with_all_frames(tmp_path):
    folder = tmp_path / "stacks"
    folder.mkdir()
    first, *others = map(Image.fromarray, DEEP)
    first.save(folder / "a.tif", save_all=True, append_images=others)
    path = saved(tmp_path / "new", [np.array([[500, 0, 9]], np.uint16)]) / "0.png"
    data = load_data(folder, frames="all", test=[path])
    assert len(data.train) == 9 and data.test.x.flatten().tolist() == [128, 0, 2]
    assert load_data(folder, frames="all", test=([path], [1])).test.x.equal(data.test.x)
    entry = json.loads(json.dumps(record_json(data)))
    check_record(entry)
    for like in (data, DataRecord.from_json(entry, data.space)):
        for source in ([path], ([path], [0])):
            assert load_rows(source, like).x.flatten().tolist() == [128, 0, 2]


@pytest.mark.parametrize("made", [np.array, torch.tensor])
def test_numbers_of_numpy_and_torch_are_taken_as_plain_ones(tmp_path, made):
    folder = saved(tmp_path / "deep", DEEP)
    data = load_data(folder, range=made([0, 4000]), size=made([2, 3]))
    assert data.fingerprint() == load_data(folder, range=(0, 4000), size=(2, 3)).fingerprint()
    assert load_data(folder, size=made(2)).train.x.shape[2:] == (2, 2)
    with pytest.raises(ValueError, match="range: does not apply to data in memory"):
        load_data(DEEP, range=made([0, 4000]))
    rows = np.random.default_rng(0).integers(0, 256, (10, 5, 4, 4), np.uint8)
    data = load_data(rows, bands=made([3, 2, 1]))
    assert json.loads(json.dumps(record_json(data)))["bands"] == [3, 2, 1]
    data = load_data(rows.reshape(10, -1), shape=made([5, 4, 4]))
    assert json.loads(json.dumps(record_json(data)))["source"] == {"shape": [5, 4, 4]}


def test_every_way_of_reading_is_an_argument_of_load_data_and_an_option():
    """The recipe, refusals and what a test source ignores follow from the fields themselves."""
    read = {each.name for each in fields(ReadOptions)} - {"channels", "columns"}
    read -= {"one_kind"}  # which others say
    read -= {"alike", "classes"}  # what other data say
    arguments = set(inspect.signature(load_data).parameters) - {"source", "seed"}
    assert read < arguments
    of_fit = {"labels", "labels_seed"}  # few labels are for those who train
    options = {each.name for each in fields(DataOptions)} - {"pad"}
    assert options == arguments - {"fit_size"} - of_fit
    takers = {name for each in fields(ReadOptions) for name in each.metadata.get("sources", ())}
    assert takers == {
        *("folder", "paths", "pictures", "beside images"),
        *("table", "text", "archive", "features", "array", "dataset"),
    }
