"""The section of class boundaries in the plane: lines that discriminate beside class densities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from markupsafe import Markup
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import share_score
from reparam.model import Density
from reparam.report import noise_in_plane, plots, queries
from reparam.report.colors import INK, class_color
from reparam.report.numbers import with_error
from reparam.report.section import Card, Section, Shown
from reparam.report.sections.plane import plane
from reparam.report.window import Window

SIDE, DRAWS = 100, 50  # cells of a map, across and up; draws for each, of a density that draws
MOST_CLASSES = 10  # whose colors stay apart
FITTED, DOTS = 10_000, 500  # training rows of the linear classifiers; test rows that are dots
FEW = 200  # test rows that a dear model classifies
DEVIATIONS = (1.0, 2.0)  # of a normal, at which its contours would lie
LEAST = -1e6  # nats, in place of −∞
SIZE = (3.5, 3.3)  # inches
LINEAR = {
    "Logistic regression": partial(LogisticRegression, max_iter=2000),
    "Linear support vectors": partial(LinearSVC, dual=False),
}


def build(shown: Shown) -> list[Card]:
    """A card of each linear classifier, and one of every density that knows the classes."""
    test, window = shown.split, Window.around(shown.split.x.double())
    cells = window.cells(SIDE)
    cards = []
    for name, made in LINEAR.items():
        of = _linear(shown, make_pipeline(StandardScaler(), made()))
        caption = f"The line that it learns: {_accuracy(of(test.x), test)}"
        cards.append(Card(None, name, [(caption, _drawn(of(cells), {}, window, test, name))]))
    for index, label, model in _densities(shown):
        maps = partial(noise_in_plane.log_density, shown, model, window, SIDE, DRAWS)
        log_p = {label: maps(label) for label in _seen(model)}
        rows = test if model.tightens else subset(test, FEW, shown.seed)
        of_rows = partial(queries.log_p, model, rows.x, DRAWS, shown.seed)
        found = {label: of_rows(label) for label in _seen(model)}
        caption = f"log p(x|y), and where p(y|x) are equal: {_accuracy(_joint(model, found), rows)}"
        alt = f"{label}: the densities of the classes and their boundary"
        figure = _drawn(_joint(model, log_p), log_p, window, test, alt)
        cards.append(Card(index, label, [(caption, figure)]))
    return cards


def _densities(shown: Shown) -> Iterator[tuple[int, str, Density]]:
    for index, label, model in shown.of(Density):
        if model.class_frequencies is not None:
            yield index, label, model


def _seen(model: Density) -> list[int]:
    """The classes of the model's training rows."""
    assert model.class_frequencies is not None
    return model.class_frequencies.nonzero()[:, 0].tolist()


def _joint(model: Density, log_p: dict[int, Tensor]) -> Tensor:
    """log p(x, y) by class (classes, N), from those that were seen."""
    assert model.class_frequencies is not None
    frequencies = queries.plain(model.class_frequencies)
    joint = torch.full((len(frequencies), len(next(iter(log_p.values())))), LEAST)
    for label, values in log_p.items():
        joint[label] = (values + frequencies[label].log()).nan_to_num(LEAST).clamp(min=LEAST)
    return joint


def _linear(shown: Shown, fitted: Pipeline) -> Callable[[Tensor], Tensor]:
    """What a classifier that was fitted on training rows finds of x: a number by class."""
    train, classes = subset(shown.data.train, FITTED, shown.seed), shown.data.space.classes
    assert train.labels is not None and classes is not None
    fitted.fit(train.x.double().numpy(), train.labels.numpy())

    def of(x: Tensor) -> Tensor:
        found = torch.as_tensor(fitted.decision_function(x.double().numpy())).float()
        by_class = torch.stack([-found, found]) if found.ndim == 1 else found.T
        numbers = torch.full((classes, len(x)), LEAST)
        numbers[fitted.classes_.tolist()] = by_class
        return numbers

    return of


def _accuracy(numbers: Tensor, rows: Split) -> str:
    assert rows.labels is not None
    score = share_score(numbers.argmax(0) == rows.labels, "test")
    share, sure = with_error(score, "accuracy")
    return f"{share} right of {len(rows):,} test examples ({sure})"


def _drawn(
    numbers: Tensor, log_p: dict[int, Tensor], window: Window, test: Split, alt: str
) -> Markup:
    """Where each class has the largest number (classes, side²), and contours of densities."""
    side = math.isqrt(numbers.shape[1])
    assert test.labels is not None
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        axis.set(xlim=window[:2], ylim=window[2:])
        axis.grid(False)
        x, y = window.cells(side).view(side, side, 2).unbind(-1)
        at = (x.numpy(), y.numpy())
        for label in range(len(numbers)):
            few = test.x[test.labels == label][: DOTS // len(numbers)]
            plots.dots(axis, few.double(), class_color(label), alpha=0.35)
            others = numbers[torch.arange(len(numbers)) != label].max(0).values
            margin = (numbers[label] - others).view(side, side).numpy()
            if margin.min() < 0 < margin.max():
                color = class_color(label)
                axis.contourf(*at, margin, [0, float(margin.max())], colors=[color], alpha=0.12)
                axis.contour(*at, margin, [0], colors=[INK], linewidths=1.4)
        for label, values in log_p.items():
            density = values.nan_to_num(LEAST).clamp(min=LEAST).view(side, side).numpy()
            levels = sorted(float(density.max()) - d**2 / 2 for d in DEVIATIONS)
            style = {"linewidths": 1.8, "linestyles": "solid"}  # by default dashed below 0
            axis.contour(*at, density, levels, colors=[class_color(label)], **style)
        return plots.svg(figure, alt)


def applies(shown: Shown) -> bool:
    data = shown.data
    if not plane(shown) or data.train.labels is None or shown.split.labels is None:
        return False
    classes = len(data.train.labels.unique())
    known = 2 <= classes and (data.space.classes or 0) <= MOST_CLASSES
    return known and next(_densities(shown), None) is not None


SECTION: Section = Section(
    "class-boundaries",
    "Class boundaries",
    """A classifier that discriminates learns a line alone; a density of each class says by Bayes'
rule, p(y|x) ∝ p(x|y) p(y), where classes meet, and how far an x is from all of them. Areas are
those of the class that is the most probable; colored contours lie ½ and 2 nats below the densest
place of a class, where a normal has one and two standard deviations. The linear classifiers are
scikit-learn's, fitted on standardized training rows.""",
    build,
    "class_boundaries.html.j2",
    applies,
)
