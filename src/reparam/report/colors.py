"""Colors as names: plots hold placeholders that become CSS variables, one set per theme."""

from __future__ import annotations

import colorsys
import re

MODELS = 10  # colors for models; one more takes the first again, with another dash
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
INK, FAINT = "#010203", "#010204"  # stand for the text color and for grid lines

# Petroff 2021, "Accessible color sequences for data visualization": ten colors that stay apart
# under the common color-vision deficiencies; the second set is lighter, for dark pages.
CLASSES_LIGHT = (
    "#3f90da", "#e8960a", "#bd1f01", "#7f8f8d", "#832db6",
    "#a96b59", "#e76300", "#a1985a", "#5d6170", "#45b5ba",
)  # fmt: skip
CLASSES_DARK = (
    "#5aa5ea", "#ffb83d", "#f0563a", "#aab8b6", "#b56be6",
    "#c98d7b", "#ff8434", "#cfc68a", "#8d93a8", "#92dadd",
)  # fmt: skip


def model_color(index: int) -> str:
    """The placeholder of a model's color in a plot."""
    return f"#0102{16 + index % MODELS:02x}"


def class_color(index: int) -> str:
    """The placeholder of a class's color in a plot, of the first 256 classes."""
    return f"#0103{index:02x}"


def model_dash(index: int) -> str | tuple[int, tuple[float, ...]]:
    """The dash of a model's line: solid for the first ten."""
    return DASHES[index // MODELS % len(DASHES)]


def as_css(svg: str) -> str:
    """Every placeholder of a plot replaced by the CSS variable it stands for."""
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--grid)")
    for index in range(MODELS):
        svg = svg.replace(model_color(index), f"var(--model-{index})")
    return re.sub("#0103(..)", lambda found: f"var(--class-{int(found[1], 16)})", svg)


def class_colors(count: int, *, dark: bool) -> list[str]:
    """One color per class: the ten of the palette, or hues around the circle for more.

    >>> len(set(class_colors(26, dark=True)))
    26
    """
    if count <= len(CLASSES_LIGHT):
        return list((CLASSES_DARK if dark else CLASSES_LIGHT)[:count])
    lightness = 0.66 if dark else 0.45
    return [_hue(index / count, lightness + 0.1 * (index % 2 - 0.5)) for index in range(count)]


def index_colors(count: int) -> list[str]:
    """One color for each of many indices, gray for the first: hues a golden angle apart.

    Neighbors in the order differ, and the colors are legible on light pages and on dark ones.

    >>> index_colors(2)
    ['#8a8f98', '#5f82dd']
    """
    found = [_hue((0.62 + 0.618034 * i) % 1, (0.62, 0.42, 0.75)[i % 3]) for i in range(count - 1)]
    return ["#8a8f98", *found][:count]


def _hue(hue: float, lightness: float) -> str:
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.65)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
