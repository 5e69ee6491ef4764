"""The order of the pages: the field's own, then how-tos, reference and design.

A page of ``docs/`` that is not here fails the build, and so does one that is here and not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from reference import PARTS
from repository import RESULTS

Entries = list[object]

FAMILIES: Entries = [
    "projections.md",
    "autoencoders.md",
    "vaes.md",
    "hierarchies.md",
    "discrete-codes.md",
    "autoregressive.md",
    "flows.md",
    "diffusion.md",
    "adversarial.md",
    "energies.md",
    "masked.md",
    "self-distillation.md",
    "classes.md",
]
USES: Entries = [
    "families.md",
    "few-labels.md",
    "disentanglement.md",
    "anomalies.md",
    "completion.md",
    "restoration.md",
    "compression.md",
    "editing.md",
    "explorer.md",
]
TOOLS: Entries = [
    "estimator.md",
    "hub.md",
    "export.md",
    "notebooks.md",
    "scale.md",
]
HOW_TOS: Entries = [
    "how-to/own-photos.md",
    "how-to/own-table.md",
    "how-to/own-model.md",
    "how-to/own-likelihood.md",
    "how-to/own-loop.md",
    "how-to/many-machines.md",
    "how-to/gpu.md",
    "add-a-model.md",
]
TABLES: Entries = [
    "reference/presets.md",
    "reference/likelihoods.md",
    "reference/bijections.md",
    "reference/terms.md",
    "reference/scores.md",
    "reference/commands.md",
]
DESIGN: Entries = [
    "design.md",
    {"What was measured": ["benchmarks.md", *RESULTS]},
    "neighbors.md",
    "contributing.md",
    "changelog.md",
]

NAVIGATION: Entries = [
    {
        "Start": [
            "index.md",
            "install.md",
            {"A tour of everything": "tour.md"},
            "quickstart.md",
            "vocabulary.md",
            "numbers.md",
            "notation.md",
            "diagrams.md",
        ]
    },
    {"Families": FAMILIES},
    {"Use": [*USES, {"In other tools": TOOLS}]},
    {"How to": HOW_TOS},
    {"Gallery": "gallery.md"},
    {
        "Reference": [
            "reference/index.md",
            {"Tables": TABLES},
            *({part: [page.path for page in pages]} for part, pages in PARTS.items()),
        ]
    },
    {"Design": DESIGN},
]


def present(entries: Entries, there: set[str], missing: list[str]) -> Entries:
    """The entries whose pages are there; the others are added to ``missing``."""
    found: Entries = []
    for entry in entries:
        if isinstance(entry, str):
            (found if entry in there else missing).append(entry)
        elif isinstance(entry, dict):
            ((title, below),) = entry.items()
            kept = present(below if isinstance(below, list) else [below], there, missing)
            if kept:
                found.append({title: kept if isinstance(below, list) else kept[0]})
    return found


def paths(entries: Entries) -> Iterator[str]:
    """Every page in them."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            for below in entry.values():
                yield from paths(below if isinstance(below, list) else [below])
