"""Images of more than 8 bits: one range for all of a folder, the order of values kept, and said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from raw_images import color_png, unsigned_tiff

from reparam.data import DataRecord, load_data, load_rows, record_json
from reparam.data.contents import ReadOptions
from reparam.data.images import image_folders
from reparam.data.images.image_folders import read_folder

RNG = np.random.default_rng(0)
SPLITS = ("train", "valid", "test")


def save_splits(folder, arrays, name="a.png"):
    for split, array in zip(SPLITS, arrays, strict=True):
        (folder / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / split / name)
    return folder


def pixels(data):
    return [data.splits[split].x[0, 0].numpy() for split in SPLITS]


def scaled(values, low, high):
    return np.rint((values.astype(float) - low) / (high - low) * 255)


def deep_note(data):
    (note,) = [note for note in data.notes if "more than 8 bits" in note]
    return note


@pytest.mark.parametrize(
    "dtype, low, high, suffix",
    [
        (np.uint16, 0, 4096, "png"),  # 12 bits in 16
        (np.uint16, 0, 65536, "tif"),
        (np.int32, 500, 90_000, "tif"),  # depth in millimeters
        (np.int32, -70_000, 3, "tif"),
        (np.float32, -1, 1, "tif"),
    ],
)
def test_one_range_is_found_for_the_whole_folder(tmp_path, dtype, low, high, suffix):
    arrays = [(low + (high - low) * RNG.random((9, 12))).astype(dtype) for _ in SPLITS]
    arrays[2] = arrays[2] // 2 if low == 0 else arrays[2]  # a darker image stays darker
    data = load_data(save_splits(tmp_path, arrays, f"a.{suffix}"))
    found = min(a.min() for a in arrays), max(a.max() for a in arrays)
    for array, x in zip(arrays, pixels(data), strict=True):
        assert np.array_equal(x, scaled(array, *found))
    assert f"values {found[0]:.10g} to {found[1]:.10g} became 0 to 255" in deep_note(data)
    assert deep_note(data).startswith("3 of 3 images")
    assert data.space.levels == 256
    # As recorded, from JSON, the same again.
    assert load_data(**json.loads(json.dumps(data.source))).fingerprint() == data.fingerprint()


def test_integers_above_two_billion_do_not_become_negative(tmp_path):
    """Pillow reads them as signed."""
    values = np.array([[0, 2**31 + 7, 2**32 - 1], [1, 5, 2**31 - 1]], np.uint32)
    for split in SPLITS:
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.tif").write_bytes(unsigned_tiff(values))
    assert np.array_equal(pixels(load_data(tmp_path))[0], scaled(values, 0, 2**32 - 1))


def test_a_range_that_is_asked_for(tmp_path):
    arrays = [np.array([[0, 100, 300, 5000]], np.uint16)] * 3
    data = load_data(save_splits(tmp_path, arrays), range=(100, 400))
    assert pixels(data)[0].tolist() == [[0, 0, 170, 255]]
    assert "values 100 to 400 became 0 to 255 (as asked)" in deep_note(data)
    assert "3 of 3 images: values beyond the range were cut off." in data.notes
    assert data.source["range"] == [100, 400]
    flat = load_data(
        save_splits(tmp_path / "flat", [np.array([[3, 9]], np.uint8)] * 3), range=(0, 9)
    )
    assert flat.train.x.max() == 9
    assert "No image has more than 8 bits: range changed nothing." in flat.notes
    same = load_data(tmp_path, range=tuple(np.array([100, 400])))
    assert json.dumps(same.source) and same.fingerprint() == data.fingerprint()
    for wrong in ((3, 3), (1,), (0, np.inf), 7):
        with pytest.raises(ValueError, match="range: expected two numbers, low and high, got"):
            load_data(tmp_path, range=wrong)
    with pytest.raises(ValueError, match="range: does not apply to"):
        load_data("digits", range=(0, 1))


def test_what_cannot_be_told_beside_8_bits_is_refused_by_name(tmp_path):
    save_splits(tmp_path, [np.array([[3, 4095]], np.uint16)] * 3, "deep.png")
    save_splits(tmp_path, [np.array([[3, 9]], np.uint8)] * 3, "flat.png")
    with pytest.raises(ValueError, match=r"deep.png .* and flat.png has 8.*--range 0,65535"):
        load_data(tmp_path)
    data = load_data(tmp_path, range=(0, 4095))
    assert sorted(data.train.x[:, 0, 0].tolist()) == [[0, 255], [3, 9]]


def test_the_test_folder_has_the_range_of_the_other(tmp_path):
    train = save_splits(tmp_path / "a", [np.array([[0, 1000]], np.uint16)] * 3) / "train"
    Image.fromarray(np.array([[7, 8]], np.uint16)).save(train / "b.png")
    Image.fromarray(np.array([[7, 8]], np.uint16)).save(train / "c.png")
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.array([[0, 500]], np.uint16)).save(other / "c.png")
    data = load_data(train, test=other)
    assert data.test.x.flatten().tolist() == [0, 128]
    assert load_data(**data.source).fingerprint() == data.fingerprint()


def test_new_pictures_are_read_by_the_range_of_the_data(tmp_path):
    data = load_data(save_splits(tmp_path / "a", [np.array([[0, 9, 1000]], np.uint16)] * 3))
    entry = json.loads(json.dumps(record_json(data)))
    record = DataRecord.from_json(entry, data.space)
    Image.fromarray(np.array([[0, 250, 500]], np.uint16)).save(tmp_path / "new.png")
    for like in (data, record):
        assert load_rows(tmp_path / "new.png", like).x.flatten().tolist() == [0, 64, 128]
    flat = load_data(save_splits(tmp_path / "flat", [np.array([[3, 9]], np.uint8)] * 3))
    with pytest.raises(ValueError, match="new.png has more than 8 bits.*save it with 8 bits"):
        load_rows(tmp_path / "new.png", flat)


def test_pixels_that_are_no_numbers_are_skipped_by_name(tmp_path):
    arrays = [np.array([[0, 1]], np.float32)] * 3
    save_splits(tmp_path, arrays, "a.tif")
    Image.fromarray(np.array([[0, np.nan]], np.float32)).save(tmp_path / "train" / "b.tif")
    (note,) = [note for note in load_data(tmp_path).notes if "could not be read" in note]
    assert "b.tif (some pixels are no finite numbers)" in note


@pytest.mark.parametrize("form", ["png", "ppm"])
def test_color_of_16_bits_is_reduced_with_a_note(tmp_path, form):
    values = RNG.integers(0, 65536, (2, 3, 3)).astype(np.uint16)
    maximum = b"P6 3 2 65535\n" + values.astype(">u2").tobytes()
    for split in SPLITS:
        (tmp_path / split).mkdir()
        content = color_png(values) if form == "png" else maximum
        (tmp_path / split / f"a.{form}").write_bytes(content)
    data = load_data(tmp_path)
    assert abs(data.train.x[0].permute(1, 2, 0).numpy() - values / 257).max() < 1
    assert "3 of 3 images: 16 bits a color were reduced to the upper 8." in data.notes


def test_color_of_12_bits_in_16_is_refused_by_name(tmp_path):
    """Pillow would leave 16 levels of it."""
    for split, most in zip(
        ("train", "valid", "test", "train"), (65536,) * 3 + (4096,), strict=True
    ):
        (tmp_path / split).mkdir(exist_ok=True)
        values = RNG.integers(0, most, (4, 5, 3))
        values[0, 0] = most - 1
        (tmp_path / split / f"{most}.png").write_bytes(color_png(values))
    (note,) = [note for note in load_data(tmp_path).notes if "could not be read" in note]
    assert "4096.png (of 16 bits a color 12 or fewer are used, and the upper 8 are read;" in note


def test_a_folder_kept_as_decoded_keeps_its_range(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folders, "MANY", 3)
    monkeypatch.setenv(image_folders.VARIABLE, str(tmp_path / "cache"))
    folder = save_splits(tmp_path / "a", [np.array([[0, 1000]], np.uint16)] * 3)
    first, second = load_data(folder), load_data(folder)
    assert any(note.startswith("Pixels from the cache") for note in second.notes)
    assert second.source == first.source and second.source["range"] == [0, 1000]
    assert second.fingerprint() == first.fingerprint()
    other = load_data(folder, range=(0, 2000))
    assert other.train.x.max() == 128


@pytest.mark.parametrize("value, dtype", [(0, np.uint16), (500, np.uint16), (1e30, np.float32)])
def test_images_of_one_value_alone_are_black(tmp_path, value, dtype):
    arrays = [np.full((2, 3), value, dtype)] * 3
    contents = read_folder(save_splits(tmp_path / "a", arrays, "a.tif"), ReadOptions())
    assert not contents.splits["train"].x.any()
    assert f"every value is {arrays[0][0, 0]:.10g}, which became 0; range=LOW" in deep_note(
        contents
    )
    with pytest.raises(ValueError, match="every pixel of all images is 0; nothing can be learned"):
        load_data(tmp_path / "a")  # as of images of 8 bits


def test_stacks_whose_first_frames_are_black(tmp_path):
    folder = save_splits(tmp_path, [np.zeros((2, 3), np.uint16)] * 3, "a.tif")
    bright = Image.fromarray(np.full((2, 3), 9, np.uint16))
    black = Image.fromarray(np.zeros((2, 3), np.uint16))
    black.save(folder / "train" / "a.tif", save_all=True, append_images=[bright])
    contents = read_folder(folder, ReadOptions())
    assert not contents.splits["train"].x.any()
    assert "1 of 3 images have several frames" in "\n".join(contents.notes)
    assert load_data(folder, frames="all").train.x.flatten(1).tolist() == [[0] * 6, [1] * 6]


def heights(folder, marker, tag=None):
    values = np.random.default_rng(0).normal(100, 20, (5, 6, 7)).astype(np.float32).clip(40, 160)
    values[0, 0, :2] = 40, 160
    values[:, 3, 3] = marker
    folder.mkdir()
    for i, array in enumerate(values):
        words = {} if tag is None else {"tiffinfo": {42113: tag}}
        Image.fromarray(array).save(folder / f"{i}.tif", **words)
    return values


@pytest.mark.parametrize("marker", [-9999, 99999, np.nan, -3.4028234663852886e38])
def test_pixels_that_the_file_marks_as_without_data_count_for_no_range(tmp_path, marker):
    values = heights(tmp_path / "a", marker, str(marker))
    data = load_data(tmp_path / "a", test=tmp_path / "a")
    expected = scaled(np.where(values == values[0, 3, 3], 40, np.nan_to_num(values)), 40, 160)
    expected[:, 3, 3] = 0
    assert np.array_equal(data.test.x[:, 0], expected)
    assert "values 40 to 160 became 0 to 255" in deep_note(load_data(tmp_path / "a"))
    assert "5 of 5 images: pixels that have no data, as the file says, became 0." in data.notes


def test_a_pixel_beside_the_marker_has_data(tmp_path):
    for split in SPLITS:
        (tmp_path / split).mkdir()
        image = Image.fromarray(np.array([[16777216, 16777217, 16777250]], np.int32))
        image.save(tmp_path / split / "a.tif", tiffinfo={42113: "16777216"})
    data = load_data(tmp_path, range=(16777200, 16777250))
    assert data.train.x.flatten().tolist() == [0, round(17 / 50 * 255), 255]


def test_of_images_without_any_data_no_range_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(3):
        image = Image.fromarray(np.full((2, 3), -9999, np.float32))
        image.save(tmp_path / "a" / f"{i}.tif", tiffinfo={42113: "-9999"})
    contents = read_folder(tmp_path / "a", ReadOptions())
    assert not contents.splits["train"].x.any()
    assert contents.notes == (
        "3 of 3 images: pixels that have no data, as the file says, became 0.",
    )


def test_a_value_far_from_all_others_is_named_with_a_remedy_that_works(tmp_path):
    values = heights(tmp_path / "a", -9999)
    note = deep_note(load_data(tmp_path / "a"))
    assert "All values but -9999 are 40 to 160: if it marks what has no data, range=40,160" in note
    data = load_data(tmp_path / "a", range=(40, 160), test=tmp_path / "a")
    assert np.array_equal(data.test.x[:, 0], scaled(values.clip(40, 160), 40, 160))
    heights(tmp_path / "b", 30)
    assert "All values" not in deep_note(load_data(tmp_path / "b"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4), 255, np.uint8), "every pixel of all images is 255; nothing can be"),
        (np.full((4, 4), 7, np.uint8), "every pixel of all images is 7; .*not all of one color$"),
        (np.full((4, 4), 1000, np.uint16), "is 0; .*every value is 1000, which became 0; range"),
    ],
)
def test_images_of_one_constant_are_refused_with_what_was_read(tmp_path, array, message):
    with pytest.raises(ValueError, match=message):
        load_data(save_splits(tmp_path / "a", [array] * 3))
