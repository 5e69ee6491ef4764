"""The head of the page: what the data are, and what to look for first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reparam.data import Data
from reparam.evaluation.scores import Score, groups_in_order, mark
from reparam.measures import CLAIMS, measure
from reparam.model import Encoder, Model
from reparam.report.endings import cut_off
from reparam.report.numbers import interval, number, seed_error
from reparam.report.table import rank, told_alike
from reparam.report.trained import TrainedModel
from reparam.space import Column, Space

MOST_NAMED = 4  # columns with missing cells
NBSP = "\u00a0"  # a number and its error are not parted at the end of a narrow line
KINDS = {"binary": "binary (0 or 1)", "real": "real-valued"}
COLUMNS = {
    "real": ("real", "real"),
    "log": ("real by its logarithm", "real by their logarithms"),
    "levels": ("of whole numbers", "of whole numbers"),
    "binary": ("flag", "flags"),
    "category": ("of names", "of names"),
}


def facts(data: Data) -> list[tuple[str, str]]:
    """What the data are, name by name."""
    space = data.space
    shape = " × ".join(map(str, space.shape))
    if space.is_image:
        height, width = space.shape[1:]
        channels = {1: "gray", 3: "RGB"}.get(space.shape[0], f"{space.shape[0]} channels")
        shape = f"images of {height} × {width}, {channels}"
    kind = KINDS.get(space.kind) or f"integer levels 0 … {(space.levels or 1) - 1}"
    kind = _kinds_of_columns(space.columns) if space.columns else kind
    lines = [
        ("Examples", shape if space.is_image else _vectors(space)),
        ("Values", kind),
    ]
    lines += [(name.capitalize(), f"{len(split):,}") for name, split in data.splits.items()]
    missing = _missing(data)
    if missing:
        lines.append(("Missing cells", missing))
    if space.classes:
        lines.append(("Classes", str(space.classes)))
    if data.attribute_names:
        lines.append(("Attributes", ", ".join(data.attribute_names)))
    return lines


def _vectors(space: Space) -> str:
    what = "rows of {} columns" if space.columns else "vectors of {} entries"
    return what.format(space.dimension)


def _kinds_of_columns(columns: Sequence[Column]) -> str:
    """How many columns are of which kind.

    >>> _kinds_of_columns([Column("a", "real"), Column("b", "binary"), Column("c", "binary")])
    'mixed: 1 real, 2 flags'
    """
    kinds = [column.kind for column in columns]
    counts = [(sum(k == kind for k in kinds), words) for kind, words in COLUMNS.items()]
    return "mixed: " + ", ".join(f"{n} {words[n > 1]}" for n, words in counts if n)


def _missing(data: Data) -> str:
    """The share of cells that are missing, and where most of them are; nothing where none is."""
    if not data.space.columns:
        return ""
    parts = [split.x.isnan().sum(0) for split in data.splits.values()]
    missing, rows = torch.stack(parts).sum(0), sum(map(len, data.splits.values()))
    if not missing.any():
        return ""
    shares = {c.name: n / rows for c, n in zip(data.space.columns, missing.tolist(), strict=True)}
    worst = sorted((name for name in shares if shares[name]), key=lambda name: -shares[name])
    some = ", ".join(f"{name} {100 * shares[name]:.2g}{NBSP}%" for name in worst[:MOST_NAMED])
    more = f" and {len(worst) - MOST_NAMED} more" if len(worst) > MOST_NAMED else ""
    share = missing.sum().item() / (rows * len(data.space.columns))
    return f"{100 * share:.2g}{NBSP}%: {some}{more}"


def class_counts(data: Data) -> str:
    """The classes with their numbers of training examples."""
    if data.class_names is None or data.train.labels is None:
        return ""
    counts = torch.bincount(data.train.labels, minlength=len(data.class_names)).tolist()
    pairs = zip(data.class_names, counts, strict=False)
    return ", ".join(f"{name} ({count:,})" for name, count in pairs)


@dataclass(frozen=True)
class Finding:
    """A plain sentence whose subject is a model."""

    model: int
    text: str


def findings(entries: Sequence[TrainedModel]) -> list[Finding]:
    """Which model leads in what, within errors, in the order of the table's columns."""
    groups = groups_in_order(entry.scores for entry in entries)
    names = sorted(CLAIMS, key=lambda name: groups.index(measure(name).group))
    found = [_finding(entries, name, CLAIMS[name]) for name in names]
    return [finding for finding in found if finding is not None]


def _finding(entries: Sequence[TrainedModel], name: str, claim: str) -> Finding | None:
    scores = [entry.scores.get(name) for entry in entries]
    if name.startswith("reconstruction"):
        scores = [s if _smaller(e.model) else None for s, e in zip(scores, entries, strict=True)]
    ranks = rank(scores, name)
    if "best" not in ranks or not told_alike(entries, name):
        return None
    leader = ranks.index("best")
    best = scores[leader]
    assert best is not None
    (value, error), within = number(best, name), interval(best)
    text = f"{claim}: " + NBSP.join(filter(None, [mark(best, name), value]))
    over_seeds = seed_error(best, name)
    if best.error is None:
        text += " (standard error not known)"
    text += f"{NBSP}±{NBSP}{error}" if error else ""
    text += f" ({within})" if within else ""
    text += f" (±{NBSP}{over_seeds}{NBSP}over{NBSP}seeds)" if over_seeds else ""
    text += f" {best.unit}" if name.endswith("likelihood") else ""
    tied = [entries[i].label for i, ranked in enumerate(ranks) if ranked and i != leader]
    if tied:
        text += f"; {_listed(tied)} cannot be told apart from it (within one standard error)"
    text = text.replace(" %", f"{NBSP}%")
    cautions = _caution(scores, best, name) + _unfinished(entries, scores, leader)
    return Finding(leader, text + "." + cautions)


def _smaller(model: Model) -> bool:
    """Whether a code has fewer numbers than x: one that has as many can be x itself, as flows'."""
    space = model.code_space if isinstance(model, Encoder) else None
    return space is not None and space.dimension < model.space.dimension


def _caution(scores: Sequence[Score | None], best: Score, name: str) -> str:
    """A bound below the best value does not show that its model is worse."""
    others = [s for s in scores if s is not None and s is not best and s.kind == "lower bound"]
    if not others or not name.endswith("likelihood"):
        return ""
    return " The true values of models with a lower bound (≥) may be higher than shown."


def _unfinished(
    entries: Sequence[TrainedModel], scores: Sequence[Score | None], leader: int
) -> str:
    """Which of the models compared might have gone further, had they been given more time."""
    compared = [index for index, score in enumerate(scores) if score is not None]
    stopped: dict[str, list[str]] = {}
    for index in sorted(compared, key=lambda index: index != leader):
        by = cut_off(entries[index])
        if by is not None:
            label = "It" if index == leader else entries[index].label
            stopped.setdefault(by, []).append(label)
    text = ""
    for by, labels in stopped.items():
        who = _listed(labels) if len(labels) < len(compared) else "All of them"
        verb, whom = ("was", "it") if len(labels) == 1 else ("were", "them")
        text += f" {who} {verb} still improving when {by} {whom}."
    return text


def trained_seeds(entries: Sequence[TrainedModel]) -> list[int]:
    """The seeds that any scores are means over; none where each model was trained once."""
    found = {
        seed
        for entry in entries
        for score in entry.scores.values()
        if isinstance(score.seed, list)
        for seed in score.seed
    }
    return sorted(found)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
