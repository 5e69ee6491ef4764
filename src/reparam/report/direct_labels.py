"""Names beside the points of a plot, where they lie on nothing, so that no legend is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from reparam.report import plots

SIZE = 8.5  # points
WIDE, HIGH = 0.62, 1.25  # of a letter and of a line, in sizes
DISTANCES = (8, 13, 20, 28, 38, 50)  # pixels between a point and its name
ANGLES = 16
LED = 12  # pixels, from which on a line leads to the point
DOT = 7.0  # pixels around a point that nothing may cover
BAR = 2.0  # pixels to each side of an error bar, likewise
APART = 6  # pixels between names side by side, else two would be read as one


class Point(NamedTuple):
    """A point in the units of the axes, its name, its color, and half of its error bars."""

    x: float
    y: float
    name: str
    color: str
    x_error: float = 0.0
    y_error: float = 0.0


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both cover.

        >>> Box(0, 0, 2, 2).overlap(Box(1, 1, 5, 5)), Box(0, 0, 1, 1).overlap(Box(2, 0, 3, 1))
        (1, 0)
        """
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return wide * high if wide > 0 and high > 0 else 0

    def outside(self, other: Box) -> float:
        """The area that the other does not cover."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(other)


def label_points(figure: Figure, axis: Any, points: Sequence[Point]) -> None:
    """Write the name of each point beside it, with a thin line where it had to stand away.

    The figure is laid out for this as it stands, so that it is the last thing to be drawn. Each
    name takes the place, of sixteen directions and six distances, where it covers the least of
    points and other names and leaves the axes the least; crowded points choose first.
    """
    plots.lay_out(figure)
    at = [tuple(axis.transData.transform((p.x, p.y))) for p in points]
    frame = axis.get_window_extent()
    inside = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    scale = figure.dpi / 72
    bars = [bar for p in points for bar in _bars(axis, p)]
    places = places_of([p.name for p in points], at, inside, SIZE * scale, bars)
    for point, (x, y), box in zip(points, at, places, strict=True):
        side, edge = _anchor(box, x)
        offset = ((edge - x) / scale, ((box.bottom + box.top) / 2 - y) / scale)
        style: dict[str, Any] = {"ha": side, "va": "center", "fontsize": SIZE}
        if _gap(box, x, y) > LED:
            line = {"arrowstyle": "-", "color": point.color, "lw": 0.6, "alpha": 0.7}
            style["arrowprops"] = line | {"shrinkA": 1, "shrinkB": 3}
        said = axis.annotate(
            point.name,
            (point.x, point.y),
            xytext=offset,
            textcoords="offset points",
            color=point.color,
            **style,
        )
        said.set_in_layout(False)


def _bars(axis: Any, point: Point) -> Iterator[Box]:
    """The error bars of a point, in pixels."""
    for across, up in ((point.x_error, 0.0), (0.0, point.y_error)):
        if across or up:
            ends = [(point.x - across, point.y - up), (point.x + across, point.y + up)]
            found = axis.transData.transform(ends)
            if not bool((found != found).any()):  # no logarithm of what is below 0
                (left, bottom), (right, top) = found.tolist()
                yield Box(left - BAR, bottom - BAR, right + BAR, top + BAR)


def _anchor(box: Box, x: float) -> tuple[str, float]:
    """By which side a name is held, the one towards its point: pages have letters of their own."""
    if box.left >= x:
        return "left", box.left
    return ("right", box.right) if box.right <= x else ("center", (box.left + box.right) / 2)


def places_of(
    names: Sequence[str],
    at: Sequence[tuple[float, float]],
    inside: Box,
    size: float,
    bars: Sequence[Box] = (),
) -> list[Box]:
    """Where each name stands, in pixels, on no point, on no bar and on no other name.

    >>> left, right = places_of(["one", "two"], [(50, 50), (52, 50)], Box(0, 0, 200, 100), 10)
    >>> left.overlap(right)
    0
    """
    dots = [*(Box(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in at), *bars]
    order = sorted(range(len(at)), key=lambda i: _crowd(at, i))
    placed: dict[int, Box] = {}
    for i in order:
        others = [b._replace(left=b.left - APART, right=b.right + APART) for b in placed.values()]
        found = _candidates(*at[i], size * WIDE * len(names[i]), size * HIGH)
        placed[i] = min(
            found,
            key=lambda box: _cost(box, *at[i], others, dots, inside),  # noqa: B023
        )
    return [placed[i] for i in range(len(at))]


def _crowd(at: Sequence[tuple[float, float]], i: int) -> float:
    """How far the nearest other point is."""
    return min((math.dist(at[i], other) for j, other in enumerate(at) if j != i), default=0.0)


def _candidates(x: float, y: float, wide: float, high: float) -> list[Box]:
    found = []
    for distance in DISTANCES:
        for step in range(ANGLES):
            across, up = math.cos(step * math.tau / ANGLES), math.sin(step * math.tau / ANGLES)
            middle = x + across * (distance + wide / 2), y + up * (distance + high / 2)
            left, bottom = middle[0] - wide / 2, middle[1] - high / 2
            found.append(Box(left, bottom, left + wide, bottom + high))
    return found


def _cost(
    box: Box, x: float, y: float, others: Sequence[Box], dots: Sequence[Box], inside: Box
) -> float:
    covered = sum(box.overlap(other) for other in others) + sum(box.overlap(dot) for dot in dots)
    return 10 * covered + 8 * box.outside(inside) + 3 * _gap(box, x, y)


def _gap(box: Box, x: float, y: float) -> float:
    """How far a point is from a box."""
    across = max(box.left - x, 0, x - box.right)
    return math.hypot(across, max(box.bottom - y, 0, y - box.top))
