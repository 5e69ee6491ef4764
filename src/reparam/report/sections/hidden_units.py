"""The section of hidden units: how active they are, and the penalty on their mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.rows import batches
from reparam.inspection import HiddenUnits
from reparam.model import Encoder
from reparam.report import plots
from reparam.report.colors import INK, model_color
from reparam.report.section import Card, Section, Shown

BINS = 50
EDGE = 1e-4  # of [0, 1], at whose ends the penalty has no bound
CLOSE = 0.5  # of [0, 1]: units within less are drawn once more, nearer


def build(shown: Shown) -> list[Card]:
    """Every encoder with a penalty on the mean activation of hidden units.

    The histogram of its activations, and its units on the curve of their penalty.
    """
    found = [(i, label, _gathered(model, shown.split)) for i, label, model in shown.of(Encoder)]
    return [_card(index, label, units) for index, label, units in found if units is not None]


def _card(index: int, label: str, units: HiddenUnits) -> Card:
    mean = units.activations.double().mean(0)
    penalty = units.penalty(mean)
    note = (
        f"{len(mean):,} units on {len(units.activations):,} test examples: ρ̂ from {mean.min():.3f} "
        f"to {mean.max():.3f}, mean {mean.mean():.3f}, wanted ρ = {units.target:g}; penalties "
        f"sum to {penalty.sum():.3g} nats, weighted by {units.weight:g} in the objective"
    )
    drawn = [_histogram(units, index, label), _curve(units, mean, index, label)]
    ends = sorted([units.target, float(mean.min()), float(mean.max())])
    margin = max(0.15 * (ends[-1] - ends[0]), 0.02 * units.target)
    near = max(0.0, ends[0] - margin), min(1.0, ends[-1] + margin)
    if near[1] - near[0] < CLOSE:
        drawn.append(_curve(units, mean, index, label, near))
    return Card(index, label, [("", plot) for plot in drawn], note)


def _gathered(model: Encoder, split: Split) -> HiddenUnits | None:
    """The units of all rows, on the CPU."""
    parts: list[Tensor] = []
    found: HiddenUnits | None = None
    for batch in batches(model, split):
        found = model.hidden_units(batch.x, batch.c)
        if found is None:
            return None
        parts.append(found.activations.cpu())
    assert found is not None
    return HiddenUnits(torch.cat(parts), found.target, found.penalty, found.weight)


def _histogram(units: HiddenUnits, index: int, label: str) -> Markup:
    values = units.activations.float().flatten().numpy()
    share, edges = np.histogram(values, bins=BINS, range=(0, 1))
    with plots.style():
        figure, axis = plots.panel(3.9, 2.7)
        style: dict[str, Any] = {"color": model_color(index), "alpha": 0.55, "fill": True}
        axis.stairs(share / len(values), edges, **style)
        _wanted(axis, units.target)
        axis.set_title("Activations of all units")
        axis.set_xlabel("activation")
        axis.set_ylabel("share")
        return plots.svg(figure, f"{label}: histogram of activations, with ρ")


def _curve(
    units: HiddenUnits,
    mean: Tensor,
    index: int,
    label: str,
    near: tuple[float, float] | None = None,
) -> Markup:
    """KL(ρ ‖ ρ̂) over ρ̂ with every unit on it: from 0 to 1, or where the units are."""
    low, high = near or (0.0, 1.0)
    x = torch.linspace(max(low, EDGE), min(high, 1 - EDGE), 400, dtype=torch.float64)
    y, at = units.penalty(x), units.penalty(mean)
    top = float(y.max()) if near else max(1.3 * float(at.max()), _height(units))
    with plots.style():
        figure, axis = plots.panel(3.9, 2.7)
        axis.plot(x.numpy(), y.numpy(), color=INK, lw=1.2, alpha=0.6)
        axis.plot(mean.numpy(), at.numpy(), "o", ms=5, mew=0, alpha=0.4, color=model_color(index))
        _wanted(axis, units.target)
        axis.set_ylim(-0.05 * top, 1.05 * top)
        axis.set_xlim(low, high)
        axis.set_title("The same, near ρ" if near else "Penalty of each unit")
        axis.set_xlabel("mean activation ρ̂ of a unit")
        axis.set_ylabel("KL(ρ ‖ ρ̂), nats")
        alt = f"{label}: penalty over mean activation from {low:.2g} to {high:.2g}, units as points"
        return plots.svg(figure, alt)


def _height(units: HiddenUnits) -> float:
    """How high the whole curve is drawn: at 0 and 1 it has no bound."""
    return float(units.penalty(torch.tensor([0.01, 0.99], dtype=torch.float64)).max())


def _wanted(axis: Any, target: float) -> None:
    axis.axvline(target, color=INK, lw=1, ls=(0, (4, 3)))
    axis.annotate("ρ", (target, 1), xycoords=("data", "axes fraction"), xytext=(3, -10),
                  textcoords="offset points", color=INK)  # fmt: skip


SECTION: Section = Section(
    "units",
    "Hidden units",
    """How active the units are that a penalty holds at a mean activation ρ, and the curve of that
penalty with every unit at its own mean ρ̂ over test examples.""",
    build,
    "hidden_units.html.j2",
)
