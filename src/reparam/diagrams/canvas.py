"""A drawing of nodes, boxes, arrows and words, as SVG whose text is text."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from reparam.atomic import check_place
from reparam.checkpoint import write_text
from reparam.wording import EMPTY_PATH

RADIUS, LETTER, MARGIN = 24.0, 7.4, 18.0  # of a node; width of a letter; around everything
STYLE = """
.diagram { color: #1d1f23; --page: #fbfaf8; --soft: #5c6169; --fill: #ffffff; --known: #dfe3e8;
 --accent: #2a62a8; --warn: #a14a00; font: 13px system-ui, -apple-system, "Segoe UI", Roboto,
 "Helvetica Neue", "Noto Sans", sans-serif; }
@media (prefers-color-scheme: dark) { .diagram { color: #e8e6e1; --page: #14161a; --soft: #a2a6ad;
 --fill: #1b1e23; --known: #3a4049; --accent: #82b3ee; --warn: #f0b062; } }
svg.diagram { background: var(--page); }
.diagram text { fill: currentColor; text-anchor: middle; }
.diagram .soft { fill: var(--soft); font-size: 12px; }
.diagram .left { text-anchor: start; }
.diagram .title { font-weight: 650; text-anchor: start; }
.diagram .name { font-size: 16px; font-style: italic; }
.diagram :is(circle, rect, polygon) { fill: var(--fill); stroke: currentColor; stroke-width: 1.4; }
.diagram .known { fill: var(--known); }
.diagram .plate { fill: none; stroke: var(--soft); }
.diagram .edge { fill: none; stroke: currentColor; stroke-width: 1.5; }
.diagram .dashed { stroke-dasharray: 6 4; }
.diagram .tip { fill: currentColor; stroke: none; }
.diagram .accent { stroke: var(--accent); } .diagram .tip.accent { fill: var(--accent); }
.diagram .warn { stroke: var(--warn); } .diagram .tip.warn { fill: var(--warn); }
.diagram text.accent { fill: var(--accent); stroke: none; font-size: 12px; }
.diagram text.warn { fill: var(--warn); stroke: none; font-size: 12px; }
.diagram .cell { stroke: var(--soft); stroke-width: 0.5; }
.diagram .cell.seen { fill: var(--accent); }
"""


class Diagram:
    """An SVG drawing, which notebooks show.

    Args:
        text: of the file.

    >>> Diagram("<svg/>")._repr_svg_()
    '<svg/>'
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def _repr_svg_(self) -> str:
        return self.text

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, whole or not at all; what lies there is replaced.

        Raises:
            ValueError: a name that does not end in .svg, or a place that cannot be written.
        """
        if not os.fspath(path):
            raise ValueError(f"path: {EMPTY_PATH}")
        file = Path(path)
        if file.suffix.lower() != ".svg":
            raise ValueError(f"path: expected a name ending in .svg, got {file}; choose such a one")
        check_place(file)
        write_text(file, self.text)
        return file


@dataclass(frozen=True)
class Spot:
    """Where a node or a box stands, from whose edge arrows start and at whose edge they end."""

    x: float
    y: float
    half_width: float = RADIUS
    half_height: float = RADIUS
    round: bool = True

    def edge(self, towards_x: float, towards_y: float, gap: float = 2.0) -> tuple[float, float]:
        """The point of the edge in that direction, a little outside.

        >>> Spot(0, 0).edge(100, 0)
        (26.0, 0.0)
        """
        dx, dy = towards_x - self.x, towards_y - self.y
        length = math.hypot(dx, dy) or 1.0
        if self.round:
            reach = self.half_width
        else:
            across = self.half_width / abs(dx) if dx else math.inf
            along = self.half_height / abs(dy) if dy else math.inf
            reach = length * min(across, along)
        share = (reach + gap) / length
        return self.x + dx * share, self.y + dy * share


@dataclass
class Canvas:
    """What has been drawn, and how far it reaches."""

    behind: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    nodes: dict[str, Spot] = field(default_factory=dict)  # by name
    low: tuple[float, float] = (0.0, 0.0)
    high: tuple[float, float] = (0.0, 0.0)

    def reach(self, x: float, y: float) -> None:
        """Make room for a point."""
        self.low = (min(self.low[0], x), min(self.low[1], y))
        self.high = (max(self.high[0], x), max(self.high[1], y))

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """Words in one line, centered unless the kind says otherwise."""
        written, below, index = escape(words).partition("_") if "name" in kind else (words, "", "")
        written = written if below else escape(words)
        low = f'<tspan dy="4" font-size="11">{index}</tspan>' if below else ""
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{written}{low}</text>')
        width = len(words) * LETTER
        left = x if {"left", "title"} & set(kind.split()) else x - width / 2
        self.reach(left, y - 14)
        self.reach(left + width, y + 5)

    def node(self, x: float, y: float, name: str, kind: str = "", below: str = "") -> Spot:
        """A variable, a circle; filled where it is known."""
        wide = max(RADIUS, len(name) * 4.5 + 8)
        self.parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{wide:.1f}"/>')
        self.text(x, y + 5, name, "name")
        if below:
            self.text(x, y + wide + 16, below, "soft")
        self.reach(x - wide, y - wide)
        self.reach(x + wide, y + wide)
        self.nodes[name] = Spot(x, y, wide, wide)
        return self.nodes[name]

    def box(self, x: float, y: float, lines: list[str], kind: str = "") -> Spot:
        """Words in a box, the first line being its name."""
        half_width = max(map(len, lines)) * LETTER / 2 + 12
        half_height = 9 * len(lines) + 8
        self.parts.append(
            f'<rect class="{kind}" x="{x - half_width:.1f}" y="{y - half_height:.1f}" '
            f'width="{2 * half_width:.1f}" height="{2 * half_height:.1f}" rx="7"/>'
        )
        for index, line in enumerate(lines):
            height = y + 5 + 18 * (index - (len(lines) - 1) / 2)
            self.text(x, height, line, "soft" if index else "")
        self.reach(x - half_width, y - half_height)
        self.reach(x + half_width, y + half_height)
        return Spot(x, y, half_width, half_height, round=False)

    def arrow(self, start: Spot, end: Spot, kind: str = "", bend: float = 0.0) -> None:
        """From one to the other, perhaps bent to its left by so much."""
        x, y = (start.x + end.x) / 2, (start.y + end.y) / 2
        length = math.hypot(end.x - start.x, end.y - start.y) or 1.0
        x += bend * (end.y - start.y) / length
        y -= bend * (end.x - start.x) / length
        (a, b), (c, d) = start.edge(x, y), end.edge(x, y, 3)
        way = f"Q{x:.1f} {y:.1f} {c:.1f} {d:.1f}" if bend else f"L{c:.1f} {d:.1f}"
        self.behind.append(f'<path class="edge {kind}" d="M{a:.1f} {b:.1f}{way}"/>')
        self._tip(c, d, math.atan2(d - y, c - x) if bend else math.atan2(d - b, c - a), kind)
        self.reach((a + c) / 4 + x / 2, (b + d) / 4 + y / 2)

    def _tip(self, x: float, y: float, angle: float, kind: str) -> None:
        corners = [(x + 1.5 * math.cos(angle), y + 1.5 * math.sin(angle))]
        for turn in (2.7, -2.7):
            corners.append((x + 9 * math.cos(angle + turn), y + 9 * math.sin(angle + turn)))
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        color = " ".join(word for word in kind.split() if word != "dashed")
        self.behind.append(f'<polygon class="tip {color}" points="{points}"/>')

    def line(self, start: Spot, end: Spot, kind: str = "") -> None:
        """Without a direction, as in a Markov random field."""
        (a, b), (c, d) = start.edge(end.x, end.y), end.edge(start.x, start.y)
        self.behind.append(f'<path class="edge {kind}" d="M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}"/>')

    def plate(self, left: float, top: float, right: float, bottom: float, words: str) -> None:
        """A frame around what there is once for every example."""
        self.behind.append(
            f'<rect class="plate" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" rx="9"/>'
        )
        self.reach(left, top)
        self.reach(right, bottom)
        self.text(right - len(words) * LETTER / 2 - 8, bottom - 8, words, "soft")

    def below(self, other: Canvas, gap: float = 34.0) -> None:
        """Put another drawing under this one, both flush left."""
        empty = not (self.parts or self.behind)
        dx = 0.0 if empty else self.low[0] - other.low[0]
        dy = 0.0 if empty else self.high[1] + gap - other.low[1]
        inside = "\n".join([*other.behind, *other.parts])
        self.parts.append(f'<g transform="translate({dx:.1f} {dy:.1f})">\n{inside}\n</g>')
        if empty:
            self.low, self.high = other.low, other.high
        self.reach(other.low[0] + dx, other.low[1] + dy)
        self.reach(other.high[0] + dx, other.high[1] + dy)

    def diagram(self, said: str) -> Diagram:
        """The file.

        Args:
            said: what there is to see, for readers who do not.
        """
        (left, top), (right, bottom) = self.low, self.high
        width, height = right - left + 2 * MARGIN, bottom - top + 2 * MARGIN
        box = f"{left - MARGIN:.1f} {top - MARGIN:.1f} {width:.1f} {height:.1f}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="diagram" viewBox="{box}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(said)}">'
        )
        style = f"<style>{STYLE}</style>"
        return Diagram("\n".join([head, style, *self.behind, *self.parts, "</svg>", ""]))
