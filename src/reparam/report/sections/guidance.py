"""The section of guidance: draws class by class that follow the class not, as learned, and more."""

from __future__ import annotations

import torch

from reparam.data import Split
from reparam.inspection import FromNoise
from reparam.model import Generator
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import SMALL, drawn_classes

PER_CLASS, CLASSES = 6, 20
SAMPLER, STEPS = "ddim", 50  # no noise on the way: what starts alike differs by the class alone
WITHOUT, AS_LEARNED, MORE = 0.0, 1.0, 3.0  # guidance


def build(shown: Shown) -> list[Card]:
    """A card of every model that can be guided by labels."""
    found = (
        (i, label, model.from_noise, drawn_classes(model, shown.data))
        for i, label, model in shown.of(Generator)
    )
    return [
        _card(shown, i, label, view, known)
        for i, label, view, known in found
        if view and view.guides and known
    ]


def _card(
    shown: Shown, index: int, label: str, view: FromNoise[Generator], known: list[tuple[int, str]]
) -> Card:
    steps = min(STEPS, view.samplers[SAMPLER] or STEPS)
    rows: list[tuple[str, int, tuple[float, ...]]] = [("any class", known[0][0], (WITHOUT,))]
    rows += [(name, number, (AS_LEARNED, MORE)) for number, name in known[:CLASSES]]
    figures = []
    for name, number, guidances in rows:
        x = shown.data.train.x[:1].expand(PER_CLASS, *shown.data.space.shape)
        like = Split(x, torch.full((PER_CLASS,), number))
        models = [view.by(SAMPLER, steps, guidance) for guidance in guidances]
        drawn = [queries.sample(m, PER_CLASS, like, shown.seed).draws for m in models]
        alt = f"{label}: samples of class {name}, guidance {' and '.join(map(str, guidances))}"
        tiles, scale, apart = torch.cat(drawn), shown.brightness, (PER_CLASS,)
        picture = grid(tiles, scale, 2 * PER_CLASS, alt, apart=apart, tile=SMALL)
        figures.append((name, picture))
    left_out = len(known) - len(known[:CLASSES])
    note = f"By {steps} steps of {SAMPLER}; a column starts from the same noise."
    return Card(index, label, figures, note + (f" {left_out} more classes." if left_out else ""))


SECTION: Section = Section(
    "guidance",
    "Guidance",
    """Models that learned to undo noise with and without the class can follow it more than they
would, by a noise of ε<sub>∅</sub>&nbsp;+&nbsp;w&nbsp;(ε<sub>c</sub>&nbsp;−&nbsp;ε<sub>∅</sub>).
Without the class, w&nbsp;=&nbsp;0, all classes are mixed; w&nbsp;=&nbsp;1 draws of p(x|c);
w&nbsp;=&nbsp;3 exaggerates what tells a class from others: clearer images, less varied, and no
draws of p(x|c).""",
    build,
    "guidance.html.j2",
    images,
)
