"""The section of missing cells: how well models fill cells that are hidden on purpose."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from sklearn.exceptions import ConvergenceWarning

from reparam.evaluation.column_scores import is_number
from reparam.evaluation.scores import Score, difference
from reparam.report.numbers import with_error
from reparam.report.section import Section, Shown, mixed
from reparam.use.imputed_cells import (
    SHARE,
    constant_answers,
    drawn_answers,
    fills,
    hide,
    imputation_errors,
    iterative_answers,
)


@dataclass(frozen=True)
class Answer:
    """One error, whether it is the least of its column, or within a standard error of it."""

    value: str
    error: str
    rank: str


@dataclass(frozen=True)
class Imputed:
    """Errors by column of ways to fill cells: ``others`` by name, then models by index.

    ``rows`` are the name of a column, what its error is, how many cells are hidden, and the errors.
    """

    others: Sequence[str]
    models: Sequence[int]
    rows: Sequence[tuple[str, str, int, Sequence[Answer]]]
    examples: int


def build(shown: Shown) -> Imputed | None:
    """Of data in which cells are missing, where a model can fill them."""
    data = shown.data
    if not any(bool(split.x.isnan().any()) for split in data.splits.values()):
        return None
    cells = hide(data, seed=shown.seed)
    models = [i for i, entry in enumerate(shown.entries) if fills(entry.model, cells)]
    if not models:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # within its 20 rounds
        iterative = iterative_answers(data, cells)
    others = {"constant": constant_answers(data, cells)}
    others |= {} if iterative is None else {"iterative": iterative}
    answers = [*others.values(), *(drawn_answers(shown.entries[i].model, cells) for i in models)]
    errors = [imputation_errors(cells, one) for one in answers]
    rows = []
    for index, column in enumerate(cells.columns):
        found = [of[index] for of in errors]
        what, numbers = ("rms", True) if is_number(column) else ("accuracy", False)
        count = int(cells.hidden[:, index].sum())
        rows.append((column.name, what, count, _answers(found, lower=numbers)))
    return Imputed(list(others), models, rows, len(cells.x))


def _answers(scores: Sequence[Score | None], *, lower: bool) -> list[Answer]:
    known = [score for score in scores if score is not None]
    if not known:
        return [Answer("—", "", "") for _ in scores]
    best = (min if lower else max)(known, key=lambda score: score.value)
    return [Answer("—", "", "") if s is None else _answer(s, best) for s in scores]


def _answer(score: Score, best: Score) -> Answer:
    value, error = with_error(score, "column")
    apart = difference(score, best)
    near = apart.stderr is not None and abs(apart.value) <= apart.stderr
    return Answer(value, error, "best" if apart.value == 0 else "tied" if near else "")


SECTION: Section = Section(
    "missing",
    "Missing cells",
    f"""Of {{{{ content.examples }}}} test rows {SHARE:.0%} of the cells are hidden, at random with
seed {{{{ seed }}}}, and filled: with the training mean or most frequent value (constant),
{{% if "iterative" in content.others %}}by scikit-learn's iterative imputer, {{% endif %}}and with
the mean or most frequent value of a model's draws from p(hidden | seen). Errors are over the hidden
cells. Green is the best of a column, and paler what is within one standard error of it.""",
    build,
    "imputed.html.j2",
    mixed,
)
