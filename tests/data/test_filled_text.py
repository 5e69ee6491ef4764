"""Words that filled cells of a text table get, as the cells that are there are written."""

from __future__ import annotations

import numpy as np
import pytest

from reparam.data.contents import ReadOptions
from reparam.data.tables.filled_text import Filled, write_filled
from reparam.data.tables.text_layout import text_layout
from reparam.space import Column, Space

TOWNS = Column("town", "category", 2, ("=Bern", "other"))
SHARE, ROOMS = Column("share", "real"), Column("rooms", "levels", 9, low=1)


def last_line(path, text, columns, x, drawn, decimal=None):
    """The last line of a table once its missing cells are drawn so."""
    path.write_text(text)
    space = Space((len(columns),), "mixed", columns=columns)
    names = [column.name for column in columns]
    layout = text_layout(path, ReadOptions(decimal=decimal))
    rows, drawn = np.arange(len(x)), [*x[:-1], drawn]
    filled = Filled(path, layout, names, space, rows, np.array(x), np.array(drawn)[:, None])
    out = path.with_name("filled.csv")
    write_filled(str(out), filled)
    head, _, last = out.read_text().rstrip("\n").rpartition("\n")
    assert head == text.rstrip("\n").rpartition("\n")[0]
    return last


@pytest.mark.parametrize(
    "cells, drawn, word",
    [
        (["Wil", "'=Bern", "Chur"], 1, "other"),
        (["Wil", "'=Bern", "Chur"], 0, "'=Bern"),
        (['"Wil"', '"=Bern"', '" other "'], 1, '" other "'),
        (['"Wil"', '"=Bern"', "other"], 0, '"=Bern"'),
    ],
)
def test_all_rare_names_are_not_called_like_one_of_them(tmp_path, cells, drawn, word):
    text = "town,rooms\n" + "".join(f"{cell},3\n" for cell in cells) + ",4\n"
    x = [[1, 3], [0, 3], [1, 3], [np.nan, 4]]
    assert last_line(tmp_path / "t.csv", text, (TOWNS, ROOMS), x, [drawn, 4]) == f"{word},4"


@pytest.mark.parametrize(
    "cells, values, drawn, word",
    [
        (['"3,305,401"', '"25,000"'], (3305401, 25000), 20711248, "20711248.0"),
        (["0.25", "0.5"], (0.25, 0.5), 0.1, "0.1"),
        (["0.25", "0.5"], (0.25, 0.5), -1.5e-7, "-0.00000015"),
        (["0.25", "5e-1"], (0.25, 0.5), -1.5e-7, "-1.5e-07"),
    ],
)
def test_numbers_have_exponents_where_others_have(tmp_path, cells, values, drawn, word):
    text = "share,rooms\n" + "".join(f"{cell},3\n" for cell in cells) + ",4\n"
    x = np.array([[values[0], 3], [values[1], 3], [np.nan, 4]], np.float32)
    drawn = np.array([drawn, 4], np.float32)
    assert last_line(tmp_path / "t.csv", text, (SHARE, ROOMS), x, drawn) == f"{word},4"


def test_names_that_are_numbers_are_written_as_the_others(tmp_path):
    zips = Column("zip", "category", 2, ("3000", "8000"))
    text = "zip,rooms\n3000.0,3\n8000.0,2\n,4\n"
    x = [[0, 3], [1, 2], [np.nan, 4]]
    assert last_line(tmp_path / "t.csv", text, (zips, ROOMS), x, [1, 4]) == "8000.0,4"


@pytest.mark.parametrize(
    "delimiter, decimal, cells, values, word",
    [
        (",", ",", ['"3,911"', '"2,250"'], (3.911, 2.25), '"2,453"'),  # where it was said
        (",", None, ['"3,911"', '"2,250"'], (3911, 2250), "2.453"),
        (";", None, ["3,911", "2,250"], (3.911, 2.25), "2,453"),
        (";", ".", ["3,911", "2,250"], (3911, 2250), "2.453"),
        (",", ",", ["3911", "2250"], (3911, 2250), '"2,453"'),
        (";", None, ["3911", "2250"], (3911, 2250), "2,453"),  # as it would be read again
        (",", None, ["3911", "2250"], (3911, 2250), "2.453"),
    ],
)
def test_decimals_stand_after_the_mark_by_which_rows_were_read(
    tmp_path, delimiter, decimal, cells, values, word
):
    text = f"share{delimiter}rooms\n" + "".join(f"{cell}{delimiter}3\n" for cell in cells)
    x, columns = [[values[0], 3], [values[1], 3], [np.nan, 4]], (SHARE, ROOMS)
    text += f"{delimiter}4\n"
    found = last_line(tmp_path / "t.csv", text, columns, x, [2.453, 4], decimal)
    assert found == f"{word}{delimiter}4"
