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
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import growth_speed
import numpy as np

MODELS = ["pca latent_dim=2", "vae latent_dim=2"]
ROWS = (1000, 10_000, 100_000, 300_000, 1_000_000)
SIDES, FEW = (8, 16, 32, 64, 128, 256), 300
LATENT, ENTRIES = (2, 8, 32, 128, 512), 1024
MODEL_COUNTS, FORMS = (1, 2, 4, 8, 16), ("csv", "parquet", "npy", "npz")
IMAGES = (100, 1000, 10_000)
CURVES = ("rows", "side", "latent", "models", "files")
PARTS = (*CURVES, "report", *growth_speed.PARTS)
LEAST = 1.0  # MB, below which memory is noise


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


def measured(parts: list[str], most: float, how: dict[str, Any]) -> Iterator[Point]:
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
    if len(at) < 2 or values[upper].min() <= 0:
        return math.nan
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


def table(points: list[Point]) -> str:
    """A line for each curve: its ends, and its slopes."""
    lines = [
        "| what | grows with | from … to | seconds | slope | MB more | slope |",
        "|---|---|---|---|---|---|---|",
    ]
    for (what, axis), curve in curves_of(points).items():
        at, seconds, megabytes = columns(curve)
        large = megabytes > LEAST
        memory = f"{slope(at[large], megabytes[large]):.2f}" if large.sum() > 1 else "–"
        lines.append(
            f"| {what} | {axis} | {at[0]:,} … {at[-1]:,} | {seconds[0]:.2f} … {seconds[-1]:.2f} | "
            f"{slope(at, seconds):.2f} | {megabytes[0]:.0f} … {megabytes[-1]:.0f} | {memory} |"
        )
    return "\n".join(lines)


def plot(points: list[Point], path: Path) -> None:
    """Seconds above and MB below, a column for each thing that is varied, on log axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = curves_of(points)
    groups = sorted({(axis, what.split()[0] == "load") for what, axis in curves})
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        size = (3.4 * len(groups), 6.4)
        figure, panels = plt.subplots(
            2, len(groups), figsize=size, squeeze=False, sharex="col", sharey="row"
        )
        for column, (axis, of_files) in zip(panels.T, groups, strict=True):
            chosen = {
                what: columns(curve)
                for (what, along), curve in curves.items()
                if along == axis and (what.split()[0] == "load") == of_files
            }
            draw(column[0], {what: (at, s) for what, (at, s, _) in chosen.items()}, "seconds")
            draw(column[1], {what: (at, m) for what, (at, _, m) in chosen.items()}, "MB")
            column[0].set_title("load_data" if of_files else f"compare, {axis}", loc="left")
            column[1].set_xlabel(axis)
            if axis != "rows":  # whose decades say enough
                values = {int(value) for at, *_ in chosen.values() for value in at}
                column[1].set_xticks(sorted(values))
                column[1].set_xticks([], minor=True)
        for row, name in zip(panels, ("seconds", "MB more"), strict=True):
            row[0].set_ylabel(name)
            guide(row)
        figure.tight_layout()
        figure.savefig(path, dpi=150)


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


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; none: all")
    arguments.add_argument("--most", type=float, default=1e6, help="rows at most")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument(
        "--cpu",
        action="store_true",
        help="CPU seconds of one thread, for a machine that is busy with other work",
    )
    arguments.add_argument("--plot", type=Path, help="a picture of all curves")
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    parts = asked.parts or list(PARTS)
    if not set(parts) <= set(PARTS):
        arguments.error(f"parts: expected some of {', '.join(PARTS)}")
    how = {"threads": 1, "cpu": True} if asked.cpu else {"threads": asked.threads}
    points = list(measured(parts, asked.most, how))
    if points:
        print(table(points))
    speeds = growth_speed.measured([p for p in parts if p in growth_speed.PARTS], asked.most, how)
    if asked.plot and points:
        plot(points, asked.plot)
    if asked.json:
        content = {"points": [point._asdict() for point in points], "speeds": speeds}
        asked.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
