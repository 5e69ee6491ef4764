"""The head of the page: what the data are, and what to look for first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reparam.data import Data
from reparam.evaluation.scores import Score
from reparam.report.entry import Entry
from reparam.report.table import mark, number, rank, seed_error

KINDS = {"binary": "binary (0 or 1)", "real": "real-valued"}
CLAIMS = {
    "log_likelihood": "has the highest log-likelihood",
    "conditional_log_likelihood": "has the highest log-likelihood given the condition",
    "reconstruction_mse": "reconstructs best, by mean squared error",
    "linear_probe_accuracy": "has the codes from which labels are read best",
    "frechet_distance": "has the smallest Fréchet distance between samples and data",
}


def facts(data: Data) -> list[tuple[str, str]]:
    """What the data are, name by name."""
    space = data.space
    shape = " × ".join(map(str, space.shape))
    if space.is_image:
        height, width = space.shape[1:]
        channels = {1: "grey", 3: "RGB"}.get(space.shape[0], f"{space.shape[0]} channels")
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


def findings(entries: Sequence[Entry]) -> list[Finding]:
    """Which model leads in what, within errors."""
    found = [_finding(entries, name, claim) for name, claim in CLAIMS.items()]
    return [finding for finding in found if finding is not None]


def _finding(entries: Sequence[Entry], name: str, claim: str) -> Finding | None:
    scores = [entry.scores.get(name) for entry in entries]
    ranks = rank(scores, name)
    if "best" not in ranks:
        return None
    leader = ranks.index("best")
    best = scores[leader]
    assert best is not None
    value, error = number(best, name)
    text = f"{claim}: " + " ".join(filter(None, [mark(best, name), value]))
    over_seeds = seed_error(best, name)
    if best.error is None:
        text += " (standard error not known)"
    text += f" ± {error}" if error else ""
    text += f" (± {over_seeds} over seeds)" if over_seeds else ""
    text += f" {best.unit}" if name.endswith("likelihood") else ""
    tied = [entries[i].label for i, ranked in enumerate(ranks) if ranked and i != leader]
    if tied:
        text += f"; {_listed(tied)} cannot be told apart from it (within one standard error)"
    return Finding(leader, text + "." + _caution(scores, best, name))


def _caution(scores: Sequence[Score | None], best: Score, name: str) -> str:
    """A bound below the best value does not show that its model is worse."""
    others = [s for s in scores if s is not None and s is not best and s.kind == "lower bound"]
    if not others or not name.endswith("likelihood"):
        return ""
    return " The true values of models with a lower bound (≥) may be higher than shown."


def trained_seeds(entries: Sequence[Entry]) -> list[int]:
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


def rebuilding(data: Data, entries: Sequence[Entry]) -> str:
    """Python that builds and trains the same kinds of models on the same data."""
    if data.source is None:
        arguments = "…  # these data came from memory"
    else:
        named = [f"{k}={v!r}" for k, v in data.source.items() if k != "source"]
        arguments = ", ".join([repr(data.source.get("source")), *named])
    lines = ["import reparam as rp", "", f"data = rp.load_data({arguments})"]
    for entry in entries:
        recipe = entry.model.recipe
        if recipe is not None:
            given = [f"{k}={v!r}" for k, v in recipe["parameters"].items()]
            call = ", ".join([repr(recipe["preset"]), "data.space", *given])
            lines += ["", f"# {entry.label}", f"model = rp.build({call})", "rp.fit(model, data)"]
    return "\n".join(lines)
