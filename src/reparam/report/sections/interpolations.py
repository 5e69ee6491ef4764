"""The section of interpolated images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Split
from reparam.model import Codec, Decoder
from reparam.models.invertible import Invertible
from reparam.report import queries
from reparam.report.pictures import grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import SMALL, examples, names
from reparam.use import editing

PAIRS, STEPS = 3, 8


@dataclass(frozen=True)
class PathsCard(Card):
    """Also whether the paths lead between draws of z, not images."""

    drawn: bool = False


def build(shown: Shown) -> list[PathsCard]:
    """Paths between the codes of test images, or between draws of z where no image has a code."""
    found = [*_between_images(shown), *_between_draws(shown)]
    return sorted(found, key=lambda card: card.model or 0)


def _between_images(shown: Shown) -> list[PathsCard]:
    """Of every codec with real codes."""
    test = shown.data.test
    rows = examples(test, 2 * PAIRS, shown.seed)
    first, last = rows[: len(rows) // 2], rows[(len(rows) + 1) // 2 :]
    if len(first) == 0:
        return []
    cards = []
    ends = [queries.in_data_units(test.x[at])[:, None] for at in (first, last)]
    for index, label, model in shown.of(Codec):
        if model.code_space.kind == "real":
            between = interpolate(model, test, first, last)
            x = torch.cat([ends[0], between, ends[1]], 1).flatten(0, 1)
            alt = f"{label}: interpolations between {names(shown.data, rows)}"
            apart = (1, STEPS + 1)
            picture = grid(x, shown.brightness, STEPS + 2, alt, apart=apart, tile=SMALL)
            cards.append(PathsCard(index, label, [("", picture)]))
    return cards


def _between_draws(shown: Shown) -> list[PathsCard]:
    """Of every decoder of noise; both ends of a path are under one condition."""
    cards = []
    for index, label, model in shown.of(Decoder):
        if editing.noise_decoder(model) is not None:
            generator = queries.seeded_generator(shown.seed)
            first, last = editing.draw_codes(model, 2 * PAIRS, generator).chunk(2)
            c = model.draw_condition(PAIRS, generator)
            x = editing.interpolate(model, first, last, steps=STEPS + 2, c=c).flatten(0, 1)
            alt = f"{label}: interpolations between draws of z"
            x = queries.in_data_units(x)
            picture = grid(x, shown.brightness, STEPS + 2, alt, tile=SMALL)
            cards.append(PathsCard(index, label, [("", picture)], "between draws of z", True))
    return cards


def interpolate(model: Codec, split: Split, first: Tensor, last: Tensor) -> Tensor:
    """Decoded steps on the line between codes, (pairs, STEPS, *shape); ends are reconstructions.

    A conditional model is told the condition of the nearer end. Codes of flows hold all of x and
    lie near a sphere, within which a line would pass: theirs is an arc.
    """
    c, c_second = (queries.condition(model, split, rows) for rows in (first, last))
    path: editing.Path = "spherical" if isinstance(model, Invertible) else "linear"
    x = editing.interpolate(
        model, split.x[first], split.x[last], steps=STEPS, path=path, c=c, c_second=c_second
    )
    return queries.in_data_units(x)


SECTION: Section = Section(
    "interpolations",
    "Interpolations",
    """{% set drawn = content | selectattr("drawn") | list %}
{% if drawn | length < content | length %}Lines in code space between two test images, which stand
at either end (arcs, where codes are the noise of a flow, which lies near a sphere); what is between
is decoded, the outermost being their reconstructions. {% endif %}{% if drawn %}Of
{{ drawn | map(attribute="label") | join(", ") }} no image has a code: arcs lead from one draw of z
to another, as draws lie near a sphere.{% endif %}""",
    build,
    "interpolations.html.j2",
    images,
)
