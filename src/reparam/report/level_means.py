"""Mean codes of a latent by the level of a factor: lines, points of names, circles of angles."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.following import FactorInformation, LevelMeans
from reparam.report.numbers import minus

TICKS = 5  # levels at most whose labels stand below
CLIPPED = 9  # letters of a label
HOLE = 0.35  # radius of the least code on a circle, the largest having 1
SMOOTH, SPOKES = 24, 8  # points between two levels on it; labels around it at most
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
    elif found.named:
        axis.errorbar(found.at, found.mean, found.deviation, fmt="o", color=color, ms=5, capsize=3)
        axis.margins(x=0.25)
        _label_levels(axis, found)
        axis.tick_params(axis="x", labelsize=8.5)
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
    count, ends = len(found.mean), (found.mean - found.deviation, found.mean + found.deviation)
    low, high = ends[0].min(), ends[1].max()
    wide = high - low or 1.0

    def points(codes: Any, at: Any) -> Array:
        """Codes at shares of a turn as points (n, 2)."""
        radius = HOLE + (1 - HOLE) * (codes - low) / wide
        turn = 2 * np.pi * np.asarray(at)
        return (radius * np.stack([np.cos(turn), np.sin(turn)])).T

    def ring(codes: Array) -> Array:
        """Codes of all levels as a closed line, between two levels by their share of the way."""
        at = np.union1d(np.linspace(0, 1, SMOOTH * count + 1), found.at)
        return points(np.interp(at, np.r_[found.at, 1], np.r_[codes, codes[:1]]), at)

    for code in _round_values(low, high):
        guide = {"color": matplotlib.rcParams["grid.color"], "lw": 0.8}
        axis.plot(*ring(np.full(count, code)).T, **guide)
        text = {"ha": "center", "va": "center", "fontsize": 7.5, "zorder": 3}
        axis.text(*points(code, 0.64), minus(f"{code:g}"), **text)
    band = np.concatenate([ring(ends[1]), ring(ends[0])[::-1]])
    axis.fill(*band.T, color=color, alpha=BAND, lw=0)
    axis.plot(*ring(found.mean).T, color=color)
    axis.plot(*points(found.mean, found.at).T, ".", color=color, ms=5)
    beyond = high + 0.18 / (1 - HOLE) * wide
    for level in range(0, count, -(-count // SPOKES)):
        at, label = points(beyond, found.at[level]), _clip(found.labels[level])
        axis.text(*at, label, ha="center", va="center", fontsize=9)
    axis.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    axis.set_axis_off()


def _round_values(low: float, high: float) -> list[float]:
    """At most two round codes within the range, so that they find room."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(2, steps=[1, 2, 5, 10]).tick_values(low, high)
    within = [float(value) for value in values if low <= value <= high]
    return [within[0], within[-1]] if len(within) > 2 else within
