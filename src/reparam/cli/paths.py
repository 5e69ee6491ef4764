"""Commands that decode codes along a path: between two examples, or as entries move."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, Token

from reparam.cli.drawing import steps_shown
from reparam.cli.examples import ClassName, Example, Out, Part
from reparam.cli.options import Force, option
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.starts import OfDraws, Start, decoder, spread, starts
from reparam.cli.tables import show, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reparam.cli.folders import Place
    from reparam.evaluation.latents import Axes

MOST_ROWS = 16  # of a picture, where no entries are asked for
Steps = Annotated[int, Parameter(help="How many x on the way, both ends included.")]


def _pair(kind: object, tokens: Sequence[Token]) -> tuple[int, int]:
    asked = tokens[0].value
    words = [word.strip() for word in asked.split(",")]
    if len(words) != 2 or not all(map(str.isdecimal, words)) or int(words[0]) == int(words[1]):
        raise ValueError(f"plane: expected two entries of the code, as 0,1, got {asked!r}")
    return int(words[0]), int(words[1])


def interpolate(
    run: Run,
    first: Example | None = None,
    second: Example | None = None,
    /,
    *,
    out: Out = "interpolation.png|csv",
    steps: Steps = 9,
    split: Part = "test",
    path: Annotated[
        Literal["linear", "spherical"] | None,
        Parameter(help="Between the codes; none: spherical between draws, linear else."),
    ] = None,
    label: ClassName = None,
    seed: OfDraws = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Decode a path between the codes of two examples, which frame it in a picture.

    Of a model that makes no codes of examples, as a GAN, between two draws of z.
    """
    import torch

    from reparam.cli.folders import numbered
    from reparam.cli.outputs import Result, Target, emit
    from reparam.use.editing import interpolate as between

    opened = where.open(run)
    record = opened.record
    target = Target.of(out, force, record, first, second)
    model = decoder(opened)
    places = target.claim(numbered(steps))
    a, b = starts(opened, (first, second), split, label, seed)
    with steps_shown("interpolating"):
        x = between(model, a.x, b.x, steps=steps, path=path, c=a.c, c_second=b.c)[0].cpu()
    tiles = x if a.drawn else torch.cat([a.x.to(x), x, b.x.to(x)])
    apart = () if a.drawn else (1, steps + 1)
    arrays = {"x": x, "t": torch.linspace(0, 1, steps)}
    emit(Result(arrays, record.columns, lambda: tiles, len(tiles), apart, places), target, record)
    show(f"{steps} steps from {a.name} to {b.name} in {told(target.name)}")


def traverse(
    run: Run,
    example: Example | None = None,
    /,
    *,
    dimension: Annotated[
        list[int] | None,
        option(metavar="INT", help="Entry of the code, from 0; repeatable; none: the strongest."),
    ] = None,
    plane: Annotated[
        tuple[int, int] | None,
        Parameter(
            converter=_pair,
            n_tokens=1,
            metavar="INT,INT",
            help="Two entries, in a grid: the first to the right, the second upwards.",
        ),
    ] = None,
    out: Out = "traversal.png|csv",
    steps: Steps = 9,
    reach: Annotated[
        float, Parameter(help="Standard deviations of the test codes, or of z, to either side.")
    ] = 2.5,
    split: Part = "test",
    label: ClassName = None,
    seed: OfDraws = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Decode an example while one entry of its code moves and the others stay: a row for each.

    With --plane two entries move at once, in a grid of all pairs of values. The example is the
    first one, unless you say which; of a model that makes no codes of examples, as a GAN, it is a
    draw of z.
    """
    import torch

    from reparam.cli.outputs import Result, Target, emit
    from reparam.model import Encoder, positive_count
    from reparam.use.editing import traverse as along
    from reparam.use.editing import traverse_plane as in_plane

    opened = where.open(run)
    record, model = opened.record, decoder(opened, own=True)
    target = Target.of(out, force, record, example)
    if not 0 <= reach < math.inf:
        raise ValueError(f"reach: expected a finite number of at least 0, got {reach}")
    positive_count("steps", steps)
    if plane and dimension:
        raise ValueError("plane, dimension: expected one of them, got both")
    if example is None and isinstance(model, Encoder):
        example = "0"
    (start,) = starts(opened, (example,), split, label, seed)
    mean, deviation, axes = spread(opened, model, start, seed)
    chosen = list(plane or dimension or _strongest(axes))
    for one in chosen:
        if not 0 <= one < len(mean):
            name = "plane" if plane else "dimension"
            raise ValueError(f"{name}: expected 0 to {len(mean) - 1}, got {one}")
    values = mean[chosen, None] + deviation[chosen, None] * torch.linspace(-reach, reach, steps)
    rows = _rows_of(start, chosen, steps, plane is not None)
    places = target.claim(rows)
    if plane is None:
        x = along(model, start.x, chosen, values, start.c)[0].flatten(0, 1).cpu()
        number = torch.tensor(chosen).repeat_interleave(steps)
        arrays = {"x": x, "dimension": number, "value": values.flatten()}
    else:
        upwards = values[1].flip(0)  # the largest on top
        x = in_plane(model, start.x, chosen, values[0], upwards, start.c)[0].flatten(0, 1).cpu()
        pairs = torch.cartesian_prod(upwards, values[0]).flip(1)
        arrays = {"x": x} | {f"z{one}": pairs[:, i] for i, one in enumerate(chosen)}
    emit(Result(arrays, record.columns, lambda: x, steps, places=places), target, record)
    listed = ", ".join(map(str, chosen))
    each = f"{steps} x {steps} steps" if plane else f"{steps} steps each"
    show(f"dimensions {listed} of {start.name}, {each}, in {told(target.name)}")


def _rows_of(start: Start, chosen: list[int], steps: int, plane: bool) -> list[Place]:
    """The files of a traversal in a folder: by entry, or of the pair of them by row."""
    from reparam.cli.folders import several

    stem = start.place.name[:-4]
    names = ["-".join(f"z{one}" for one in chosen)] if plane else [f"z{one}" for one in chosen]
    count = steps * steps if plane else steps
    rows = [start.place._replace(name=f"{stem}-{name}.png") for name in names]
    return [step for row in rows for step in several(row, count)]


def _strongest(axes: Axes) -> list[int]:
    """The entries of the code that carry most, or change x most, at most MOST_ROWS."""
    order = axes.amount.argsort(descending=True)
    return order[axes.alive[order]][:MOST_ROWS].tolist() or order[:1].tolist()
