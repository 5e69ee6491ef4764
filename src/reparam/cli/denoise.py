"""The command that repairs examples through a run's model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reparam.cli.examples import WIDEST, Count, Input, Label, Out, codec, examples_of
from reparam.cli.options import Force, Seed
from reparam.cli.runs import Device, Moved, OpenRun, Run, open_run
from reparam.cli.tables import score_table, show, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import Split
    from reparam.inspection import Noise

CorruptionName = Literal["masking", "gaussian", "salt-and-pepper"]
DEFAULT_LEVEL = 0.25


def denoise(
    run: Run,
    examples: Input = None,
    out: Out = Path("denoised.png"),
    noise: Annotated[
        CorruptionName | None,
        typer.Option(help="Corrupt the examples first; none: as in training, given ones not."),
    ] = None,
    amount: Annotated[
        float | None, typer.Option(min=0, help="Its level; none: as in training, or 0.25.")
    ] = None,
    n: Count = None,
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Repair noisy examples, or corrupt test examples first: clean, corrupted, repaired."""
    from reparam.cli.outputs import check_output, write_picture, write_rows

    opened = open_run(run, device)
    outline = opened.outline
    codec(opened)
    check_output(out, force, outline.space.is_image)
    as_picture = out.suffix.lower() == ".png"
    clean = examples_of(examples, opened, moved, label, n, WIDEST if as_picture else None)
    corrupt = examples is None or noise is not None or amount is not None
    noisy = _corrupted(clean, _noise(opened, moved, noise, amount), seed) if corrupt else clean
    repaired = _repaired(opened, noisy)
    if as_picture:
        shown = [clean.x, noisy.x, repaired] if corrupt else [clean.x, repaired]
        write_picture(out, _in_rows(shown), outline, min(WIDEST, len(clean)))
    else:
        write_rows(out, {"x": repaired}, outline.columns)
    show(f"{len(clean)} repaired examples in {told(out)}")
    if corrupt:
        _show_errors(opened, moved, clean.x, {"corrupted": noisy.x, "repaired": repaired})


def _noise(
    run: OpenRun, moved: str | None, name: CorruptionName | None, level: float | None
) -> Noise:
    """What is done to clean examples: the model's own noise, or another at some level."""
    from reparam.bijections.elementwise import Standardize
    from reparam.model import Batch
    from reparam.objectives.corruptions import make_corruption, noise_of

    own = codec(run).noise
    if name is None:
        if own is None:
            raise ValueError(
                f"noise: {run.path} was trained on none of these; say which with --noise, or give "
                "noisy examples"
            )
        if level is not None and level > own.strongest:
            raise ValueError(f"amount: expected at most {own.strongest}, got {level}")
        return own if level is None else replace(own, level=level)
    standardize = Standardize(run.outline.space)
    for stage in standardize.stages:  # of real data only
        stage.solve(run.model, [Batch(run.data(moved).train.x)])
    corruption = make_corruption(name, DEFAULT_LEVEL if level is None else level, run.outline.space)
    return noise_of(corruption, standardize.to(run.model.anchor))


def _corrupted(split: Split, noise: Noise, seed: int) -> Split:
    import torch

    from reparam.train.random import seeded

    with seeded(seed, torch.device("cpu")):
        x = noise.corrupt(split.x, noise.level).cpu()
    return replace(split, x=x, gray=None)


def _repaired(run: OpenRun, split: Split) -> Tensor:
    import torch

    from reparam.evaluation.rows import batches
    from reparam.space import trusted

    model = codec(run)
    with torch.no_grad(), trusted():  # noise may take x̃ anywhere
        return torch.cat([model.reconstruct(x, c).cpu() for x, c, _ in batches(model, split)])


def _in_rows(shown: list[Tensor]) -> Tensor:
    """Sets of images one below the other, in blocks of WIDEST columns."""
    import torch

    blocks = [x.to(shown[-1]).split(WIDEST) for x in shown]
    return torch.cat([row for block in zip(*blocks, strict=True) for row in block])


def _show_errors(run: OpenRun, moved: str | None, clean: Tensor, found: dict[str, Tensor]) -> None:
    """The squared error per entry before and after, as ``evaluate`` measures it."""
    import torch

    from reparam.evaluation.reconstruction import deviations, distances, error_unit
    from reparam.evaluation.scores import mean_score

    space = run.outline.space
    table = space.kind == "real" and not space.is_image
    scale = deviations(space, run.data(moved).train) if table else torch.ones(())
    unit = error_unit(space)
    scores = {
        f"{name} error": mean_score(distances(x, clean, space, scale), unit, "shown")
        for name, x in found.items()
    }
    show(score_table(scores))
