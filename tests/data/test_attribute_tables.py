"""A table with a row for each image file: attributes and labels land at their images."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from reparam.data import load_data, load_rows, record_json

AGES = {f"cats/{i}.png": 10 * i for i in range(4)} | {f"dogs/{i + 4}.png": 7 * i for i in range(4)}
HAIR = dict(zip(AGES, ["red", "gray", "gray", "brown"] * 2, strict=True))


@pytest.fixture
def photos(tmp_path):
    """Each image is as bright as its age."""
    for name, age in AGES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((2, 3), age, np.uint8)
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def table(photos, rows, header="file,age,hair", name="people.csv", **options):
    path = photos.parent / name
    path.write_text("\n".join([header, *rows]) + "\n", **options)
    return path


def rows(key=lambda name: name):
    """In another order than the files have."""
    return [f"{key(name)},{AGES[name]},{HAIR[name]}" for name in reversed(AGES)]


@pytest.mark.parametrize(
    "key",
    [
        lambda name: name,
        lambda name: name.split("/")[1],
        lambda name: name.split("/")[1][:-4],
        lambda name: "./" + name.replace("/", "\\"),
    ],
)
def test_attributes_land_at_their_images(photos, key):
    data = load_data(photos, attribute_table=table(photos, rows(key)))
    assert data.attribute_names == ("age", "hair:brown", "hair:gray", "hair:red")
    for split in data.splits.values():
        for x, name, c in zip(split.x, split.files.names, split.attributes, strict=True):
            assert x[0, 1, 1] == c[0] == AGES[name]
            assert data.attribute_names[1 + c[1:].argmax()] == f"hair:{HAIR[name]}"
            assert c[1:].sum() == 1
    assert data.class_names == ("cats", "dogs") and data.space.attributes == 4
    recipe = json.loads(json.dumps(record_json(data)["source"]))
    assert load_data(**recipe).fingerprint() == data.fingerprint()


def test_columns_that_are_named_and_a_label(photos):
    path = table(photos, rows())
    data = load_data(photos, attribute_table=path, attributes="age")
    assert data.attribute_names == ("age",) and data.class_names == ("cats", "dogs")
    assert "Columns of people.csv not used: hair." in data.notes
    data = load_data(photos, attribute_table=path, label="hair")
    assert data.class_names == ("brown", "gray", "red") and data.attribute_names is None
    for split in data.splits.values():
        found = [data.class_names[label] for label in split.labels]
        assert found == [HAIR[name] for name in split.files.names]
    assert "Labels are in column 'hair' of people.csv." in data.notes
    dropped = load_data(photos, attribute_table=path, drop="hair")
    assert dropped.attribute_names == ("age",)
    for options in ({"label": "height"}, {"drop": "height"}, {"attributes": "height"}):
        with pytest.raises(ValueError, match="people.csv has no column 'height'"):
            load_data(photos, attribute_table=path, **options)


def test_columns_that_are_factors(photos):
    """Words are levels in the order of the alphabet; no other column is an attribute then."""
    path = table(photos, rows())
    data = load_data(photos, attribute_table=path, factors=["hair", "age"])
    assert data.factor_names == ("hair", "age") and data.attribute_names is None
    assert data.class_names == ("cats", "dogs") and data.space.attributes is None
    words = ["brown", "gray", "red"]
    for split in data.splits.values():
        found = [[words[int(hair)], age] for hair, age in split.factors]
        assert found == [[HAIR[name], AGES[name]] for name in split.files.names]
    assert "Levels of the factor hair: 0 brown, 1 gray, 2 red." in data.notes
    assert data.level_names == {"hair": tuple(words)} and data.factor_kinds == {}
    recipe = json.loads(json.dumps(record_json(data)["source"]))
    assert load_data(**recipe).fingerprint() == data.fingerprint()
    both = load_data(photos, attribute_table=path, attributes="hair", factors="age")
    assert both.space.attributes == 3 and both.factor_names == ("age",)
    assert load_rows(photos / "dogs" / "4.png", data).factors is None
    for options, message in (
        ({"factors": "height"}, "factors: .*people.csv has no column 'height'"),
        ({"factors": "age", "label": "age"}, "factors: 'age' is named twice, or is the label"),
        ({"factors": "age", "attributes": "age"}, "factors: 'age' is named twice"),
    ):
        with pytest.raises(ValueError, match=message):
            load_data(photos, attribute_table=path, **options)
    with pytest.raises(ValueError, match="factors: does not apply to a folder of images"):
        load_data(photos, factors="age")


def test_truth_is_a_number_and_row_numbers_are_no_attribute(photos):
    lines = [f"{i};{name};{bool(i % 2)}" for i, name in enumerate(AGES)]
    path = table(photos, lines, ";name;smiling", encoding="utf-8-sig")
    data = load_data(photos, attribute_table=path)
    assert data.attribute_names == ("smiling",)
    index = list(AGES).index
    for split in data.splits.values():
        assert split.attributes[:, 0].tolist() == [index(n) % 2 for n in split.files.names]


def test_integer_labels_are_in_their_order(photos):
    lines = [f"{name},{9 + i}" for i, name in enumerate(AGES)]
    data = load_data(photos, attribute_table=table(photos, lines, "file,id"), label="id")
    assert data.class_names == tuple(map(str, range(9, 17)))


def test_rows_of_no_image_are_counted(photos):
    path = table(photos, [*rows(), "cats/99.png,3,red"])
    assert (
        "1 rows of people.csv name no image that was read."
        in load_data(photos, attribute_table=path).notes
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda lines: lines[1:], "has no row for dogs/7.png; add it"),
        (lambda lines: [*lines, lines[0]], "2 rows for 'dogs/7.png'"),
        (lambda lines: ["x" + line for line in lines], "no column that names the images"),
        (
            lambda lines: [lines[0].replace("21", ""), *lines[1:]],
            r"no value in column 'age' for dogs/7.png; .*\(--drop age\)",
        ),
        (
            lambda lines: [lines[0] + ",9", *lines[1:]],
            "has 4 cells in line 2, where the header has 3",
        ),
    ],
)
def test_what_is_wrong_is_said_by_file(photos, change, message):
    path = table(photos, change(rows()))
    with pytest.raises(ValueError, match=message):
        load_data(photos, attribute_table=path)


def test_a_header_that_repeats_a_name_or_names_nothing(photos):
    for header, message in (("file,age,age", "several columns 'age'"), ("", "has no rows")):
        with pytest.raises(ValueError, match=message):
            load_data(photos, attribute_table=table(photos, rows() if header else [], header))


def test_names_that_several_images_bear_need_their_folders(photos):
    Image.new("L", (3, 2)).save(photos / "dogs" / "0.png")
    path = table(photos, [*rows(lambda name: name.split("/")[1]), "0.png,3,red"])
    with pytest.raises(ValueError, match="2 rows for '0.png', which 2 images are called"):
        load_data(photos, attribute_table=path)


def test_too_many_words_and_other_sources_are_refused(photos, monkeypatch):
    path = table(photos, rows())
    monkeypatch.setattr("reparam.data.tables.attribute_tables.MOST_WORDS", 2)
    with pytest.raises(ValueError, match="'hair' .* holds 3 different words; .*--drop hair"):
        load_data(photos, attribute_table=path)
    with pytest.raises(ValueError, match="attribute_table: does not apply to"):
        load_data("digits", attribute_table=path)
    with pytest.raises(ValueError, match="attribute_table: .*gone.csv cannot be read"):
        load_data(photos, attribute_table=photos / "gone.csv")


def test_the_column_that_names_most_images_is_taken_and_a_tie_refused(tmp_path):
    """Ranks and numbers of files are numbers both."""
    for i in range(1, 11):
        Image.new("L", (3, 3), i).save(tmp_path / f"{i}.png")
    path, head = tmp_path / "t.csv", "rank,id,val"
    path.write_text("\n".join([head, *(f"{i * 7 % 12},{i},{i * 100}" for i in range(1, 11))]))
    data = load_data(tmp_path, attribute_table=path, attributes="val")
    assert "The images are named in column 'id' of t.csv." in data.notes
    for split in data.splits.values():
        assert (split.attributes[:, 0] == 100 * split.x[:, 0, 0, 0].int()).all()
    path.write_text("\n".join([head, *(f"{11 - i},{i},{i * 100}" for i in range(1, 11))]))
    with pytest.raises(ValueError, match="the columns rank, id of .* could all name the images"):
        load_data(tmp_path, attribute_table=path, attributes="val")


@pytest.mark.parametrize(
    "header, way",
    [
        ("age, file, hair", '{age}, "{name}", {hair}'),
        ("sep=;\nage;file;hair", "{age};{name};{hair}"),
        ("age file hair", '{age} "{name}"   {hair}'),
    ],
)
def test_names_of_files_are_read_however_cells_are_written(photos, header, way):
    lines = [way.format(age=AGES[name], name=name, hair=HAIR[name]) for name in AGES]
    data = load_data(photos, attribute_table=table(photos, lines, header))
    assert data.attribute_names == ("age", "hair:brown", "hair:gray", "hair:red")
    for split in data.splits.values():
        assert [AGES[name] for name in split.files.names] == split.attributes[:, 0].tolist()


def test_names_that_are_guarded_from_spreadsheets_are_read(photos):
    name = next(iter(AGES))
    (photos / name).rename((photos / name).with_name("-a.png"))
    lines = [row.replace(name.split("/")[1], "'-a.png") for row in rows(lambda n: n.split("/")[1])]
    data = load_data(photos, attribute_table=table(photos, lines))
    ages = [age for split in data.splits.values() for age in split.attributes[:, 0].tolist()]
    assert sorted(ages) == sorted(AGES.values())


def test_a_test_split_that_is_no_folder(tmp_path):
    """The table is of the folder; files in a list have rows in it too, arrays bring their own."""
    (tmp_path / "faces").mkdir()
    for i in range(10):
        Image.new("L", (4, 4), 20 * i).save(tmp_path / "faces" / f"{i}.png")
    table = tmp_path / "ages.csv"
    table.write_text("file,age\n" + "".join(f"{i}.png,{30 + i}\n" for i in range(10)))
    folder, arrays = tmp_path / "faces", np.zeros((2, 4, 4), np.uint8)

    def attributes(test):
        found = load_data(folder, attribute_table=table, test=test).test.attributes
        return None if found is None else found.flatten().tolist()

    assert attributes([folder / "7.png", folder / "2.png"]) == [37, 32]
    assert attributes(arrays) is None
    assert attributes({"x": arrays, "attributes": np.array([[3.0], [4.0]])}) == [3, 4]
    data = load_data([folder / "3.png", *sorted(folder.iterdir())], attribute_table=table)
    assert sorted(float(a) for s in data.splits.values() for a in s.attributes) == [
        *range(30, 33), 33, *range(33, 40)
    ]  # fmt: skip


def beside(tmp_path, cells, delimiter="\t", **options):
    for i in range(len(cells)):
        Image.new("L", (3, 3), 50 * i).save(tmp_path / f"p{i}.png")
    path = tmp_path / "t.tsv"
    rows = [("file", "h"), *((f"p{i}.png", cell) for i, cell in enumerate(cells))]
    path.write_text("\n".join(delimiter.join(row) for row in rows))
    return load_data(tmp_path, attribute_table=path, **options)


def attributes_of(data):
    rows = {
        name: row.tolist()
        for split in data.splits.values()
        for name, row in zip(split.files.names, split.attributes, strict=True)
    }
    return [rows[name] for name in sorted(rows)]


@pytest.mark.parametrize(
    "cells, options, expected, note",
    [
        (["1.700", "1.650", "1.812"], {}, [1.7, 1.65, 1.812], "images are named"),
        (["1,700", "1,650", "1,812"], {}, [1.7, 1.65, 1.812], "Commas stand before decimals"),
        (["1,700", "1,650", "1,812"], {"decimal": "."}, [1700, 1650, 1812], "thousands .*: h"),
        (["5%", "6%", "7.5%"], {}, [5, 6, 7.5], "Signs are left out: % of h"),
        (["$5", "$6", "-$7"], {}, [5, 6, -7], r"Signs are left out: \$ of h"),
        (["True", "false", "TRUE"], {}, [1, 0, 1], "images are named"),
        ([str(2**53 + 1), "2", "3"], {}, [2**53, 2, 3], "Whole numbers beyond 2.53"),
    ],
)
def test_numbers_are_read_as_those_of_tables(tmp_path, cells, options, expected, note):
    data = beside(tmp_path, cells, **options)
    assert data.attribute_names == ("h",)
    assert np.allclose(attributes_of(data), np.array(expected)[:, None])
    assert any(re.search(note, said) for said in data.notes), data.notes
    assert load_data(**data.source).fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    "cells, classes",
    [(["01", "1", "10"], ("01", "1", "10")), (["1.0", "0.0", "1.0"], ("0", "1"))],
)
def test_labels_are_read_as_those_of_tables(tmp_path, cells, classes):
    assert beside(tmp_path, cells, label="h").class_names == classes
