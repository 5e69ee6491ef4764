"""Histograms of several sets of numbers, one below the other, on one axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from reparam.report import plots
from reparam.report.colors import FAINT, INK

BINS, SIZE = 60, (3.9, 2.6)  # of the histograms; inches
EDGE, BESIDE = 0.02, 2  # usual numbers left out at either end; times as wide as the rest, beside it

Ends = tuple[float, float]


def ends_around(usual: Tensor, every: Iterable[Tensor]) -> Ends:
    """Of an axis around the usual numbers (N,), which goes no further than there are any.

    >>> ends_around(torch.tensor([0.0, 1.0] * 99), [torch.tensor([-9.0, 1.5])])
    (-2.0, 1.5)
    """
    both = torch.cat([usual, *every])
    usual, both = (v[v.isfinite()] for v in (usual, both))
    if len(usual) == 0:
        return 0.0, 1.0
    low, high = torch.quantile(usual, usual.new_tensor([EDGE, 1 - EDGE])).tolist()
    wide = BESIDE * (high - low)
    low, high = max(low - wide, float(both.min())), min(high + wide, float(both.max()))
    return low, high if high > low else low + 1


def stacked(
    sets: Mapping[str, Tensor], usual: str, ends: Ends, color: str, unit: str, alt: str
) -> Markup:
    """One below the other, with arrows where numbers lie beyond the axis.

    Args:
        sets: numbers (N,) by what they are of; they may be infinite.
        usual: the set in the color of text, which is drawn in gray behind the others.
        ends: of the axis.
        color: of the others.
        unit: below the axis.
        alt: what there is to see.
    """
    with plots.style():
        figure, axis = plots.panel(*SIZE)
        for place, (name, values) in enumerate(sets.items()):
            if name != usual:
                _bars(axis, sets[usual], ends, place, color=FAINT)
            _bars(axis, values, ends, place, color=INK if name == usual else color, alpha=0.75)
            _arrows(axis, values, ends, place)
        axis.set_xlim(*ends)
        axis.set_ylim(len(sets) - 0.9, -1)
        axis.set_yticks(range(len(sets)), [name.capitalize() for name in sets])
        axis.tick_params(axis="y", length=0)
        axis.grid(visible=False, axis="y")
        axis.spines["left"].set_visible(False)
        axis.set_xlabel(unit)
        return plots.svg(figure, alt)


def _bars(axis: Any, values: Tensor, ends: Ends, place: int, **style: Any) -> None:
    """Upright upon ``place`` of an axis that points down, the highest bar nearly to the next."""
    counts, edges = np.histogram(values.numpy(), bins=BINS, range=ends)
    tall = 0.85 * counts / max(1, counts.max())
    axis.stairs(place - tall, edges, baseline=place, fill=True, **style)


def _arrows(axis: Any, values: Tensor, ends: Ends, place: int) -> None:
    """At the ends beyond which there are numbers; −∞ is one."""
    beyond = ((values < ends[0], ends[0], "←", "left"), (values > ends[1], ends[1], "→", "right"))
    for which, at, arrow, side in beyond:
        if bool(which.any()):
            axis.text(at, place - 0.3, arrow, ha=side, va="center", color=INK, fontsize=13)
