"""A gallery of what planar and radial layers do to a density, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from reparam import numerics
from reparam.bijections.base import Chain
from reparam.bijections.planar import Planar, Radial
from reparam.report import plots
from reparam.report.window import Window

Bend = Literal["planar", "radial"]

KINDS: dict[Bend, type[Planar] | type[Radial]] = {"planar": Planar, "radial": Radial}
LAYERS = (0, 1, 2, 10)  # how many, from left to right
DRAWS, CELLS = 4000, 300  # that say where a picture ends, and its cells along a side
SIDE = 3.0**0.5  # half the side of the square of the uniform base, whose deviation is 1
STRENGTH = 1.2  # deviation of the numbers that make a layer
DARKEST = 0.995  # quantile of the density, where there is one, that has the darkest color


class Base(NamedTuple):
    """A density of z: draws (N, 2) by a generator, and log p of points (N, 2)."""

    draw: Callable[[torch.Generator], Tensor]
    log_prob: Callable[[Tensor], Tensor]


def draw_bends(bend: Bend, seed: int = 0) -> Figure:
    """Densities of x = f_K(… f_1(z)) for K = 0, 1, 2 and 10, of z normal and z uniform.

    Layers have random parameters; those of fewer layers are the first of those of more. Every
    picture has a window and a scale of its own.

    Args:
        bend: kind of the layers.
        seed: of their parameters.

    Reference: Rezende & Mohamed 2015, eq. 7, 10 and 14, after its figure 1.
    https://arxiv.org/abs/1505.05770

    >>> len(draw_bends("radial").axes)
    8
    """
    figure = Figure(figsize=(2.2 * len(LAYERS), 4.7), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    generator = torch.Generator().manual_seed(seed)
    size = max(LAYERS), KINDS[bend](2).context_features
    numbers = STRENGTH * torch.randn(size, generator=generator, dtype=torch.float64)
    with plots.style():
        axes = figure.subplots(len(BASES), len(LAYERS), squeeze=False)
        for row, (name, base) in zip(axes, BASES.items(), strict=True):
            for axis, count in zip(row, LAYERS, strict=True):
                _picture(axis, base, bend, numbers[:count], generator)
                axis.set_title(f"K = {count}" if count else "z")
            row[0].set_ylabel(name)
    return figure


def density(base: Base, bend: Bend, numbers: Tensor, x: Tensor) -> Tensor:
    """p(x) of points (N, 2), after a layer of each row of numbers (K, F), the first one first."""
    flow, context = _flow(bend, numbers)
    z, ladj = flow(x, context)
    return (base.log_prob(z) + ladj).exp()


def _flow(bend: Bend, numbers: Tensor) -> tuple[Chain, Tensor]:
    # A chain goes from data to noise, so that what is next to the noise comes last.
    return Chain(*[KINDS[bend](2) for _ in numbers]), numbers.flip(0).reshape(1, -1)


def _picture(
    axis: Any, base: Base, bend: Bend, numbers: Tensor, generator: torch.Generator
) -> None:
    flow, context = _flow(bend, numbers)
    window = Window.around(flow.inverse(base.draw(generator), context)[0])
    p = density(base, bend, numbers, window.cells(CELLS)).view(CELLS, CELLS)
    most = float(torch.quantile(p[p > 1e-3 * p.max()], DARKEST))
    scale = {"vmin": 0.0, "vmax": most, "cmap": "magma_r"}
    axis.imshow(p.numpy(), extent=window, aspect="auto", interpolation="bilinear", **scale)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)


def _normal(generator: torch.Generator) -> Tensor:
    return torch.randn(DRAWS, 2, generator=generator, dtype=torch.float64)


def _uniform(generator: torch.Generator) -> Tensor:
    return SIDE * (2 * torch.rand(DRAWS, 2, generator=generator, dtype=torch.float64) - 1)


def _normal_log_prob(z: Tensor) -> Tensor:
    return numerics.standard_normal_log_prob(z).sum(1)


def _uniform_log_prob(z: Tensor) -> Tensor:
    inside = z.new_full((len(z),), (2 * SIDE) ** -2).log()
    return inside.masked_fill((z.abs() > SIDE).any(1), -torch.inf)


BASES = {
    "Normal": Base(_normal, _normal_log_prob),
    "Uniform": Base(_uniform, _uniform_log_prob),
}
