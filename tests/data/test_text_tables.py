"""What text tables look like in the world: headers of numbers, indices, marks in numbers."""

import json
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from loading import CountedName, table

from reparam.data import DataRecord, load_data, load_rows, record_json
from reparam.data.contents import ReadOptions
from reparam.data.large_arrays import memory
from reparam.data.tables.csv_files import read_csv
from reparam.data.tables.table_columns import choose_columns
from reparam.data.tables.text_layout import text_layout

RNG = np.random.default_rng(0)


def all_rows(data):
    return sorted(torch.cat([split.x for split in data.splits.values()]).tolist())


def numbers(n, columns, form="{:.3f}"):
    return [",".join(form.format(v) for v in row) for row in RNG.random((n, columns))]


WAVELENGTHS = ["400.0,410.0,420.0,430.0", "399.1,401.7,402.2,404.5,409.1,412.3,413.9,420.2"]


@pytest.mark.parametrize("header", [*WAVELENGTHS, "0,1,2,3", "900,800,700"])
def test_a_header_of_numbers_is_no_row(header, tmp_path):
    rows = numbers(6, header.count(",") + 1)
    data = load_data(table(tmp_path, "\n".join([header, *rows])))
    assert data.columns == tuple(header.split(","))
    assert np.allclose(all_rows(data), sorted([float(v) for v in r.split(",")] for r in rows))
    assert any("--no-header" in note for note in data.notes)


@pytest.mark.parametrize(
    "rows",
    [
        numbers(6, 4),
        ["1,2,3", "4,5,6", "7,8,9", "10,11,13"],  # the first line is like the others
        ["1,2,3", "4,1,1", "5,5,2", "1,3,3"],  # answers to three questions
        ["2001,1.5", "2002,1.7", "2003,1.8"],
        [",".join(str(i * k) for i in range(9)) for k in (1, 2, 3, 5)],  # curves that rise
        ["0.1,0.2,0.3", "0.9,0.1,0.3", "0.4,0.2,0.1"],
        ["100,250,310,400", "1,2,3,1", "2,1,4,3", "4,2,1,2"],  # of another scale, of few
        ["1950,1980,2010", "1944,1999,2003", "1901,1902,1950"],  # years, as the others are
    ],
)
def test_rows_of_numbers_are_no_header(rows, tmp_path):
    data = load_data(table(tmp_path, "\n".join(rows)))
    assert data.columns == tuple(str(i) for i in range(rows[0].count(",") + 1))
    assert len(all_rows(data)) == len(rows)
    assert any("no header line" in note and "--header" in note for note in data.notes)


@pytest.mark.parametrize(
    "header, rows",
    [
        ("2001,2002,2003", ["5,7,6", "7,8,2", "2201,9,12"]),
        ("country,2001,2002", ["F,5,6", "G,2001,8", "H,5000000,12"]),
        ("country,2010,2005,2000", ["F,5,6,1", "G,7,,8", "H,9,11,12"]),
    ],
)
def test_years_are_a_header(header, rows, tmp_path):
    contents = text_layout(table(tmp_path, "\n".join([header, *rows])), ReadOptions())
    assert contents.named and contents.names == tuple(header.split(","))


@pytest.mark.parametrize("asked", [{"label": "species"}, {"drop": "species"}])
def test_a_header_of_numbers_beside_text(asked, tmp_path):
    """Also where only the name that is asked for says that there is a header."""
    for header in ("species,400.0,410.0,420.0", "species,0.4,0.2,0.1"):
        rows = [f"{'uv'[i % 2]},{row}" for i, row in enumerate(numbers(6, 3))]
        data = load_data(table(tmp_path, "\n".join([header, *rows])), **asked)
        assert data.columns == tuple(header.split(",")[1:]) and len(all_rows(data)) == 6
    rows = [f"{'uv'[i % 2]},{row}" for i, row in enumerate(numbers(6, 3))]
    with pytest.raises(ValueError, match="label: .*no header line was found: .*no column 'sort'"):
        load_data(table(tmp_path, "\n".join(rows)), label="sort")
    assert load_data(tmp_path / "t.csv", label=0).class_names == ("u", "v")


def test_whether_there_is_a_header_may_be_said(tmp_path):
    path = table(tmp_path, "\n".join(["1.5,2.5", *numbers(6, 2)]))
    data = load_data(path, header=True)
    assert data.columns == ("1.5", "2.5") and len(all_rows(data)) == 6
    assert data.source["header"] is True and load_data(**data.source).columns == data.columns
    path = table(tmp_path, "\n".join([WAVELENGTHS[0], *numbers(6, 4)]))
    data = load_data(path, header=False)
    assert data.columns == ("0", "1", "2", "3") and len(all_rows(data)) == 7
    assert len(load_rows(path, data)) == 7
    with pytest.raises(ValueError, match="header: does not apply to .parquet files"):
        pd.DataFrame(RNG.random((5, 2))).to_parquet(tmp_path / "t.parquet")
        load_data(tmp_path / "t.parquet", header=True)


def frame_of(index):
    return pd.DataFrame(RNG.random((6, 3)), columns=[*"abc"], index=index)


@pytest.mark.parametrize(
    "index", [range(6), range(1, 7), [5, 1, 3, 0, 9, 7], [0, 1, 2] * 2, [*"uvwxyz"]]
)
def test_a_nameless_first_column_is_the_index(index, tmp_path):
    frame = frame_of(index)
    frame.to_csv(tmp_path / "t.csv")
    data = load_data(tmp_path / "t.csv")
    assert data.columns == ("a", "b", "c") and data.train.x.shape[1] == 3
    assert any(note.startswith("Left out: the first column") for note in data.notes)
    again = pd.read_csv(tmp_path / "t.csv")
    assert again.columns[0] == "Unnamed: 0" and load_data(again).columns == ("a", "b", "c")
    rows = load_rows(tmp_path / "t.csv", data).x
    assert np.allclose(rows, frame.to_numpy())
    frame.to_csv(tmp_path / "t.csv", index_label=False)  # nothing above the index, as R does
    if list(index) == [*range(1, 7)] or index[0] == "u":
        assert load_data(tmp_path / "t.csv").columns == ("a", "b", "c")


def test_an_index_above_columns_without_names(tmp_path):
    for names in ([0], [0, 1], [0, 1, 2], [400.0, 407.3], [3.5, 1.5]):
        pd.DataFrame(RNG.random((6, len(names))), columns=names).to_csv(tmp_path / "t.csv")
        data = load_data(tmp_path / "t.csv")
        assert data.columns == tuple(map(str, names)) and len(all_rows(data)) == 6


def test_a_nameless_column_of_quantities_stays(tmp_path):
    frame = frame_of(RNG.random(6))
    frame.to_csv(tmp_path / "t.csv")
    assert load_data(tmp_path / "t.csv").columns == ("", "a", "b", "c")
    frame_of(range(6)).to_csv(tmp_path / "t.csv")
    assert load_data(tmp_path / "t.csv", attributes="").attribute_names == ("",)


@pytest.mark.parametrize(
    "text, expected, note",
    [
        ("a;b\n1,5;2\n-2,5;3e2\n0,1;7\n", [[-2.5, 300], [0.1, 7], [1.5, 2]], "Commas stand"),
        ("1,5;2,25\n2,5;3,25\n0,1;7\n", [[0.1, 7], [1.5, 2.25], [2.5, 3.25]], "Commas stand"),
        ("a;b\n1.234,5;1\n2.000;2\n7;3\n", [[7, 3], [1234.5, 1], [2000, 2]], "Commas stand"),
        ("a;b\n" + "1;2\n" * 60 + "1,5;7\n", [*[[1, 2]] * 60, [1.5, 7]], "Commas stand"),
        ("a;b\n1,234;1\n2,5;2\n7;3\n", [[1.234, 1], [2.5, 2], [7, 3]], "Commas stand"),
        (
            'a,b\n"1,234",1\n"1,001,234.5",2\n7,3\n',
            [[7, 3], [1234, 1], [1001234.5, 2]],
            "thousands",
        ),
        ("a\tb\n1'234\t1\n2 000\t2\n7\t3\n", [[7, 3], [1234, 1], [2000, 2]], "thousands.*: a"),
        ("a,b\n1.5,True\n2,False\n3,true\n", [[1.5, 1], [2, 0], [3, 1]], "True and False.*: b"),
        ("a,b\n" + "1.5,1\n2,0\n" * 40 + "3,TRUE\n", None, None),
        ("# by me, 2020\n# x\na,b\n1,2\n# mid\n3,4\n5,6\n#\n", [[1, 2], [3, 4], [5, 6]], "comment"),
        ("# a, b\n1.5,2\n3,4\n5,6\n", [[1.5, 2], [3, 4], [5, 6]], "first line"),
        ("#,b\n1.5,2\n3,4\n5,6\n", [[1.5, 2], [3, 4], [5, 6]], "first line"),
        ("sep=;\na;b\n1,5;2\n2,5;3\n3;4\n", [[1.5, 2], [2.5, 3], [3, 4]], "Commas stand"),
        ("a,b,,\n1,2,,\n3,4,,\n5,6,,\n", [[1, 2], [3, 4], [5, 6]], "Left out: 2 columns"),
        ("#ids\n1.5\n3\n5\n", [[1.5], [3], [5]], "first line"),
        ("a,b\n1,2\n# me, 2020\n3,4\n5,6\n", [[1, 2], [3, 4], [5, 6]], "comment"),
        ("#a, 1\na,b\n1,2\n3,4\n#x,7\n5,6\n", [[1, 2], [3, 4], [5, 6]], "comment"),
        (
            "a,b\n1%,$5\n2.5 %,-$6\n7%,$8\n",
            [[1, 5], [2.5, -6], [7, 8]],
            "Signs .*: % of a, \\$ of b",
        ),
        (
            "a;b\n1,5%;2€\n2,5%;3,5 €\n7%;8€\n",
            [[1.5, 2], [2.5, 3.5], [7, 8]],
            "Signs .*: % of a, € of b",
        ),
        ("a b\n573.629 2\n1.234 3\n7.5 4\n", [[1.234, 3], [7.5, 4], [573.629, 2]], "first line"),
        ("a b\n573.629 2\n1.234 3\n7 4\n", [[1.234, 3], [7, 4], [573.629, 2]], "first line"),
        ("a|b\n573.629|2\n1.234|3\n7|4\n", [[1.234, 3], [7, 4], [573.629, 2]], "first line"),
        ("a\tb\n573.629\t2\n1.234\t3\n7\t4\n", [[1.234, 3], [7, 4], [573.629, 2]], "first"),
        ("a,b\n\u22121,2\n3,\u22124\n5,6\n", [[-1, 2], [3, -4], [5, 6]], "first line"),
    ],
)
def test_marks_of_numbers(text, expected, note, tmp_path):
    path = table(tmp_path, text)
    if expected is None:
        with pytest.raises(ValueError, match=r"line \d+, column 'b' holds text"):
            load_data(path)
        return
    data = load_data(path)
    assert np.allclose(all_rows(data), sorted(expected))
    assert any(re.search(note, said) for said in data.notes), data.notes


def test_labels_that_are_whole_or_true(tmp_path):
    rows = "".join(f"{i / 7},{i % 2:.1f},{i % 3 > 0}\n" for i in range(12))
    path = table(tmp_path, "x,y,t\n" + rows)
    data = load_data(path, label="y", drop="t")
    assert data.class_names == ("0", "1")
    assert "Labels that are whole numbers, as 1.0, became integers." in data.notes
    frame = pd.read_csv(path)
    assert load_data(frame, label="y", drop="t").class_names == ("0", "1")
    for source in (path, frame):  # the same classes by either door
        assert load_data(source, label="t", drop="y").class_names == ("False", "True")


def test_a_quantity_as_label_has_remedies_that_work(tmp_path):
    path = table(tmp_path, "x,y\n" + "".join(f"{i / 7},{i / 3}\n" for i in range(12)))
    with pytest.raises(ValueError, match="labels of float64 .*--drop.*--attribute") as raised:
        load_data(path, label="y")
    assert "astype" not in str(raised.value)
    assert load_data(path, attributes="y").attribute_names == ("y",)


def test_decimal_numbers_of_python(tmp_path):
    frame = pd.DataFrame(
        {"a": [Decimal(f"{i}.25") for i in range(6)], "y": [Decimal(i % 2) for i in range(6)]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    for source in (frame, tmp_path / "t.parquet"):
        data = load_data(source, label="y")
        assert all_rows(data) == [[i + 0.25] for i in range(6)] and data.class_names == ("0", "1")


PIXELS = RNG.integers(0, 256, (9, 28 * 28))


@pytest.fixture
def pixels(tmp_path):
    frame = pd.DataFrame(PIXELS, columns=[f"pixel{i}" for i in range(28 * 28)])
    frame.insert(0, "label", np.arange(9) % 3)
    frame.to_csv(tmp_path / "digits.csv", index=False)
    return tmp_path / "digits.csv"


def test_pixels_of_a_table_are_images(pixels):
    data = load_data(pixels, label="label", shape=(28, 28))
    assert (data.space.shape, data.space.kind, data.space.levels) == ((1, 28, 28), "levels", 256)
    images = {tuple(x.flatten().tolist()) for split in data.splits.values() for x in split.x}
    assert images == set(map(tuple, PIXELS.tolist()))
    assert load_data(**data.source).fingerprint() == data.fingerprint()
    record = DataRecord.from_json(json.loads(json.dumps(record_json(data))), data.space)
    for source in (pixels, PIXELS):  # also beside its label, and without names
        assert torch.equal(load_rows(source, record).x.flatten(1).long(), torch.tensor(PIXELS))
    for asked in ({"label": "label"}, {}):
        vectors = load_data(pixels, **asked)
        assert any("shape=(28, 28) (--shape 28x28)" in note for note in vectors.notes)
    names = [f"c{i}" for i in range(63)]  # no square
    assert not any(
        "--shape" in note
        for note in load_data(pd.DataFrame(RNG.random((5, 63)), columns=names)).notes
    )


def test_shapes_that_do_not_fit(pixels, tmp_path):
    with pytest.raises(ValueError, match="shape: .*digits.csv: train has rows of .784,.; .* = 756"):
        load_data(pixels, label="label", shape=(28, 27))
    with pytest.raises(ValueError, match="shape: does not apply to the named set 'digits'"):
        load_data("digits", shape=(8, 8))
    with pytest.raises(ValueError, match="shape: expected .H, W."):
        load_data(pixels, label="label", shape=(784,))
    x = RNG.random((9, 12)).astype(np.float32)
    data = load_data(x, shape=(2, 2, 3))
    assert data.space.shape == (3, 2, 2) and data.space.kind == "real"
    record = DataRecord.from_json(json.loads(json.dumps(record_json(data))), data.space)
    for like in (data, record):
        rows = load_rows(x, like).x
        assert np.array_equal(rows.movedim(1, 3).flatten(1), x)


@pytest.mark.parametrize(
    "cells, message",
    [
        ([1, 2, "n/a", 4], r"row 2, column 'a' is missing \('n/a'\).*--drop a"),
        ([1, 2.5, None, "x"], r"row 3, column 'a' holds text \('x'\).*--drop a"),
        (["1", "2", "n/a", "4"], r"row 2, column 'a' is missing \('n/a'\).*--drop a"),
        (["1,5", "2,5", "x", "4"], r"row 2, column 'a' holds text \('x'\).*--drop a"),
    ],
)
def test_a_column_of_numbers_and_words(cells, message):
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=object), "b": [0.5, 1.5, 3, 4]})
    with pytest.raises(ValueError, match=f"DataFrame: {message}"):
        load_data(frame, kind="real")


def test_numbers_that_a_frame_holds_as_text_are_read(tmp_path):
    text = ["1,5", "2", "1.234,5", "-4"]
    frame = pd.DataFrame({"a": text, "b": ["1", "2", "3e0", "4"], "c": ["True", "False"] * 2})
    frame.to_parquet(tmp_path / "t.parquet")
    for source in (frame, tmp_path / "t.parquet"):
        data = load_data(source)
        assert all_rows(data) == [[-4, 4, 0], [1.5, 1, 1], [2, 2, 0], [1234.5, 3, 1]]
        assert "Text that is read as numbers: a, b, c." in data.notes


def test_names_of_many_columns_are_not_compared_with_each_other():
    """20 000 names took 7 s to find each other."""
    before = CountedName.compared
    names = [f"c{i}" for i in range(2000)]
    asked = tuple(map(CountedName, names[::2]))
    given = list(map(CountedName, names))
    assert choose_columns(given, ReadOptions(columns=asked), "t") == asked
    assert len(choose_columns(given, ReadOptions(drop=asked), "t")) == 1000
    assert CountedName.compared - before < 20 * len(names)


def test_a_table_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    path = table(tmp_path, "a,b,y\n" + "1,2,u\n3,4,v\n" * 500)
    monkeypatch.setattr("reparam.data.tables.csv_files.memory", lambda: 15_000)
    monkeypatch.setattr("reparam.data.large_arrays.memory", lambda: 15_000)
    with pytest.raises(ValueError, match="t.csv: would take .* of memory"):
        load_data(path, label="y")
    assert load_data(path, drop=["b", "y"]).space.shape == (1,)  # what is not read needs no memory


def test_few_words_that_fill_many_rows_are_read_once(tmp_path):
    words = ["u" * 200_000, "v" * 200_000]
    y = [words[i % 2] for i in range(500)]
    frame = pd.DataFrame({"a": RNG.random(500), "y": y})
    frame.to_parquet(tmp_path / "t.parquet")  # of a few kilobytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reparam.data.large_arrays.memory", lambda: 10**8)
        with pytest.raises(ValueError, match="labels: would take 0.4 GB of memory"):
            load_data(tmp_path / "t.parquet", label="y")


def test_the_limit_is_that_of_the_container(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("reparam.data.large_arrays.LIMITS", (str(tmp_path / "absent"), str(limit)))
    limit.write_text("max\n")
    whole = memory()
    limit.write_text("1000000\n")
    assert memory() == 1_000_000 < whole


@pytest.mark.parametrize(
    "text, columns",
    [
        ("a;b\n1.000;2,5\n2.000;3,5\n3.000;1,5", ([1000, 2000, 3000], [2.5, 3.5, 1.5])),
        ("a;b\n1.234;0,5\n999;0,7\n7;1,5", ([1234, 999, 7], [0.5, 0.7, 1.5])),
        ("a,b\n1.234,x\n2.345,y\n3.456,x", ([1.234, 2.345, 3.456], None)),
        ('a,b\n"0,123",1\n"0,456",2\n"0,789",3', ([0.123, 0.456, 0.789], [1, 2, 3])),
    ],
)
def test_marks_are_those_of_the_whole_table(tmp_path, text, columns):
    """A point before three digits is between thousands where other cells have decimal commas."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    label = "b" if columns[1] is None else None
    contents = read_csv(path, ReadOptions(label=label))
    expected = np.array([column for column in columns if column is not None]).T
    assert np.array_equal(contents.splits["train"].x, expected)


def test_labels_that_are_codes_keep_their_zeros(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n1,2,01\n3,4,1\n5,7,10")
    labels = read_csv(path, ReadOptions(label="y")).splits["train"].labels
    assert labels.tolist() == ["01", "1", "10"]


@pytest.mark.parametrize(
    "text, columns",
    [
        ('a, b\n1, "2"\n3, "4"\n5, 6\n', ("a", "b")),
        ("a,b\n1,2\n   \n3,4\n5,6\n \t \n", ("a", "b")),
        ('"a","b"\n"5",1,2\n"12",3,4\n"7",5,6\n', ("a", "b")),  # what R keeps of more rows
        ('"a" "b"\n"x y" 1 2\n"5" 3 4\n"z" 5 6\n', ("a", "b")),
        ("a,b\n1,2,\n3,4,\n5,6,\n", ("a", "b")),
        ("a,b\n1,2\n,\n3,4\n5,6\n,\n,\n", ("a", "b")),  # what Excel leaves of cells
        ("$1,$2\n$3,$4\n$5,$6\n", ("0", "1")),
        ("a|b\n1|2\n3|4\n5|6\n", ("a", "b")),
        ("a b\n1 2\n3 4\n5 6\n", ("a", "b")),
        ("  1    2\n  3 4 \n  5   6\n", ("0", "1")),
        ("sep=;\na;b\n1;2\n3;4\n5;6\n", ("a", "b")),
        ('"sep=|"\r\na|b\r\n1|2\r\n3|4\r\n5|6\r\n', ("a", "b")),
        ("sep=,\n1,2\n3,4\n5,6\n", ("0", "1")),
        ("SEP=\t\n\n1\t2\n3\t4\n5\t6\n", ("0", "1")),
        ("sep=:\na:b\n1:2\n3:4\n5:6\n", ("a", "b")),
    ],
)
def test_ways_to_separate_cells(tmp_path, text, columns):
    data = load_data(table(tmp_path, text))
    assert data.columns == columns and all_rows(data) == [[1, 2], [3, 4], [5, 6]]
    assert not any("comment" in note for note in data.notes)


def test_spaces_before_quotes_are_no_part_of_a_class(tmp_path):
    path = table(tmp_path, 'a, y\n1, "u, or so"\n2, "v"\n3, v\n')
    assert load_data(path, label="y").class_names == ("u, or so", "v")


@pytest.mark.parametrize("text", ["n\n1 234\n5 678\n7 890\n", "1 234\n5 678\n7 890\n"])
def test_spaces_between_thousands_separate_no_cells(tmp_path, text):
    assert all_rows(load_data(table(tmp_path, text))) == [[1234], [5678], [7890]]


def test_rows_that_begin_with_a_name_that_has_a_hash_are_rows(tmp_path):
    path = table(tmp_path, "y,a\n#u,1\nv,2\n#u,3\n#, by me, 2020\nv,4\n")
    data = load_data(path, label="y")
    assert data.class_names == ("#u", "v") and all_rows(data) == [[1], [2], [3], [4]]


@pytest.mark.parametrize("cells", [["5%", "0.05", "1%"], ["$5", "€6", "$7"], ["5%%", "6%%", "1%%"]])
def test_signs_that_differ_are_text(tmp_path, cells):
    with pytest.raises(ValueError, match="column 'a' holds text"):
        load_data(table(tmp_path, "a\n" + "\n".join(cells)))


def test_labels_that_are_codes_are_no_quantities(tmp_path):
    rows = "".join(f"{i},{('1.1', '1.10', '2.0')[i % 3]}\n" for i in range(9))
    assert load_data(table(tmp_path, "a,y\n" + rows), label="y").class_names == (
        "1.1",
        "1.10",
        "2.0",
    )
    versions = table(tmp_path, "a,y\n" + "1,1.1\n2,1.2\n" * 4)
    with pytest.raises(ValueError, match=r"codes such as versions need a letter \(v1.1\)"):
        load_data(versions, label="y")


@pytest.mark.parametrize("word", ["none", "NA"])
def test_a_class_that_reads_as_missing_is_shown(tmp_path, word):
    text = f"a,y\n1,u\n2,{word}\n3,u\n4,{word}\n"
    message = f"line 3 has no label in column 'y', as '{word}' says .*another name .'{word}_'"
    with pytest.raises(ValueError, match=message):
        load_data(table(tmp_path, text), label="y")
    path = table(tmp_path, text.replace(word, f"{word}_"))
    assert load_data(path, label="y").class_names == tuple(sorted(["u", f"{word}_"]))


def test_whole_numbers_that_lose_digits_are_noted(tmp_path):
    note = (
        "Whole numbers beyond 2^53 lost their last digits: a; leave identifiers out (drop, --drop)."
    )
    for value, lost in ((2**53 + 1, True), (2**53 + 2, False)):
        frame = pd.DataFrame({"a": [value, 2, 3], "b": [0.5, 1, 2]})
        frame.to_csv(tmp_path / "t.csv", index=False)
        frame.to_parquet(tmp_path / "t.parquet")
        decimals = frame.assign(a=[Decimal(value), Decimal(2), None])
        for source in (frame, decimals, tmp_path / "t.csv", tmp_path / "t.parquet"):
            assert (note in load_data(source).notes) == lost
            assert note not in load_data(source, drop="a").notes
        for array in (np.array([[value], [2], [3]]), np.array([[value], [2], [2**63]], np.uint64)):
            assert (note.partition(":")[0] + "." in load_data(array).notes) == lost


def test_a_nameless_first_column_has_the_name_that_pandas_gives(tmp_path):
    frame = frame_of(RNG.random(6))
    frame.to_csv(tmp_path / "t.csv")
    assert load_data(tmp_path / "t.csv", drop="Unnamed: 0").columns == ("a", "b", "c")
    data = load_data(tmp_path / "t.csv", attributes="Unnamed: 0")
    assert data.attribute_names == ("Unnamed: 0",)
    assert len(load_rows(tmp_path / "t.csv", data).attributes) == 6


def test_pixels_whose_channels_come_last_keep_the_names_of_their_columns(tmp_path):
    names = [f"p{i}" for i in range(12)]
    frame = pd.DataFrame(RNG.integers(0, 256, (9, 12)), columns=names).assign(y=list("uvw" * 3))
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load_data(tmp_path / "t.csv", label="y", shape=(2, 2, 3))
    assert data.columns == tuple(names) and data.space.shape == (3, 2, 2)
    record = DataRecord.from_json(json.loads(json.dumps(record_json(data))), data.space)
    new = frame[[*reversed(names), "y"]]  # beside others, and in another order
    x = frame[names].to_numpy().reshape(9, 2, 2, 3)
    for like in (data, record):
        assert np.array_equal(load_rows(new, like).x.movedim(1, 3), x)
