"""Attributes: measures against shapes whose moments are known, and columns of every source."""

import math

import pytest
import torch

import reparam as rp
from reparam.use.independence import editable
from reparam.use.moments import MEASURES, measure_images


def bar(height, width, shear=0, rows=24, columns=40, value=1.0):
    """A bar whose rows move right by ``shear`` for each row further up, on black."""
    x = torch.zeros(1, 1, rows, columns, dtype=torch.float64)
    for row in range(height):
        left = 15 - shear * (row - height // 2)
        x[..., 3 + row, left : left + width] = value
    return x


@pytest.mark.parametrize(("height", "width"), [(7, 2), (12, 1), (5, 3), (4, 4), (3, 9)])
def test_measures_of_bars_are_their_sides(height, width):
    x = bar(height, width)
    expected = {
        "ink": height * width / (24 * 40),
        "slant": 0.0,
        "width": width,
        "height": height,
        "thickness": 2 * width * height / (2 * width + 2 * height - 4 + math.sqrt(8)),
    }
    for name in MEASURES:
        assert measure_images(x, name).item() == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("shear", [-2, -1, 1, 2])
def test_slant_is_the_shear_and_leaves_the_height(shear):
    x = bar(7, 2, shear)
    assert measure_images(x, "slant").item() == pytest.approx(math.degrees(math.atan(shear)))
    assert measure_images(x, "height").item() == pytest.approx(7)


def test_a_long_stroke_has_its_thickness_upright_and_at_45_degrees():
    for length, allowed in ((20, 0.15), (200, 0.02)):  # ends count less the longer it is
        upright = bar(length, 4, rows=210)
        # Of a stroke at 45°, 4 pixels beside each other are 4/√2 across.
        diagonal = torch.zeros(1, 1, length + 4, length + 10).double()
        for row in range(length):
            diagonal[..., row + 2, row + 2 : row + 6] = 1
        assert measure_images(upright, "thickness").item() == pytest.approx(4, rel=allowed)
        found = measure_images(diagonal, "thickness").item()
        assert found == pytest.approx(4 / math.sqrt(2), rel=allowed)


def test_the_thickness_of_a_disc_is_its_radius_and_blur_leaves_it():
    v, u = torch.meshgrid(torch.arange(120.0), torch.arange(120.0), indexing="ij")
    distance = ((u - 60) ** 2 + (v - 60) ** 2).sqrt()
    sharp, soft = ((40 + s / 2 - distance).div(s).clamp(0, 1)[None, None] for s in (1.0, 8.0))
    assert measure_images(sharp, "thickness").item() == pytest.approx(40, rel=0.01)
    assert measure_images(soft, "thickness").item() == pytest.approx(40, rel=0.01)


def test_measures_know_neither_place_nor_company_nor_contrast():
    x = torch.cat([bar(7, 2, 1), bar(5, 3)])
    moved, dim = x.roll((4, -3), (2, 3)), x / 2
    for name in MEASURES:
        each = measure_images(x, name)
        assert torch.equal(each, torch.cat([measure_images(row[None], name) for row in x]))
        assert torch.allclose(measure_images(moved, name), each, atol=1e-12)
        share = 0.5 if name == "ink" else 1.0
        assert torch.allclose(measure_images(dim, name), share * each, atol=1e-12)
        assert torch.allclose(measure_images(255 * x, name, (0, 255)), each, atol=1e-12)


def test_a_black_image_has_ink_0_and_no_shape():
    x = torch.zeros(2, 1, 5, 6)
    assert measure_images(x, "ink").tolist() == [0, 0]
    for name in ("slant", "width", "height", "thickness"):
        assert measure_images(x, name).isnan().all(), name
    one_row = torch.zeros(1, 1, 5, 6)
    one_row[..., 2, 1:4] = 1
    assert measure_images(one_row, "slant").isnan().all()
    assert measure_images(one_row, "width").item() == pytest.approx(3)
    rows = torch.zeros(
        200, 1, 28, 28, dtype=torch.float64
    )  # whose shares sum to 1 but for rounding
    rows[..., 21, 3:20] = torch.rand(
        200, 1, 17, generator=torch.Generator().manual_seed(0)
    ).double()
    assert measure_images(rows, "slant").isnan().all()


def of(split, space=None, **names):
    data = rp.Data(split, split, split, space or rp.Space((2,), "real"), "d", **names)
    return rp.find_attributes(data)


X = torch.zeros(4, 2)


def test_every_source_of_attributes():
    split = rp.Split(
        X,
        labels=torch.tensor([0, 1, 1, 0]),
        attributes=torch.tensor([[3.0, 1, 0], [5, 0, 1], [4, 0, 1], [2, 1, 0]]),
        factors=torch.tensor([[0.0, 1], [1, 1], [2, 0], [3, 0]]),
    )
    found = of(
        split,
        class_names=("cat", "dog"),
        attribute_names=("age", "hair:red", "hair:gray"),
        factor_names=("size", "shape"),
        level_names={"shape": ("square", "disc")},
    )
    assert [(one.name, one.kind, one.group) for one in found.each] == [
        ("cat", "class", "labels"),
        ("dog", "class", "labels"),
        ("age", "number", ""),
        ("hair:red", "class", "hair"),
        ("hair:gray", "class", "hair"),
        ("size", "number", ""),
        ("shape:square", "class", "shape"),
        ("shape:disc", "class", "shape"),
    ]
    assert found.find(["shape:disc", "age"]).values.tolist() == [[1, 3], [1, 5], [0, 4], [0, 2]]
    with pytest.raises(ValueError, match="names: expected some of cat, dog.*'ag'.*mean age"):
        found.find(["ag"])


def test_flags_are_not_numbers_and_color_is_not_measured():
    assert of(rp.Split(X, attributes=torch.tensor([[0.0], [1], [1], [0]]))).each[0].kind == "flag"
    for channels, count in ((1, 5), (3, 0)):
        space = rp.Space((channels, 6, 6), "levels", 256)
        split = rp.Split(torch.zeros(4, channels, 6, 6, dtype=torch.uint8))
        assert len(of(split, space).each) == count


def test_classes_and_columns_without_names_do_not_hide_each_other():
    both = torch.tensor([[0.0], [1], [2], [3]])
    found = rp.find_attributes(
        rp.Split(X, torch.tensor([0, 1, 1, 0]), attributes=both, factors=both)
    )
    assert found.names == ("0", "1", "attribute 0", "factor 0")


def test_a_table_brings_attributes_in_order(tmp_path):
    data = rp.load_data(torch.arange(40.0).view(20, 2).numpy())
    rows = len(data.train)
    table = tmp_path / "t.csv"
    table.write_text("age,hair\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(rows)))
    found = rp.find_attributes(data, table=table)
    assert found.names == ("age", "hair:a", "hair:b")
    assert found.values[:, 0].tolist() == list(range(rows))
    table.write_text("age\n1\n2\n")
    with pytest.raises(ValueError, match=f"t.csv has 2 rows for {rows} training examples"):
        rp.find_attributes(data, table=table)
    with pytest.raises(ValueError, match="attribute_table: expected a file"):
        rp.find_attributes(data, table=tmp_path / "none.csv")


def test_a_table_is_matched_by_file_name(tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for i in range(10):
        Image.new("L", (6, 6), 25 * i).save(tmp_path / "photos" / f"{i}.png")
    data = rp.load_data(tmp_path / "photos")
    table = tmp_path / "t.csv"
    table.write_text("name,light\n" + "".join(f"{i}.png,{100 + i}\n" for i in range(9, -1, -1)))
    found = rp.find_attributes(data, table=table)
    numbers = [int(name.removesuffix(".png")) for name in data.train.files.names]
    assert found.find(["light"]).values.flatten().tolist() == [100 + i for i in numbers]
    assert found.find(["ink"]).values.flatten().tolist() == pytest.approx(
        [25 * i / 255 for i in numbers]
    )


def test_what_others_explain_is_left_out_unless_it_comes_first():
    """R² = 0.9 inflates tenfold, more than five: one of the two stays, whichever is first."""
    rng = torch.Generator().manual_seed(0)
    a, b, c = torch.randn(3, 300, generator=rng, dtype=torch.float64)
    values = torch.stack([a, math.sqrt(0.9) * a + math.sqrt(0.1) * b, c, 0 * a], 1)
    each = tuple(rp.Attribute(name, "number", "factors", i) for i, name in enumerate("abcd"))
    names, notes = editable(rp.Attributes(each, values))
    assert names == ["a", "c"]
    assert "'d' is the same in all" in notes[0] and "'b' hardly varies" in notes[1]
    assert editable(rp.Attributes(each, values), ["b"])[0] == ["b", "c"]


def test_what_is_unknown_of_most_examples_takes_no_other_with_it():
    """Images of one row lean nowhere and have no height; all else is known of them."""
    rng = torch.Generator().manual_seed(0)
    x, labels = torch.rand(60, 1, 1, 12, generator=rng), torch.arange(60) % 2
    space = rp.Space((1, 1, 12), "real", classes=2)
    split = rp.Split(x, labels=labels)
    found = of(split, space, class_names=("a", "b"))
    names, notes = editable(found)
    assert {"a", "b", "ink"} <= set(names) and "slant" not in names
    assert "Left out: 'slant' is unknown of 60 of 60 training examples." in notes
    model = rp.build("ae", space, latent_dim=2)
    data = rp.Data(split, split, split, space, "rows", class_names=("a", "b"))
    assert rp.attribute_directions(model, data).examples == 60
    with pytest.raises(ValueError, match="^names: expected training examples .* slant are known"):
        rp.attribute_directions(model, data, ["slant"])
    assert editable(found, ["slant"])[0] == ["slant"]
    bare = rp.load_data(torch.arange(40.0).view(20, 2).numpy())
    with pytest.raises(
        ValueError, match="^names: .* can be edited, got none: nothing is known of these examples"
    ):
        rp.attribute_directions(rp.build("ae", bare.space, latent_dim=1), bare)
