"""How strongly pairs of columns depend on each other, as a triangle of colored cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from markupsafe import Markup
from torch import Tensor

from reparam.evaluation.association import measure_of
from reparam.report.numbers import hundredths
from reparam.space import Column

CELL, LETTER = 32, 6.4  # of the drawing, in its own units
WRITTEN = 12  # columns at most whose numbers stand in the cells
NAMED = 30  # columns at most that are named
CLIPPED = 13  # letters of a name


def triangle(found: Tensor, columns: Sequence[Column], alt: str) -> Markup:
    """Associations (D, D) below the diagonal as an ``<svg>``: blue above 0, brown below it."""
    count = len(columns)
    named = count <= NAMED
    longest = max(len(_clip(column.name)) for column in columns) * LETTER if named else 0
    left, above, right = math.ceil(longest + 10), math.ceil(0.7 * longest + 8), 0.5 * longest
    width, height = left + CELL * (count - 1) + right, above + CELL * (count - 1)
    parts = list(_labels(columns, left, above)) if named else []
    parts += _cells(found, columns, left, above)
    return Markup(  # noqa: S704  (made here, its text escaped)
        f'<svg class="triangle" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(parts)}</svg>'
    )


def _labels(columns: Sequence[Column], left: int, above: int) -> Iterator[str]:
    for i, column in enumerate(columns):
        text = escape(_clip(column.name))
        if i:
            y = above + CELL * (i - 0.5) + 4
            yield f'<text x="{left - 8}" y="{y:g}" text-anchor="end">{text}</text>'
        if i < len(columns) - 1:  # its cells begin below the diagonal
            x, y = left + CELL * (i + 0.4), above + CELL * i - 7
            yield f'<text x="{x:g}" y="{y:g}" transform="rotate(-42 {x:g} {y:g})">{text}</text>'


def _cells(found: Tensor, columns: Sequence[Column], left: int, above: int) -> Iterator[str]:
    for i, row in enumerate(columns):
        for j, column in enumerate(columns[:i]):
            value, x, y = found[i, j].item(), left + CELL * j, above + CELL * (i - 1)
            known = not math.isnan(value)
            what = f"{measure_of(row, column)} {value:.2f}" if known else "constant"
            sign = "below" if known and value < 0 else "above"
            shade = 0.85 * abs(value) if known else 0.0
            yield (
                f'<g><title>{escape(row.name)}, {escape(column.name)}: {what}</title><rect x="{x}" '
                f'y="{y}" width="{CELL - 2}" height="{CELL - 2}"/><rect class="{sign}" x="{x}" '
                f'y="{y}" width="{CELL - 2}" height="{CELL - 2}" fill-opacity="{shade:.2f}"/>'
            )
            if len(columns) <= WRITTEN and known:
                at = x + CELL / 2 - 1, y + CELL / 2 + 3
                text = hundredths(value)
                yield f'<text x="{at[0]}" y="{at[1]}" text-anchor="middle">{text}</text>'
            yield "</g>"


def _clip(name: str) -> str:
    return name if len(name) <= CLIPPED else name[: CLIPPED - 1] + "…"
