"""The section of known factors: which latent tells of which, and how codes go with levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from reparam.evaluation.disentanglement.following import FactorInformation, gaps
from reparam.evaluation.scores import Score
from reparam.measures import SCORES
from reparam.report import plots
from reparam.report.colors import model_color
from reparam.report.level_means import draw_level_means
from reparam.report.numbers import hundredths, with_error
from reparam.report.section import Section, Shown
from reparam.report.trained import TrainedModel
from reparam.wording import counted

MOST_SHOWN = 16  # latents of a matrix, beside those that tell most of a factor
PANEL = (1.95, 1.5)  # inches
SCALES = (0.1, 0.2, 0.3, 0.5, 0.8)  # where a scale may end, if not at 1


class Cell(NamedTuple):
    """I/H as a number between 0 and 1 and as text, and whether no other latent tells more."""

    share: float
    text: str
    wins: bool


class Row(NamedTuple):
    """A latent: what it carries, what it tells of each factor, whether it is dead."""

    name: str
    amount: str
    cells: list[Cell]
    dead: bool


class FactorCard(NamedTuple):
    """The matrix of a model with its gaps, and mean codes by level of each factor.

    Args:
        model, label: its index and what it is called.
        about: rows and live latents.
        unit: of the amounts.
        factors: their names.
        rows: latents from the one that carries most.
        gaps, chance: of each factor.
        hidden: what there is to say of latents that are not shown.
        profiles: captions and plots.
    """

    model: int
    label: str
    about: str
    unit: str
    factors: Sequence[str]
    rows: list[Row]
    gaps: list[str]
    chance: list[str]
    hidden: str
    profiles: list[tuple[str, str, Markup]]


class Dots(NamedTuple):
    """A score of a model on a scale from 0, in percent: single seeds, mean and its error."""

    at: float
    low: float
    high: float
    seeds: list[float]
    text: str
    alt: str


class Strip(NamedTuple):
    """A score of all models; None of one that lacks it."""

    title: str
    top: str
    dots: list[Dots | None]


class Factors(NamedTuple):
    """A card for every model, and where there are several trainings their scores side by side."""

    cards: list[FactorCard]
    models: list[int]
    strips: list[Strip]


def build(shown: Shown) -> Factors | None:
    """What there is to say of known factors; None where that is nothing."""
    told = shown.factor_information
    if not told:
        return None
    cards = [_card(index, shown.entries[index].label, found) for index, found in told.items()]
    return Factors(cards, list(told), _strips([shown.entries[index] for index in told]))


def _card(index: int, label: str, told: FactorInformation) -> FactorCard:
    coded, winners = told.coded, set(told.winners.tolist())
    first = {*told.order[:MOST_SHOWN], *winners}
    rows = [_row(latent, told) for latent in told.order if latent in first]
    rest = [latent for latent in told.order if latent not in first]
    dead = int(coded.dead.sum())
    about = f"{len(coded):,} test examples; {coded.latents - dead} of {coded.latents} latents live"
    return FactorCard(
        index,
        label,
        about,
        "rate, nats" if told.rated else "deviation",
        coded.names,
        rows,
        [hundredths(gap) for gap in gaps(told.share)],
        [hundredths(chance) for chance in told.chance],
        _hidden(rest, told),
        [_profile(factor, label, index, told) for factor in range(coded.factors)],
    )


def _row(latent: int, told: FactorInformation) -> Row:
    cells = [
        Cell(share, hundredths(share), latent == winner)
        for share, winner in zip(told.share[latent].tolist(), told.winners.tolist(), strict=True)
    ]
    amount = f"{told.weight[latent]:{'.2f' if told.rated else '.2g'}}"
    return Row(f"z{latent}", amount, cells, bool(told.coded.dead[latent]))


def _hidden(rest: Sequence[int], told: FactorInformation) -> str:
    if not rest:
        return ""
    most, dead = told.share[rest].max(), int(told.coded.dead[rest].sum())
    weaker = f"{counted(len(rest), 'latent')} that carry less"
    text = f"{weaker} tell {hundredths(most)} of a factor at most"
    return f"{text}; {dead} of them are dead" if dead else text


def _profile(
    factor: int, label: str, index: int, told: FactorInformation
) -> tuple[str, str, Markup]:
    """The factor, the latent that is drawn and what it tells, and the plot."""
    name, winner = told.coded.names[factor], f"z{told.winners[factor]}"
    most = hundredths(told.share[:, factor].max())
    with plots.style():
        figure, axis = plots.panel(*PANEL)
        draw_level_means(axis, told, factor, model_color(index))
        alt = f"{label}: mean of {winner} by the level of {name}"
        return name, f"{winner} tells {most}", plots.svg(figure, alt)


def _strips(entries: Sequence[TrainedModel]) -> list[Strip]:
    """Scores of factors side by side; none of a single training."""
    if sum(max(1, len(entry.by_seed)) for entry in entries) < 2:
        return []
    names = [name for name, about in SCORES.items() if about.group == "Factors" and about.better]
    return [_strip(name, entries) for name in names if any(name in e.scores for e in entries)]


def _strip(name: str, entries: Sequence[TrainedModel]) -> Strip:
    known = [entry for entry in entries if name in entry.scores]
    largest = max(
        value
        for entry in known
        for score in (entry.scores[name], *_of_seeds(entry, name))
        for value in (score.value + (score.error or 0), score.value)
    )
    top = _scale(largest)
    dots = [_dots(name, entry, top) if name in entry.scores else None for entry in entries]
    return Strip(SCORES[name].title, f"{top:g}", dots)


def _scale(largest: float) -> float:
    """The least round number that is no smaller, 1 for what is larger.

    >>> _scale(0.13), _scale(0.2), _scale(1.02), _scale(0.0)
    (0.2, 0.2, 1.0, 0.1)
    """
    return next((top for top in SCALES if largest <= top), 1.0)


def _dots(name: str, entry: TrainedModel, top: float) -> Dots:
    score, seeds = entry.scores[name], _of_seeds(entry, name)

    def place(value: float) -> float:
        return round(100 * min(max(value / top, 0.0), 1.0), 1)

    error = score.error or 0.0
    ends = place(score.value - error), place(score.value + error)
    text, within = with_error(score, name)
    values = ", ".join(hundredths(each.value) for each in seeds)
    alt = f"{text} {within}" + (f"; single seeds {values}" if seeds else "")
    return Dots(place(score.value), *ends, [place(each.value) for each in seeds], text, alt)


def _of_seeds(entry: TrainedModel, name: str) -> list[Score]:
    of: Sequence[Mapping[str, Score]] = entry.by_seed
    return [scores[name] for scores in of if name in scores]


SECTION: Section = Section(
    "factors",
    "Factors",
    """What latents tell of the known factors of variation, which models do not see: mutual
information over the factor's entropy, 1 at most. Framed is the latent that tells most; the gap is
by how much it tells more than the next one (their mean is the MIG), and by chance is what latents
tell once rows are shuffled. Plots show the mean code of the framed latent at each level of the
factor, with one standard deviation to either side
{%- if "circular" in data.factor_kinds.values() %};
levels that turn are angles, and the code is the radius{% endif %}.""",
    build,
    "factors.html.j2",
)
