"""The section of images unlike the data: their log p(x), and whether it tells them from data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from markupsafe import Markup

from reparam.batching import cost
from reparam.data import Split
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import mark
from reparam.evaluation.shifted import Told, shifted_images, told_apart
from reparam.measures import SCORES, Measure
from reparam.model import Density
from reparam.report.colors import model_color
from reparam.report.histograms import Ends, ends_around, stacked
from reparam.report.numbers import minus
from reparam.report.pictures import Picture, grid
from reparam.report.section import Section, Shown, images
from reparam.report.selection import SMALL

MOST_ROWS, FEWEST_ROWS, MOST_DRAWS = 100, 20, 10  # of each set; draws of a row
MOST_PASSED = 5 * 10**7  # entries of x through networks for a model: some 2 seconds of a core
SETS = 7  # test, validation and shifted images
PICTURED = 4  # images of each set


class Row(NamedTuple):
    """A set of images, its mean log p(x) with the mark of its kind, and the AUROCs, as text."""

    name: str
    mark: str
    mean: str
    low: str
    atypical: str


class ToldCard(NamedTuple):
    """What one density makes of the sets, and which of them it finds likelier than test images."""

    model: int
    label: str
    given: bool
    plot: Markup
    rows: list[Row]
    likelier: list[str]
    images: int
    draws: int | None


class Content(NamedTuple):
    """Examples of every set, the cards, and what the two columns are."""

    pictures: list[tuple[str, Picture]]
    cards: list[ToldCard]
    measures: tuple[Measure, Measure]


def build(shown: Shown) -> Content | None:
    """A card of every density; None where there is none."""
    found = {index: _told(shown, model) for index, _, model in shown.of(Density)}
    if not found:
        return None
    ends, cards = _ends(found), []
    for index, label, model in shown.of(Density):
        told = found[index]
        plot = _histograms(told, ends, index, label)
        test, *others = told.items()
        likelier = [name for name, one in others if _likelier(one, test[1])]
        log_p, rows = test[1].log_p, [_row(*item) for item in told.items()]
        card = (index, label, model.conditional, plot, rows, likelier, log_p.n, log_p.samples)
        cards.append(ToldCard(*card))
    measures = SCORES["shifted_auroc"], SCORES["typicality_auroc"]
    return Content(_pictures(shown), cards, measures)


def _told(shown: Shown, model: Density) -> dict[str, Told]:
    """By as many rows and draws as are affordable beside everything else on the page."""
    each = SETS * model.passes_per_sample * cost(shown.data.space)
    rows = min(MOST_ROWS, max(FEWEST_ROWS, MOST_PASSED // each))
    draws = min(MOST_DRAWS, max(1, MOST_PASSED // (rows * each)))
    test, unseen = (subset(s, rows, shown.seed) for s in (shown.split, shown.data.valid))
    return told_apart(model, _sets(shown, test), test, unseen, samples=draws, seed=shown.seed)


def _sets(shown: Shown, test: Split) -> dict[str, Split]:
    scale = shown.brightness
    return shifted_images(test, shown.data.space, scale.low, scale.high)


def _pictures(shown: Shown) -> list[tuple[str, Picture]]:
    test = subset(shown.split, PICTURED, shown.seed)
    sets = {"test": test, **_sets(shown, test)}
    return [
        (_name(k), grid(s.x, shown.brightness, len(s), f"{_name(k)} images", tile=SMALL))
        for k, s in sets.items()
    ]


def _name(of_set: str) -> str:
    return of_set.capitalize()


def _row(name: str, told: Told) -> Row:
    mean = minus(f"{told.log_p.value:,.1f}".replace("inf", "∞"))
    apart = [f"{a:.2f}" if a == a and name != "test" else "—" for a in (told.low, told.atypical)]
    return Row(_name(name), mark(told.log_p, "log_likelihood"), mean, *apart)


def _log_p(told: Told) -> torch.Tensor:
    assert told.log_p.values is not None
    return told.log_p.values


def _likelier(told: Told, test: Told) -> bool:
    """Whether rows are likelier than those that they were made of by two standard errors."""
    gap = _log_p(told) - _log_p(test)
    return len(gap) > 1 and bool(gap.mean() > 2 * gap.std() / len(gap) ** 0.5)


def _ends(found: Mapping[int, Mapping[str, Told]]) -> Ends:
    """Of the axis of all models, around test images."""
    test = torch.cat([_log_p(told["test"]) for told in found.values()])
    return ends_around(test, [_log_p(t) for told in found.values() for t in told.values()])


def _histograms(told: Mapping[str, Told], ends: Ends, index: int, label: str) -> Markup:
    """Of every set, test images in gray behind each."""
    sets = {name: _log_p(one) for name, one in told.items()}
    alt = f"{label}: histograms of log p(x) of test and shifted images"
    return stacked(sets, "test", ends, model_color(index), "log p(x), nats", alt)


SECTION: Section = Section(
    "shifted",
    "Out of distribution",
    """Test images shifted in ways that a person sees at once, and what every p(x) says of them. A
low log&nbsp;p(x) is no test for anomalies: images simpler than the data are often likelier than the
data (Nalisnick et al. 2019), as p(x) may be highest where draws of it never fall. Nearly all draws
have a log&nbsp;p(x) near its mean: typicality is the distance from there, to either side. It finds
what lies above, too, but not what has the same log&nbsp;p(x) by chance.""",
    build,
    "out_of_distribution.html.j2",
    images,
)
