"""The section of maps: the test set in two dimensions, and what 2-D codes decode to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.evaluation.projection import Projection
from reparam.inspection import FromPrior
from reparam.model import Codec
from reparam.report import queries
from reparam.report.distances import shepard_diagrams
from reparam.report.pictures import Picture, grid
from reparam.report.scatter import in_sight, scatter
from reparam.report.section import Card, Coded, Section, Shown
from reparam.report.selection import LARGE, class_names
from reparam.use.editing import draw_codes

THUMBNAIL, SHEET_BYTES = 28, 600_000
PRIOR_DRAWS = 4096  # for quantiles of a prior that need not be normal
SHOWN_DRAWS = 1000  # of a prior, under a map
EDGE = 0.03  # share of the codes left out on either side of a manifold


@dataclass(frozen=True)
class MapCard:
    """The map of one model, and its manifold where codes are 2-D images."""

    model: int
    label: str
    map: Markup
    projection: str
    manifold: Picture | None = None
    manifold_note: str = ""


class Thumbnails(NamedTuple):
    """All mapped test images on one sheet, for the pointer to look up."""

    sheet: Picture
    columns: int


class LatentMaps(NamedTuple):
    """Cards of all models with real codes, the images, and whether distances are kept."""

    cards: list[MapCard]
    points: int
    thumbnails: Thumbnails | None
    distances: list[Card]
    priors: bool


def build(shown: Shown) -> LatentMaps | None:
    """Where each encoder puts the test set, or some of it, drawn at random."""
    cards = [_card(shown, coded) for coded in shown.coded]
    if not cards:
        return None
    priors = any(isinstance(coded.model, FromPrior) for coded in shown.coded)
    small, apart = _thumbnails(shown), shepard_diagrams(shown)
    return LatentMaps(cards, len(shown.split), small, apart, priors)


def _card(shown: Shown, coded: Coded) -> MapCard:
    drawing, projection = drawn_map(shown, coded)
    manifold: tuple[()] | tuple[Picture, str] = ()
    flat = coded.code[0].numel() == 2
    if isinstance(coded.model, Codec) and shown.data.space.is_image and flat:
        manifold = _manifold(shown, coded.label, coded.model, coded.code)
    return MapCard(coded.index, coded.label, drawing, projection, *manifold)


def drawn_map(shown: Shown, coded: Coded) -> tuple[Markup, str]:
    """The test examples of ``shown.split`` by their codes, and how these were made two numbers."""
    flat = coded.code.flatten(1)
    projection = Projection.of(flat)
    said, under = projection.said, None
    if isinstance(coded.model, FromPrior):
        under = projection(_prior_draws(shown, coded))
        share = in_sight(projection(flat), under).float().mean().item()
        said += f"; {100 * share:.0f} % of p(z) in sight" if share < 1 else ""
    if coded.model.conditional:
        said += "; the codes contain the condition, which alone may separate them"
    alt = f"{coded.label}: {len(flat)} test examples in code space"
    names = class_names(shown.data)
    return scatter(projection(flat), shown.split.labels, names, alt, under), said


def _prior_draws(shown: Shown, coded: Coded) -> Tensor:
    """Draws of p(z), under the conditions of test examples, as many as these or fewer."""
    count = min(len(shown.split), SHOWN_DRAWS)
    c = queries.condition(coded.model, shown.split, slice(count))
    c = None if c is None else c.to(coded.model.anchor.device)
    z = draw_codes(coded.model, count, queries.seeded_generator(shown.seed), c)
    return queries.plain(z).flatten(1)


def _manifold(shown: Shown, label: str, model: Codec, code: Tensor) -> tuple[Picture, str]:
    data = shown.data
    side = 9 if max(data.space.shape[1:]) > LARGE else 12
    levels = torch.linspace(EDGE, 1 - EDGE, side)
    c = queries.condition(model, shown.split, slice(1))
    if isinstance(model, FromPrior):
        z = draw_codes(model, PRIOR_DRAWS, queries.seeded_generator(shown.seed), c)
        axes = torch.quantile(queries.plain(z).flatten(1), levels, dim=0)
        note = f"Decoded at prior quantiles {EDGE:.0%} to {1 - EDGE:.0%} of each dimension"
    else:
        low, high = torch.quantile(code.flatten(1), torch.tensor([EDGE, 1 - EDGE]), dim=0)
        axes = low + (high - low) * torch.linspace(0, 1, side)[:, None]
        note = f"Decoded evenly between quantiles {EDGE:.0%} and {1 - EDGE:.0%} of the codes"
    across, up = torch.meshgrid(axes[:, 0], axes[:, 1].flip(0), indexing="xy")
    points = torch.stack([across, up], -1).view(side * side, *code.shape[1:])
    c = None if c is None else c.expand(len(points), *c.shape[1:])
    x = queries.decode(model, points, c)
    alt = f"{label}: decoded images over a {side} by {side} grid of codes"
    picture = grid(x, shown.brightness, side, alt, gap=0.06, tile=(32, LARGE))
    return picture, note


def _thumbnails(shown: Shown) -> Thumbnails | None:
    """The mapped images, as small as a modest page weight asks for."""
    data, split = shown.data, shown.split
    if not data.space.is_image:
        return None
    room = (SHEET_BYTES / (len(split) * min(3, data.space.shape[0]))) ** 0.5
    side = max(12, min(int(room), THUMBNAIL, max(data.space.shape[1:])))
    columns = int(len(split) ** 0.5) + 1
    sheet = grid(split.x, shown.brightness, columns, "", gap=0, tile=(1, side))
    return Thumbnails(sheet, columns)


SECTION: Section = Section(
    "latent",
    "Latent map",
    """{{ "{:,}".format(content.points) }} test examples where their codes
lie{{ ", colored by class" if legend }}.
{% if content.thumbnails %}Point at a map to see the image behind a point. {% endif %}
{% if legend %}Choose a class to see it alone. {% endif %}
{% if content.priors %}Gray points are draws of p(z).{% endif %}""",
    build,
    "latent_map.html.j2",
)
