"""The section of pairs of columns of mixed data: how they depend on each other, in data and in
samples."""

from __future__ import annotations

import math

from reparam.evaluation.association import apart, association
from reparam.evaluation.rows import subset
from reparam.report.associations import triangle
from reparam.report.section import Card, Section, Shown, mixed

MOST = 40  # columns


def build(shown: Shown) -> list[Card]:
    """The associations of the test data, and of as many samples of each generator."""
    columns = (shown.data.space.columns or ())[:MOST]
    if len(columns) < 2:
        return []
    rows = shown.split.x[:, :MOST]
    wanted = association(rows, columns)
    train = subset(shown.data.train, len(rows), shown.seed).x[:, :MOST]
    floor = _note("training data: {} apart from these", apart(association(train, columns), wanted))
    cards = [Card(None, "Test data", [("", triangle(wanted, columns, "Test data"))], floor)]
    for index, drawn in shown.drawn_rows.items():
        label = shown.entries[index].label
        found = association(drawn[: len(rows), :MOST], columns)
        fewer = f", in {len(drawn)} rows" if len(drawn) < len(rows) else ""
        note = _note(f"{{}} apart from the data{fewer}", apart(found, wanted))
        cards.append(Card(index, label, [("", triangle(found, columns, label))], note))
    return cards


def _note(text: str, value: float) -> str:
    """Nothing where no pair is known, as of columns that are the same in all rows."""
    return "" if math.isnan(value) else text.format(f"{value:.2f}")


SECTION: Section = Section(
    "pairs",
    "Pairs",
    """How strongly columns depend on each other, in the data and in as many samples of each model.
Of numbers and flags the rank correlation (blue above 0, brown below), of names Cramér's V, of names
and numbers the correlation ratio, which are never below 0. How far a triangle is apart from the
data's is a root mean square over its cells; the training data are so by chance alone.""",
    build,
    "column_pairs.html.j2",
    mixed,
)
