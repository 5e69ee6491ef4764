"""The section of the rows of a table and their reconstructions."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from torch import Tensor

from reparam.model import Codec
from reparam.report import plots, queries
from reparam.report.colors import INK, model_color, model_dash
from reparam.report.columns import Columns
from reparam.report.section import Section, Shown, vectors
from reparam.report.selection import examples

ROWS = 6


def build(shown: Shown) -> list[Markup]:
    """Test rows as lines over their columns, with each codec's reconstruction on top."""
    data = shown.data
    rows, columns = examples(data.test, ROWS, shown.seed), Columns.of(data)
    restored = [
        (index, columns.standardized(queries.reconstruct(model, data.test, rows)))
        for index, _, model in shown.of(Codec)
    ]
    if not restored:
        return []
    originals = columns.standardized(data.test.x[rows])
    return [
        _row_plot(columns, int(rows[i]), originals[i], [(index, x[i]) for index, x in restored])
        for i in range(len(rows))
    ]


def _row_plot(
    columns: Columns, row: int, original: Tensor, restored: list[tuple[int, Tensor]]
) -> Markup:
    with plots.style():
        figure, axis = plots.panel(3.9, 3.0)
        axis.plot(original.numpy(), "-o" if columns.few else "-", color=INK, lw=4, ms=7, alpha=0.25)
        for index, x in restored:
            style = {"color": model_color(index), "ls": model_dash(index)}
            axis.plot(x.numpy(), marker="o" if columns.few else "", ms=3.5, lw=1.3, **style)
        axis.set_title(f"Test row {row}")
        axis.set_ylabel("standard deviations")
        _name_columns(axis, columns)
        return plots.svg(figure, f"Test row {row} and its reconstructions")


def _name_columns(axis: Any, columns: Columns) -> None:
    if not columns.few:
        axis.set_xlabel("column")
        return
    turned = 35 if sum(map(len, columns.names)) > 30 else 0
    place = {"rotation": turned, "ha": "right" if turned else "center"}
    axis.set_xticks(range(len(columns.names)), columns.names, **place)


SECTION: Section = Section(
    "reconstructions",
    "Reconstructions",
    """Test rows over their columns, in standard deviations from the training mean: the wide gray
line is the data, thin lines are the models.""",
    build,
    "reconstructed_rows.html.j2",
    vectors,
)
