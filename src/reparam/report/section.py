"""What a report shows, the cards that sections are made of, and what a section is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.batching import cost
from reparam.data import Data, Split
from reparam.evaluation.disentanglement.following import FactorInformation
from reparam.evaluation.disentanglement.of_models import factor_information
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.model import Encoder, Generator, LatentVariable, Model
from reparam.report import queries
from reparam.report.claims.verdicts import Claim
from reparam.report.pictures import Brightness, Picture
from reparam.report.selection import SAMPLE_ROWS, rows_to_imitate, sample_columns
from reparam.report.table import Table, score_table
from reparam.report.trained import TrainedModel

MOST_ROWS = 2000  # test examples whose codes are looked at
FEWEST_DRAWN, FEWEST_DEAR = 500, 200  # rows of a table that are drawn, and of dear models
MOST_PASSED = 2 * 10**8  # entries of x through networks for these

Role = TypeVar("Role", bound=Model)
Figure = Picture | Markup  # an image, or a plot as an <svg> element


@dataclass(frozen=True)
class Card:
    """Figures of one model with their captions, and a note.

    Args:
        model: its index, by which it has its color; None for the data themselves.
        label: what the model is called.
        figures: captions, often none, and figures.
        note: what else there is to say.
    """

    model: int | None
    label: str
    figures: Sequence[tuple[str, Figure]]
    note: str = ""


@dataclass(frozen=True)
class WayCard(Card):
    """Also what the columns of its figures are: moments on the way from noise to x."""

    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Coded:
    """An encoder with its codes (N, *event) of ``Shown.split``: real and finite, or indices."""

    index: int
    label: str
    model: Encoder
    code: Tensor


@dataclass(frozen=True)
class Shown:
    """What a report is about.

    Args:
        data: what the models were trained on; the test split is shown.
        entries: the models, in the order in which they are listed.
        seed: of the examples chosen and of everything drawn.
        reference: what training rows score in place of samples.
        families: whether the page compares families, and so shows what they are and what is said
            of them.
        claims: what is said of families, with verdicts; none: they are found for the page.
    """

    data: Data
    entries: Sequence[TrainedModel]
    seed: int = 0
    reference: Mapping[str, Score] = field(default_factory=dict)
    families: bool = False
    claims: Sequence[Claim] = ()

    def of(self, role: type[Role]) -> Iterator[tuple[int, str, Role]]:
        """Index, label and model of those that are of a class."""
        for index, entry in enumerate(self.entries):
            if isinstance(entry.model, role):
                yield index, entry.label, entry.model

    @cached_property
    def split(self) -> Split:
        """The test examples, or some of them, drawn at random."""
        return subset(self.data.test, MOST_ROWS, self.seed)

    @cached_property
    def coded(self) -> list[Coded]:
        """Every encoder whose codes are real and finite, with the codes of ``split``."""
        found = [(i, label, m, queries.encode(m, self.split)) for i, label, m in self.of(Encoder)]
        return [
            Coded(index, label, model, code)
            for index, label, model, code in found
            if code is not None and bool(code.isfinite().all()) and len(code) > 2
        ]

    @cached_property
    def indexed(self) -> list[Coded]:
        """Every encoder whose codes are indices, with those of ``split``."""
        found = [(i, label, m, queries.indices(m, self.split)) for i, label, m in self.of(Encoder)]
        return [Coded(i, label, m, code) for i, label, m, code in found if code is not None]

    @cached_property
    def rates(self) -> dict[int, Tensor]:
        """The rate of every example of ``split``, (N, G), by latent dimension or by layer."""
        return {
            index: bound_terms(model, self.split, self.seed)["rate"].flatten(1)
            for index, _, model in self.of(LatentVariable)
        }

    @cached_property
    def factor_information(self) -> dict[int, FactorInformation]:
        """What latents tell of known factors, of every encoder of which that can be said."""
        found = {
            i: factor_information(m, self.data, "test", self.seed) for i, _, m in self.of(Encoder)
        }
        return {index: known for index, known in found.items() if known is not None}

    @cached_property
    def samples(self) -> dict[int, queries.Samples]:
        """New images of every generator, a picture full, under conditions that occur."""
        count = SAMPLE_ROWS * sample_columns(self.data.space)
        like = rows_to_imitate(self.data, count, self.seed)
        return {i: queries.sample(m, count, like, self.seed) for i, _, m in self.of(Generator)}

    @cached_property
    def drawn_rows(self) -> dict[int, Tensor]:
        """New rows (N, D) of each generator of a table in random order, as many as in ``split``.

        Fewer of a model that takes many passes for a draw.
        """
        most, found = max(FEWEST_DRAWN, len(self.split)), {}
        for index, _, model in self.of(Generator):
            count = self.affordable(model, model.passes_per_draw, FEWEST_DEAR, most, MOST_PASSED)
            like = rows_to_imitate(self.data, count, self.seed)
            order = torch.randperm(count, generator=queries.seeded_generator(self.seed))
            found[index] = queries.sample(model, count, like, self.seed).draws[order]
        return found

    def affordable(self, model: Generator, passes: int, least: int, most: int, passed: int) -> int:
        """How many rows to put so often through a model, beside everything else on the page."""
        each = passes * model.pass_cost * cost(self.data.space)
        return min(most, max(least, passed // each))

    @cached_property
    def table(self) -> Table:
        return score_table(self.entries, self.reference)

    @cached_property
    def brightness(self) -> Brightness:
        return Brightness.of(self.data)


def images(shown: Shown) -> bool:
    return shown.data.space.is_image


def vectors(shown: Shown) -> bool:
    """Tables whose columns are all of one kind, so that they are drawn over one axis."""
    return not (images(shown) or mixed(shown))


def mixed(shown: Shown) -> bool:
    return shown.data.space.kind == "mixed"


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Args:
        id: of its element, and of the link to it.
        title: in the navigation, and above the section.
        lead: the paragraph below the title, a template that sees what the partial sees.
        build: the content; an empty one leaves the section out.
        partial: the template of the content, which it sees as ``content``.
        applies: to which data and models the section belongs; to all by default.
        measured: whether its figures need the scores of the models.
        coded: whether these are to have the lengths of files, which are made where it is asked for.
        drawn: whether it has figures at all, and is no table or text.
    """

    id: str
    title: str
    lead: str
    build: Callable[[Shown], Any]
    partial: str
    applies: Callable[[Shown], bool] = lambda shown: True
    measured: bool = False
    coded: bool = False
    drawn: bool = True
