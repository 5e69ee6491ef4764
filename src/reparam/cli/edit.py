"""Commands that edit examples through a run's model, and classify them by it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer
from rich.markup import escape

from reparam.cli.examples import (
    ClassName,
    Count,
    Input,
    Label,
    Out,
    codec,
    condition_of,
    examples_of,
    one_example,
)
from reparam.cli.options import Force, Seed
from reparam.cli.runs import Device, Moved, OpenRun, Run, open_run
from reparam.cli.tables import score_table, show, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import Outline, Split
    from reparam.model import Codec, Density

MOST_ROWS = 16  # and columns of a picture, where nothing else is asked for
ROWS_AT_ONCE = 100  # examples classified between two signs of life
NUMBER_OR_FILE = "Number of a test example from 0, or a file with one."
Example = Annotated[str, typer.Argument(help=NUMBER_OR_FILE)]
Steps = Annotated[int, typer.Option(min=2, help="How many x on the way, both ends included.")]


def interpolate(
    run: Run,
    first: Example,
    second: Example,
    out: Out = Path("interpolation.png"),
    steps: Steps = 9,
    path: Annotated[
        Literal["linear", "spherical"], typer.Option(help="Between the two codes.")
    ] = "linear",
    label: ClassName = None,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Decode a path between the codes of two examples, which frame it in a picture."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.editing import interpolate as between

    opened = open_run(run, device)
    outline, model = opened.outline, codec(opened)
    check_output(out, force, outline.space.is_image)
    a, b = (one_example(which, opened, moved) for which in (first, second))
    c = [condition_of(opened, end, label) for end in (a, b)]
    x = between(model, a.x, b.x, steps=steps, path=path, c=c[0], c_second=c[1])[0].cpu()
    if out.suffix.lower() == ".png":
        tiles = torch.cat([a.x.to(x), x, b.x.to(x)])
        write_picture(out, tiles, outline, len(tiles), apart=(1, steps + 1))
    else:
        write_rows(out, {"x": x, "t": torch.linspace(0, 1, steps)}, outline.columns)
    show(f"{steps} steps from {escape(first)} to {escape(second)} in {told(out)}")


def traverse(
    run: Run,
    example: Example = "0",
    dimension: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Entry of the code, from 0; repeatable; none: the strongest."),
    ] = None,
    out: Out = Path("traversal.png"),
    steps: Steps = 9,
    reach: Annotated[
        float, typer.Option(min=0, help="Standard deviations of the test codes to either side.")
    ] = 2.5,
    label: ClassName = None,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Decode an example while one entry of its code moves and the others stay: a row for each."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.editing import traverse as along
    from reparam.evaluation.representation import code_features

    opened = open_run(run, device)
    outline, model = opened.outline, codec(opened)
    check_output(out, force, outline.space.is_image)
    split, test = one_example(example, opened, moved), opened.data(moved).test
    codes = code_features(model, test)
    chosen = dimension or _strongest(model, test, codes)
    if max(chosen) >= codes.shape[1]:
        raise ValueError(f"dimension: expected 0 to {codes.shape[1] - 1}, got {max(chosen)}")
    mean, deviation = codes[:, chosen].mean(0), codes[:, chosen].std(0, correction=0)
    values = mean[:, None] + deviation[:, None] * torch.linspace(-reach, reach, steps)
    c = condition_of(opened, split, label)
    x = along(model, split.x, chosen, values, c)[0].flatten(0, 1).cpu()
    if out.suffix.lower() == ".png":
        write_picture(out, x, outline, steps)
    else:
        number = torch.tensor(chosen).repeat_interleave(steps)
        arrays = {"x": x, "dimension": number, "value": values.flatten()}
        write_rows(out, arrays, outline.columns)
    listed = ", ".join(map(str, chosen))
    show(f"dimensions {listed}, {steps} steps each, in {told(out)}")


def classify(
    run: Run,
    examples: Input = None,
    out: Out = Path("classes.csv"),
    n: Count = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Importance samples per example and class.")
    ] = 100,
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    moved: Moved = None,
    device: Device = "auto",
) -> None:
    """Classify examples by log p(x|y) + log p(y); a picture has a row for each class found."""
    from reparam.cli.outputs import check_output, write_rows
    from reparam.evaluation.scores import share_score

    opened = open_run(run, device)
    outline, model = opened.outline, _classifier(opened)
    check_output(out, force, outline.space.is_image)
    split = examples_of(examples, opened, moved, label, n)
    log_p = _log_posteriors(model, split, samples, seed)
    found, classes = (
        log_p.argmax(1),
        np.array(outline.class_names or [str(label) for label in range(log_p.shape[1])]),
    )
    if out.suffix.lower() == ".png":
        _write_by_class(out, split, found, outline)
    else:
        arrays = {"log_p": log_p, "class": classes[found.numpy()]}
        if split.labels is not None:
            arrays["label"] = classes[split.labels.numpy()]
        write_rows(out, arrays, tuple(f"log p({name})" for name in classes))
    show(f"{len(split)} classes in {told(out)}")
    if split.labels is not None:
        name = "test" if examples is None else "given"
        show(score_table({"accuracy": share_score(found == split.labels, name)}))


def _classifier(run: OpenRun) -> Density:
    from reparam.model import Density

    model = run.model
    if not isinstance(model, Density) or model.class_frequencies is None:
        name = type(model).__name__
        raise ValueError(
            f"{run.path}: {name} is no density that is conditional on labels; use one such as cvae"
        )
    return model


def _log_posteriors(model: Density, split: Split, samples: int, seed: int) -> Tensor:
    """log p(y|x) of every row, in batches that news of progress can follow."""
    import torch

    from reparam.cli.tables import working
    from reparam.editing import classify as by_density

    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    parts: list[Tensor] = []
    with working("classifying") as watch:
        for x in split.x.split(ROWS_AT_ONCE):
            watch("examples", len(parts) * ROWS_AT_ONCE / len(split))
            parts.append(by_density(model, x, samples=samples, generator=generator).cpu())
    return torch.cat(parts)


def _write_by_class(path: Path, split: Split, found: Tensor, outline: Outline) -> None:
    """A row of images for every class that was found, the first ones of each."""
    import torch

    from reparam.cli.outputs import write_picture

    rows = [split.x[found == c][:MOST_ROWS] for c in found.unique().tolist()]
    width = max(map(len, rows))
    blank = split.x.new_full((1, *split.x.shape[1:]), outline.low)
    padded = [torch.cat([row, *[blank] * (width - len(row))]) for row in rows]
    write_picture(path, torch.cat(padded), outline, width)


def _strongest(model: Codec, split: Split, codes: Tensor) -> list[int]:
    """The entries of the code that carry most, by rate or variance, at most MOST_ROWS."""
    from reparam.report.traversals import importance

    axes = importance(model, split, codes, seed=0)
    order = axes.amount.argsort(descending=True)
    return order[axes.alive[order]][:MOST_ROWS].tolist() or order[:1].tolist()
