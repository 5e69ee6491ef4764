"""The command that draws variations of an example."""

from __future__ import annotations

import math
from typing import Annotated

from cyclopts import Parameter

from reparam.cli.examples import ClassName, Example, Out, Part, condition_of, one_example
from reparam.cli.options import Draw, Force, Seed
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import named, show, told


def vary(
    run: Run,
    example: Example = "0",
    /,
    *,
    n: Annotated[int, Parameter(name="-n", help="How many variations.")] = 15,
    spread: Annotated[
        float, Parameter(help="How far from the mean code: 1 draws from q(z|x).")
    ] = 1.0,
    draw: Draw = False,
    out: Out = "variations.png|csv",
    split: Part = "test",
    label: ClassName = None,
    seed: Seed = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Draw variations of an example: decoded draws of q(z|x), the example itself in front."""
    import torch

    from reparam.cli.folders import place_of, several
    from reparam.cli.outputs import Result, Target, emit
    from reparam.model import LatentVariable
    from reparam.use.editing import variations

    opened = where.open(run)
    model, record = opened.model, opened.record
    target = Target.of(out, force, record, example)
    if not isinstance(model, LatentVariable):
        raise ValueError(f"{run}: {type(model).__name__} has no q(z|x) to draw from; use a VAE")
    found = one_example(example, opened, split)
    places = target.claim(several(place_of(found, example), n))
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    c = condition_of(opened, found, label)
    x = variations(model, found.x, n, c, spread, generator, draw).cpu()
    tiles, width = torch.cat([found.x.to(x), x]), math.ceil(math.sqrt(n + 1))
    result = Result({"x": x}, record.columns, lambda: tiles, width, places=places)
    emit(result, target, record)
    show(f"{n} variations of {named(example)} in {told(target.name)}")
