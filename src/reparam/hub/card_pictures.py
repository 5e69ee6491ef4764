"""The pictures of a card: samples, reconstructions and codes, each where the model has them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reparam.evaluation.projection import Projection
from reparam.model import Codec, Generator
from reparam.report import plots, queries
from reparam.report.colors import class_colors
from reparam.report.columns import Columns
from reparam.report.pictures import grid
from reparam.report.section import Shown
from reparam.report.selection import SMALL, class_names, examples, sample_columns

RECONSTRUCTED, PANELS, DOTS, LEGEND = 12, 8, 500, 30
GRAY, COLOR, PALE = "#8a8f98", "#3f90da", "#d8dbe0"
LIGHT: dict[Any, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "grid.color": PALE,
}


def pictures(shown: Shown) -> Iterator[tuple[str, bytes, str]]:
    """Name, PNG file and caption of each picture; what a model cannot do has none."""
    image = shown.data.space.is_image
    if any(shown.of(Generator)):
        yield "samples.png", *(_sampled_images(shown) if image else _sampled_columns(shown))
    codecs = [m for _, _, m in shown.of(Codec) if not queries.predicts_hidden(m)]
    if codecs:
        draw = _reconstructed_images if image else _reconstructed_columns
        yield "reconstructions.png", *draw(shown, codecs[0])
    if shown.coded:
        yield "latent.png", *_codes(shown)


def _sampled_images(shown: Shown) -> tuple[bytes, str]:
    samples, across = shown.samples[0], sample_columns(shown.data.space)
    if samples.means is None:
        picture = grid(samples.draws, shown.brightness, 2 * across, "", tile=SMALL)
        return picture.data, "Draws x ~ p(x)."
    rows = zip(samples.means.split(across), samples.draws.split(across), strict=True)
    tiles = torch.cat([part for row in rows for part in row])
    picture = grid(tiles, shown.brightness, 2 * across, "", apart=(across,), tile=SMALL)
    return picture.data, "Left the means of p(x|z) for z ~ p(z), right draws x ~ p(x|z) of these z."


def _reconstructed_images(shown: Shown, model: Codec) -> tuple[bytes, str]:
    test = shown.data.test
    rows = examples(test, RECONSTRUCTED, shown.seed)
    x = queries.in_data_units(test.x[rows])
    tiles = torch.cat([x, queries.reconstruct(model, test, rows).to(x)])
    picture = grid(tiles, shown.brightness, len(rows), "")
    return picture.data, "Above test examples, below what the model makes of their codes."


def _sampled_columns(shown: Shown) -> tuple[bytes, str]:
    draws, real = shown.drawn_rows[0].flatten(1), shown.split.x.flatten(1)

    def draw(axis: Any, column: int) -> None:
        x, y = (rows[:, column].double() for rows in (real, draws))
        x, y = x[x.isfinite()], y[y.isfinite()]
        low, high = torch.cat([x, y]).quantile(torch.tensor([0.005, 0.995]).double()).tolist()
        options: dict[str, Any] = {"bins": 30, "range": (low, high or low + 1), "density": True}
        if high <= low:
            options["range"] = (low - 0.5, low + 0.5)
        axis.hist(x.numpy(), color=GRAY, alpha=0.45, **options)
        axis.hist(y.numpy(), histtype="step", color=COLOR, lw=1.6, **options)
        axis.set_yticks([])

    picture, more = _panels(shown, range(real.shape[1]), draw)
    return picture, f"Columns{more}: test data in gray, draws x ~ p(x) in blue."


def _reconstructed_columns(shown: Shown, model: Codec) -> tuple[bytes, str]:
    test, columns = shown.data.test, shown.data.space.columns
    rows = torch.arange(len(test))[:DOTS]
    x = queries.in_data_units(test.x[rows]).flatten(1)
    again = queries.reconstruct(model, test, rows).flatten(1)
    numbers = [i for i in range(x.shape[1]) if not columns or columns[i].kind != "category"]

    def draw(axis: Any, column: int) -> None:
        pairs = torch.stack([x[:, column].double(), again[:, column].double()], 1)
        pairs = pairs[pairs.isfinite().all(1)]
        low, high = (end.item() for end in pairs.aminmax())
        margin = 0.05 * (high - low) or 0.5
        axis.plot([low, high], [low, high], color=GRAY, lw=0.8)
        axis.plot(*pairs.T.numpy(), ".", color=COLOR, alpha=0.4, ms=4, mew=0)
        axis.set_xlim(low - margin, high + margin)
        axis.set_ylim(low - margin, high + margin)

    picture, more = _panels(shown, numbers, draw)
    return picture, f"Columns{more}: across the test data, upwards their reconstructions."


def _panels(
    shown: Shown, columns: Sequence[int], draw: Callable[[Any, int], None]
) -> tuple[bytes, str]:
    """A small plot for each of the first columns, and which these are."""
    names, chosen = Columns.of(shown.data).names, columns[:PANELS]
    across = min(4, len(chosen))
    down = -(-len(chosen) // across)
    with plots.style(), plots.matplotlib.rc_context(LIGHT):
        figure = Figure(figsize=(2.3 * across, 2.0 * down), layout="constrained")
        for place, column in enumerate(chosen):
            axis = figure.add_subplot(down, across, place + 1)
            draw(axis, column)
            axis.set_title(names[column])
        more = f", the first {len(chosen)} of {len(columns)}" if len(columns) > len(chosen) else ""
        return _png(figure), more


def _codes(shown: Shown) -> tuple[bytes, str]:
    """Test examples by their codes, colored by class."""
    flat, labels, names = (
        shown.coded[0].code.flatten(1),
        shown.split.labels,
        class_names(shown.data),
    )
    projection = Projection.of(flat)
    points, few = projection(flat), 0 < len(names) <= LEGEND
    with plots.style(), plots.matplotlib.rc_context(LIGHT):
        figure, axis = plots.panel(6.2 if few and labels is not None else 5.0, 5.0)
        groups = [(points, COLOR, "")]
        if labels is not None:
            groups = [
                (points[labels == i], color, names[i])
                for i, color in enumerate(class_colors(len(names), dark=False))
                if bool((labels == i).any())
            ]
        for of_class, color, name in groups:
            axis.plot(*of_class.T.numpy(), ".", color=color, alpha=0.65, ms=6, mew=0, label=name)
        axis.set_aspect("equal", "datalim")
        if few and labels is not None:
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=1.6)
        colored = ", colored by class" if labels is not None else ""
        return _png(figure), f"Test examples where their codes lie{colored}; {projection.said}."


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
