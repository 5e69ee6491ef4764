"""Tables: DataFrames, Parquet and text, with the column and line of everything wrong in them."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from loading import table
from pyarrow import parquet

from reparam.data import load_data
from reparam.data.tables import csv_files, text_layout
from reparam.data.tables.text_layout import Layout

N = 12
FRAME = pd.DataFrame(
    {
        "age": np.arange(N) + 20,
        "height": np.linspace(1.5, 2.0, N),
        "smokes": [True, False, False] * 4,
        "city": ["Bern", "Chur", "Bern", "Genf"] * 3,
    }
)
NUMBERS = FRAME[["age", "height", "smokes"]].to_numpy(float)


def stored(frame, form, folder):
    """A frame as a source of the given form."""
    if form == "frame":
        return frame
    path = folder / f"people.{form}"
    if form == "parquet":
        frame.to_parquet(path)
    else:
        # Booleans as a text table has them: 0 and 1.
        frame.replace({True: 1, False: 0}).infer_objects().to_csv(path, index=False)
    return path


FORMS = pytest.mark.parametrize("form", ["frame", "parquet", "csv"])


@FORMS
def test_columns_and_labels(form, tmp_path):
    source = stored(FRAME, form, tmp_path)
    data = load_data(source, label="city")
    assert data.columns == ("age", "height", "smokes")
    assert data.class_names == ("Bern", "Chur", "Genf")
    cities = dict(zip(NUMBERS[:, 0], FRAME["city"], strict=True))
    for split in data.splits.values():
        for row, label in zip(split.x.numpy(), split.labels, strict=True):
            expected = NUMBERS[int(row[0]) - 20]
            assert row.tolist() == pytest.approx(expected.tolist(), rel=1e-6)
            assert data.class_names[label] == cities[row[0]]


@FORMS
def test_dropped_columns_are_noted(form, tmp_path):
    data = load_data(stored(FRAME, form, tmp_path), drop=("city", "age"))
    assert data.columns == ("height", "smokes") and data.train.labels is None
    assert "Left out as asked: city, age." in data.notes


@FORMS
def test_text_is_refused_where_all_is_of_one_kind(form, tmp_path):
    with pytest.raises(
        ValueError, match=r"column 'city' holds .*'Bern'.*drop=\['city'\] \(--drop city\)"
    ):
        load_data(stored(FRAME, form, tmp_path), kind="real")


@FORMS
@pytest.mark.parametrize("column", ["age", "height"])
def test_missing_cell_is_refused_with_its_place(form, column, tmp_path):
    frame = FRAME.drop(columns="city").astype({"age": "Int64"})
    frame.loc[7, column] = None
    place = "line 9" if form == "csv" else "row 7"
    with pytest.raises(
        ValueError, match=rf"{place}, column '{column}' is missing.*drop=.*--drop {column}"
    ):
        load_data(stored(frame, form, tmp_path), kind="real")
    data = load_data(stored(frame, form, tmp_path))
    missing = torch.cat([split.x.isnan() for split in data.splits.values()]).sum(0)
    assert missing.tolist() == [int(column == name) for name in data.columns]


@FORMS
def test_missing_label_is_refused(form, tmp_path):
    frame = FRAME.copy()
    frame.loc[3, "city"] = None
    with pytest.raises(ValueError, match=r"(row 3|line 5).*'city'"):
        load_data(stored(frame, form, tmp_path), label="city")


@FORMS
def test_unknown_column_suggests_the_nearest(form, tmp_path):
    source = stored(FRAME, form, tmp_path)
    with pytest.raises(ValueError, match="label: .* has no column 'citty'; there is 'city'"):
        load_data(source, label="citty")
    with pytest.raises(ValueError, match="drop: .* has no column 'hight'; there is 'height'"):
        load_data(source, drop="hight")
    with pytest.raises(ValueError, match="no columns are left"):
        load_data(source, label="city", drop=["age", "height", "smokes"])


@FORMS
def test_table_of_zeros_and_ones_is_binary(form, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 2, (20, 3)), columns=list("abc"))
    data = load_data(stored(frame, form, tmp_path))
    assert data.space.kind == "binary" and data.train.x.dtype == torch.uint8


@FORMS
def test_levels_overrule(form, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 9, (20, 3)), columns=list("abc"))
    data = load_data(stored(frame, form, tmp_path), levels=9)
    assert (data.space.kind, data.space.levels) == ("levels", 9)


@FORMS
def test_test_table_is_reordered_and_checked(form, tmp_path):
    (tmp_path / "test").mkdir()
    source = stored(FRAME.drop(columns="city"), form, tmp_path)
    other = stored(FRAME[["smokes", "age", "height"]][:4], form, tmp_path / "test")
    data = load_data(source, test=other)
    assert data.test.x.numpy() == pytest.approx(NUMBERS[:4], rel=1e-6)
    other = stored(FRAME[["age", "height"]], form, tmp_path / "test")
    with pytest.raises(ValueError, match="has no column 'smokes'"):
        load_data(source, test=other)
    with pytest.raises(ValueError, match="has named columns; give both or none"):
        load_data(source, test=NUMBERS)


def test_not_finite_names_the_column():
    frame = FRAME.drop(columns="city")
    frame.loc[5, "height"] = np.inf
    with pytest.raises(ValueError, match="DataFrame: train row 5, column 'height' is inf"):
        load_data(frame)


def test_repeated_column_names_are_refused():
    frame = pd.DataFrame(np.eye(4), columns=["a", "b", "a", "c"])
    with pytest.raises(ValueError, match="'a' repeats"):
        load_data(frame)


def test_dates_are_refused():
    frame = FRAME.assign(born=pd.Timestamp("2000-01-01"))
    with pytest.raises(ValueError, match="column 'born' holds dates .'2000-01-01 00:00:00'"):
        load_data(frame, label="city")
    with pytest.raises(ValueError, match="column 'born' holds dates .'1.2.2000'"):
        load_data(FRAME.assign(born=["1.2.2000", "3.4.2001"] * (N // 2)))


def test_labels_beside_a_frame():
    data = load_data(FRAME[["age"]], label=FRAME["city"])
    assert data.class_names == ("Bern", "Chur", "Genf") and data.columns == ("age",)


def test_parquet_row_numbers_are_no_column(tmp_path):
    FRAME[FRAME["age"] % 2 == 0].to_parquet(tmp_path / "even.parquet")
    assert load_data(tmp_path / "even.parquet", drop="city").columns == ("age", "height", "smokes")


def test_broken_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ValueError, match="a.parquet: cannot be read as Parquet"):
        load_data(tmp_path / "a.parquet")


ROWS = "1,2.5\n3,4.5\n5,6.5\n7,8.5\n"
VALUES = [[1, 2.5], [3, 4.5], [5, 6.5], [7, 8.5]]


@pytest.mark.parametrize(
    "text, columns",
    [
        ("a,b\n" + ROWS, ("a", "b")),
        (ROWS, ("0", "1")),
        ("\ufeffa,b\n" + ROWS, ("a", "b")),
        ("a;b\n" + ROWS.replace(",", ";"), ("a", "b")),
        ("a\tb\n" + ROWS.replace(",", "\t"), ("a", "b")),
        ("a,b\r\n" + ROWS.replace("\n", "\r\n"), ("a", "b")),
        ('"a, really","b"\n' + ROWS.replace("3,", '"3",'), ("a, really", "b")),
        ('"a\nlong","b"\n' + ROWS, ("a\nlong", "b")),
        ("\na,b\n\n" + ROWS + "\n", ("a", "b")),
        ("a, b\n" + ROWS.replace(",", ", "), ("a", "b")),
        ("#a,b\n" + ROWS, ("a", "b")),
    ],
)
def test_ways_to_write_a_text_table(tmp_path, text, columns):
    data = load_data(table(tmp_path, text))
    assert data.columns == columns
    rows = torch.cat([split.x for split in data.splits.values()]).tolist()
    assert sorted(rows) == VALUES and data.train.x.dtype == torch.float32


@pytest.mark.parametrize(
    "text, label, names",
    [
        ("1,2,yes\n3,4,no\n5,7,yes\n", "2", ("no", "yes")),
        ("1,2,yes\n3,4,no\n5,7,yes\n", 2, ("no", "yes")),
        ("0,1,y\n1,2,8\n3,4,9\n5,7,9\n", "y", ("8", "9")),
        ("0,1,y\n1,2,u\n3,4,v\n5,7,v\n", "y", ("u", "v")),
        ('a,b,y\n1,2,"u, or so"\n3,4,v\n5,7,v\n', "y", ("u, or so", "v")),
    ],
)
def test_labels_of_text_tables(tmp_path, text, label, names):
    data = load_data(table(tmp_path, text), label=label)
    rows = torch.cat([split.x for split in data.splits.values()])
    labels = torch.cat([split.labels for split in data.splits.values()])
    assert data.class_names == names
    ordered = [names[i] for i in labels[rows[:, 0].argsort()]]
    assert ordered == [line.split(",", 2)[2].strip('"') for line in text.strip().split("\n")][-3:]


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("a,b\n1,2\n3,oops\n5,6\n", {}, r"t.csv: line 3, column 'b' holds text \('oops'\)"),
        ("1,oops\n3,4\n5,6\n", {}, "line 1, column '1' holds text"),
        (
            "a,b,c,d\n1,x,na,y z\n3,u,5,v\n",
            {"kind": "real"},
            r"column 'b' holds text \('x'\); leave the 2 columns without numbers out with "
            r"drop=\['b', 'd'\] \(--drop b --drop d\)",
        ),
        ("a,b\n1,2\n3,\n5,6\n", {"kind": "real"}, "line 3, column 'b' is missing"),
        ("a,b\n1,2\n3,NaN\n5,6\n", {"kind": "real"}, r"line 3, column 'b' is missing \('NaN'\)"),
        ("1,NA\n3,4\n5,6\n", {"kind": "real"}, "line 1, column '1' is missing"),
        ("a,b\n1,2\n3\n5,6\n", {}, "line 3 has 1 cells, expected 2"),
        ("a,b\n1,2,9\n1,4,9\n5,6,9\n", {}, "line 2 has 3 cells, expected 2"),
        ("a,b\n1,2\n3,4,9\n5,6\n", {"drop": "b"}, "line 3 has 3 cells, expected 2"),
        ("a,y\n1,u\n3,\n5,v\n", {"label": "y"}, "line 3 has no label in column 'y'"),
        ("a,y\n1,0.5\n3,1.5\n5,2.5\n", {"label": "y"}, "labels of float64 .*--attribute"),
        ("a,b\n1,2\n3,1_000\n5,6\n", {}, r"line 3, column 'b' holds text \('1_000'\)"),
        ("a,b\n1,2\n0x10,4\n5,6\n", {}, r"line 3, column 'a' holds text \('0x10'\)"),
        ('a,b\n1,2\n" NA",4\n5,6\n', {"kind": "real"}, r"line 3, column 'a' is missing \('NA'\)"),
        (
            "a,b\n1,2\n3,nAn\n5,?\n",
            {"kind": "real"},
            r"line 3, column 'b' is missing \('nAn'\) \(and 1 more",
        ),
        ('"a\nb",c\n1,"2"\n\n3,\n5,6\n', {"kind": "real"}, "line 5, column 'c' is missing"),
        ("a,y\n1,u\n3,None \n5,v\n", {"label": "y"}, "line 3 has no label in column 'y'"),
        ("a;b\n1,5;2.5\n3,5;4.5\n", {}, r"line 2, column 'a' holds text \('1,5'\)"),
        ("a,b\n1,2\n3,inf\n5,6\n", {}, "train row 1, column 'b' is inf"),
        ('a,b\n" 1",inf\n2,3\n4,5\n', {}, "train row 0, column 'b' is inf"),
        ("a,b\n1,2\n3,1e60\n5,6\n", {}, r"column 'b' is 1e\+60: too large for float32"),
        ("a,b\n", {}, "t.csv: has no rows"),
        ("", {}, "t.csv: has no rows"),
        ("\n\n", {}, "t.csv: has no rows"),
        ("a,b\n1,2\n", {}, "t.csv: expected at least 3 rows"),
        ("a,a\n1,2\n", {}, "'a' repeats"),
    ],
)
def test_broken_text_tables(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=message):
        load_data(table(tmp_path, text), **options)


def test_numbers_that_are_written_oddly_are_read(tmp_path):
    """A column that the parser does not take as numbers is read cell by cell."""
    odd = 'a,b,y\n" 1 ",0.1,u\n+2,1E-3,v\n"3",.5,u\n٤,-1.7e+9,"w\nx"\n'
    data = load_data(table(tmp_path, odd), label="y")
    rows = torch.cat([split.x for split in data.splits.values()])
    expected = [[1, 0.1], [2, 1e-3], [3, 0.5], [4, -1.7e9]]
    assert rows[rows[:, 0].argsort()].numpy() == pytest.approx(np.array(expected))
    assert data.class_names == ("u", "v", "w\nx")


def test_a_sound_file_is_parsed_once(tmp_path, monkeypatch):
    parsed, as_types = [], csv_files._as_types
    monkeypatch.setattr(csv_files, "_as_types", lambda *a: parsed.append(1) or as_types(*a))
    monkeypatch.setattr(Layout, "rows", lambda *_: pytest.fail("it looks for lines"))
    path = table(tmp_path, "a,b,y\n1,2.5,u\n3,4.5,v\n5,6.5,u\n")
    load_data(path, label="y", drop="b")
    assert parsed == [1]


def test_a_row_may_be_longer_than_what_is_parsed_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(text_layout, "BLOCK", 64)
    rows = "".join(f"{i},{i / 7!r}\n" for i in range(40))
    path = table(tmp_path, "a,b\n1,2\n" + rows + f"7,{'1' * 9000}e-8999\n")
    x = torch.cat([split.x for split in load_data(path).splits.values()])
    assert len(x) == 42 and x[:, 1].max() == pytest.approx(39 / 7)


def test_a_line_may_end_within_a_cell_wherever_a_block_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(text_layout, "BLOCK", 64)
    rows = (f'{i},"' + "u\n" * (i % 9) + '"\n' for i in range(1, 90))
    path = table(tmp_path, "a,y\n" + "".join(rows))
    looked, as_types = [], csv_files._as_types
    monkeypatch.setattr(csv_files, "_as_types", lambda *a: looked.append(1) or as_types(*a))
    with pytest.raises(ValueError, match="t.csv: line 46 has no label in column 'y'"):
        load_data(path, label="y")
    assert looked == [1]


def test_columns_of_a_frame_may_be_of_any_type_of_numbers():
    frame = pd.DataFrame(
        {
            "category": pd.Series([3, 1, 2, 1] * 3, dtype="category"),
            "nullable": pd.array(range(N), dtype="Int64"),
            "object": pd.Series(range(N), dtype=object) / 4,
            "small": np.arange(N, dtype=np.int8),
            "half": np.arange(N, dtype=np.float16) / 2,
        }
    )
    data = load_data(frame.assign(y=FRAME["city"].astype("category")), label="y")
    rows = torch.cat([split.x for split in data.splits.values()]).tolist()
    assert sorted(rows) == sorted(frame.astype(float).to_numpy().tolist())
    assert data.class_names == ("Bern", "Chur", "Genf") and data.train.x.dtype == torch.float32


def test_a_column_of_several_types_is_refused():
    frame = FRAME.drop(columns="city").assign(mixed=[1, "a"] * (N // 2))
    with pytest.raises(ValueError, match=r"row 1, column 'mixed' holds text \('a'\).*--drop mixed"):
        load_data(frame)
    with pytest.raises(ValueError, match="label: column 'mixed' is of no one type"):
        load_data(frame, label="mixed")


def test_nan_in_parquet_is_missing_as_elsewhere(tmp_path):
    parquet.write_table(pa.table({"a": [0.5, np.nan, 1.5], "b": [1, 2, 3]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="row 1, column 'a' is missing; fill it in"):
        load_data(tmp_path / "t.parquet", kind="real")


def test_pyarrow_waits_for_the_first_table():
    code = "import sys; from reparam import load_data; load_data([[0.5], [1], [2]]); "
    code += "assert 'pyarrow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_text_in_another_encoding_is_refused(tmp_path):
    path = table(tmp_path, "höhe,b\n" + ROWS, encoding="latin-1")
    with pytest.raises(ValueError, match="t.csv: is not UTF-8 text"):
        load_data(path)


def test_binary_file_called_csv_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(bytes(200))
    with pytest.raises(ValueError, match="t.csv: "):
        load_data(path)


def test_a_label_that_is_dropped_is_refused():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.5], "y": [0, 1, 0]})
    with pytest.raises(ValueError, match="^label: 'y' is dropped too; leave one of both out"):
        load_data(frame, label="y", drop=["y"])


def test_labels_that_python_alone_reads_as_numbers_stay_apart(tmp_path):
    """int("1_0") is 10, but a file that says 1_0 means something else."""
    rows = "".join(f"{i},{('1_0', '10')[i % 2]}\n" for i in range(20))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    assert load_data(tmp_path / "t.csv", label="y").class_names == ("10", "1_0")


@pytest.mark.parametrize(
    "cell", [[1, 2], (1, 2), {"a": 1}, {1}, np.arange(900.0), torch.ones(2), torch.tensor(1)]
)
@pytest.mark.parametrize("other", [True, False])
def test_cells_of_several_values_are_no_names(cell, other):
    cells = ["u" if other and row % 2 == 0 else cell for row in range(N)]
    frame = FRAME.assign(deep=pd.Series(cells, dtype=object))
    what = f"row {int(other)}, column 'deep' holds a {type(cell).__name__}, not one number"
    for more in ({}, {"kind": {"deep": "category"}}, {"attributes": "deep"}):
        with pytest.raises(ValueError, match=f"^DataFrame: {what}.*leave it out with drop=.*$"):
            load_data(frame, **more)
    assert len(load_data(frame, drop="deep").columns) == 4
