"""The section of restorations: what may have been, given what is left, of models trained for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.degradation import Degradation, as_seen, brief_name
from reparam.evaluation.restoration import (
    DRAWS,
    Restored,
    given_to,
    hidden_places,
    restorations,
)
from reparam.evaluation.scores import Score
from reparam.model import Generator
from reparam.report import plots, queries
from reparam.report.colors import INK, model_color
from reparam.report.numbers import number
from reparam.report.pictures import Brightness, Picture, grid
from reparam.report.section import Section, Shown, WayCard, images
from reparam.report.selection import LARGE, SMALL, examples, names

EXAMPLES, FEWEST, PICTURED, SHOWN_DRAWS = 40, 5, 5, 4
MOST_PASSED = 2 * 10**8  # entries of x through networks for a model: a few seconds of a core
BINS, SIZE = 10, (3.4, 1.6)
COLUMNS = ("x", "y", *["draw"] * SHOWN_DRAWS, "mean", "σ")
NUMBERS = (
    ("error of draws", "restoration_mse"),
    ("of their mean", "restoration_mean_mse"),
    ("error of what was given", "consistency"),
    ("spread", "spread"),
    ("in the middle 90 %", "coverage"),
    ("color of draws", "color_mse"),
    ("color of their mean", "color_mean_mse"),
    ("color, if gray", "color_mse_of_gray"),
    ("color, if the mean color", "color_mse_of_average"),
)


@dataclass(frozen=True)
class RestoredCard(WayCard):
    """Also what was done to the originals, scores in words, and where originals lie."""

    given: str = ""
    numbers: Sequence[tuple[str, str]] = ()
    among: Markup | None = None


def build(shown: Shown) -> list[RestoredCard]:
    """Originals, what is given of them, draws, their mean and their deviation, by model."""
    cards = []
    for index, label, model in shown.of(Generator):
        given = given_to(model)
        if given is None:
            continue
        passes = DRAWS * model.passes_per_draw
        count = shown.affordable(model, passes, FEWEST, EXAMPLES, MOST_PASSED)
        rows = examples(shown.data.test, count, shown.seed)
        parts = restorations(model, shown.data.test.take(rows), DRAWS, shown.seed)
        found = _together(list(parts))
        few = torch.linspace(0, len(rows) - 1, min(PICTURED, len(rows))).round().long()
        if max(shown.data.space.shape[1:]) > LARGE:
            few = few[:3]
        what = names(shown.data, rows[few])
        picture, white = _picture(shown, label, given, found, few, what)
        cards.append(
            RestoredCard(
                index,
                label,
                [("", picture)],
                _note(white, shown.brightness),
                COLUMNS,
                brief_name(given.name),
                _numbers(shown.entries[index].scores),
                _histogram(index, label, given, found),
            )
        )
    return cards


def _together(parts: Sequence[Restored]) -> Restored:
    fields = ("x", "y", "draws", "uniform")
    return Restored(*(torch.cat([getattr(p, name).cpu() for p in parts]) for name in fields))


def _picture(
    shown: Shown, label: str, given: Degradation, found: Restored, few: Tensor, what: str
) -> tuple[Picture, float]:
    """A row for each example, and the deviation that is white."""
    brightness = shown.brightness
    x, draws = queries.in_data_units(found.x[few]), queries.in_data_units(found.draws[few])
    deviation = draws.double().std(1)
    if x.shape[1] > 1:
        deviation = deviation.mean(1, keepdim=True).expand_as(x)
    white = deviation.max().item()
    gray = deviation / (white or 1.0) * (brightness.high - brightness.low) + brightness.low
    seen = as_seen(given, found.y[few], (brightness.low + brightness.high) / 2)
    columns = [x, seen, *draws[:, :SHOWN_DRAWS].unbind(1), draws.double().mean(1), gray]
    tiles = torch.stack([column.double() for column in columns], 1).flatten(0, 1)
    alt = f"{label}: {what}, a row for each: {', '.join(dict.fromkeys(COLUMNS))}"
    return grid(tiles, brightness, len(columns), alt, tile=SMALL), white


def _note(white: float, brightness: Brightness) -> str:
    if not white:
        return "All draws of an example are alike."
    share = white / (brightness.high - brightness.low)
    return f"White is a σ of {share:.2g} of the range from black to white."


def _numbers(scores: Mapping[str, Score]) -> list[tuple[str, str]]:
    """Scores with their words, as the table of scores shows them."""
    found = []
    for words, name in NUMBERS:
        if name in scores:
            value, error = number(scores[name], name)
            found.append((words, f"{value} ± {error}" if error else value))
    return found


def _histogram(index: int, label: str, given: Degradation, found: Restored) -> Markup | None:
    """How often originals lie in which tenth of their draws; as often in each, of true draws."""
    place = hidden_places(given, found)
    if not place.numel():
        return None
    share = torch.histc(place, BINS, 0, 1) / place.numel()
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        at = [(i + 0.5) / BINS for i in range(BINS)]
        axis.bar(at, share.tolist(), 0.94 / BINS, color=model_color(index), alpha=0.8)
        axis.axhline(1 / BINS, color=INK, lw=1, ls=(0, (4, 3)))
        axis.set_xlim(0, 1)
        axis.grid(False)
        axis.set_xticks([0, 0.5, 1], ["below all", "in the middle", "above all"])
        axis.set_yticks([1 / BINS], ["10 %"])
        axis.tick_params(length=0)
        alt = f"{label}: shares of hidden entries by where originals lie among their draws"
        return plots.svg(figure, alt)


def restores(shown: Shown) -> bool:
    return images(shown) and any(given_to(m) is not None for _, _, m in shown.of(Generator))


SECTION: Section = Section(
    "restorations",
    "Restorations",
    """Test images x chosen with seed {{ seed }}, what is given of each, y, and what it may have
been: draws of x given y, their mean, and their standard deviation σ, which is bright where y leaves
open what was there. Means are blurred where draws differ. Bars: where originals lie among 19 draws,
entry by entry; of draws of p(x|y) all are as high as the dashed line. Too many at the ends say that
draws are too sure, too many in the middle that they are too unsure.""",
    build,
    "restorations.html.j2",
    restores,
)
