"""A history as a page shows it: how it ended, what was kept, and the curves of its terms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from reparam.notebook.elements import bullets, details, element, facts, heading, piece
from reparam.report.numbers import minus
from reparam.report.sections.training import SETTLED, term_of, terms
from reparam.terms import TERMS
from reparam.train import History
from reparam.wording import counted

PANELS = 4  # of curves at most; all numbers are in the history
POINTS = 60  # of a curve at most
WIDTH, HEIGHT, BELOW = 230, 92, 16  # of a panel, and of the line of text below it
Points = Sequence[tuple[float, float]]


def history_html(history: History) -> str:
    """Curves of the terms of the loss, that of the judge first."""
    title = heading("History", f"{history.seconds:.1f} s: {history.ended or 'not ended'}")
    kept = {k: v for k, v in history.kept.items() if "/" not in k or k.startswith("valid/")}
    rows = [
        ("validations", f"{len(history.rows):,}" if history.rows else ""),
        (f"kept ({history.keeps})", ", ".join(f"{k} {minus(f'{v:.5g}')}" for k, v in kept.items())),
    ]
    panels = [_panel(history, term) for term in shown_terms(history)]
    curves = element("div", *panels, of="curves") if panels else ""
    legend = "strong: validation, faint: training; the dot: the weights that were kept"
    below = element("p", element("small", legend)) if panels else ""
    told = history.warnings
    warned = details(counted(len(told), "warning"), bullets(told)) if told else ""
    return piece(title, facts(rows), curves, below, warned)


def shown_terms(history: History) -> list[str]:
    """The judge's first, then others whose curves move."""
    judge = history.judge
    moving = [t for t in terms([history]) if any(len(set(_values(c))) > 1 for c in _of(history, t))]
    return sorted(moving, key=lambda term: term.rpartition("/")[2] != judge)[:PANELS]


def _of(history: History, term: str) -> list[list[tuple[float, float]]]:
    """The curves of a term in training and in validation, over the steps."""
    found = []
    for split in ("train", "valid"):
        named = [n for n in history.columns if n.startswith(f"{split}/")]
        column = next((n for n in named if term_of(history, n) == term), "")
        points = [
            (float(row.get("step", at)), float(row[column]))
            for at, row in enumerate(history.rows)
            if math.isfinite(row.get(column, math.nan))
        ]
        found.append(points)
    return found


def _values(points: Points) -> list[float]:
    return [value for _, value in points]


def _panel(history: History, term: str) -> Markup:
    """An SVG in the text's color: nothing in it depends on the theme."""
    curves = _of(history, term)
    settled = [v for curve in curves for v in _values(curve)[int(SETTLED * len(curve)) :]]
    low, high = min(settled), max(settled)
    high = high if high > low else low + 1
    end = max(x for curve in curves for x, _ in curve) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        down = 4 + (HEIGHT - 8) * (high - y) / (high - low)
        return 2 + (WIDTH - 6) * x / end, min(max(down, 1), HEIGHT - 1)

    lines = [
        _line([place(x, y) for x, y in thinned(curve)], style)
        for curve, style in zip(curves, ('opacity=".45"', 'stroke-width="1.8"'), strict=True)
        if curve
    ]
    kept = [place(x, y) for x, y in curves[1] if x == history.kept.get("step")]
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="currentColor"/>' for x, y in kept]
    about = TERMS[term].label if term in TERMS else ""
    spread = minus(f"{low:.4g} … {high:.4g}, {end:,.0f} steps")
    head = element("div", term.replace("_", " "), element("small", " ", about))
    drawing = Markup(  # noqa: S704  (of numbers made here)
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'style="border-left:1px solid #8888;border-bottom:1px solid #8888" '
        f'fill="none" stroke="currentColor" stroke-width="1">{"".join([*lines, *dots])}</svg>'
    )
    return element("div", head, drawing, element("div", element("small", spread)))


def _line(points: Points, style: str) -> str:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" {style}/>'


def thinned(points: Points) -> Points:
    """At most so many points, evenly among all, the first and the last of them.

    >>> thinned([(float(i), 0.0) for i in range(1000)])[-1]
    (999.0, 0.0)
    """
    if len(points) <= POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (POINTS - 1))] for i in range(POINTS)]
