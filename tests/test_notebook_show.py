"""``show``: the brightness of pictures, the cells of tables, and what it refuses."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.data import Data, Split
from reparam.report.pictures import TILE


def pixels(shown) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(shown._repr_png_())).convert("RGB"))


def middle(shown, image: int = 0) -> list[int]:
    """The color in the middle of an image of the first row; tiles are 6 pixels apart."""
    across = image * (TILE + 6) + TILE // 2
    return pixels(shown)[TILE // 2, across].tolist()


def data_of(x, kind, levels=None, **about) -> Data:
    split = Split(x)
    return Data(
        split, split, split, rp.Space(tuple(x.shape[1:]), kind, levels=levels), "d", **about
    )


def test_levels_and_binary_are_shown_over_all_their_values():
    levels = data_of(torch.full((2, 1, 2, 2), 4.0), "levels", 17)
    assert middle(rp.show(levels.test.x, levels)) == [64] * 3  # 4 / 16 of 255
    binary = data_of(torch.ones(2, 1, 2, 2), "binary")
    assert middle(rp.show(binary.test.x, binary)) == [255] * 3
    model = rp.build("vae", levels.space, latent_dim=1, hidden=(2,))
    assert middle(rp.show(levels.test.x, model)) == [64] * 3


def test_real_images_are_shown_over_the_training_range_or_their_own():
    x = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2), torch.full((1, 2, 2), 3.0)])
    data = data_of(x, "real")
    shown = rp.show(x[1:2], data)
    assert middle(shown) == [85] * 3 and "0 is black and 3 white" in repr(shown)
    assert middle(rp.show(x[:2]), 1) == [255] * 3
    assert middle(rp.show(x[:2], rp.build("pca", data.space, latent_dim=1)), 1) == [255] * 3


def test_channels_are_the_bands_or_the_first_three():
    x = torch.arange(5.0).view(1, 5, 1, 1).expand(2, 5, 2, 2) * 2
    first = data_of(x, "levels", 9)
    assert middle(rp.show(x, first)) == [0, 64, 128]
    chosen = data_of(x, "levels", 9, bands=(4, 0, 2))
    assert middle(rp.show(x, chosen)) == [255, 0, 128]


def test_one_example_several_or_rows_of_several():
    data = data_of(torch.zeros(6, 1, 2, 2), "binary")
    one = rp.show(data.test.x[0], data)
    assert (one.width, "1 image," in repr(one)) == (TILE + 2, True)
    rows = rp.show(torch.zeros(2, 5, 1, 2, 2), data)
    assert "10 images" in repr(rows) and rows.width == 5 * TILE + 4 * 6 + 2
    assert rp.show(data.test.x, data, columns=2).width == 2 * TILE + 6 + 2
    assert rp.show(torch.zeros(2, 3, 4, 4)).width > TILE  # nobody says what they are


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.bfloat16, torch.float64])
def test_any_tensor_or_array_with_gradients_too(dtype):
    data = data_of(torch.ones(2, 1, 2, 2), "binary")
    assert middle(rp.show(torch.ones(1, 1, 2, 2).to(dtype), data)) == [255] * 3
    assert middle(rp.show(torch.ones(1, 1, 2, 2, requires_grad=True), data)) == [255] * 3
    assert middle(rp.show(np.ones((1, 1, 2, 2)), data)) == [255] * 3


def test_tables_have_names_cells_and_a_file(tmp_path):
    columns = (rp.Column("age", "levels", 90), rp.Column("city", "category", 2, ("Bern", "Rome")))
    space = rp.Space((2,), "mixed", columns=columns)
    x = torch.tensor([[31.0, 1.0], [float("nan"), 0.0]])
    shown = rp.show(x, space)
    assert shown.columns == ("age", "city") and shown.cells == (("31", "Rome"), ("", "Bern"))
    assert "Rome" in shown._repr_html_() and repr(shown).startswith("2 rows of age, city")
    shown.save(tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text() == "age,city\n31,Rome\n,Bern\n"


def test_long_tables_are_cut_on_the_page_and_whole_in_the_file(tmp_path):
    shown = rp.show(torch.arange(900.0).reshape(30, 30) / 7)
    html = shown._repr_html_()
    assert html.count("<tr>") == 21 and "and 10 more rows, 18 more columns" in html
    assert "0.14286" in html
    shown.save(tmp_path / "all.csv")
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert len(lines) == 31 and len(lines[1].split(",")) == 30


def test_pictures_are_written_whole_and_by_their_name(tmp_path):
    shown = rp.show(torch.rand(2, 1, 4, 4))
    shown.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == shown._repr_png_()
    with pytest.raises(ValueError, match=r"path: expected a name ending in \.png"):
        shown.save(tmp_path / "a.jpg")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("x", "like", "columns", "message"),
    [
        (torch.zeros(2, 5), "data", None, r"x: expected \(B, 1, 2, 2\).*decode"),
        (torch.zeros(0, 1, 2, 2), "data", None, "x: expected at least one example"),
        (torch.zeros(2, 1, 2, 2), "data", 0, "columns: expected"),
        (torch.zeros(9, 4, 4), None, None, r"give x\[:, None\]"),
        (torch.zeros(1, 1, 1, 1, 1), None, None, "x: expected 1 to 4 axes"),
        (torch.zeros(2, 1, 2, 2), "digits", None, "like: expected data or a model, got str"),
        (torch.zeros(1001, 1, 2, 2), "data", None, "x: expected at most 1000 images"),
        (["a"], None, None, "x: expected a tensor or array of numbers"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_remedy(x, like, columns, message):
    given = data_of(torch.zeros(2, 1, 2, 2), "binary") if like == "data" else like
    with pytest.raises(ValueError, match=message):
        rp.show(x, given, columns)
