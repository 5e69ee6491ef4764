"""The score table: what each cell says, and which value of a column is the best."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reparam.evaluation.absent import why_absent
from reparam.evaluation.scores import Score, difference, groups_in_order, mark
from reparam.measures import HEADLINES, SCORES, Measure, measure
from reparam.model import Model
from reparam.models.conditional import Conditional
from reparam.report.numbers import interval, minus, number, seed_error
from reparam.report.trained import TrainedModel
from reparam.terms import Better

Rank = Literal["best", "tied", ""]
KIND_WORDS = {
    "=": "exact",
    "≥": "a lower bound: the true value is at least this",
    "≤": "an upper bound: the true value is at most this",
    "≈": "an estimate, not a bound",
    "file": "the length of a file, from which the same x was read back",
}


@dataclass(frozen=True)
class Cell:
    """One score as it is printed; ``absent`` says why there is none.

    ``error`` is over the examples, of accuracies an ``interval``, ``seed_error`` over the seeds;
    ``key`` is what sorting compares, ``why`` explains the number.
    """

    mark: str = ""
    value: str = "—"
    error: str = ""
    interval: str = ""
    seed_error: str = ""
    rank: Rank = ""
    key: float | None = None
    why: str = ""
    absent: str = ""


@dataclass(frozen=True)
class ColumnHead:
    """The head of a column: its title, unit, definition, and what training data score."""

    name: str
    title: str
    unit: str
    arrow: str
    definition: str
    floor: str = ""


@dataclass(frozen=True)
class Part:
    """Some columns of the table, of the models that have any of these scores.

    Args:
        title: what the scores are of.
        headers: of the columns.
        rows: of each model, by its index, one cell per column.
        reference: cells of the training data; none where they have no such score.
    """

    title: str
    headers: Sequence[ColumnHead]
    rows: Sequence[tuple[int, Sequence[Cell]]]
    reference: Sequence[Cell] = ()


@dataclass(frozen=True)
class Table:
    """For every model one cell per column.

    ``reference`` are the cells of the training data, which are no model's. ``mixed`` says whether
    some column has likelihoods of several kinds, which cannot be ranked.
    """

    headers: list[ColumnHead]
    rows: list[list[Cell]]
    mixed: bool = False
    reference: Sequence[Cell] = ()

    @property
    def marked(self) -> Collection[Rank]:
        """The marks that any number bears: what else a legend would explain is not there."""
        return {cell.rank for row in self.rows for cell in row if cell.rank}

    @property
    def intervals(self) -> bool:
        """Whether any number has an interval in place of an error."""
        return any(cell.interval for row in self.rows for cell in row)

    @property
    def first(self) -> Part:
        """The scores that one looks at first; what training data score stands in their heads."""
        return replace(self._part("", HEADLINES), reference=())

    @property
    def more(self) -> list[Part]:
        """All others, a part for each group of them."""
        groups: dict[str, list[str]] = {}
        for head in self.headers:
            if head.name not in HEADLINES:
                groups.setdefault(measure(head.name).group, []).append(head.name)
        return [self._part(group, names) for group, names in groups.items()]

    def _part(self, title: str, names: Collection[str]) -> Part:
        at = [column for column, head in enumerate(self.headers) if head.name in names]
        rows = [[row[column] for column in at] for row in (*self.rows, self.reference) if row]
        known = [(i, row) for i, row in enumerate(rows) if not all(cell.absent for cell in row)]
        models = [(i, row) for i, row in known if i < len(self.rows)]
        reference = [row for i, row in known if i == len(self.rows)]
        return Part(title, [self.headers[c] for c in at], models, *reference)


def score_table(
    entries: Sequence[TrainedModel], reference: Mapping[str, Score] | None = None
) -> Table:
    """All scores that any of the models has, and of the training data those that are shown."""
    found = {name for entry in entries for name in entry.scores}
    groups = [*groups_in_order(entry.scores for entry in entries), measure("").group]
    ordered = [n for n in SCORES if n in found] + sorted(found - SCORES.keys())
    names = sorted(ordered, key=lambda name: groups.index(measure(name).group))
    columns = {name: [entry.scores.get(name) for entry in entries] for name in names}
    cells = [_cells(entries, name, columns[name]) for name in names]
    rows = [list(row) for row in zip(*cells, strict=True)] if cells else [[] for _ in entries]
    headers = [_header(entries, name, reference or {}) for name in names]
    data = [_reference_cell(reference, name) for name in names] if reference else []
    return Table(headers, rows, any(map(mixed, columns.values())), data)


def _reference_cell(reference: Mapping[str, Score], name: str) -> Cell:
    """What training rows score: no model's, so that it is neither best nor worse."""
    if name not in reference:
        return Cell(absent="A score of models, not of data")
    value, error = number(reference[name], name)
    words = [f"{reference[name].value:.6g}", "training examples in place of samples"]
    return Cell("", value, error, why="; ".join([*words, protocol(reference[name])]))


def rank(scores: Sequence[Score | None], name: str) -> list[Rank]:
    """The best of a column, and what is within one standard error of the difference from it.

    Where both have values by example, of the difference in pairs. A column without a direction, or
    with a single value, has no best.

    >>> rank([Score(1.0, "nats", 9, "test", 0.1), Score(1.1, "nats", 9, "test", 0.1)], "elbo")
    ['tied', 'best']
    """
    best = _leader(scores, name)
    return ["" if score is None or best is None else _rank(score, best) for score in scores]


def _leader(scores: Sequence[Score | None], name: str) -> Score | None:
    better = measure(name).better
    present = [score for score in scores if score is not None]
    return None if better is None or len(present) < 2 else best_of(present, better)


def told_alike(entries: Sequence[TrainedModel], name: str) -> bool:
    """Whether models are told the same of x, where a score is of what they make of it.

    Else the easier task would win: of a small hole less is open than of a small image.
    """
    if measure(name).group != "Restoration" and not name.startswith("conditional_"):
        return True
    told = {_told(entry.model) for entry in entries if name in entry.scores}
    return len(told) < 2


def _told(model: Model) -> str | None:
    """The degradation of which y is given; None where the condition is another, or there is none.

    >>> from reparam.model import Space
    >>> from reparam.presets import build
    >>> _told(build("cvae", Space((1, 4, 4), "binary"), hidden=(4,), given="downscale:2"))
    'downscale:2'
    """
    return model.degradation.name if isinstance(model, Conditional) and model.degradation else None


def mixed(scores: Sequence[Score | None]) -> bool:
    """Whether some are exact and others bounds or estimates: values of different meaning.

    >>> mixed([Score(1.0, "nats", 9, "test", kind="exact"), None])
    False
    """
    return len({score.kind for score in scores if score is not None}) > 1


def best_of(scores: Sequence[Score], better: Better) -> Score:
    """The score with the best value."""
    pick = max if better == "higher" else min
    return pick(scores, key=lambda score: score.value)


def _rank(score: Score, best: Score) -> Rank:
    if score.value == best.value:
        return "best"
    apart = difference(score, best)
    return "tied" if apart.stderr is not None and abs(apart.value) <= apart.stderr else ""


def _cells(
    entries: Sequence[TrainedModel], name: str, scores: Sequence[Score | None]
) -> list[Cell]:
    """One column."""
    best = _leader(scores, name) if told_alike(entries, name) else None
    several = mixed(scores)
    return [
        Cell(absent=why_absent(entry.model, name))
        if score is None
        else _cell(score, name, best, several)
        for entry, score in zip(entries, scores, strict=True)
    ]


def _cell(score: Score, name: str, best: Score | None, several: bool) -> Cell:
    sign, ranked = mark(score, name), "" if best is None else _rank(score, best)
    value, error = number(score, name)
    if measure(name).form == "whole" and score.unit.startswith("of "):
        value += " / " + score.unit.split()[1]
    words = [f"{score.value:.6g}"]
    words += [KIND_WORDS[sign]] if sign else []
    words += _error_words(score)
    words += [] if best is None or ranked == "best" else _apart_words(score, best)
    words += _rank_words(ranked, name, several)
    why = "; ".join([*words, protocol(score), *score.notes])
    within, over_seeds = interval(score), seed_error(score, name)
    return Cell(sign, value, error, within, over_seeds, ranked, score.value, why)


def _error_words(score: Score) -> list[str]:
    if score.interval is not None:
        found = [f"Wilson interval of 95 % {interval(score)}"]
        errors = [(score.seed_stderr, "over seeds")]
    else:
        found, errors = [], [(score.stderr, "over the examples"), (score.seed_stderr, "over seeds")]
    known = [f"{error:.2g} {over}" for error, over in errors if error is not None]
    return found + (["standard error " + " and ".join(known)] if known else [])


def _apart_words(score: Score, best: Score) -> list[str]:
    """How far from the best, and how surely."""
    apart = difference(score, best)
    if apart.stderr is None:
        return []
    how = "unpaired" if apart.pairs is None else f"paired over {apart.pairs:,} examples"
    return [minus(f"difference from the best {apart.value:.2g} ± {apart.stderr:.2g} ({how})")]


def _rank_words(ranked: Rank, name: str, several: bool) -> list[str]:
    """What the mark of the best means, and does not mean among several kinds of numbers."""
    if ranked == "tied":
        return ["within one standard error of the difference from the best"]
    if ranked == "best" and several:
        extreme = "highest" if measure(name).better == "higher" else "lowest"
        return [f"{extreme} value shown: a bound's true value may be better"]
    return ["best of this column"] if ranked else []


def protocol(score: Score) -> str:
    """What a score was measured on, and with how many draws.

    >>> protocol(Score(1.0, "nats", 360, "test", samples=1000, seed=0))
    '360 test examples, 1,000 samples, seed 0'
    """
    parts = [f"{score.n:,} {score.counted}"]
    parts += [] if score.samples is None else [f"{score.samples:,} samples"]
    if isinstance(score.seed, list):
        parts.append("mean over seeds " + ", ".join(map(str, score.seed)))
    elif score.seed is not None:
        parts.append(f"seed {score.seed}")
    return ", ".join(parts)


def _header(
    entries: Sequence[TrainedModel], name: str, reference: Mapping[str, Score]
) -> ColumnHead:
    about = measure(name)
    scores = [entry.scores[name] for entry in entries if name in entry.scores]
    unit = scores[0].unit if about.unit is None else about.unit
    if name.startswith("active_units"):
        unit = "dimensions"
    arrow = {"higher": "↑", "lower": "↓", None: ""}[about.better]
    floor = number(reference[name], name)[0] if name in reference else ""
    text = _definition(about, unit, scores)
    return ColumnHead(name, about.title, short(unit), arrow, text, floor)


def short(unit: str) -> str:
    """A unit that fits above a column: what follows a comma is left to the definition."""
    return unit.split(",")[0]


def _definition(about: Measure, unit: str, scores: Sequence[Score]) -> str:
    lines = [about.definition]
    lines += [f"Unit: {unit}."] if unit else []
    direction = "Neither direction is better as such."
    lines += [f"{about.better.capitalize()} is better." if about.better else direction]
    protocols: Mapping[str, None] = dict.fromkeys(protocol(score) for score in scores)
    return " ".join([*lines, "Measured on: " + " / ".join(protocols) + "."])
