"""A comparison as a page shows it: the report's table of first scores, all others folded away."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from reparam.comparison import Comparison
from reparam.notebook.elements import bullets, details, element, heading, joined, piece, table
from reparam.notebook.value_list import legend
from reparam.report.table import Cell, ColumnHead, Part, score_table
from reparam.wording import counted


def comparison_html(comparison: Comparison) -> str:
    """A row for each model; what training data score in place of samples stands last."""
    entries = comparison.entries
    found = score_table(entries, comparison.reference)
    labels = [entry.label for entry in entries]
    title = heading("Comparison", f"{counted(len(entries), 'model')} on {comparison.data.name}")
    marks = {name: score for entry in entries for name, score in entry.scores.items()}
    said = {"best": "bold: the best", "tied": "underlined: within one standard error of it"}
    words = [legend(marks), *(text for rank, text in said.items() if rank in found.marked)]
    below = element("p", element("small", "; ".join(filter(None, words))))
    groups = [part for part in found.more if part.rows]
    more = [_table(part, labels) for part in groups]
    names = ", ".join(part.title for part in groups)
    rest = details(f"More scores: {names}", *more) if more else ""
    notes = bullets(comparison.notes) if comparison.notes else ""
    return piece(title, _table(found.first, labels), below, rest, notes)


def _table(part: Part, labels: Sequence[str]) -> Markup:
    rows = [[element("th", labels[index]), *map(_cell, cells)] for index, cells in part.rows]
    if part.reference:
        rows.append([element("td", "training data", of="dim"), *map(_cell, part.reference)])
    return table([part.title or "model", *map(_head, part.headers)], rows)


def _head(head: ColumnHead) -> Markup:
    title = joined([head.title, " ", head.arrow]) if head.arrow else joined([head.title])
    unit = joined([Markup("<br>"), element("small", head.unit)]) if head.unit else ""
    return element("span", title, unit, title=head.definition)


def _cell(cell: Cell) -> Markup:
    if cell.absent:
        return element("td", "—", of="dim", title=cell.absent)
    value = " ".join(filter(None, (cell.mark, cell.value)))
    tag = {"best": "b", "tied": "u"}.get(cell.rank, "span")
    errors = [f"± {cell.error}" if cell.error else "", cell.interval]
    errors.append(f"(± {cell.seed_error})" if cell.seed_error else "")
    small = element("small", " ", " ".join(filter(None, errors)))
    return element("td", element(tag, value), small, title=cell.why)
