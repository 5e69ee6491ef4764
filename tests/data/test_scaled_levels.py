"""Floats that are levels divided by K−1, as ToTensor gives: recognized, brought back, said."""

import numpy as np
import pytest
import torch
from allocations import most_of_numpy

import reparam as rp
from reparam.data import DataRecord, load_data, load_rows
from reparam.data.scaled_levels import scale_of
from reparam.train import RunFolder

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (40, 3, 4, 4)).astype(np.uint8)
DIVIDED = {
    "float32": GRAY.astype(np.float32) / np.float32(255),
    "by a factor": GRAY * np.float32(1 / 255),
    "float64": GRAY / 255.0,
    "float32 made float64": (GRAY.astype(np.float32) / np.float32(255)).astype(np.float64),
    "float16": (GRAY / 255.0).astype(np.float16),
    "normalized": (torch.from_numpy(GRAY) / 255 - 0.5) / 0.5,
    "half, normalized": ((GRAY / 255.0 - 0.5) / 0.5).astype(np.float16),
    "vectors": GRAY.reshape(40, -1) / 255.0,
}


def splits_of(x, **options):
    return load_data({"train": x, "valid": x[:3], "test": x[:3]}, **options)


@pytest.mark.parametrize("how", DIVIDED)
@pytest.mark.parametrize("options", [{}, {"levels": 256}, {"kind": "levels"}])
def test_levels_in_disguise_are_levels(how, options):
    x = DIVIDED[how]
    data = splits_of(x, **options)
    assert (data.space.levels, data.train.x.dtype) == (256, torch.uint8)
    assert np.array_equal(data.train.x.numpy().reshape(x.shape), GRAY.reshape(x.shape))
    assert any("levels 0 … 255 divided by 255" in note for note in data.notes)
    assert data.fingerprint() == splits_of(GRAY.reshape(x.shape)).fingerprint()


def test_they_stay_as_they_are_where_that_is_asked():
    x = DIVIDED["float32"]
    data = splits_of(x, kind="real")
    assert data.space.kind == "real" and np.array_equal(data.train.x, x)


@pytest.mark.parametrize(
    "x",
    [
        RNG.random((30, 4)),
        RNG.random((30, 4)).astype(np.float16),
        np.array([[0.2, 0.4, 1.0]] * 9),  # fifths: so are levels of 6, whoever made them
        np.array([[0.0, 85 / 255, 170 / 255]] * 9),
        DIVIDED["float64"] + 0.001,
        DIVIDED["float64"] * 2,
    ],
)
def test_other_floats_are_real(x):
    assert splits_of(x).space.kind == "real"


def test_only_zeros_and_ones_are_binary():
    assert splits_of((GRAY > 99).astype(np.float32)).space.kind == "binary"


@pytest.mark.parametrize("levels", [4, 17, 1024])
def test_fewer_or_more_levels_are_asked_for(levels):
    whole = RNG.integers(0, levels, (30, 9))
    for x in (whole / (levels - 1), 2 * whole.astype(np.float32) / (levels - 1) - 1):
        data = splits_of(x, levels=levels)
        assert np.array_equal(data.train.x, whole) and data.space.levels == levels


def test_advice_for_floats_works():
    x = RNG.random((30, 4))
    with pytest.raises(ValueError, match="kind levels is of whole numbers, and dictionary holds"):
        splits_of(x, kind="levels")
    with pytest.raises(ValueError, match="so levels=4 or more"):
        splits_of(np.array([[0.0, 3.0], [1.0, 2.0]]), kind="levels")


def test_rows_and_binarization_like_those_of_whole_numbers():
    data, same = splits_of(DIVIDED["float32"]), splits_of(GRAY)
    one = load_rows(DIVIDED["float32"][:1], data)  # a batch of one
    assert np.array_equal(one.x, GRAY[:1])
    drawn = [splits_of(x, binarize="static") for x in (DIVIDED["float32"], GRAY)]
    assert drawn[0].fingerprint() == drawn[1].fingerprint()
    assert data.fingerprint() == same.fingerprint()


def test_mapped_files_stay_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.data.large_arrays.MAPPED_FROM", 1)
    np.save(tmp_path / "x.npy", DIVIDED["float32"])
    data = load_data(tmp_path / "x.npy")
    assert data.train.streamed and data.space.levels == 256
    assert int(data.train.x.max()) == 255


def test_scores_are_those_of_levels():
    """As real numbers k/255 have a density of hundreds of nats."""
    data = splits_of(DIVIDED["float32"])
    model = rp.build("pca", data.space, latent_dim=2)
    rp.fit(model, data, progress=False)
    assert model.log_prob(data.test.x).value.max() < 0


def test_tables_are_asked_first(tmp_path):
    lines = [",".join(f"{v:.9f}" for v in row) for row in DIVIDED["vectors"]]
    names = ",".join(f"p{i}" for i in range(48))
    (tmp_path / "t.csv").write_text("\n".join([names, *lines]))
    assert load_data(tmp_path / "t.csv").space.kind == "real"
    data = load_data(tmp_path / "t.csv", levels=256)
    assert data.space.levels == 256 and int(data.train.x.max()) == 255


def test_more_levels_than_floats_tell_apart_are_none():
    assert scale_of([np.array([0.5])], 2**20) is None


def test_whole_numbers_are_no_scaled_levels():
    """Of an odd number of levels 0 is also the middle of [-1, 1]."""
    digits = rp.load_data("digits")
    for values in ([0.0], [0.0, 1.0], [1.0]):
        x = np.resize(values, (2, 1, 8, 8))
        assert np.array_equal(load_rows(x, digits).x, x)
    x = np.array([[0.0, 1], [1, 0], [1, 1], [0, 0]] * 4)
    assert rp.load_data(x, levels=3).train.x.unique().tolist() == [0, 1]


@pytest.mark.parametrize("low", [0, -1])
def test_rows_are_scaled_as_the_data_were(low, tmp_path):
    """Whatever they look like alone: all white, all black, gray in the middle."""
    k = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4))
    data = rp.load_data(low + k * (1 - low) / 255)
    assert np.array_equal(np.sort(data.train.x.unique()), np.unique(data.train.x))
    rp.fit(rp.build("pca", data.space, latent_dim=2), data, out=tmp_path / "r", progress=False)
    record = DataRecord.from_json(RunFolder(tmp_path / "r").read()["data"], data.space)
    for level in (0, 1, 127, 201, 255):
        row = np.full((1, 1, 4, 4), low + level * (1 - low) / 255)
        for trained_on in (data, record):
            assert load_rows(row, trained_on).x.unique().tolist() == [level]
    whole = np.full((1, 1, 4, 4), 7, np.uint8)
    assert load_rows(whole, data).x.unique().tolist() == [7]


def test_one_row_of_no_levels_is_enough_to_say_so():
    """Of 8 MB of real numbers nothing is made but that row."""
    x = RNG.normal(size=(2**16, 16))
    assert most_of_numpy(lambda: scale_of([x])) < 2**14
    assert scale_of([x]) is None
