"""The section of critics and energies: what they say of data, of draws and of noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.batching import in_batches
from reparam.data import Split
from reparam.evaluation.ranking import exceedance
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.inspection import Judgment
from reparam.model import Density, Generator
from reparam.report import queries
from reparam.report.colors import model_color
from reparam.report.histograms import ends_around, stacked
from reparam.report.numbers import number
from reparam.report.section import Section, Shown
from reparam.report.selection import rows_to_imitate

MOST_ROWS = 1000  # of each set
FEWEST_DRAWN, MOST_PASSED = 200, 10**8  # draws; entries of x through networks for them
TEST, TRAINING, DRAWS = "test", "training", "draws"


class JudgedCard(NamedTuple):
    """What one critic or energy says of each set, and what follows from it."""

    model: int
    label: str
    plot: Markup
    sentences: list[str]


def build(shown: Shown) -> list[JudgedCard]:
    """A card of every model that judges x."""
    return [
        _card(shown, index, label, model, model.judgment)
        for index, label, model in shown.of(Generator)
        if model.judgment is not None
    ]


def _card(shown: Shown, index: int, label: str, model: Generator, judgment: Judgment) -> JudgedCard:
    sets = judged(shown, model, judgment)
    what = f"{judgment.name}, {judgment.unit}" if judgment.unit else judgment.name
    alt = f"{label}: histograms of the {judgment.name}"
    ends = ends_around(sets[TEST], [sets[TRAINING], sets[DRAWS]])
    plot = stacked(sets, TEST, ends, model_color(index), what, alt)
    return JudgedCard(index, label, plot, [*_compared(judgment, sets), *_constant(model)])


def judged(shown: Shown, model: Generator, judgment: Judgment) -> dict[str, Tensor]:
    """The numbers of test and training rows and of draws; those of energies of noise as well."""
    passes = model.passes_per_draw
    count = shown.affordable(model, passes, FEWEST_DRAWN, MOST_ROWS, MOST_PASSED)
    train = subset(shown.data.train, MOST_ROWS, shown.seed)
    like = rows_to_imitate(shown.data, count, shown.seed)
    drawn = queries.sample(model, count, like, shown.seed).draws
    sets = {
        TEST: subset(shown.split, MOST_ROWS, shown.seed),
        TRAINING: train,
        DRAWS: Split(drawn, like.labels, attributes=like.attributes),
    }
    if judgment.energy:  # elsewhere a critic was never asked
        sets |= _noise(shown, train)
    return {name: _numbers(model, judgment, split) for name, split in sets.items()}


def _numbers(model: Generator, judgment: Judgment, split: Split) -> Tensor:
    """Of rows that are finite; others are no x. What is not a number is left out."""
    rows = split.x.flatten(1).isfinite().all(1).nonzero().flatten()

    @torch.no_grad()
    def of(part: Tensor) -> Tensor:
        return queries.plain(judgment.of(split.x[part], queries.condition(model, split, part)))

    numbers = in_batches(of, queries.at_once(model), rows) if len(rows) else torch.zeros(0)
    return numbers[~numbers.isnan()]


def _noise(shown: Shown, train: Split) -> dict[str, Split]:
    """Training rows whose entries are shuffled, each by itself, and entries drawn uniformly."""
    generator, space = queries.seeded_generator(shown.seed), shown.data.space
    flat = train.x.flatten(1)
    order = torch.rand(flat.shape, generator=generator).argsort(0)
    uniform = torch.rand(flat.shape, generator=generator, dtype=torch.float64)
    if space.level_count is not None:
        noise = (uniform * space.level_count).floor()
    else:
        low, high = flat.double().amin(0), flat.double().amax(0)
        noise = low + (high - low) * uniform
    found = {"shuffled": flat.gather(0, order), "uniform": noise}
    return {
        name: Split(x.view(train.x.shape), train.labels, attributes=train.attributes)
        for name, x in found.items()
    }


def _compared(judgment: Judgment, sets: Mapping[str, Tensor]) -> list[str]:
    """How often training rows and draws are taken for data rather than test rows are."""
    where = "a lower" if judgment.energy else "a higher"
    return [
        f"{who} has {where} {judgment.name} than a test row in "
        f"{100 * _preferred(judgment, sets[name], sets[TEST]):.0f} % of all pairs."
        for name, who in ((TRAINING, "A training row"), (DRAWS, "A draw"))
        if len(sets[name]) and len(sets[TEST])
    ]


def _preferred(judgment: Judgment, ones: Tensor, others: Tensor) -> float:
    """How often one of the ones is taken for data rather than one of the others."""
    return exceedance(ones, others) if judgment.energy else exceedance(others, ones)


def _constant(model: Generator) -> list[str]:
    """log Z, of an energy that is measured, with its error."""
    found = model.log_partition if isinstance(model, Density) else None
    if found is None:
        return []
    score = Score(found.value.item(), "nats", found.runs, "runs", found.stderr.item())
    value, error = number(score, "log_partition")
    if found.kind == "exact":
        return [f"log Z = {value} nats, by a sum over {found.runs:,} states."]
    effective = f"{found.effective_samples.item():.3g}"
    return [
        f"log Z ≈ {value} ± {error} nats, by {found.runs:,} runs of annealing that are worth "
        f"{effective} of equal weight."
    ]


SECTION: Section = Section(
    "judged",
    "Critics and energies",
    """A critic gives every x a logit, which is high where it takes x for data. An energy model
gives it an energy, which is low there: p(x) is proportional to exp(−energy), the base included.
Behind each histogram lies that of test rows in gray. A critic or an energy that has learned its
training rows by heart prefers them to test rows, which it has not seen; otherwise it does so in
half of all pairs. It prefers draws to test rows in half of all pairs where it sees no difference,
in fewer where it tells draws from data, in more where draws are more typical than data are.
Energies are shown of noise, too: of rows whose entries are drawn uniformly, and of training rows
whose entries are shuffled, each by itself.""",
    build,
    "judged.html.j2",
)
