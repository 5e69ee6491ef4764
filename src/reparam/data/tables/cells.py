"""Cells of text: which of them are missing, and which are numbers, however these are written."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?"}
ERRORS = {"#div/0!", "#n/a", "#name?", "#null!", "#num!", "#ref!", "#value!"}  # of spreadsheets
TRUTH = {"true": True, "false": False}
WHOLE = re.compile(r"([+-]?\d+)[.,]0")  # as floats that are whole are written
FORMULA = "=+-@\t\r"  # what a spreadsheet takes for one begins so
SIGNS = "%$€£¥"
MINUS = "\u2212"  # that of typesetting
SPACES = " \u00a0\u202f'’"  # between thousands, beside the mark that is not the decimal one
# 1,234,567.8: the same separator before every three digits; and 1.234.567,8.
GROUPED = {
    decimal: re.compile(
        rf"[+-]?[1-9]\d{{0,2}}([{SPACES}{other}])\d{{3}}(?:\1\d{{3}})*(?:\{decimal}\d+)?"
    )
    for decimal, other in ((".", ","), (",", "."))
}


def is_missing(cell: str | None) -> bool:
    """Whether a cell of text says that there is nothing.

    >>> is_missing(" N/A"), is_missing("0")
    (True, False)
    """
    return cell is None or cell.strip().lower() in MISSING


def number(cell: str, decimal: str = ".") -> float | None:
    """The number that a cell of text is, if it is one.

    >>> number("1e5"), number("1,234.5"), number("1.234,5", ","), number("1_000"), number("nan")
    (100000.0, 1234.5, 1234.5, None, None)
    """
    cell = cell.strip().replace(MINUS, "-")
    grouped = GROUPED[decimal].fullmatch(cell)
    if grouped:
        cell = cell.replace(grouped[1], "")
    if "_" in cell or (decimal == "," and "." in cell):  # 1_000 is Python only
        return None
    try:
        value = float(cell.replace(",", ".") if decimal == "," else cell)
    except ValueError:
        return None
    return None if np.isnan(value) else value


def quoted(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: after an apostrophe, numbers as they are.

    >>> quoted("=1+1"), quoted("-1.5"), quoted("a-b")
    ("'=1+1", '-1.5', 'a-b')
    """
    formula = text[:1] in FORMULA and text != "" and number(text) is None
    return f"'{text}" if formula else text


def unquoted(cell: str) -> str:
    """What ``quoted`` was given.

    >>> unquoted("'=1+1"), unquoted("'n")
    ('=1+1', "'n")
    """
    return cell[1:] if cell[:1] == "'" and cell[1:2] and cell[1:2] in FORMULA else cell


def plain_name(name: str) -> str:
    """A name as it is compared with others: a whole number without the decimals of a float.

    >>> plain_name("1000.0"), plain_name("01"), plain_name("1.10")
    ('1000', '01', '1.10')
    """
    whole = WHOLE.fullmatch(name)
    return whole[1] if whole else name


def without_sign(cells: Sequence[str | None]) -> tuple[list[str | None], str]:
    """Cells without the one sign, of percent or of money, that all which are there have; and that.

    >>> without_sign(["5%", None, "6 %"]), without_sign(["5%", "6"]), without_sign(["-$5"])
    ((['5', None, '6 '], '%'), (['5%', '6'], ''), (['-5'], '$'))
    """
    filled = [cell.strip() for cell in cells if cell is not None and not is_missing(cell)]
    sign = next((mark for mark in SIGNS if filled and mark in filled[0]), "")
    for cell in filled:
        begins = cell.lstrip(f"+-{MINUS}")[:1] == sign
        if not sign or cell.count(sign) != 1 or not (begins or cell[-1] == sign):
            return list(cells), ""
    return [None if cell is None else cell.strip().replace(sign, "") for cell in cells], sign


def decimal_mark(cells: Sequence[str], otherwise: str) -> str | None:
    """Which mark stands before the decimals of the numbers among some cells; None: there is none.

    What 1,234 is, other cells decide, else what is said otherwise; "": a comma where one stands.

    >>> decimal_mark(["1,5", "2"], "."), decimal_mark(["1,234"], ","), decimal_mark(["1,234"], ".")
    (',', ',', '.')
    """
    readings = [(number(cell), number(cell, ",")) for cell in cells]
    commas = any(point is None and comma is not None for point, comma in readings)
    points = any(point is not None and comma is None for point, comma in readings)
    if commas or points:
        return "," if commas and not points else "."
    if all(point == comma for point, comma in readings):
        return None
    return otherwise or usual_mark(cells)


def usual_mark(cells: Sequence[str]) -> str:
    """The mark before decimals where cells may hold commas: a comma if a number has one.

    >>> usual_mark(["1,234", "u"]), usual_mark(["1.234", "u, v"])
    (',', '.')
    """
    commas = (cell for cell in cells if "," in cell)
    return "," if any(number(cell, mark) is not None for cell in commas for mark in ".,") else "."


def is_grouped(cell: str, decimal: str) -> bool:
    """Whether a number is written with separators of thousands.

    >>> is_grouped("1,234", "."), is_grouped("1234", ".")
    (True, False)
    """
    return GROUPED[decimal].fullmatch(cell.strip()) is not None


def is_truth(cells: Sequence[str | None]) -> bool:
    """Whether some cells are True and False, and nothing else but missing.

    >>> is_truth(["TRUE", "false", ""]), is_truth(["True", "1"]), is_truth([""])
    (True, False, False)
    """
    words = {cell.strip().lower() for cell in cells if cell is not None and not is_missing(cell)}
    return bool(words) and words <= TRUTH.keys()


def are_words(cells: Sequence[str | None]) -> bool:
    """Whether some cells are text, and no number in any way of writing, nor True or False.

    >>> are_words(["u", "NA"]), are_words(["u", "1,5"]), are_words(["NA"]), are_words(["True"])
    (True, False, False, False)
    """
    there = [cell for cell in cells if cell is not None and not is_missing(cell)]
    return bool(there) and not is_truth(there) and not any(map(is_numeric, there))


def is_numeric(word: str) -> bool:
    """Whether text is a number, perhaps as it is written elsewhere, or with a sign.

    >>> is_numeric("1.5"), is_numeric("1,5"), is_numeric("5 %"), is_numeric("u5")
    (True, True, True, False)
    """
    plain = word.strip(f"{SIGNS} ")
    return any(number(plain, mark) is not None for mark in ".,")


def numbers(cells: Sequence[str | None], decimal: str) -> list[float | None] | None:
    """Some cells as numbers, or as True and False; None where one is neither of that nor missing.

    >>> numbers(["1.5", "NA"], "."), numbers(["true"], "."), numbers(["1", "u"], ".")
    ([1.5, None], [True], None)
    """
    if is_truth(cells):
        return [None if is_missing(cell) else TRUTH[str(cell).strip().lower()] for cell in cells]
    if first_text(cells, decimal) is not None:
        return None
    return [None if is_missing(cell) else number(str(cell), decimal) for cell in cells]


def first_text(cells: Sequence[str | None], decimal: str = ".") -> int | None:
    """The first of some cells that is neither a number nor missing, if there is one.

    >>> first_text(["1", " NA", "1_000"])
    2
    """
    texts = (
        i
        for i, cell in enumerate(cells)
        if cell is not None and not is_missing(cell) and number(cell, decimal) is None
    )
    return next(texts, None)
