"""The section of the columns of mixed data: what data and samples have in them, and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reparam.evaluation.column_scores import ColumnScores, by_column, is_number
from reparam.report.marginals import marginal
from reparam.report.numbers import with_error
from reparam.report.section import Section, Shown, mixed
from reparam.space import Column

MOST = 60  # columns
NUMBERS, ANSWERS = ("Error", "rms"), ("Accuracy", "")  # what errors are, and how


@dataclass(frozen=True)
class Line:
    """What one model scores in a column; ``log_prob``, ``given`` and ``error`` may be empty."""

    model: int
    log_prob: str
    given: str
    error: str
    within: str


@dataclass(frozen=True)
class ColumnRow:
    """A column: what it is, what data and samples have in it, and what the models score.

    ``answers`` says what the errors are, ``constant`` is that of one answer for all rows.
    """

    name: str
    kind: str
    missing: str
    plot: Markup
    lines: Sequence[Line]
    answers: tuple[str, str]
    constant: str


def build(shown: Shown) -> list[ColumnRow]:
    """The first columns, in their order."""
    data = shown.data
    by_model = [by_column(entry.model, data, seed=shown.seed) for entry in shown.entries]
    rows = []
    for index, column in enumerate((data.space.columns or ())[:MOST]):
        of_models = [scores[index] for scores in by_model]
        x = data.test.x[:, index]
        drawn = {i: rows[:, index] for i, rows in shown.drawn_rows.items()}
        alt = f"{column.name}: test data" + (" and samples of every model" if drawn else "")
        rows.append(
            ColumnRow(
                column.name,
                kind_of(column),
                _missing(of_models[0].missing, len(x)),
                marginal(column, x[~x.isnan()], drawn, alt),
                [_line(i, scores) for i, scores in enumerate(of_models)],
                NUMBERS if is_number(column) else ANSWERS,
                with_error(of_models[0].constant, "column")[0],
            )
        )
    return rows


def kind_of(column: Column) -> str:
    """What a column holds, in words.

    >>> kind_of(Column("age", "levels", 73, low=18)), kind_of(Column("city", "category", 3))
    ('whole numbers 18 … 90', '3 names')
    """
    if column.count is None:
        return "real, by its logarithm" if column.kind == "log" else "real"
    if column.kind == "category":
        return f"{column.count} names"
    if column.kind == "levels":
        return f"whole numbers {column.low} … {column.low + column.count - 1}"
    return "flag: " + ", ".join(column.names or (str(column.low), str(column.low + 1)))


def _missing(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} cells missing" if count else ""


def _line(model: int, scores: ColumnScores) -> Line:
    log_prob, about = with_error(scores.log_prob, "column")
    given = {"z": "given z", "what is before": "given those before"}.get(scores.given or "", "")
    error, within = with_error(scores.error, "column")
    return Line(model, log_prob, f"{about} {given}".strip() if log_prob else "", error, within)


SECTION: Section = Section(
    "columns",
    "Columns",
    """Every column alone. Gray: test data{% if generators %}; in color: draws x&nbsp;~&nbsp;p(x) of
each model{% endif %}. Beside it what the column costs in nats, real ones per unit of theirs, and
how far its reconstruction is off, over the cells that are there; <i>constant</i> is the training
mean or most frequent value. Given z and given the columns before are two quantities, which do not
compare.""",
    build,
    "column_rows.html.j2",
    mixed,
)
