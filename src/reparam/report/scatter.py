"""Scatter plots light enough for thousands of points: one SVG path per class."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import torch
from markupsafe import Markup
from rich.cells import cell_len, set_cell_size
from torch import Tensor

SIDE, MARGIN = 400, 12  # of the drawing, in its own units
REACH = 1.6  # of the points' own range, that other points are shown in
NAMED = 30  # classes at most whose names are written into the plot
LETTER, RIM = 19.0, 4  # how wide a letter of a name is, of 24, and half of the rim around it
LETTERS = int((SIDE - 2 * RIM) / LETTER)  # of a name at most


def scatter(
    points: Tensor,
    labels: Tensor | None,
    class_names: Sequence[str],
    alt: str,
    under: Tensor | None = None,
) -> Markup:
    """Points (N, 2) as an ``<svg>``, colored by class, the classes named at their medians.

    A point is a line of length zero with round ends, twelve characters long. Each path lists the
    rows it holds, by which the page finds the image behind a point.

    Args:
        points: one row per example.
        labels: their classes, where there are any.
        class_names: in the order of the classes.
        alt: what there is to see.
        under: other points, which lie below in a neutral color and have no rows; what lies far
            from all points (``in_sight``) is left out.
    """
    seen = points if under is None else torch.cat([points, under[in_sight(points, under)]])
    frame = _Frame.around(seen)
    placed = frame.place(points)
    below = ""
    if under is not None:
        below = f'<path class="under" d="{_dots(frame.place(seen[len(points) :]))}"/>'
    paths, captions = [], []
    for label, rows in _by_class(labels, len(points)):
        paths.append(_path(placed[rows], rows, label))
        if label is not None and len(class_names) <= NAMED:
            x, y = placed[rows].median(0).values.tolist()
            captions.append(_caption(class_names[label], x, y, label))
    return Markup(  # noqa: S704  (made here, its text escaped)
        f'<svg class="scatter" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{escape(alt)}">'
        f"{frame.origin()}{below}{''.join(paths)}{''.join(captions)}</svg>"
    )


def _by_class(labels: Tensor | None, n: int) -> list[tuple[int | None, list[int]]]:
    if labels is None:
        return [(None, list(range(n)))]
    return [
        (label, (labels == label).nonzero().flatten().tolist())
        for label in labels.unique().tolist()
    ]


def in_sight(points: Tensor, others: Tensor) -> Tensor:
    """Which others (M, 2) are near enough to the points for these to stay large, (M,) of bool."""
    frame = _Frame.around(points)
    return ((others - frame.middle).abs() <= REACH * frame.half).all(1)


class _Frame(NamedTuple):
    """The middle of what is drawn and the longer half of its range: both axes share one scale."""

    middle: Tensor
    half: Tensor

    @classmethod
    def around(cls, points: Tensor) -> _Frame:
        low, high = points.min(0).values, points.max(0).values
        return cls((low + high) / 2, ((high - low).max() / 2).clamp(min=1e-6))

    def place(self, points: Tensor) -> Tensor:
        """Points in units of the drawing."""
        placed = (points - self.middle) / self.half * (SIDE / 2 - MARGIN)
        placed[:, 1] *= -1  # the second axis points upwards
        return placed + SIDE / 2

    def origin(self) -> str:
        """Lines through the origin where it is in sight."""
        x, y = (-self.middle / self.half * (SIDE / 2 - MARGIN)).tolist()
        lines = ""
        if abs(x) < SIDE / 2 - MARGIN:
            lines += f"M{x + SIDE / 2:.1f} 0v{SIDE}"
        if abs(y) < SIDE / 2 - MARGIN:
            lines += f"M0 {SIDE / 2 - y:.1f}h{SIDE}"
        return f'<path class="origin" d="{lines}"/>' if lines else ""


def _caption(name: str, x: float, y: float, label: int) -> str:
    """The name of a class at a place, held by its end at an edge of the drawing, so not cut there.

    Pages have letters of their own: how wide a name is, is known about; where its end is, exactly.
    """
    short = name if cell_len(name) <= LETTERS else f"{set_cell_size(name, LETTERS - 1).rstrip()}…"
    half, style = cell_len(short) * LETTER / 2, ""
    if x < RIM + half:
        x, style = RIM, ' style="text-anchor:start"'
    elif x > SIDE - RIM - half:
        x, style = SIDE - RIM, ' style="text-anchor:end"'
    y = min(max(y, RIM + LETTER), SIDE - RIM - LETTER)
    return (
        f'<text class="cluster"{style} x="{x:.0f}" y="{y:.0f}" data-class="{label}">'
        f"{escape(short)}</text>"
    )


def _dots(placed: Tensor) -> str:
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in placed.tolist())


def _path(placed: Tensor, rows: Sequence[int], label: int | None) -> str:
    color = "var(--accent)" if label is None else f"var(--class-{label})"
    known = "" if label is None else f' data-class="{label}"'
    return (
        f'<path class="dots" style="stroke:{color}"{known} '
        f'data-rows="{" ".join(map(str, rows))}" d="{_dots(placed)}"/>'
    )
