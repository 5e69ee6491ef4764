"""The score table: what each cell says, and which value of a column is the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reparam.evaluation.absent import why_absent
from reparam.evaluation.scores import Score, difference, mark
from reparam.report.trained import TrainedModel
from reparam.terms import SCORES, Better, Measure, measure

Rank = Literal["best", "tied", ""]
KIND_WORDS = {
    "=": "exact",
    "≥": "a lower bound: the true value is at least this",
    "≤": "an upper bound: the true value is at most this",
    "≈": "an estimate, not a bound",
}


@dataclass(frozen=True)
class Cell:
    """One score as it is printed; ``absent`` says why there is none.

    ``error`` is over the examples, ``seed_error`` over the seeds; ``key`` is what sorting compares.
    """

    mark: str = ""
    value: str = "—"
    error: str = ""
    seed_error: str = ""
    rank: Rank = ""
    key: float | None = None
    title: str = ""
    absent: str = ""


@dataclass(frozen=True)
class ColumnHead:
    """The head of a column: its title, unit, and the tooltip that defines it."""

    name: str
    title: str
    unit: str
    arrow: str
    tooltip: str


@dataclass(frozen=True)
class Table:
    """Groups of columns, and for every model one cell per column.

    ``reference`` are the cells of the training data, which are no model's. ``mixed`` says whether
    some column has likelihoods of several kinds, which cannot be ranked.
    """

    groups: list[tuple[str, int]]
    headers: list[ColumnHead]
    rows: list[list[Cell]]
    mixed: bool = False
    reference: Sequence[Cell] = ()


def score_table(
    entries: Sequence[TrainedModel], reference: Mapping[str, Score] | None = None
) -> Table:
    """All scores that any of the models has, and of the training data those that are shown."""
    found = {name for entry in entries for name in entry.scores}
    groups = [*dict.fromkeys(known.group for known in SCORES.values()), measure("").group]
    ordered = [n for n in SCORES if n in found] + sorted(found - SCORES.keys())
    names = sorted(ordered, key=lambda name: groups.index(measure(name).group))
    columns = {name: [entry.scores.get(name) for entry in entries] for name in names}
    cells = [_cells(entries, name, columns[name]) for name in names]
    rows = [list(row) for row in zip(*cells, strict=True)] if cells else [[] for _ in entries]
    headers = [_header(entries, name) for name in names]
    data = [_reference_cell(reference, name) for name in names] if reference else []
    return Table(_groups(names), headers, rows, any(map(mixed, columns.values())), data)


def _reference_cell(reference: Mapping[str, Score], name: str) -> Cell:
    """What training rows score: no model's, so that it is neither best nor worse."""
    if name not in reference:
        return Cell(absent="A score of models, not of data")
    value, error = number(reference[name], name)
    words = [f"{reference[name].value:.6g}", "training examples in place of samples"]
    return Cell("", value, error, title="; ".join([*words, protocol(reference[name])]))


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


def number(score: Score, name: str) -> tuple[str, str]:
    """Value and standard error over the examples, rounded to the error's second digit.

    Where there is no error over the examples, the value is rounded by that over the seeds.

    >>> number(Score(-91.5432, "nats", 9, "test", 0.0631), "elbo")
    ('−91.543', '0.063')
    >>> number(Score(3.5835189, "nats", 9, "test", 3e-7), "mutual_information")
    ('3.5835', '3e−07')
    """
    if _is_share(score, name):
        error = f"{100 * score.stderr:.1f} %" if score.stderr else ""
        return f"{100 * score.value:.1f} %", error
    if measure(name).form == "whole":
        return _whole(score.value), ""
    rounded = score.seed_stderr if score.stderr is None else score.stderr
    if rounded is None or not rounded > 0:
        return _minus(f"{score.value:.4g}"), ""
    digits = max(0, 1 - math.floor(math.log10(rounded)))
    if digits > 5:  # an error that tiny would pad the value with digits nobody compares
        shown = f"{score.value:.5g}" if abs(score.value) >= 1e-3 else f"{score.value:.2e}"
        value, error = shown, f"{rounded:.0e}"
    else:
        value, error = f"{score.value:,.{digits}f}", f"{rounded:,.{digits}f}"
    return _minus(value), "" if score.stderr is None else _minus(error)


def _is_share(score: Score, name: str) -> bool:
    return score.unit == "share" or measure(name).form == "share"


def seed_error(score: Score, name: str) -> str:
    """The standard error over the seeds, with two digits of its own.

    >>> seed_error(Score(-91.5432, "nats", 9, "test", 0.0631, seed_stderr=0.00812), "elbo")
    '0.0081'
    """
    if score.seed_stderr is None or measure(name).form == "whole":
        return ""
    if _is_share(score, name):
        return f"{100 * score.seed_stderr:.1f} %"
    return _minus(f"{score.seed_stderr:.2g}")


def _whole(value: float) -> str:
    if value >= 10_000:  # three digits say enough of a speed or a size
        for power, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
            if value >= power:
                return f"{value / power:.3g}{suffix}"
    return _minus(f"{value:,.0f}")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _cells(
    entries: Sequence[TrainedModel], name: str, scores: Sequence[Score | None]
) -> list[Cell]:
    """One column."""
    best, several = _leader(scores, name), mixed(scores)
    return [
        Cell(absent=why_absent(entry.model, name))
        if score is None
        else _cell(score, name, best, several)
        for entry, score in zip(entries, scores, strict=True)
    ]


def _cell(score: Score, name: str, best: Score | None, several: bool) -> Cell:
    sign, ranked = mark(score, name), "" if best is None else _rank(score, best)
    value, error = number(score, name)
    if score.unit.startswith("of "):
        value += " / " + score.unit.split()[1]
    words = [f"{score.value:.6g}"]
    words += [KIND_WORDS[sign]] if sign else []
    words += _error_words(score)
    words += [] if best is None or ranked == "best" else _apart_words(score, best)
    words += _rank_words(ranked, name, several)
    title = "; ".join([*words, protocol(score)])
    return Cell(sign, value, error, seed_error(score, name), ranked, score.value, title)


def _error_words(score: Score) -> list[str]:
    errors = ((score.stderr, "over the examples"), (score.seed_stderr, "over seeds"))
    found = [f"{error:.2g} {over}" for error, over in errors if error is not None]
    return ["standard error " + " and ".join(found)] if found else []


def _apart_words(score: Score, best: Score) -> list[str]:
    """How far from the best, and how surely."""
    apart = difference(score, best)
    if apart.stderr is None:
        return []
    how = "unpaired" if apart.pairs is None else f"paired over {apart.pairs:,} examples"
    return [_minus(f"difference from the best {apart.value:.2g} ± {apart.stderr:.2g} ({how})")]


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
    measured = "draws" if score.split == "none" else f"{score.split} examples"
    parts = [f"{score.n:,} {measured}"]
    parts += [] if score.samples is None else [f"{score.samples:,} samples"]
    if isinstance(score.seed, list):
        parts.append("mean over seeds " + ", ".join(map(str, score.seed)))
    elif score.seed is not None:
        parts.append(f"seed {score.seed}")
    return ", ".join(parts)


def _groups(names: Sequence[str]) -> list[tuple[str, int]]:
    groups: dict[str, int] = {}
    for name in names:
        groups[measure(name).group] = groups.get(measure(name).group, 0) + 1
    return list(groups.items())


def _header(entries: Sequence[TrainedModel], name: str) -> ColumnHead:
    about = measure(name)
    scores = [entry.scores[name] for entry in entries if name in entry.scores]
    unit = scores[0].unit if about.unit is None else about.unit
    if name.startswith("active_units"):
        unit = "dimensions"
    arrow = {"higher": "↑", "lower": "↓", None: ""}[about.better]
    return ColumnHead(name, about.title, short(unit), arrow, _tooltip(about, unit, scores))


def short(unit: str) -> str:
    """A unit that fits above a column: what follows a comma is left to the tooltip."""
    return unit.split(",")[0]


def _tooltip(about: Measure, unit: str, scores: Sequence[Score]) -> str:
    lines = [about.definition]
    lines += [f"Unit: {unit}."] if unit else []
    direction = "Neither direction is better as such."
    lines += [f"{about.better.capitalize()} is better." if about.better else direction]
    protocols: Mapping[str, None] = dict.fromkeys(protocol(score) for score in scores)
    return " ".join([*lines, "Measured on: " + " / ".join(protocols) + "."])
