"""The section of the test images whose codes are most alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.evaluation.representation import code_features, nearest, pools
from reparam.model import Codec, Encoder
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import SMALL, examples, frames

QUERIES, FOUND = 6, 6  # images, and the nearest of each that are shown
COUNTED = 5  # nearest whose classes are compared


def build(shown: Shown) -> list[Card]:
    """Some test images beside those whose codes make the smallest angles with theirs."""
    cards = []
    if len(shown.split) <= FOUND:
        return []
    rows = examples(shown.split, QUERIES, shown.seed)
    for index, label, model in shown.of(Encoder):
        if model.code_space.kind != "real" or model.conditional:
            continue
        points = code_features(model, shown.split, pooled=True)
        if not points.isfinite().all():
            continue
        near = nearest(F.normalize(points), FOUND)  # of unit vectors as by their cosine
        tiles = torch.cat([rows[:, None], near[rows]], 1).flatten()
        x = still(shown, queries.in_data_units(shown.split.x[tiles]))
        alt = f"{label}: test images, each before those whose codes are most like its own"
        picture = grid(x, shown.brightness, FOUND + 1, alt, apart=(1,), tile=SMALL)
        cards.append(Card(index, label, [("", picture)], _note(shown, model, near)))
    return cards


def still(shown: Shown, x: Tensor) -> Tensor:
    """Images, of clips the frame in the middle."""
    many = frames(shown.data.space, shown.data.bands)
    return x if many == 1 else x[:, many // 2, None]


def _note(shown: Shown, model: Encoder, near: Tensor) -> str:
    of = "codes averaged over their places" if pools(model) else "codes"
    labels = shown.split.labels
    if labels is None:
        return f"By {of}."
    same = (labels[near[:, :COUNTED]] == labels[:, None]).double().mean().item()
    return f"By {of}; {same:.1%} of the {COUNTED} nearest are of the same class."


def looks_alike(shown: Shown) -> bool:
    """Images, and an encoder whose codes cannot show what they hold by decoding whole x."""
    return images(shown) and any(
        not isinstance(model, Codec) or queries.predicts_hidden(model)
        for _, _, model in shown.of(Encoder)
    )


SECTION: Section = Section(
    "alike",
    "Most alike",
    """Test images, the same for every model, and beside each the others whose codes make the
smallest angles with its own (by cosine; at most 2,000 test images are compared). What a model takes
for alike is what its codes hold: a class, a slant, a thickness, or a place.""",
    build,
    "alike.html.j2",
    looks_alike,
)
