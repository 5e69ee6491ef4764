"""The command that completes examples of which a part is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reparam.cli.examples import Count, Input, Label, Out, examples_of
from reparam.cli.options import Force, Seed
from reparam.cli.runs import Device, Moved, Run, open_run
from reparam.cli.tables import show, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import DataRecord, Split
    from reparam.model import Completer

FEW = 8  # examples in a picture where no number is asked for
ROWS_AT_ONCE = 100


def complete(
    run: Run,
    examples: Input = None,
    out: Out = Path("completions.png"),
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="Share given: rows from the top, or first entries.")
    ] = 0.5,
    draws: Annotated[int, typer.Option(min=1, help="Completions of each example.")] = 4,
    n: Count = None,
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Draw the rest of examples given their top: original, given part, completions in a row."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.model import Completer

    opened = open_run(run, device)
    model, outline = opened.model, opened.outline
    check_output(out, force, outline.space.is_image)
    if not isinstance(model, Completer):
        name = type(model).__name__
        raise ValueError(f"{run}: {name} does not complete; use an autoregressive model")
    as_picture = out.suffix.lower() == ".png"
    split = examples_of(examples, opened, moved, label, n, FEW if as_picture else None)
    given = given_part(outline.space.shape, keep)
    x = _completions(model, split, given, draws, seed)  # (n, draws, *shape)
    if as_picture:
        hidden = torch.where(given, split.x.to(x), _gray(outline))
        rows = torch.cat([split.x.to(x)[:, None], hidden[:, None], x], 1)
        write_picture(out, rows.flatten(0, 1), outline, draws + 2, apart=(1, 2))
    else:
        write_rows(out, {"x": x.flatten(0, 1)}, outline.columns)
    show(f"{len(split)} x {draws} completions in {told(out)}")


def given_part(shape: tuple[int, ...], keep: float) -> Tensor:
    """The mask of a share of the rows from the top, or of a vector's first entries, rounded."""
    import torch

    mask = torch.zeros(shape, dtype=torch.bool)
    axis = 1 if len(shape) == 3 else 0
    mask.narrow(axis, 0, round(keep * shape[axis])).fill_(True)
    return mask


def _completions(model: Completer, split: Split, given: Tensor, draws: int, seed: int) -> Tensor:
    import torch

    from reparam.evaluation.rows import batches

    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    parts = []
    for x, c, _ in batches(model, split, max(1, ROWS_AT_ONCE // draws)):
        labels = None if c is None else c.repeat_interleave(draws, 0)
        drawn = model.complete(x.repeat_interleave(draws, 0), given, labels, generator=generator)
        parts.append(drawn.cpu().unflatten(0, (len(x), draws)))
    return torch.cat(parts)


def _gray(outline: DataRecord) -> float:
    """The middle of the brightness of the run's data, where nothing is given."""
    return (outline.low + outline.high) / 2
