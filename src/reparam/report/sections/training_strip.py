"""The section of draws while models were trained, always of the same z."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from torch import Tensor

from reparam.model import LatentVariable
from reparam.report import plots, queries
from reparam.report.colors import model_color
from reparam.report.pictures import Picture, grid
from reparam.report.section import Card, Section, Shown, images
from reparam.report.selection import SMALL
from reparam.report.window import Window

SIZE = (1.9, 1.8)  # inches, of a picture of points


def build(shown: Shown) -> list[Card]:
    """A card of every model whose training kept draws on its way."""
    cards = []
    for index, entry in enumerate(shown.entries):
        strip = entry.history.strip
        if len(strip) > 1:
            means = isinstance(entry.model, LatentVariable)
            note = "means of p(x|z), z ~ p(z)" if means else "draws x ~ p(x)"
            figures = [
                (str(step), _drawn(shown, index, entry.label, step, strip[step]))
                for step in _spread(list(strip))
            ]
            cards.append(Card(index, entry.label, figures, note))
    return cards


def _spread(steps: Sequence[int]) -> list[int]:
    """All of them, but for one that hardly comes before the last.

    >>> _spread([0, 8, 16, 18]), _spread([0, 8, 16, 22])
    ([0, 8, 18], [0, 8, 16, 22])
    """
    *others, last = steps
    close = len(others) > 1 and 2 * (last - others[-1]) < others[1] - others[0]
    return [*(others[:-1] if close else others), last]


def _drawn(shown: Shown, index: int, label: str, step: int, x: Tensor) -> Picture | Markup:
    """Images in a row, or points of the plane where test rows are."""
    alt, x = f"{label}: what it draws at step {step}", queries.in_data_units(x)
    if images(shown):
        return grid(x, shown.brightness, len(x), alt, tile=SMALL)
    window = Window.around(shown.split.x.double())
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        axis.set(xlim=window[:2], ylim=window[2:], xticks=[], yticks=[])
        plots.dots(axis, x.double(), model_color(index))
        return plots.svg(figure, alt)


SECTION: Section = Section(
    "strip",
    "While training",
    """Draws of the same z after some steps of training, by the weights that would have been kept
then{% if data.space.is_image %}; a column is one z{% endif %}. Where the objective moves with the
weights, as in a game of two players, its curve does not say whether draws get better; these do.""",
    build,
    "training_strip.html.j2",
)
