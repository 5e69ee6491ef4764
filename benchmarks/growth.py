"""How seconds and memory grow with rows, image sides, latent dimensions and models.

    python benchmarks/growth.py                      # all parts, about a quarter of an hour
    python benchmarks/growth.py rows --most 100000   # one of them, to smaller sizes
    python benchmarks/growth.py rows side --plot growth.png --json growth.json

Every point is measured in a process of its own (`growth_points.py`). The slope on log axes is that
of a least-squares line through the upper half of the points, where constants hide it least: 1 is
linear, 2 quadratic, and what is below 1 still has a constant in it. Models train for half a second
and log p(x) takes ten samples of each example, so that what is measured is all the rest; `compare`
contains the report, which is then written and measured once more. Sides are given in pixels of an
image, side², of which networks are linear.

Parts that compare speeds instead (`growth_speed.py`), sides in turn: `stream`, a million rows and a
hundred thousand images from mapped files beside the same in memory; `torchrun`, two processes
beside one; `jobs`, `compare` with two jobs beside one.

Nothing may be worse than linear: a slope, least squares of a few noisy points, may be 1.1 at most.
Mapped files may take 1.05 times the time of a step in memory, and 1.1 times the memory of a tenth
of their rows.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import growth_speed
import numpy as np
from results import Quantity, Result, at_most, number, show
from rounds import machine, parser

MODELS = ["pca latent_dim=2", "vae latent_dim=2"]
ROWS = (1000, 10_000, 100_000, 300_000, 1_000_000)
SIDES, FEW = (8, 16, 32, 64, 128, 256), 300
LATENT, ENTRIES = (2, 8, 32, 128, 512), 1024
MODEL_COUNTS, FORMS = (1, 2, 4, 8, 16), ("csv", "parquet", "npy", "npz")
IMAGES = (100, 1000, 10_000)
CURVES = ("rows", "side", "latent", "models", "files")
PARTS = (*CURVES, "report", *growth_speed.PARTS)
WALL = {"torchrun", "jobs"}
LEAST = 1.0  # MB, below which memory is noise
LINEAR = at_most(1.1)


class Point(NamedTuple):
    """What is varied and its value, what was done, and what it took."""

    axis: str
    at: int
    what: str
    seconds: float
    megabytes: float


def asked_for(part: str, most: float) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Axis, value and the argument of `growth_points.py`, of every point of a part."""
    few = {"do": "compare", "rows": FEW, "models": MODELS}
    if part == "rows":
        yield from (("rows", n, few | {"rows": n}) for n in ROWS)
    if part == "side":
        vae = few | {"models": ["vae latent_dim=2"]}
        yield from (("pixels", s * s, vae | {"side": s}) for s in SIDES if s * s * FEW <= 20 * most)
    if part == "latent":
        wide = few | {"columns": ENTRIES, "rows": 2000}
        for count in LATENT:
            models = [f"{name} latent_dim={count}" for name in ("pca", "vae")]
            yield "latent_dim", count, wide | {"models": models}
    if part == "models":
        for count in MODEL_COUNTS:
            models = [f"vae latent_dim={index + 1}" for index in range(count)]
            yield "models", count, few | {"models": models}
    if part == "files":
        forms = [(form, n) for form in FORMS for n in ROWS] + [("folder", n) for n in IMAGES]
        yield from (("rows", n, {"do": "load", "form": form, "rows": n}) for form, n in forms)


def points_of(parts: list[str], most: float, how: dict[str, Any]) -> Iterator[Point]:
    """The points of some parts as they are made, the slowest last."""
    of_report = {"rows", "side", "models"} if "report" in parts else set()
    for part in CURVES:
        if part not in {*parts, *of_report}:
            continue
        for axis, at, asked in asked_for(part, most):
            if asked["rows"] > most:
                continue
            found = growth_speed.child(asked | how)
            for what, (seconds, megabytes) in found.items():
                if part in parts or what == "report":
                    print(f"{what} {axis} {at}: {seconds:.2f} s, {megabytes:.0f} MB", flush=True)
                    yield Point(axis, at, what, seconds, megabytes)


def slope(at: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> float:
    """Of a least-squares line on log axes, through the upper half of the points, at least two.

    >>> round(slope(np.array([1, 2, 4, 8]), np.array([9, 9, 16, 64])), 9)
    2.0
    """
    upper = slice(min(len(at) // 2, len(at) - 2), None)
    return float(np.polyfit(np.log(at[upper]), np.log(values[upper]), 1)[0])


Curves = dict[tuple[str, str], list[Point]]


def curves_of(points: list[Point]) -> Curves:
    """Points by what was done and what was varied, in ascending order."""
    curves: Curves = defaultdict(list)
    for point in sorted(points, key=lambda point: point.at):
        curves[point.what, point.axis].append(point)
    return curves


def columns(curve: list[Point]) -> tuple[np.ndarray[Any, Any], ...]:
    """Where the points are, their seconds, and their MB."""
    return tuple(np.array(column) for column in zip(*((p.at, *p[3:]) for p in curve), strict=True))


def slopes(points: list[Point]) -> Iterator[Result]:
    """Of seconds and of memory, for each curve, whose ends its name tells."""
    for (what, axis), curve in curves_of(points).items():
        at, *both = columns(curve)
        for unit, least, values in zip(("s", "MB"), (0, LEAST), both, strict=True):
            large = values > least
            name = f"`{what}`, {axis} {at[0]:,} … {at[-1]:,}"
            ends = f"{number(values[0])} … {number(values[-1])} {unit}"
            quantity = Quantity(f"{name}: slope of {ends}", LINEAR)
            if large.sum() < 2:
                yield quantity.lacking(f"two sizes of more than {least:g} {unit}")
            else:
                yield quantity.found([slope(at[large], values[large])])


def plot(points: list[Point], path: Path) -> None:
    """Seconds above and MB below, a column for each thing that is varied, on log axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    groups: dict[tuple[str, bool], Curves] = defaultdict(dict)
    for (what, axis), curve in sorted(curves_of(points).items(), key=lambda item: item[0][1]):
        groups[axis, what.startswith("load")][what, axis] = curve
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    shared = {"squeeze": False, "sharex": "col", "sharey": "row"}
    with plt.rc_context(style):
        figure, panels = plt.subplots(2, len(groups), figsize=(3.4 * len(groups), 6.4), **shared)
        for column, ((axis, of_files), curves) in zip(panels.T, groups.items(), strict=True):
            draw_column(column, axis, curves)
            column[0].set_title("load_data" if of_files else f"compare, {axis}", loc="left")
        for row, name in zip(panels, ("seconds", "MB more"), strict=True):
            row[0].set_ylabel(name)
            guide(row)
        figure.tight_layout()
        figure.savefig(path, dpi=150)


def draw_column(column: Any, axis: str, curves: Curves) -> None:
    """What one axis varies: seconds in the upper panel, MB in the lower."""
    chosen = {what: columns(curve) for (what, _), curve in curves.items()}
    draw(column[0], {what: (at, s) for what, (at, s, _) in chosen.items()}, "seconds")
    draw(column[1], {what: (at, m) for what, (at, _, m) in chosen.items()}, "MB")
    column[1].set_xlabel(axis)
    if axis != "rows":  # whose decades say enough
        values = {int(value) for at, *_ in chosen.values() for value in at}
        column[1].set_xticks(sorted(values))
        column[1].set_xticks([], minor=True)


def draw(panel: Any, curves: dict[str, tuple[np.ndarray[Any, Any], ...]], unit: str) -> None:
    """Points and lines in one panel, with their slopes."""
    for index, (what, (at, values)) in enumerate(curves.items()):
        there = values > (LEAST if unit == "MB" else 0)
        at, values = at[there], values[there]
        if len(at) < 2:
            continue
        label = f"{what.removeprefix('load ')}, slope {slope(at, values):.2f}"
        panel.plot(at, values, "o-", color=f"C{index}", ms=3.5, lw=1.4, label=label)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(color="#e4e4e4", lw=0.6)
    panel.set_axisbelow(True)
    panel.legend(frameon=False, fontsize=8, loc="upper left")


def guide(row: Any) -> None:
    """Room for the legends, plain numbers, and dotted lines of slope 1 behind the curves."""
    bottom, top = row[0].get_ylim()
    top *= 40
    for panel in row:
        low, high = panel.get_xlim()
        for start in np.geomspace(bottom * low / high, top, 7):
            panel.plot([low, high], [start, start * high / low], color="#bbbbbb", lw=0.6, ls=":")
        panel.set_xlim(low, high)
        panel.set_ylim(bottom, top)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter("{x:,.6g}")
            axis.set_minor_formatter("")


def results(asked: argparse.Namespace) -> Iterator[Result]:
    """Slopes once all points are there, which are printed and drawn, then speeds."""
    how = {"threads": 1, "cpu": True} if asked.cpu else {"threads": asked.threads}
    points = list(points_of(asked.parts, asked.most, how))
    if asked.plot and points:
        plot(points, asked.plot)
    yield from slopes(points)
    for part in growth_speed.PARTS:
        if part in asked.parts:
            yield from growth_speed.PARTS[part](asked, how)


def parsed() -> argparse.Namespace:
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; none: all")
    arguments.add_argument("--most", type=float, default=1e6, help="rows at most")
    arguments.add_argument("--plot", type=Path, help="a picture of all curves")
    asked = arguments.parse_args()
    asked.parts = asked.parts or [part for part in PARTS if not (asked.cpu and part in WALL)]
    if not set(asked.parts) <= set(PARTS):
        arguments.error(f"parts: expected some of {', '.join(PARTS)}")
    if asked.cpu and (wall := sorted(WALL & set(asked.parts))):
        arguments.error(f"--cpu: {', '.join(wall)}: several processes are timed on the wall")
    return asked


def main() -> None:
    asked = parsed()
    print(machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
