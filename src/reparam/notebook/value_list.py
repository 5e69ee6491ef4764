"""A score, and all scores of one model: marks, errors, units and protocols as in reports."""

from __future__ import annotations

from markupsafe import Markup

from reparam.evaluation.scores import Score, ScoreTable, mark
from reparam.measures import measure
from reparam.notebook.elements import Text, element, heading, piece
from reparam.report.numbers import number, seed_error, with_error
from reparam.report.table import KIND_WORDS, protocol, short
from reparam.wording import counted

COLUMNS = ("score", "value", "", "unit", "measured on")
LEGEND = {sign: words.partition(":")[0] for sign, words in KIND_WORDS.items()}


def scores_html(scores: ScoreTable) -> str:
    """A row for each score, by what it is of; a pointer above its name shows its definition."""
    rows: list[Markup] = []
    groups: dict[str, list[str]] = {}
    for name in scores:
        groups.setdefault(measure(name).group, []).append(name)
    for group, names in groups.items():
        rows.append(element("tr", element("th", group), of="group"))
        rows += [_row(name, scores[name]) for name in names]
    head = element("tr", *(element("th", c, of="n" * (c == "value")) for c in COLUMNS))
    listed = element("table", element("thead", head), element("tbody", *rows))
    title = heading(counted(len(scores), "score"), legend(scores))
    return piece(title, listed if scores else "")


def legend(scores: ScoreTable | dict[str, Score]) -> str:
    """What the marks that any of the scores bears mean.

    >>> legend({"elbo": Score(-9.0, "nats", 10, "test", kind="lower bound")})
    '≥ a lower bound'
    """
    there = {mark(score, name) for name, score in scores.items()}
    return ", ".join(f"{sign} {words}" for sign, words in LEGEND.items() if sign in there)


def score_html(score: Score) -> str:
    """One score, whose name it does not know itself."""
    value, error = value_cells("", score)
    number_ = element("b", value, " ", error) if error else element("b", value)
    return piece(
        element("p", number_, " ", score.unit, element("span", " · ", _on(score), of="dim"))
    )


def value_cells(name: str, score: Score) -> tuple[Text, Text]:
    """The value with its mark, and its errors."""
    value, error = with_error(score, name)
    error = f"({error})" if score.interval else error
    over_seeds = seed_error(score, name)
    signed = " ".join(filter(None, (mark(score, name), value)))
    return signed, " ".join(filter(None, (error, f"(± {over_seeds})" if over_seeds else "")))


def _row(name: str, score: Score) -> Markup:
    about = measure(name)
    value, error = value_cells(name, score)
    unit = "" if number(score, name)[0].endswith("%") else short(score.unit)
    cells = [
        element("td", element("code", name), title=f"{about.title}. {about.definition}"),
        element("td", value, of="n"),
        element("td", element("small", error)),
        element("td", unit, title=score.unit if unit != score.unit else ""),
        element("td", element("small", _on(score))),
    ]
    return element("tr", *cells)


def _on(score: Score) -> str:
    by = [protocol(score)]
    by += [] if score.bins is None else [f"{score.bins} bins"]
    by += [] if score.predictor is None else [score.predictor]
    return ", ".join(by)
