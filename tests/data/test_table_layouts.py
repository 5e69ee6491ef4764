"""What separates cells, what is a comment, and which rows and columns there are in text tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from loading import CountedName, table

from reparam.data import load_data, load_rows
from reparam.data.contents import ReadOptions
from reparam.data.tables.csv_files import _as_text, read_csv
from reparam.data.tables.text_layout import Layout


@pytest.mark.parametrize(
    "text, names",
    [
        ("color,n\n#ff0000,3\n#00ff00,5\n#0000ff,7\n#ff0000,8\n", 3),
        ("color,n\n" + "#f00,3\n#0f0,4\n" * 30 + "red,7\nred,8\n", 3),
    ],
)
def test_a_column_of_names_that_all_begin_with_a_hash_is_one(tmp_path, text, names):
    data = load_data(table(tmp_path, text))
    assert len(data.space.columns[0].names) == names
    assert sum(map(len, data.splits.values())) == text.count("\n") - 1


def test_errors_of_spreadsheets_are_cells(tmp_path):
    rows = ["0.5,1", "1.5,2", "2.5,2", "3.5,1"]
    path = table(tmp_path, "\n".join(["a,b", *rows, "#N/A,3"]))
    x = torch.cat([split.x for split in load_data(path).splits.values()])
    assert len(x) == 5 and x.isnan().sum() == 1
    with pytest.raises(ValueError, match=r"line 6, column 'a' is missing \('#N/A'\)"):
        load_data(path, kind="real")
    for lines in (["a,b", *rows, "#DIV/0!,3"], ["a,b", "#DIV/0!,3", *rows]):
        line = lines.index("#DIV/0!,3") + 1
        with pytest.raises(ValueError, match=rf"line {line}, column 'a' holds text \('#DIV/0!'\)"):
            load_data(table(tmp_path, "\n".join(lines)))


def test_rows_without_any_cell_are_noted_and_counted(tmp_path):
    """As pandas counts them, which joins codes to them by number."""
    path = table(tmp_path, "a,b\n1,2\n\n,\n3,4\n# me\n5,6\n,\n")
    data = load_data(path)
    assert "Left out: 1 row without any cell." in data.notes
    frame = pd.read_csv(path, comment="#")
    for split in (*data.splits.values(), load_rows(path, data)):
        assert frame.to_numpy()[split.rows.tolist()].tolist() == split.x.tolist()
    trailing = load_data(table(tmp_path, "a,b\n1,2\n3,4\n5,6\n,\n,\n"))
    assert not any("without any cell" in note for note in trailing.notes)


@pytest.mark.parametrize(
    "text, columns",
    [
        ("P(x|y),P(y|z)\n0.5,1\n2.5,3\n4.5,6\n", ("P(x|y)", "P(y|z)")),
        ("P(x|y)\n0.5\n2.5\n4.5\n", ("P(x|y)",)),
        ("P(x|y)\tP(y|z|w)\n0.5\t1\n2.5\t3\n4.5\t6\n", ("P(x|y)", "P(y|z|w)")),
        ("P(x|y) z\n0.5 1\n2.5 3\n4.5 6\n", ("P(x|y)", "z")),
        ("a,b|c,d|e\n0.5|1|2\n2.5|3|4\n4.5|6|7\n", ("a,b", "c,d", "e")),
    ],
)
def test_bars_in_names_separate_no_cells(tmp_path, text, columns):
    assert load_data(table(tmp_path, text)).columns == columns


def test_a_name_that_is_missing_is_no_reason_to_leave_a_column_out(tmp_path):
    with pytest.raises(ValueError, match="line 2 has 3 cells, expected 2"):
        load_data(table(tmp_path, "a,b\n5,1.5,2\n7,3,5\n6,2,2\n"))
    for text in ("a,b\n1,1.5,2\n2,3,5\n3,2,2\n", 'a,b\n"5",1.5,2\n"7",3,5\n"6",2,2\n'):
        assert load_data(table(tmp_path, text)).columns == ("a", "b")


def test_columns_of_text_are_found_by_their_names_at_once(tmp_path):
    """20 000 names took 6 s to find each other."""
    before = CountedName.compared
    names = [f"c{i}" for i in range(1000)]
    path = table(tmp_path, ",".join(names) + "\n" + ",".join(map(str, range(1000))) + "\n")
    found = _as_text(path, Layout(",", tuple(map(CountedName, names)), 1), names, [], [])
    assert found.column("c999").to_pylist() == ["999"]
    assert CountedName.compared - before < 5 * len(names)


def test_fractions_are_looked_for_in_blocks(tmp_path, monkeypatch):
    sizes, modf = [], np.modf
    monkeypatch.setattr("reparam.data.large_arrays.BLOCK", 160)
    monkeypatch.setattr(np, "modf", lambda x: sizes.append(x.nbytes) or modf(x))
    contents = read_csv(table(tmp_path, "a;b\n" + "1;2\n" * 60 + "1.5;2\n"), ReadOptions())
    assert contents.found["decimal"] == "." and max(sizes) == 160
