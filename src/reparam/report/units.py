"""Hidden units under a penalty on their mean: how active they are, and what the penalty is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.rows import batches, subset
from reparam.inspection import HiddenUnits
from reparam.model import Codec
from reparam.report import plots
from reparam.report.colors import INK, model_color
from reparam.report.entry import Entry
from reparam.report.latent import MOST_POINTS

BINS = 50


@dataclass(frozen=True)
class UnitCard:
    """One model: the histogram of its activations, its units on the curve of their penalty."""

    model: int
    label: str
    note: str
    plots: list[str]


def hidden_units(data: Data, entries: Sequence[Entry], seed: int) -> list[UnitCard]:
    """Every codec with a penalty on the mean activation of hidden units."""
    split, cards = subset(data.test, MOST_POINTS, seed), []
    for index, entry in enumerate(entries):
        units = _gathered(entry.model, split) if isinstance(entry.model, Codec) else None
        if units is not None:
            mean = units.activations.double().mean(0)
            penalty = units.penalty(mean)
            note = (
                f"{len(mean):,} units on {len(split):,} test examples: ρ̂ from {mean.min():.3f} to "
                f"{mean.max():.3f}, mean {mean.mean():.3f}, wanted ρ = {units.target:g}; penalties "
                f"sum to {penalty.sum():.3g} nats, weighted by {units.weight:g} in the objective"
            )
            drawn = [_histogram(units, index, entry.label), _curve(units, mean, index, entry.label)]
            cards.append(UnitCard(index, entry.label, note, drawn))
    return cards


def _gathered(model: Codec, split: Split) -> HiddenUnits | None:
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


def _histogram(units: HiddenUnits, index: int, label: str) -> str:
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


def _curve(units: HiddenUnits, mean: Tensor, index: int, label: str) -> str:
    """KL(ρ ‖ ρ̂) over ρ̂, as far as the units lie and a little farther."""
    low, high = 0.0, min(1.0, max(3 * units.target, 1.15 * float(mean.max())))
    x = torch.linspace(low + 1e-4, high - 1e-4, 400, dtype=torch.float64)
    y, at = units.penalty(x), units.penalty(mean)
    with plots.style():
        figure, axis = plots.panel(3.9, 2.7)
        axis.plot(x.numpy(), y.numpy(), color=INK, lw=1.2, alpha=0.6)
        axis.plot(mean.numpy(), at.numpy(), "o", ms=5, mew=0, alpha=0.4, color=model_color(index))
        _wanted(axis, units.target)
        top = max(1.3 * float(at.max()), float(units.penalty(x.new_tensor(0.5 * units.target))))
        axis.set_ylim(-0.05 * top, top)
        axis.set_xlim(low, high)
        axis.set_title("Penalty of each unit")
        axis.set_xlabel("mean activation ρ̂ of a unit")
        axis.set_ylabel("KL(ρ ‖ ρ̂), nats")
        return plots.svg(figure, f"{label}: penalty over mean activation, units as points")


def _wanted(axis: Any, target: float) -> None:
    axis.axvline(target, color=INK, lw=1, ls=(0, (4, 3)))
    axis.annotate("ρ", (target, 1), xycoords=("data", "axes fraction"), xytext=(3, -10),
                  textcoords="offset points", color=INK)  # fmt: skip
