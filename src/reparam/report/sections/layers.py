"""The section of codes in layers: images that share some of them, the others drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.inspection import Layered
from reparam.model import LatentVariable
from reparam.models.invertible import Invertible
from reparam.report import codebooks, queries
from reparam.report.pictures import Picture, grid
from reparam.report.section import Card, Coded, Section, Shown, images
from reparam.report.selection import examples

ROWS, COLUMNS = 4, 6  # codes, and draws that share layers with each of them


class Layers(NamedTuple):
    """A card of every model with layers, and whether some of them are of test images."""

    cards: list[Card]
    of_tests: bool


def build(shown: Shown) -> Layers | None:
    found: list[Card] = []
    indexed = {coded.index: coded for coded in shown.indexed}
    for index, label, latent in shown.of(LatentVariable):
        figures = _below(shown, latent)
        figures += _of_tests(shown, indexed[index]) if index in indexed else ()
        found.append(Card(index, label, figures))
    for index, label, flow in shown.of(Invertible):
        found.append(Card(index, label, list(_either_side(shown, flow))))
    cards = sorted((card for card in found if card.figures), key=lambda card: card.model or 0)
    of_tests = any(shown.of(Invertible)) or any(card.model in indexed for card in cards)
    return Layers(cards, of_tests) if cards else None


def _below(shown: Shown, model: LatentVariable) -> list[tuple[str, Picture]]:
    """Means of x in rows that share their coarsest layers, one more layer in each picture."""
    generator, shared = queries.seeded_generator(shown.seed), "layers"
    c = model.draw_condition(ROWS, generator)
    prior = model.prior(c)
    if not isinstance(prior, Layered):
        return []
    z = prior.repeat(ROWS // prior.rows).sample(generator).repeat_interleave(COLUMNS, 0)
    if c is not None:
        c, shared = c.repeat_interleave(COLUMNS, 0), "layers and the condition"
        prior = model.prior(c)
        assert isinstance(prior, Layered)
    pictures = []
    for kept in range(1, len(model.layers)):
        x = queries.in_data_units(model.decode(prior.resample(z, kept, generator), c))
        what = f"{kept} of {len(model.layers)} {shared} shared in each row"
        pictures.append((what, grid(x, shown.brightness, COLUMNS, what, tile=(28, 56))))
    return pictures


def _of_tests(shown: Shown, coded: Coded) -> Iterator[tuple[str, Picture]]:
    """Test images from all of their indices, from the coarsest layers alone, and with draws."""
    model, test, draws = coded.model, shown.data.test, COLUMNS - 2
    assert isinstance(model, LatentVariable)
    rows, generator = examples(test, ROWS, shown.seed), queries.seeded_generator(shown.seed)
    c, code = queries.condition(model, test, rows), queries.indices(model, test.take(rows))
    prior = model.prior(None if c is None else c.repeat_interleave(draws, 0))
    assert code is not None
    if not isinstance(prior, Layered):
        return
    for kept in range(1, len(model.layers)):
        same = torch.arange(code.shape[1]) < sum(model.layers[:kept])
        alone = torch.where(same, code, codebooks.usual(coded.code))
        at = code.to(model.anchor.device).repeat_interleave(draws, 0)
        drawn = prior.resample(at, kept, generator).cpu().long().unflatten(0, (-1, draws))
        codes = torch.cat([code[:, None], alone[:, None], drawn], 1).flatten(0, 1)
        x = queries.decode(model, codes, None if c is None else c.repeat_interleave(COLUMNS, 0))
        what = (
            f"A test image, its reconstruction, and {kept} of {len(model.layers)} layers of its "
            f"code: with the most frequent indices in place of the others, and with {draws} draws"
        )
        yield what, _behind(shown, test.x[rows], x, what, apart=(1, 2, 3))


def _either_side(shown: Shown, model: Invertible) -> Iterator[tuple[str, Picture]]:
    """Test images, each with others that share its coarsest or its finest scales."""
    test, sizes = shown.data.test, model.layers
    rows = examples(test, ROWS, shown.seed)
    c = queries.condition(model, test, rows)
    code = model.encode(test.x[rows], c).repeat_interleave(COLUMNS, 0)
    c = None if c is None else c.repeat_interleave(COLUMNS, 0).to(code.device)
    base = model.p_z(c, len(code))
    if len(sizes) < 2 or base.log_prob_terms(code).shape != code.shape:
        return  # scales that hang together are not drawn without the others
    drawn = base.sample(queries.seeded_generator(shown.seed))
    place = torch.arange(code.shape[1], device=code.device)
    for which, ends in (("coarsest", sizes), ("finest", sizes[::-1])):
        for count in range(1, len(sizes)):
            kept = sum(ends[:count])
            same = place < kept if which == "coarsest" else place >= len(place) - kept
            x = queries.decode(model, torch.where(same, code, drawn), c)
            what = f"{which.capitalize()} {count} of {len(sizes)} scales kept: "
            what += f"{kept} of {len(place)} numbers"
            yield what, _behind(shown, test.x[rows], x, what)


def _behind(
    shown: Shown, first: Tensor, others: Tensor, alt: str, apart: Sequence[int] = (1,)
) -> Picture:
    """Rows of images, each begun by that which they are made of."""
    first = queries.in_data_units(first)[:, None]
    others = others.unflatten(0, (len(first), COLUMNS)).to(first)
    tiles, columns = torch.cat([first, others], 1).flatten(0, 1), COLUMNS + 1
    return grid(tiles, shown.brightness, columns, alt, apart=apart, tile=(28, 56))


SECTION: Section = Section(
    "layers",
    "Layers of the code",
    """Codes in layers, of which each row keeps some, the others being drawn anew: what all images
of a row have in common is in the layers that are kept.
{%- if content.of_tests %} Rows that begin with a test image keep what is said of its code; nothing
but the code made the others.{% endif %}""",
    build,
    "layers.html.j2",
    images,
)
