"""What claims are made of: the trained models, and what is measured of them for claims alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median

import torch
from torch import Tensor

from reparam.batching import cost
from reparam.data import Data, Split
from reparam.evaluation.discrepancy import frechet_distance, frechet_error
from reparam.evaluation.quality_by_time import FEWEST_ROWS, QualityByTime
from reparam.evaluation.reconstruction import laplacian_variance
from reparam.evaluation.rows import subset
from reparam.evaluation.samples import has_edges
from reparam.evaluation.scores import Score
from reparam.measures import measure
from reparam.model import Generator, Model
from reparam.report import queries
from reparam.report.claims.roles import Role, Wanted
from reparam.report.claims.verdicts import Named, Part, exceeds, lacking, untold
from reparam.report.selection import rows_to_imitate
from reparam.report.trained import TrainedModel

MOST_ROWS = 300  # test rows that are measured for a claim, and draws
NORMAL, OF_MEDIANS = 1.4826, 1.2533  # σ over the median deviation, errors of medians over means
TIMED, LEAST_TIMED = 9, 3  # times that something is done against the clock, after a first
LONG = 2.0  # seconds, after which no more is done than the least
MOST_PASSED = 3 * 10**7  # entries of x through networks for what one claim measures of a model


@dataclass(frozen=True)
class Compared:
    """Models that were trained on the same data, and measurements of the first seed's weights.

    Args:
        data: what they were trained on.
        entries: the models.
        seed: of everything drawn.
        reference: what training rows score in place of samples.
    """

    data: Data
    entries: Sequence[TrainedModel]
    seed: int = 0
    reference: Mapping[str, Score] = field(default_factory=dict)

    def of(self, role: Role) -> Iterator[TrainedModel]:
        """The unconditional models of a role, in their order."""
        return (e for e in self.entries if not e.model.conditional and role(e.model))

    def first(self, role: Role, score: str | None = None) -> TrainedModel | None:
        """The first of them, of those that have the score."""
        having = (e for e in self.of(role) if score is None or score in e.scores)
        return next(having, None)

    def wanted(self, one: Wanted, score: str | None = None) -> TrainedModel | None:
        """The model that is asked for, of those that have the score."""
        found = (self.first(role, score) for role in one.roles)
        return next((entry for entry in found if entry is not None), None)

    @cached_property
    def test(self) -> Split:
        """Test rows, drawn at random."""
        return subset(self.data.test, MOST_ROWS, self.seed)

    @property
    def generator(self) -> torch.Generator:
        """One anew for each measurement, so that none depends on which others there are."""
        return queries.seeded_generator(self.seed)

    @cached_property
    def quality(self) -> QualityByTime | None:
        """The Fréchet distance of any rows; None where there are too few."""
        n = min(len(self.data.test), len(self.data.train), MOST_ROWS)
        return None if n < FEWEST_ROWS else QualityByTime(self.data, n, self.seed)

    def distance(self, x: Tensor) -> Score | None:
        """The Fréchet distance of rows from as many test rows; None where these are too few."""
        n = 0 if self.quality is None else min(len(x), self.quality.n)
        finite = bool(x.isfinite().all()) or self.data.space.columns is not None
        if self.quality is None or n < FEWEST_ROWS or not finite:
            return None
        features, real = self.quality.features(x[:n]), self.quality.real[:n]
        if not features.isfinite().all():
            return None
        found = frechet_distance(features, real), frechet_error(features, real)
        return Score(found[0], "squared feature deviations", n, "test", found[1])

    @property
    def has_edges(self) -> bool:
        return has_edges(self.data.space)

    def sharpness(self, x: Tensor) -> Score:
        """The mean Laplacian variance of images over that of test images, each independent."""
        real = laplacian_variance(self.test.x.double())
        return self._ratio_of_means(laplacian_variance(x.cpu().double()), real)

    def _ratio_of_means(self, above: Tensor, below: Tensor) -> Score:
        ratio = (above.mean() / below.mean()).item()
        if min(len(above), len(below)) < 2:
            return Score(ratio, "of test images", len(above), "none")
        apart = [(t.std() / t.mean()).item() / math.sqrt(len(t)) for t in (above, below)]
        return Score(ratio, "of test images", len(above), "none", abs(ratio) * math.hypot(*apart))

    def draws(self, model: Generator, n: int = MOST_ROWS) -> queries.Samples:
        """New x, as many as are affordable, and the means behind them where there are any."""
        each = model.passes_per_draw * model.pass_cost * cost(self.data.space)
        n = min(n, max(FEWEST_ROWS, MOST_PASSED // each))
        return queries.sample(model, n, rows_to_imitate(self.data, n, self.seed), self.seed)


def higher(c: Compared, sentence: str, score: str, first: Wanted, second: Wanted) -> Part:
    """That the first model has a higher score than the second."""
    found = [c.wanted(one, score) for one in (first, second)]
    if found[0] is None or found[1] is None:
        return unmeasured(c, sentence, score, first, second)
    return exceeds(sentence, score, *(named(one, score) for one in found if one is not None))


def unmeasured(c: Compared, sentence: str, score: str, *wanted: Wanted) -> Part:
    """That models are missing or, where all are there, that one of them has no such score."""
    missing = [one.preset for one in wanted if c.wanted(one) is None]
    if missing:
        return lacking(sentence, *missing)
    without = [e.label for one in wanted if not c.wanted(one, score) and (e := c.wanted(one))]
    have = "has" if len(without) == 1 else "have"
    return untold(sentence, f"{' and '.join(without)} {have} no {measure(score).title} here")


def named(entry: TrainedModel, score: str) -> Named:
    """A model's score with its label."""
    return Named(entry.label, entry.scores[score])


def seconds(do: Callable[[], object], long: float = LONG) -> Score:
    """How long something takes in the median of nine times, fewer of what takes long.

    A first time warms up and does not count.

    The error is that of the median of so many, by their median deviation: a machine that does
    something else for a while makes outliers.
    """
    do()
    found: list[float] = []
    while len(found) < LEAST_TIMED or (len(found) < TIMED and sum(found) < long):
        start = time.perf_counter()
        do()
        found.append(time.perf_counter() - start)
    middle = median(found)
    deviation = NORMAL * median(abs(one - middle) for one in found)
    error = OF_MEDIANS * deviation / math.sqrt(len(found))
    return Score(middle, "s", len(found), "none", error)


def milliseconds(time: Score) -> Score:
    """The same time in thousandths, of which short and long ones are read alike."""
    error = None if time.stderr is None else 1000 * time.stderr
    return replace(time, value=1000 * time.value, unit="ms", stderr=error)


def subsets(model: Model, data: Data, rows: int, seed: int) -> tuple[Split, Split]:
    """As many training rows as test rows, at most so many."""
    n = min(rows, len(data.train), len(data.test))
    return subset(data.train, n, seed), subset(data.test, n, seed)


def ratio(first: Score, second: Score) -> Score:
    """Of two independent scores, with the linearized error."""
    value = first.value / second.value
    if first.error is None or second.error is None:
        return Score(value, "", first.n, first.split)
    relative = math.hypot(first.error / first.value, second.error / second.value)
    return Score(value, "", first.n, first.split, abs(value) * relative)
