"""The command that draws variations of an example."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from reparam.cli.edit import Example
from reparam.cli.examples import ClassName, Out, condition_of, one_example
from reparam.cli.options import Force, Seed
from reparam.cli.runs import Device, Moved, Run, open_run
from reparam.cli.tables import show, told


def vary(
    run: Run,
    example: Example = "0",
    n: Annotated[int, typer.Option("-n", min=1, help="How many variations.")] = 15,
    spread: Annotated[
        float, typer.Option(min=0, help="How far from the mean code: 1 draws from q(z|x).")
    ] = 1.0,
    out: Out = Path("variations.png"),
    label: ClassName = None,
    seed: Seed = 0,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Draw variations of an example: decoded draws of q(z|x), the example itself in front."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.editing import variations
    from reparam.model import LatentVariable

    opened = open_run(run, device)
    model, outline = opened.model, opened.outline
    check_output(out, force, outline.space.is_image)
    if not isinstance(model, LatentVariable):
        raise ValueError(f"{run}: {type(model).__name__} has no q(z|x) to draw from; use a VAE")
    split = one_example(example, opened, moved)
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    c = condition_of(opened, split, label)
    x = variations(model, split.x, n, c, spread, generator).cpu()
    if out.suffix.lower() == ".png":
        tiles = torch.cat([split.x.to(x), x])
        write_picture(out, tiles, outline, math.ceil(math.sqrt(n + 1)))
    else:
        write_rows(out, {"x": x}, outline.columns)
    show(f"{n} variations of {escape(example)} in {told(out)}")
