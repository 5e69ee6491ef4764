"""One column of a table: what the data have in it and what the models draw, as a light drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from reparam.report.colors import MODELS
from reparam.space import Column

WIDTH, HEIGHT, FLOOR = 340, 112, 88  # of a histogram, in its own units, and its base line
LONG = 8  # letters of a label, of which six find room
BINS = 30  # of a histogram at most
TAILS = 0.005  # of the data on either side, that are out of sight
NAMED, LINE = 9, 19  # names of their own at most; height of a name's line
BAR, FULL = 112, 180  # where bars of names begin, and how long the longest is
Bars = np.ndarray


def marginal(column: Column, real: Tensor, drawn: Mapping[int, Tensor], alt: str) -> Markup:
    """The values of a column as an ``<svg>``: gray what data have, in color what models draw.

    Numbers as histograms whose areas are shares of all rows, names and flags as bars of the data
    with a dot for each model.

    Args:
        column: its name and kind.
        real: the cells of the data that are there, (N,).
        drawn: those of samples by model.
        alt: what there is to see.
    """
    real, drawn = real.cpu().double(), {i: x.cpu().double() for i, x in drawn.items()}
    if column.kind in ("binary", "category"):
        height, parts = _names(column, real, drawn)
    else:
        height, parts = HEIGHT, list(_histogram(column, real, drawn))
    return Markup(  # noqa: S704  (made here, its text escaped)
        f'<svg class="marginal" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(parts)}</svg>'
    )


def _histogram(column: Column, real: Tensor, drawn: Mapping[int, Tensor]) -> Iterator[str]:
    logs = column.kind == "log"
    edges = _edges(column, np.log(real.numpy()) if logs else real.numpy())
    shares = {
        index: _densities(x.clamp(min=1e-300).log() if logs else x, edges)
        for index, x in ((-1, real), *drawn.items())
    }
    top = max(float(share.max()) for share in shares.values()) or 1.0
    across = (edges - edges[0]) / (edges[-1] - edges[0]) * WIDTH
    for index, share in shares.items():
        path = _steps(across, FLOOR - share / top * (FLOOR - 6))
        if index < 0:
            yield f'<path class="real" d="{path}Z"/>'
        else:
            yield f'<path class="drawn"{_style("stroke", index)} d="{path}"/>'
    yield f'<path class="base" d="M0 {FLOOR}H{WIDTH}"/>'
    for value, place in _ticks(edges, logs, column.kind == "levels"):
        end = "start" if place < 0.06 else "end" if place > 0.94 else "middle"
        x = place * WIDTH
        yield f'<path class="base" d="M{x:.1f} {FLOOR}v4"/>'
        yield f'<text x="{x:.1f}" y="{FLOOR + 18}" text-anchor="{end}">{value}</text>'


def _edges(column: Column, real: Bars) -> Bars:
    if column.kind == "levels" and column.count is not None:
        width = -(-column.count // BINS)
        return np.arange(column.low, column.low + column.count + width, width) - 0.5
    low, high = np.quantile(real, [TAILS, 1 - TAILS]) if len(real) else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, BINS + 1)


def _densities(x: Tensor, edges: Bars) -> Bars:
    """Of each bin the share of all values, also of those out of sight, over its width."""
    counts = np.histogram(x.numpy(), edges)[0]
    return counts / max(len(x), 1) / np.diff(edges)


def _steps(across: Bars, down: Bars) -> str:
    up = "".join(f"V{y:.1f}H{x:.1f}" for y, x in zip(down, across[1:], strict=True))
    return f"M{across[0]:.1f} {FLOOR}{up}V{FLOOR}"


def _ticks(edges: Bars, logs: bool, whole: bool) -> Iterator[tuple[str, float]]:
    """A few round values with their places in [0, 1]."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = float(edges[0]), float(edges[-1])
    if logs:
        wide = high - low > np.log(1000)
        locator = LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=9)
        values = np.array(locator.tick_values(np.exp(low), np.exp(high)))
        places = np.log(values.clip(min=1e-300))
        labels = [f"{value:,.6g}" for value in values]
    else:
        for count in (6, 2):  # fewer where they are long
            ticks = MaxNLocator(count, steps=[1, 2, 5, 10], integer=whole)
            values = places = np.array(ticks.tick_values(low, high))
            decimals = max(0, -int(np.floor(np.log10(values[1] - values[0]))))
            labels = [f"{value:,.{decimals}f}" for value in values]
            if max(map(len, labels)) <= LONG:
                break
    for label, place in zip(labels, (places - low) / (high - low), strict=True):
        if 0 <= place <= 1:
            yield label.replace("-", "−"), float(place)


def _names(column: Column, real: Tensor, drawn: Mapping[int, Tensor]) -> tuple[int, list[str]]:
    """A line for each of the most frequent names, and one for all others."""
    shares = {index: _shares(column, x) for index, x in ((-1, real), *drawn.items())}
    labels = list(column.names or map(str, range(column.low, column.low + len(shares[-1]))))
    if len(labels) > NAMED + 1:
        order = shares[-1].argsort(descending=True, stable=True)
        labels = [labels[i] for i in order[:NAMED].tolist()] + [f"{len(labels) - NAMED} others"]
        shares = {
            index: torch.cat([share[order[:NAMED]], share[order[NAMED:]].sum(0, keepdim=True)])
            for index, share in shares.items()
        }
    top = max(float(share.max()) for share in shares.values()) or 1.0
    parts = []
    for line, label in enumerate(labels):
        y, share = LINE * line + LINE / 2, shares[-1][line].item()
        short = label if len(label) <= 16 else label[:15] + "…"
        parts.append(
            f'<text x="{BAR - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(short)}</text>'
        )
        parts.append(
            f'<rect class="real" x="{BAR}" y="{y - 7:.1f}" height="14" '
            f'width="{max(share / top * FULL, 0.5):.1f}"/>'
        )
        parts.append(
            f'<text class="share" x="{WIDTH}" y="{y + 4:.1f}" text-anchor="end">'
            f"{100 * share:.3g} %</text>"
        )
        step = min(4.0, 12 / max(len(drawn), 1))
        for place, index in enumerate(drawn):
            at = BAR + shares[index][line].item() / top * FULL
            dy = (place - (len(drawn) - 1) / 2) * step
            style = _style("fill", index)
            parts.append(f'<circle class="dot"{style} cx="{at:.1f}" cy="{y + dy:.1f}" r="3.6"/>')
    return LINE * len(labels), parts


def _shares(column: Column, x: Tensor) -> Tensor:
    counts = (x - column.low).long().bincount(minlength=column.count or 1).double()
    return counts / max(len(x), 1)


def _style(what: str, index: int) -> str:
    dash = ("", ";stroke-dasharray:5 2", ";stroke-dasharray:1.5 1.5")[index // MODELS % 3]
    return f' style="{what}:var(--model-{index % MODELS}){dash if what == "stroke" else ""}"'
