"""The section of what each latent dimension does: one code moved along one dimension at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.disentanglement.following import FOLLOWS, FactorInformation
from reparam.evaluation.latents import INFLUENCED, Axes, importance, influence
from reparam.model import Codec, Decoder
from reparam.report import queries
from reparam.report.columns import Columns, colors
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.section import Section, Shown, images, mixed
from reparam.use.editing import draw_codes, noise_decoder, traverse

SHOWN, STEPS, REACH = 5, 7, 2.5  # dimensions, images per dimension, standard deviations
SMALL_STEPS, SMALL_SIDE, LARGE_SIDE = 5, 12, 40  # of the walks along all others: images, pixels
ROOM, MOST_SMALL = 500_000, 400  # bytes before compression, walks at most, so that pages stay light


@dataclass(frozen=True)
class Dimension:
    """One latent dimension: how much it carries, in the unit of all, and the decoded walk.

    ``follows`` is the known factor that it follows, if it does.
    """

    name: str
    amount: str
    share: float
    figure: Picture
    follows: str = ""


@dataclass(frozen=True)
class TraversalCard:
    """Every dimension of one model in order: the strongest, the others small, the last as text.

    The amounts of the last are in ``unit``. ``columns`` are the names beside walks of rows.
    ``drawn`` says whether the walks start at a draw of z, not at the code of a test example.
    """

    model: int
    label: str
    order: str
    note: str
    dimensions: list[Dimension]
    others: str
    small: list[tuple[str, Picture]]
    undrawn: list[str]
    unit: str
    columns: Sequence[str] = ()
    drawn: bool = False

    @property
    def named(self) -> bool:
        """Whether any dimension of those shown large follows a factor."""
        return any(dimension.follows for dimension in self.dimensions)


def build(shown: Shown) -> list[TraversalCard]:
    """Traversals of every codec with real codes, and of every decoder of noise."""
    brush = _Images.of(shown) if images(shown) else _Rows.of(shown)
    cards = []
    for index, label, model in shown.of(Decoder):
        if noise_decoder(model) is not None:
            walk, axes = _from_noise(model, shown.seed)
            cards.append(_card(index, label, axes, walk, brush, {}))
    for coded in shown.coded:
        if isinstance(coded.model, Codec):
            axes = importance(coded.model, shown.split, coded.code.flatten(1), shown.seed)
            walk = _Walk.of(coded.model, shown.split, coded.code)
            followed = _followed(shown.factor_information.get(coded.index))
            cards.append(_card(coded.index, coded.label, axes, walk, brush, followed))
    return sorted(cards, key=lambda card: card.model)


def _from_noise(model: Decoder, seed: int) -> tuple[_Walk, Axes]:
    """Walks around one draw z ~ N(0, I), and by how much each entry of z changes x."""
    generator = queries.seeded_generator(seed)
    codes = draw_codes(model, 1 + INFLUENCED, generator)
    c = model.draw_condition(1, generator)
    zeros = torch.zeros(codes[0].numel())
    return _Walk(model, codes[:1], zeros, zeros + 1, c), influence(model, codes[1:], c)


@dataclass(frozen=True)
class _Walk:
    """Where the walks of a model start, and how far they go.

    Args:
        model: decodes them.
        x: a single example (1, *shape), of an ordinary code; of a decoder of noise a code.
        mean, deviation: of the codes, (F,).
        c: the condition of ``x``.
    """

    model: Decoder
    x: Tensor
    mean: Tensor
    deviation: Tensor
    c: Tensor | None

    @classmethod
    def of(cls, model: Codec, split: Split, code: Tensor) -> _Walk:
        flat = code.flatten(1)
        mean, deviation = flat.mean(0), flat.std(0, correction=0)
        nearest = int((flat - mean).square().sum(1).argmin())
        rows = slice(nearest, nearest + 1)
        return cls(model, split.x[rows], mean, deviation, queries.condition(model, split, rows))

    def along(self, dimensions: Tensor, steps: int) -> Tensor:
        """x decoded along each of the dimensions, (n, steps, *shape)."""
        if not len(dimensions):
            return torch.empty(0)
        reach = REACH * self.deviation[dimensions, None] * torch.linspace(-1, 1, steps)
        values = self.mean[dimensions, None] + reach
        return queries.in_data_units(
            traverse(self.model, self.x, dimensions.tolist(), values, self.c)[0]
        )


def _followed(told: FactorInformation | None) -> dict[int, str]:
    """The names of the factors that dimensions follow."""
    if told is None:
        return {}
    return {latent: told.coded.names[factor] for latent, factor in told.follows.items()}


def _card(
    index: int,
    label: str,
    axes: Axes,
    walk: _Walk,
    brush: _Images | _Rows,
    followed: Mapping[int, str],
) -> TraversalCard:
    order = axes.amount.argsort(descending=True)
    alive, unused = order[axes.alive[order]], order[~axes.alive[order]]
    first, weaker = alive[:SHOWN], alive[SHOWN:]
    others = torch.cat([weaker, unused])
    side, drawn = brush.small_size(len(others))
    alt = f"{label}: x decoded along dimension"
    dimensions = []
    for dimension, x in zip(first.tolist(), walk.along(first, STEPS), strict=True):
        amount = axes.amount[dimension].item()
        share = amount / max(axes.amount.max().item(), 1e-30)
        name, text = f"z{dimension}", f"{amount:.3g}"
        figure = brush.large(x, f"{alt} {dimension}")
        follows = followed.get(dimension, "")
        dimensions.append(Dimension(name, text, share, figure, follows))
    unit = f" {axes.unit}"
    small = [
        (_captioned(axes, dimension, unit, followed), brush.small(x, side, f"{alt} {dimension}"))
        for dimension, x in zip(
            others[:drawn].tolist(), walk.along(others[:drawn], SMALL_STEPS), strict=True
        )
    ]
    undrawn = [_captioned(axes, dimension, "", followed) for dimension in others[drawn:].tolist()]
    note, title = _note(len(order), len(alive), axes.unit), _title(len(weaker), len(unused))
    drawn = noise_decoder(walk.model) is not None
    said = axes.order, note, dimensions, title, small, undrawn, axes.unit
    return TraversalCard(index, label, *said, brush.named, drawn)


def _captioned(axes: Axes, dimension: int, unit: str, followed: Mapping[int, str]) -> str:
    text = axes.text(dimension, unit)
    return f"{text}, follows {followed[dimension]}" if dimension in followed else text


def _note(total: int, alive: int, unit: str) -> str:
    if alive == 0:
        return f"None of the {total} dimensions is used: all are idle"
    by = "rate, in nats" if unit == "nats" else unit
    return f"{min(alive, SHOWN)} of {total} dimensions by {by}"


def _title(weaker: int, unused: int) -> str:
    """What is folded away.

    >>> _title(12, 1), _title(0, 2)
    ('12 weaker dimensions and 1 idle one', '2 idle dimensions')
    """
    parts = [f"{weaker} weaker dimension{'s' * (weaker > 1)}"] if weaker else []
    if unused:
        noun = "one" if weaker else "dimension"
        parts.append(f"{unused} idle {noun}{'s' * (unused > 1)}")
    return " and ".join(parts)


@dataclass(frozen=True)
class _Images:
    """Draws walks of images."""

    brightness: Brightness
    shape: tuple[int, ...]
    named: Sequence[str] = ()

    @classmethod
    def of(cls, shown: Shown) -> _Images:
        return cls(shown.brightness, shown.data.space.shape)

    def large(self, x: Tensor, alt: str) -> Picture:
        return grid(x, self.brightness, STEPS, alt, tile=(48, 64))

    def small_size(self, count: int) -> tuple[int, int]:
        """The longer side of a small image for so many walks, and how many walks have room."""
        channels, (height, width) = min(3, self.shape[0]), self.shape[1:]
        longest = max(height, width)
        share = height * width / longest**2
        each = SMALL_STEPS * channels * share  # bytes of a walk of images of one pixel
        side = int((ROOM / (max(count, 1) * each)) ** 0.5)
        side = min(max(side, SMALL_SIDE), LARGE_SIDE, longest)
        return side, min(count, MOST_SMALL, int(ROOM / (each * side**2)))

    def small(self, x: Tensor, side: int, alt: str) -> Picture:
        return grid(x, self.brightness, SMALL_STEPS, alt, gap=0, tile=(1, side))


@dataclass(frozen=True)
class _Rows:
    """Draws walks of rows of a table."""

    columns: Columns

    @classmethod
    def of(cls, shown: Shown) -> _Rows:
        return cls(Columns.of(shown.data))

    @property
    def named(self) -> Sequence[str]:
        return self.columns.names if self.columns.few else ()

    def large(self, x: Tensor, alt: str) -> Picture:
        return colors(self.columns, x, alt)

    def small_size(self, count: int) -> tuple[int, int]:
        each = SMALL_STEPS * 3 * len(self.columns.names)
        return 0, min(count, MOST_SMALL, ROOM // each)

    def small(self, x: Tensor, side: int, alt: str) -> Picture:
        return colors(self.columns, x, alt)


SECTION: Section = Section(
    "traversals",
    "Traversals",
    """{% set drawn = content | selectattr("drawn") | list %}
{% if drawn | length < content | length %}"""
    f"""The test code nearest to the mean of all, moved along one dimension from {REACH} standard
deviations of the codes below their mean to {REACH} above. """
    """{% endif %}{% if drawn %}Of {{ drawn | map(attribute="label") | join(", ") }} """
    f"""no x has a code: a draw of z is moved instead, one entry at a time from −{REACH} to {REACH}.
First come the entries that change x most, in its standard deviations, on their way from −1 to
1."""
    """{% endif %}"""
    """{% if not data.space.is_image %} Colors show
each column in standard deviations from its training mean: blue below, red above.{% endif %}"""
    f"""{{% if content | selectattr("named") | list %}} A dimension is named with the factor that
it follows: no other tells more of it, it tells more of no other, and {FOLLOWS:g} of its entropy
beyond chance.{{% endif %}}""",
    build,
    "traversals.html.j2",
    lambda shown: not mixed(shown),  # names have no colors between them
)
