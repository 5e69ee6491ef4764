"""Commands that use a run: sample, reconstruct, encode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from reparam.cli.examples import (
    WIDEST,
    Attributes,
    ClassName,
    Count,
    Input,
    Label,
    Out,
    asked_condition,
    codec,
    encoder,
    examples_of,
)
from reparam.cli.options import Force, Seed
from reparam.cli.runs import Device, Moved, Run, open_run
from reparam.cli.tables import show, told


def sample(
    run: Run,
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 64,
    out: Out = Path("samples.png"),
    label: ClassName = None,
    attribute: Attributes = None,
    seed: Seed = 0,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Draw new examples x ~ p(x) from a run's model."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.model import Generator

    opened = open_run(run, device)
    model, outline = opened.model, opened.outline
    check_output(out, force, outline.space.is_image)
    if not isinstance(model, Generator):
        raise ValueError(f"{run}: {type(model).__name__} does not generate; use a density or a VAE")
    c = asked_condition(model, label, attribute, n, outline)
    x = model.sample(n, c, generator=torch.Generator(model.anchor.device).manual_seed(seed))
    if out.suffix.lower() == ".png":
        write_picture(out, x, outline, math.ceil(math.sqrt(n)))
    else:
        write_rows(out, {"x": x}, outline.columns)
    show(f"{n} samples in {told(out)}")


def reconstruct(
    run: Run,
    examples: Input = None,
    out: Out = Path("reconstructions.png"),
    n: Count = None,
    label: Label = None,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Encode and decode examples: originals above, reconstructions below in a picture."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.evaluation.rows import batches

    opened = open_run(run, device)
    outline, model = opened.outline, codec(opened)
    check_output(out, force, outline.space.is_image)
    as_picture = out.suffix.lower() == ".png"
    split = examples_of(examples, opened, moved, label, n, WIDEST if as_picture else None)
    with torch.no_grad():
        restored = torch.cat([model.reconstruct(x, c).cpu() for x, c, _ in batches(model, split)])
    if as_picture:
        width = min(WIDEST, len(split))
        rows = [
            part
            for start in range(0, len(split), width)
            for part in (split.x[start : start + width], restored[start : start + width])
        ]
        write_picture(out, torch.cat([row.to(restored) for row in rows]), outline, width)
    else:
        write_rows(out, {"x": restored}, outline.columns)
    show(f"{len(split)} reconstructions in {told(out)}")


def encode(
    run: Run,
    examples: Input = None,
    out: Out = Path("codes.csv"),
    n: Count = None,
    label: Label = None,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Write the codes of examples, with their labels where there are any."""
    from reparam.cli.outputs import check_output, write_rows
    from reparam.evaluation.representation import codes

    opened = open_run(run, device)
    check_output(out, force, images=False)
    model = encoder(opened)
    split = examples_of(examples, opened, moved, label, n)
    arrays = {"z": codes(model, split)}
    if split.labels is not None:
        arrays["label"] = split.labels
    write_rows(out, arrays)
    show(f"{len(split)} codes in {told(out)}")
