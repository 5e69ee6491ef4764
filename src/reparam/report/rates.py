"""Rate against distortion of all models, the rate of every layer, and which parts collapsed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from reparam.data import Data
from reparam.distributions.hierarchies import LayeredDensity
from reparam.evaluation.diagnosis import collapse_notes
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.rows import subset
from reparam.model import LatentVariable
from reparam.report import plots, queries
from reparam.report.colors import model_color
from reparam.report.entry import Entry
from reparam.report.latent import MOST_POINTS
from reparam.report.pictures import Brightness, Picture, grid

SHARED_ROWS, SHARED_COLUMNS = 4, 6  # draws that share all layers but the finest, in each row
TITLE_WIDTH = 34  # letters of a title over a panel of layers


@dataclass(frozen=True)
class Rates:
    """The plane, panels of the rates of layers, notes and pictures by model."""

    plane: str | None
    layers: list[str]
    notes: list[tuple[int, str, str]]
    shared: list[tuple[int, str, list[tuple[str, Picture]]]]


def rates(data: Data, entries: Sequence[Entry], seed: int) -> Rates | None:
    """What there is to say of the rates; None without a latent-variable model."""
    models = [(i, e) for i, e in enumerate(entries) if isinstance(e.model, LatentVariable)]
    if not models:
        return None
    notes, layers, shared = [], [], []
    for index, entry in models:
        model = entry.model
        assert isinstance(model, LatentVariable)
        terms = bound_terms(model, subset(data.test, MOST_POINTS, seed), seed)
        rate = terms["rate"].flatten(1)
        notes += [(index, entry.label, note) for note in collapse_notes(rate, model.layers)]
        if model.layers:
            if rate.shape[1] == len(model.layers):
                means = rate.cpu().double().mean(0).tolist()
                layers.append(_layer_bars(index, entry.label, means))
            if data.space.is_image:
                shared.append((index, entry.label, _shared(data, model, seed)))
    return Rates(_plane(models), layers, notes, shared)


def _plane(models: Sequence[tuple[int, Entry]]) -> str | None:
    """Distortion over rate, one point a model: lines of slope −1 have one ELBO."""
    points = [
        (
            index,
            f"{entry.label}, given c" if entry.model.conditional else entry.label,
            entry.scores["rate"].value,
            entry.scores["distortion"].value,
        )
        for index, entry in models
        if {"rate", "distortion"} <= entry.scores.keys()
    ]
    if not points:
        return None
    with plots.style():
        figure, axis = plots.panel(6.0, 4.2)
        for index, label, rate, distortion in points:
            axis.plot([rate], [distortion], "o", color=model_color(index), markersize=7)
            axis.annotate(label, (rate, distortion), xytext=(7, 3), textcoords="offset points")
        axis.margins(0.18)
        low, high = axis.get_xlim()
        bottom, top = axis.get_ylim()
        for total in sorted({round(rate + distortion, 3) for _, _, rate, distortion in points}):
            axis.plot([low, high], [total - low, total - high], lw=0.7, ls=":", color="0.5")
        axis.set_xlim(low, high)
        axis.set_ylim(bottom, top)
        axis.set_xlabel("rate, nats")
        axis.set_ylabel("distortion, nats")
        axis.set_title("Rate and distortion")
        return plots.svg(figure, "Distortion over rate of every model; dotted lines have one ELBO")


def _layer_bars(index: int, label: str, means: Sequence[float]) -> str:
    with plots.style():
        title = textwrap.wrap(label, TITLE_WIDTH)
        figure, axis = plots.panel(3.9, 0.6 + 0.2 * len(title) + 0.25 * len(means))
        names = [f"layer {len(means) - i}" for i in range(len(means))]
        axis.barh(range(len(means)), means, color=model_color(index), height=0.7)
        axis.set_yticks(range(len(means)), names)
        axis.invert_yaxis()
        axis.set_title("\n".join(title))
        axis.set_xlabel("rate, nats")
        return plots.svg(figure, f"Rate of every layer of {label}")


def _shared(data: Data, model: LatentVariable, seed: int) -> list[tuple[str, Picture]]:
    """Means of x in rows that share their coarsest layers, one more layer in each picture."""
    generator, shared = queries.seeded_generator(seed), "layers"
    c = model.draw_condition(SHARED_ROWS, generator)
    prior = model.prior(c)
    assert isinstance(prior, LayeredDensity)
    z = prior.repeat(SHARED_ROWS).sample(generator).repeat_interleave(SHARED_COLUMNS, 0)
    if c is not None:
        c, shared = c.repeat_interleave(SHARED_COLUMNS, 0), "layers and the condition"
    pictures = []
    for kept in range(1, len(model.layers)):
        x = queries.in_data_units(model.decode(prior.resample(z, kept, generator), c))
        what = f"{kept} of {len(model.layers)} {shared} shared in each row"
        pictures.append((what, grid(x, Brightness.of(data), SHARED_COLUMNS, what, tile=(28, 56))))
    return pictures
