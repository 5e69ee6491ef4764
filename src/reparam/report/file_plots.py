"""Plots of what a file costs: bars of lengths, where the bits go, and how they come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from reparam.report import plots
from reparam.report.colors import INK
from reparam.report.numbers import minus
from reparam.report.pictures import Brightness, resized

PLANE, PANEL = 11.7, (4.9, 3.2)  # inches: as wide as the page, and half of it
BAR = 0.34  # inches that a bar takes
LETTER = 0.088  # inches of a letter beside a bar, at most
BEYOND = 1.6  # times x as it is, from where on what is no model's leaves the axis
PALE = 0.35  # opacity of what is no model's, and of areas
SMALL = 9.0  # points
TILE = (72, 96)  # smallest and largest side of an image, in pixels
HEAT = "inferno"


class Bar(NamedTuple):
    """A length in bits/dim, what it is of, and of a model's its own number, with what that is."""

    name: str
    bits: float
    color: str = INK
    own: float | None = None
    own_name: str = ""

    @property
    def text(self) -> str:
        """What stands behind the bar."""
        said = "" if self.own is None else f", {self.own_name} {self.own:.3f}"
        return minus(f"{self.bits:.3f}{said}")

    @property
    def end(self) -> float:
        return max(self.bits, self.own or 0.0)


def bars(found: Sequence[Bar], alt: str) -> Markup:
    """Lengths one under another, the model's own number as a line across its bar.

    Args:
        found: that of x as it is first.
        alt: what there is to see.
    """
    with plots.style():
        height, names = BAR * len(found) + 0.75, LETTER * max(len(bar.name) for bar in found)
        limit = _limit(found, PLANE - names - 0.4)
        figure, axis = plots.panel(PLANE, height)
        for y, bar in enumerate(found):
            pale = PALE if bar.color == INK else 0.8
            axis.barh(y, min(bar.bits, limit), 0.62, color=bar.color, alpha=pale)
            if bar.own is not None:
                axis.plot([bar.own, bar.own], [y - 0.42, y + 0.42], color=INK, lw=1.6)
            beyond = bar.end > limit
            style: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
            style |= {"xytext": (-6 if beyond else 6, 0), "ha": "right" if beyond else "left"}
            text, at = f"{bar.text} →" if beyond else bar.text, min(bar.end, limit)
            axis.annotate(text, (at, y), fontsize=SMALL, **style).set_in_layout(False)
        axis.set_yticks(range(len(found)), [bar.name for bar in found])
        axis.tick_params(axis="y", length=0)
        axis.grid(visible=False, axis="y")
        axis.set_ylim(len(found) - 0.5, -0.5)
        axis.set_xlim(0, limit)
        axis.set_xlabel("bits per entry of x")
        return plots.svg(figure, alt)


def _limit(found: Sequence[Bar], width: float) -> float:
    """Where the axis ends, so that the words behind bars have room in so many inches.

    Headers of small images make files of many times their length, which go beyond it.
    """
    most = BEYOND * found[0].bits
    found = [bar for bar in found if bar.own is not None or bar.end <= most]
    room = (max(0.2, 1 - (LETTER * len(bar.text) + 0.1) / width) for bar in found)
    return max(1e-9, *(bar.end / share for bar, share in zip(found, room, strict=True)))


def bit_maps(x: Tensor, bits: Tensor, most: float, brightness: Brightness, alt: str) -> Markup:
    """Images above what each of their pixels takes, on one scale.

    Args:
        x: (B, C, H, W), in data units.
        bits: (B, H, W).
        most: what is as bright as can be.
        brightness: of the images.
        alt: what there is to see.
    """
    columns = len(x)
    with plots.style():
        height, width = x.shape[-2:]
        tall = 2 * (PANEL[0] - 0.6) / columns * height / width + 0.5
        figure, axes = _mosaic((PANEL[0], tall), [1.0] * columns + [0.09])
        shown, _ = resized(brightness.bytes(x), *TILE)
        for column in range(columns):
            _image(axes[0][column], shown[column])
            axis, heat = axes[1][column], _enlarged(bits[column])
            drawn = axis.imshow(heat, cmap=HEAT, vmin=0, vmax=most, interpolation="none")
            _bare(axis)
            axis.set_xlabel(f"{bits[column].sum():,.0f} bits", fontsize=SMALL, labelpad=4)
        axes[0][-1].set_axis_off()
        scale = figure.colorbar(drawn, cax=axes[1][-1], ticks=[0, most])
        scale.ax.set_yticklabels(["0", f"{most:.2g}"], fontsize=SMALL)
        scale.outline.set_visible(False)
        return plots.svg(figure, alt)


def _enlarged(bits: Tensor) -> Any:
    """Pixels as blocks, which browsers would smooth otherwise."""
    times = max(1, -(-TILE[0] // max(bits.shape)))
    return bits.repeat_interleave(times, 0).repeat_interleave(times, 1).numpy()


class Step(NamedTuple):
    """What comes off the stack, below 0, or goes on."""

    name: str
    bits: float


def waterfall(steps: Sequence[Step], color: str, alt: str) -> Markup:
    """One image on its way onto the stack, and by how much that has grown in the end."""
    at, ends = 0.0, []
    for step in steps:
        ends.append((at, at + step.bits))
        at += step.bits
    rows = [*zip([step.name for step in steps], ends, strict=True), ("the stack grows", (0.0, at))]
    low, high = min(0.0, *(min(e) for _, e in rows)), max(max(e) for _, e in rows)
    with plots.style():
        figure, axis = plots.panel(PANEL[0], 0.5 * len(rows) + 0.8)
        for y, (_, (start, end)) in enumerate(rows):
            last = y == len(rows) - 1
            axis.barh(y, end - start, 0.55, left=start, color=color, alpha=0.9 if last else PALE)
            _amount(axis, y, end - start, (start, end), signed=not last)
            if not last:  # what the next one goes on from
                axis.plot([end, end], [y + 0.275, y + 0.725], color=INK, lw=0.8)
        axis.axvline(0, color=INK, lw=0.8)
        axis.set_yticks(range(len(rows)), [name for name, _ in rows])
        axis.tick_params(axis="y", length=0)
        axis.grid(visible=False, axis="y")
        axis.set_ylim(len(rows) - 0.5, -0.5)
        room = 0.2 * (high - low)
        axis.set_xlim(low - (room if low < 0 else 0), high + room)
        axis.set_xlabel("bits on the stack, from where it stood")
        return plots.svg(figure, alt)


def _amount(axis: Any, y: int, bits: float, ends: tuple[float, float], *, signed: bool) -> None:
    """The number at the far end of a bar."""
    text = f"{bits:+,.0f}" if signed else f"{bits:,.0f}"
    left = bits < 0
    beside = {"xytext": (-5 if left else 5, 0), "ha": "right" if left else "left"}
    at = min(ends) if left else max(ends)
    style = {"textcoords": "offset points", "va": "center", "fontsize": SMALL}
    axis.annotate(minus(text), (at, y), **beside, **style).set_in_layout(False)


def sorted_bits(bits: Tensor, noun: str, color: str, alt: str, tiles: Sequence[Any] = ()) -> Markup:
    """Bits of every row from the cheapest to the dearest, some of both ends beside them.

    Args:
        bits: (N,), of all rows.
        noun: what a row is.
        color: of the model.
        alt: what there is to see.
        tiles: the dearest images and the cheapest, (k, H, W, channels) bytes each; none of what is
            no image.
    """
    ordered = bits.sort().values
    with plots.style():
        if len(tiles):
            figure, axis, beside = _beside(len(tiles[0]))
        else:
            figure, axis = plots.panel(*PANEL)
        ranks = torch.arange(1, len(bits) + 1)
        axis.fill_between(ranks, ordered, color=color, alpha=PALE, lw=0)
        axis.plot(ranks, ordered, color=color)
        axis.set_xlim(0, len(bits))
        axis.set_ylim(min(0.0, float(ordered[0])), 1.06 * float(ordered[-1]))
        axis.set_xlabel(f"{noun}s, from the cheapest to the dearest")
        axis.set_ylabel("bits")
        for which, row in enumerate(tiles):
            for place, tile in enumerate(row):
                _image(beside[which][place], tile)
                value = ordered[-1 - place] if which == 0 else ordered[place]
                beside[which][place].set_xlabel(f"{value:,.0f}", fontsize=SMALL, labelpad=3)
            beside[which][0].set_title(("dearest", "cheapest")[which], fontsize=SMALL, pad=4)
        return plots.svg(figure, alt)


def _beside(count: int) -> tuple[Figure, Any, list[list[Any]]]:
    """A plot, and so many images in each of two rows at its right."""
    figure = _figure(PANEL)
    cells = figure.add_gridspec(2, count + 1, width_ratios=[2.6] + [0.55] * count)
    axis = figure.add_subplot(cells[:, 0])
    rows = [[figure.add_subplot(cells[r, 1 + c]) for c in range(count)] for r in range(2)]
    return figure, axis, rows


def running_mean(
    bits: Tensor, own: Tensor, own_name: str, first: int, noun: str, color: str, alt: str
) -> Markup:
    """The mean of bits per row up to each, beside the model's own number.

    Args:
        bits: (N,), in the order of the file.
        own: (N,), by the model itself.
        own_name: what these are.
        first: how many rows stand before the first that got bits back.
        noun: what a row is.
        color: of the model.
        alt: what there is to see.
    """
    n = len(bits)
    so_far = torch.arange(1, n + 1)
    mean, expected = (part.double().cpu().cumsum(0) / so_far for part in (bits, own))
    both = torch.cat([mean, expected])
    low, high = float(both.min()), float(both.max())
    reach = max(high - low, 1e-3 * abs(high), 1e-9)
    with plots.style():
        figure, axis = plots.panel(*PANEL)
        axis.plot(so_far, mean, color=color, lw=2.2)
        axis.plot(so_far, expected, color=INK, lw=1, ls=(0, (4, 3)))
        axis.set_xscale("log")
        axis.set_xlim(1, max(n, 2))
        axis.set_ylim(low - 0.3 * reach, high + 0.12 * reach)
        axis.xaxis.set_major_formatter("{x:,g}")  # powers would be set as mathematics
        axis.xaxis.set_minor_formatter("")
        end = {"textcoords": "offset points", "ha": "right", "fontsize": SMALL}
        late = both.view(2, n)[:, n // 5 :]  # what stands below the words, and above
        said = f"{own_name} {expected[-1]:,.1f}"
        axis.annotate(said, (n, float(late.min())), xytext=(-2, -4), va="top", **end)
        value = f"the file {mean[-1]:,.1f}"
        place = (n, float(late.max()))
        axis.annotate(value, place, xytext=(-2, 4), va="bottom", color=color, **end)
        if 0 < first < n:
            axis.axvline(first + 0.5, color=INK, lw=0.8, ls=(0, (1.5, 2)))
            axis.annotate(
                "bits come back",
                (first + 0.5, low - 0.3 * reach),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=SMALL,
            )
        axis.set_xlabel(f"{noun}s so far")
        axis.set_ylabel(f"bits per {noun}, mean so far")
        return plots.svg(figure, alt)


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _mosaic(size: tuple[float, float], widths: Sequence[float]) -> tuple[Figure, list[list[Any]]]:
    """Two rows of axes."""
    figure = _figure(size)
    cells = figure.add_gridspec(2, len(widths), width_ratios=widths)
    axes = [[figure.add_subplot(cells[r, c]) for c in range(len(widths))] for r in range(2)]
    return figure, axes


def _image(axis: Any, pixels: Any) -> None:
    gray = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.shape[-1] == 1 else {}
    shown = pixels[..., 0] if gray else pixels
    axis.imshow(shown, interpolation="none", **gray)
    _bare(axis)


def _bare(axis: Any) -> None:
    """Nothing around an image but a thin line, so that white ones show on white."""
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set_visible(True)
        side.set_linewidth(0.5)
        side.set_alpha(0.5)
