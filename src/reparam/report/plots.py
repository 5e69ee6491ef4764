"""Matplotlib figures as inline SVG that follows the page's theme."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reparam.report.colours import FAINT, INK, as_css

STYLE = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "axes.formatter.useoffset": False,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "path.simplify_threshold": 0.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
}
_numbers = itertools.count()  # ids must differ between the figures of one page


def style() -> Any:
    """A context in which figures are drawn in the page's style."""
    return matplotlib.rc_context(STYLE)


def panels(
    rows: int, columns: int, size: tuple[float, float], **kwargs: Any
) -> tuple[Figure, list[Any]]:
    """A figure of rows × columns axes, each of ``size`` inches, row by row in a flat list."""
    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    return figure, list(axes.flat)


def svg(figure: Figure, alt: str) -> str:
    """The figure as an ``<svg>`` element without size, date or foreign ids.

    Coordinates keep two decimals: a hundredth of a point is below what a screen shows.
    """
    prefix = f"plot{next(_numbers)}"
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": prefix}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    return as_css(_head(text, alt, figure))


def _head(text: str, alt: str, figure: Figure) -> str:
    """The SVG with a head of its own: scalable, named for screen readers, never wider than drawn."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    head = (
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" style="width:{width * 4 / 3:.0f}px" '
        f'role="img" aria-label="{_escape(alt)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + text[text.index(">") + 1 :]


def _escape(text: str) -> str:
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(plain, escaped)
    return text


def blank(axes: Sequence[Any]) -> None:
    """Take away the axes that a grid has too many."""
    for axis in axes:
        axis.remove()
