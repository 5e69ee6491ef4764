"""The head of the page: what the data are, and what to look for first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reparam.data import Data
from reparam.evaluation.scores import Score, mark
from reparam.report.endings import cut_off
from reparam.report.numbers import interval, number, seed_error
from reparam.report.table import rank
from reparam.report.trained import TrainedModel
from reparam.terms import CLAIMS

NBSP = "\u00a0"  # a number and its error are not parted at the end of a narrow line
KINDS = {"binary": "binary (0 or 1)", "real": "real-valued"}


def facts(data: Data) -> list[tuple[str, str]]:
    """What the data are, name by name."""
    space = data.space
    shape = " × ".join(map(str, space.shape))
    if space.is_image:
        height, width = space.shape[1:]
        channels = {1: "gray", 3: "RGB"}.get(space.shape[0], f"{space.shape[0]} channels")
        shape = f"images of {height} × {width}, {channels}"
    kind = KINDS.get(space.kind) or f"integer levels 0 … {(space.levels or 1) - 1}"
    lines = [
        ("Examples", shape if space.is_image else f"vectors of {space.shape[0]} entries"),
        ("Values", kind),
    ]
    lines += [(name.capitalize(), f"{len(split):,}") for name, split in data.splits.items()]
    if space.classes:
        lines.append(("Classes", str(space.classes)))
    if data.attribute_names:
        lines.append(("Attributes", ", ".join(data.attribute_names)))
    return lines


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
    """Which model leads in what, within errors."""
    found = [_finding(entries, name, claim) for name, claim in CLAIMS.items()]
    return [finding for finding in found if finding is not None]


def _finding(entries: Sequence[TrainedModel], name: str, claim: str) -> Finding | None:
    scores = [entry.scores.get(name) for entry in entries]
    ranks = rank(scores, name)
    if "best" not in ranks:
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
