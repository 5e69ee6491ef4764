"""PNG grids hold the right pixels in the right places."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import Data, DataRecord, Split, load_data, record_json
from reparam.model import Space
from reparam.report.pictures import Brightness, grid


def pixels(picture):
    head, text = picture.source.split(",")
    assert head == "data:image/png;base64"
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    assert image.shape[:2] == (picture.height, picture.width)
    return image


def split(x):
    return Split(x)


def test_tiles_run_from_left_to_right_and_then_down():
    tiles = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    image = pixels(grid(tiles, Brightness(0, 3), 2, "four", gap=0, tile=(2, 2)))
    assert image.tolist() == [[0, 0, 85, 85]] * 2 + [[170, 170, 255, 255]] * 2


def test_rows_of_a_tile_run_downwards_and_columns_rightwards():
    tile = torch.tensor([[[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]]])
    image = pixels(grid(tile, Brightness(0, 5), 1, "one", gap=0, tile=(3, 3)))
    assert image.tolist() == [[0, 51, 102], [153, 204, 255]]


def test_rgb_channels_keep_their_order():
    tile = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    assert pixels(grid(tile, Brightness(0, 1), 1, "", gap=0, tile=(1, 1)))[0, 0].tolist() == [
        255, 128, 0,
    ]  # fmt: skip


def test_gaps_are_see_through_and_small_tiles_enlarged_by_a_whole_factor():
    tiles = torch.ones(2, 1, 20, 28)
    picture = grid(tiles, Brightness(0, 1), 2, "", gap=0.1, tile=(56, 96))
    image = pixels(picture)
    assert image.shape[2] == 2 and picture.crisp
    assert picture.height == 2 * 20 + 2 and picture.width == 2 * 56 + 6 + 2  # frames of a pixel
    assert (image[1:41, 1:57] == 255).all() and (image[1:41, 59:61, 1] == 0).all()
    assert (image[1:41, 63:119] == 255).all()


def test_missing_tiles_of_the_last_row_are_see_through():
    image = pixels(grid(torch.ones(3, 1, 2, 2), Brightness(0, 1), 2, "", gap=0, tile=(2, 2)))
    assert image[2:, 2:, 1].max() == 0 and image[:2, :, 1].min() == 255


def test_wide_images_are_reduced():
    picture = grid(torch.rand(3, 3, 200, 100), Brightness(0, 1), 3, "", gap=0, tile=(10, 50))
    assert (picture.height, picture.width, picture.crisp) == (50, 75, False)


@pytest.mark.parametrize("channels", [2, 5])
def test_other_numbers_of_channels_are_shown_too(channels):
    assert pixels(grid(torch.ones(1, channels, 3, 3), Brightness(0, 1), 1, ""))[4, 4, 0] == 255


def test_brightness_follows_the_kind_of_data():
    x = torch.tensor([-2.0, 6.0]).view(2, 1, 1, 1)
    real = Data(split(x), split(x), split(x), Space((1, 1, 1), "real"), "r")
    assert Brightness.of(real) == Brightness(-2.0, 6.0)
    levels = Data(*[split(x + 2)] * 3, Space((1, 1, 1), "levels", 17), "l")
    assert Brightness.of(levels) == Brightness(0.0, 16.0)
    constant = torch.zeros(2, 1, 1, 1)
    flat = Data(*[split(constant)] * 3, Space((1, 1, 1), "real"), "c")
    assert Brightness.of(flat).bytes(constant).max() == 0


def test_values_outside_and_nan_are_clipped():
    x = torch.tensor([-1.0, 2.0, float("nan")]).view(3, 1, 1, 1)
    assert Brightness(0, 1).bytes(x).ravel().tolist() == [0, 255, 0]


def test_projections_agree_on_either_side_of_the_matrix():
    from reparam.evaluation.projection import Projection

    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([x, torch.zeros(7, 6)], 1)
    few, many = Projection.of(x), Projection.of(padded)
    narrow, wide = few(x), many(padded)
    assert torch.allclose(narrow, wide, atol=1e-5) and few.said[4:] == many.said[5:]
    assert narrow[:, 0].var() > narrow[:, 1].var()


def test_bands_that_are_asked_for_are_shown(tmp_path):
    x = torch.arange(5).view(1, 5, 1, 1).expand(9, 5, 6, 6).numpy().astype("uint8") * 60
    data = load_data({"train": x, "test": x}, bands=(4, 2, 0))
    assert Brightness.of(data).bytes(data.test.x[:1])[0, 0, 0].tolist() == [240, 120, 0]
    record = DataRecord.from_json(json.loads(json.dumps(record_json(data))), data.space)
    shown = Brightness(record.low, record.high, record.bands).bytes(data.test.x[:1])
    assert shown[0, 0, 0].tolist() == [240, 120, 0]
    assert load_data(x, bands=[3]).bands == (3,)
    np.save(tmp_path / "x.npy", x)
    again = load_data(**load_data(tmp_path / "x.npy", bands=(1, 2, 3)).source)
    assert again.bands == (1, 2, 3)
    first = Brightness.of(load_data(x))
    assert first.bytes(data.test.x[:1])[0, 0, 0].tolist() == [0, 60, 120]
    for wrong in ((0, 1), (0, 1, 5), (-1,)):
        with pytest.raises(ValueError, match="bands: expected one or three of the 5 channels"):
            load_data(x, bands=wrong)
    with pytest.raises(ValueError, match="bands: does not apply to the named set"):
        load_data("digits", bands=(0,))
