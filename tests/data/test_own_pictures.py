"""A user's own picture for any model of images: its size, channels and values, with notes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from reparam.data import load_data, load_rows

RNG = np.random.default_rng(0)


@pytest.fixture
def photo(tmp_path):
    """In color, of another size and shape than any data."""
    path = tmp_path / "photo.png"
    Image.fromarray(RNG.integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    return path


def gray_of(photo, size):
    """What Pillow makes of it, by the rule of crops."""
    image = Image.open(photo).convert("L")
    return np.asarray(ImageOps.fit(image, size, Image.Resampling.LANCZOS)).astype(float)


def near(x, expected, tolerance):
    return np.abs(x.numpy() - expected).max() <= tolerance


def test_a_color_photo_for_a_gray_model(photo, tmp_path):
    (tmp_path / "gray").mkdir()
    for i in range(3):
        Image.fromarray(RNG.integers(0, 256, (8, 8), np.uint8)).save(tmp_path / "gray" / f"{i}.png")
    rows = load_rows(photo, load_data(tmp_path / "gray"))
    assert rows.x.shape == (1, 1, 8, 8) and near(rows.x[0, 0], gray_of(photo, (8, 8)), 1)
    assert rows.notes == (
        "1 image resized to 8 × 8 (crop).",
        "1 image in color became gray, as the other data are.",
    )


def test_a_photo_for_digits_of_17_levels(photo):
    rows = load_rows(photo, load_data("digits"))
    assert near(rows.x[0, 0], gray_of(photo, (8, 8)) * 16 / 255, 0.6)
    assert "Pixels 0 to 255 became 0 to 16, as the model's data are." in rows.notes


def test_a_photo_for_black_and_white(photo):
    data = load_data(RNG.integers(0, 2, (9, 8, 8)))
    rows = load_rows(photo, data)
    far = np.abs(gray_of(photo, (8, 8)) - 127.5) > 2
    assert (rows.x[0, 0].numpy() == (gray_of(photo, (8, 8)) > 127.5))[far].all()
    assert "Pixels 0 to 255 became 0 (below 128) or 1, as the model's data are." in rows.notes


@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1), (0, 255)])
def test_a_photo_for_real_values(photo, low, high):
    data = load_data(RNG.uniform(low, high, (9, 8, 8)).astype(np.float32), kind="real")
    rows = load_rows(photo, data)
    assert near(rows.x[0, 0], low + (high - low) * gray_of(photo, (8, 8)) / 255, (high - low) / 99)
    assert any("became" in note and f"{low} to {high}" in note for note in rows.notes) == (
        high == 1
    )


@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1)])
def test_ends_may_be_rounded(photo, low, high):
    """As scalers leave them: a unit in the last place beyond."""
    x = RNG.uniform(low, high, (9, 8, 8))
    x[:, 0, 0], x[:, 0, 1] = np.nextafter(low, -9), np.nextafter(high, 9)
    rows = load_rows(photo, load_data(x, kind="real"))
    assert near(rows.x[0, 0], low + (high - low) * gray_of(photo, (8, 8)) / 255, (high - low) / 99)


@pytest.mark.parametrize("x", [RNG.normal(size=(9, 8, 8)), RNG.uniform(0, 4, (9, 8, 8))])
def test_a_photo_for_values_of_no_known_scale_is_refused_with_a_remedy(photo, x):
    data = load_data(x)
    with pytest.raises(ValueError, match="photo.png: the data of the model reach .*give an .npy"):
        load_rows(photo, data)


def test_pictures_in_the_units_of_the_data_stay_as_they_are(tmp_path):
    """Samples that were written as levels or bits."""
    pixels = RNG.integers(0, 17, (8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "levels.png")
    rows = load_rows(tmp_path / "levels.png", load_data("digits"))
    assert np.array_equal(rows.x[0, 0], pixels)
    assert rows.notes == ("No value is above 16: taken for levels, as the model's data are.",)


def test_a_gray_photo_for_a_model_in_color(tmp_path):
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "a.png")
    data = load_data(RNG.integers(0, 256, (5, 3, 4, 6), np.uint8))
    rows = load_rows(tmp_path / "a.png", data)
    assert (rows.x == 9).all() and rows.x.shape == (1, 3, 4, 6)
    assert "1 gray image got three equal channels, as others are in color." in rows.notes
    array = load_rows(np.full((2, 1, 4, 6), 9, np.uint8), data)
    assert array.notes == ("Gray rows got three equal channels, as the model's data are in color.",)


def test_a_test_folder_in_color_beside_gray_data(tmp_path):
    for i in range(4):
        (tmp_path / "gray").mkdir(exist_ok=True)
        (tmp_path / "color").mkdir(exist_ok=True)
        pixels = RNG.integers(0, 256, (4, 5, 3), np.uint8)
        Image.fromarray(pixels[..., 0]).save(tmp_path / "gray" / f"{i}.png")
        Image.fromarray(pixels).save(tmp_path / "color" / f"{i}.png")
    data = load_data(tmp_path / "gray", test=tmp_path / "color")
    assert data.test.x.shape == (4, 1, 4, 5)
    assert "4 images in color became gray, as the other data are." in data.notes


def test_a_single_file_that_claims_too_many_pixels_is_refused(tmp_path, monkeypatch, recwarn):
    """As in a folder, and without a warning of Pillow's own."""
    Image.new("L", (40, 40)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="bomb.png: cannot be read as an image: more than 1,000"):
        load_rows(tmp_path / "bomb.png", load_data("digits"))
    assert not recwarn.list
