"""Matplotlib figures as inline SVG that follows the page's theme."""

from __future__ import annotations

import io
import re
import zlib
from html import escape
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from torch import Tensor

from reparam.report.colors import FAINT, INK, as_css

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.parse_math": False,  # a column may be called $
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


def style() -> Any:
    """A context in which figures are drawn in the page's style."""
    return matplotlib.rc_context(STYLE)


def panel(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of one axes, in inches. Panels stay apart so that narrow screens can stack them."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def dots(axis: Any, points: Tensor, color: str, alpha: float = 0.55) -> None:
    """Points (N, 2) as lines of length zero with round ends: one path instead of N elements.

    The limits of the axis are the caller's: finding them by path took longer than to draw it.
    """
    ends = points.repeat_interleave(2, 0).numpy()
    path = Path(ends, [Path.MOVETO, Path.LINETO] * len(points))
    path.should_simplify = False  # which would drop what has no length
    style = {"facecolor": "none", "edgecolor": color, "capstyle": "round"}
    axis.add_artist(PathPatch(path, lw=2.6, alpha=alpha, **style))


def lay_out(figure: Figure) -> None:
    """Give labels their room, once: a figure that is laid out keeps its axes where they are."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def svg(figure: Figure, alt: str) -> Markup:
    """The figure as an ``<svg>`` element without size, date or foreign ids.

    Coordinates keep two decimals: a hundredth of a point is below what a screen shows.
    """
    file = io.StringIO()
    lay_out(figure)  # ``savefig`` would draw all of the figure twice for it
    with matplotlib.rc_context({"svg.hashsalt": "reparam"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    prefix = f"p{zlib.crc32(text.encode()):08x}"  # ids must differ between figures of one page
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"(>[^<]+<)|(\d+\.\d{2})\d+", _shorter, text)
    text = re.sub(r"M (\S+) (\S+) ?\nL \1 \2 ?\n", r"M\1 \2h0", text)  # see ``dots``
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    return Markup(as_css(_head(text, alt, figure)))  # noqa: S704  (made here, its text escaped)


def _shorter(found: re.Match[str]) -> str:
    """Text between tags as it is, a label of 0.0002 among it; a number of a drawing cut short."""
    return found[1] or found[2]


def _head(text: str, alt: str, figure: Figure) -> str:
    """The SVG with a head of its own: scalable, named for screen readers, as wide as drawn."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    head = (
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" style="width:{width * 4 / 3:.0f}px" '
        f'role="img" aria-label="{escape(alt)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + text[text.index(">") + 1 :]
