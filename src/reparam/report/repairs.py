"""Errors of what codecs repair, over the level of a noise: a table and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from markupsafe import Markup

from reparam.evaluation.denoising import Repair
from reparam.evaluation.scores import Score
from reparam.inspection import Noise
from reparam.report import plots
from reparam.report.colors import INK, model_color, model_dash

Row = tuple[str, list[tuple[str, str]]]  # a label, and values with their standard errors, as text
LINE = 44  # letters at most beside an axis
DOTTED, DASHED = (0, (1, 2)), (0, (6, 3))


def error_rows(
    labels: Sequence[str],
    measured: Mapping[int, Sequence[Repair]],
    levels: Sequence[float],
    corrupted: str = "Corrupted",
) -> tuple[list[str], list[Row]]:
    """The levels as text, and the errors there: of x̃, then of each codec's reconstruction.

    Args:
        labels: of all models.
        measured: by the index of the model, at these levels and perhaps more.
        levels: that are shown.
        corrupted: what stands before the errors of x̃.
    """
    first = next(iter(measured.values()))
    rows = [(corrupted, [text_of(r.corrupted) for r in first if r.level in levels])]
    for index, repairs in measured.items():
        found = [text_of(r.repaired) for r in repairs if r.level in levels]
        rows.append((labels[index], found))
    return [f"{level:.3g}" for level in levels], rows


def text_of(score: Score) -> tuple[str, str]:
    """Value and standard error, shorter than in the table of scores."""
    error = "" if score.stderr is None else f"{score.stderr:.1g}".replace("-", "−")
    return f"{score.value:.3g}".replace("-", "−"), error


def error_plot(
    noise: Noise,
    noises: Mapping[int, Noise],
    measured: Mapping[int, Sequence[Repair]],
    linear: Sequence[tuple[float, Score]] = (),
) -> Markup:
    """Squared errors over the level: dotted of x̃, lines of models, strong of those trained on it.

    Args:
        noise: that was measured.
        noises: of the models that were trained on it, by their index.
        measured: by the index of the model.
        linear: levels and errors of linear regression, dashed.
    """
    with plots.style():
        figure, axis = plots.panel(5.2, 3.4)
        first = next(iter(measured.values()))
        levels = [r.level for r in first]
        axis.plot(levels, [r.corrupted.value for r in first], color=INK, ls=DOTTED, lw=1.8)
        if linear:
            axis.plot(*zip(*((at, s.value) for at, s in linear), strict=True), **_dashed())
        for index, repairs in measured.items():
            style = {"color": model_color(index), "ls": model_dash(index)}
            width = 2.2 if index in noises else 1.2
            axis.plot(levels, [r.repaired.value for r in repairs], lw=width, **style)
            if index in noises:
                trained = noises[index].level
                axis.axvline(trained, color=model_color(index), lw=0.8, ls=(0, (4, 3)), alpha=0.7)
        axis.set_xlabel(f"{noise.name}: {noise.unit}")
        axis.set_ylabel(fill(f"squared error, {first[0].corrupted.unit}", LINE))
        axis.set_ylim(bottom=0)
        return plots.svg(figure, f"Squared error over the level of {noise.name}, by model")


def _dashed() -> dict[str, Any]:
    return {"color": INK, "ls": DASHED, "lw": 1.2}
