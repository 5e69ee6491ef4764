"""Mean codes of a latent by the level of a factor: lines, points of names, circles of angles."""

from __future__ import annotations

from typing import Any

import numpy as np

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.following import FactorInformation, LevelMeans
from reparam.report.colors import FAINT
from reparam.report.numbers import minus

TICKS = 5  # levels at most whose labels stand below
CLIPPED = 9  # letters of a label
HOLE = 0.35  # radius of the least code on a circle, the largest having 1
BAND = 0.22  # opacity of a standard deviation to either side


def draw_level_means(axis: Any, told: FactorInformation, factor: int, color: str) -> None:
    """Draw the mean codes of the winner of a factor, and a standard deviation to either side.

    Levels of numbers stand where their values are, others side by side. Those with names are points
    with bars, as nothing lies between them; circular ones are angles, counterclockwise from the
    right, and the code is the radius.
    """
    found = told.level_means(factor)
    if told.coded.kinds[factor] == "circular":
        _circle(axis, found, color)
    elif told.named(factor):
        axis.errorbar(found.at, found.mean, found.deviation, fmt="o", color=color, ms=5, capsize=3)
        axis.margins(x=0.25)
        _label_levels(axis, found)
    else:
        low, high = found.mean - found.deviation, found.mean + found.deviation
        axis.fill_between(found.at, low, high, color=color, alpha=BAND, lw=0)
        axis.plot(found.at, found.mean, ".-", color=color, ms=5)
        _label_levels(axis, found)


def _label_levels(axis: Any, found: LevelMeans) -> None:
    """Some levels evenly apart below the axis; the first and the last where that is possible."""
    count = len(found.labels)
    step = max(1, -(-(count - 1) // (TICKS - 1)))
    shown = range(0, count, step)
    labels = [_clip(found.labels[level]) for level in shown]
    axis.set_xticks([float(found.at[level]) for level in shown], labels)
    axis.locator_params(axis="y", nbins=4)


def _clip(label: str) -> str:
    return minus(label if len(label) <= CLIPPED else label[: CLIPPED - 1] + "…")


def _circle(axis: Any, found: LevelMeans, color: str) -> None:
    low, high = (found.mean - found.deviation).min(), (found.mean + found.deviation).max()
    wide = high - low or 1.0

    def ring(codes: Array) -> Array:
        """Codes of all levels as points (K + 1, 2) of a closed line."""
        radius = HOLE + (1 - HOLE) * (codes - low) / wide
        turn = 2 * np.pi * np.arange(len(codes) + 1) / len(codes)
        return np.r_[radius, radius[:1]][:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)

    for code in _round_values(low, high):
        axis.plot(*ring(np.full(180, code)).T, color=FAINT, lw=0.8)
        text = {"ha": "center", "va": "center", "fontsize": 8.5}
        axis.text(*ring(np.full(8, code))[5], minus(f"{code:g}"), **text)
    band = np.concatenate(
        [ring(found.mean + found.deviation), ring(found.mean - found.deviation)[::-1]]
    )
    axis.fill(*band.T, color=color, alpha=BAND, lw=0)
    axis.plot(*ring(found.mean).T, ".-", color=color, ms=5)
    outer = ring(np.full(len(found.mean), high + 0.16 / (1 - HOLE) * wide))
    for level in range(0, len(found.labels), max(1, -(-len(found.labels) // 8))):
        axis.text(*outer[level], _clip(found.labels[level]), ha="center", va="center")
    axis.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
    axis.set_axis_off()


def _round_values(low: float, high: float) -> list[float]:
    """Two or three round codes within the range."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(value) for value in values if low <= value <= high]
