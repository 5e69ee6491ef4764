"""A plot of how far the subspace and the columns of a decoder are from PCA's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.report import plots
from reparam.report.colors import INK, model_color

End = tuple[float, str, str]  # the height at which a line ends, its name and its color


class Angles(NamedTuple):
    """Angles in radians.

    Args:
        subspace: principal ones between decoder and PCA.
        columns: of every column of the decoder to the principal axis that is nearest.
        halves: principal ones between PCA of one half of the data and of the other.
        axes_of_halves: of axes of the one half to those of the other.
    """

    subspace: Tensor
    columns: Tensor
    halves: Tensor
    axes_of_halves: Tensor


def angles_plot(angles: Angles, label: str, index: int) -> Markup:
    """The angles of each kind, sorted, with their names beside them."""
    color, soft = model_color(index), INK
    lines = (
        ("columns to the nearest axis", angles.columns, color, "o", "none"),
        ("subspace", angles.subspace, color, "o", color),
        ("halves of the data", angles.halves, soft, "", "none"),
    )
    with plots.style():
        figure, axis = plots.panel(4.4, 2.9)
        q = len(angles.subspace)
        ends: list[End] = []
        for name, values, tone, marker, face in lines:
            found = values.sort().values.rad2deg()
            at = torch.arange(1, len(found) + 1)
            style = {"ls": ":" if tone == INK else "-", "lw": 1.0, "ms": 4, "mfc": face}
            axis.plot(at.numpy(), found.numpy(), color=tone, marker=marker, **style)
            ends.append((found[-1].item(), name, tone))
        for height, name, tone in apart(ends, 7.0):
            place = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
            axis.annotate(name, (q, height), color=tone, fontsize=8.5, **place)
        axis.set(xlim=(0.6, q * 1.75 + 0.4), ylim=(-3, 93), xlabel="in ascending order")
        axis.set(
            xticks=sorted({1, (q + 1) // 2, q}), yticks=(0, 30, 60, 90), ylabel="angle, degrees"
        )
        return plots.svg(figure, f"{label}: angles between its decoder and principal components")


def apart(ends: Sequence[End], least: float) -> list[End]:
    """Names at heights, moved up where they would lie on each other.

    >>> apart([(5.0, "b", ""), (4.0, "a", "")], 3.0)
    [(4.0, 'a', ''), (7.0, 'b', '')]
    """
    found: list[End] = []
    for height, name, tone in sorted(ends):
        found.append((max(height, found[-1][0] + least) if found else height, name, tone))
    return found
