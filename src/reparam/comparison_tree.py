"""The taxonomy of all presets, with what the models of a comparison reached."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NotRequired, TypedDict

from reparam.checkpoint import folder_named, read_json
from reparam.comparison_runs import FamilyEntry
from reparam.evaluation.scores import Score
from reparam.limits import check
from reparam.presets import PRESETS
from reparam.presets.places import places
from reparam.report.family_tree import OWN, Leaf, family_tree
from reparam.train.folder import SCORES_FILE


class Reached(TypedDict):
    """What the tree needs of ``scores.json``."""

    models: dict[str, dict[str, Score]]
    families: NotRequired[dict[str, FamilyEntry]]


def taxonomy(folder: str | os.PathLike[str] | None = None) -> str:
    """The tree of all presets by how they have log p(x), an SVG with colors for light and dark.

    Maximum likelihood is the root; densities are explicit, exactly or by an approximation, and what
    draws x without one is implicit. Where a preset stands is what its model declares.

    Args:
        folder: of a comparison, or of a run that was measured: its models carry their
            log-likelihood, the Fréchet distance of their draws, and draws per second; None: no
            numbers.

    Returns:
        The text of the file.

    Raises:
        ValueError: a folder without scores, or damaged ones.

    >>> taxonomy().count('class="node"')  # one root and eight branches
    9
    """
    return str(family_tree([] if folder is None else list(_leaves(folder_named(folder)))))


def _leaves(folder: Path) -> Iterator[Leaf]:
    """The models whose scores are there, but for those that stand nowhere."""
    file = folder / SCORES_FILE
    if not file.is_file():
        raise ValueError(
            f"{folder}: expected a folder with {SCORES_FILE}, as of a comparison; make one with "
            "reparam compare DATA --families"
        )
    content = read_json(file)
    asked = {name: content[name] for name in ("models", "families") if name in content}
    try:
        read = check(asked, Reached, "scores")
    except ValueError as error:
        raise ValueError(f"{file}: damaged, {error}; compare anew with --force") from error
    known = read.get("families", {})
    for index, (label, scores) in enumerate(read["models"].items()):
        about = known.get(label) or _by_name(label)
        if about["place"] is not None:
            place = tuple(about["place"])
            yield Leaf(label, about["family"] or OWN, place, scores, index)


def _by_name(label: str) -> FamilyEntry:
    """What the preset says whose name the label begins with, of a comparison that says nothing."""
    preset = PRESETS.get(label.partition(" ")[0])
    place = None if preset is None else places()[preset.name]
    return {
        "family": None if preset is None else preset.family,
        "place": None if place is None else list(place),
    }
