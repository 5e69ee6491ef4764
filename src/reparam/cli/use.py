"""Commands that use a run: sample, reconstruct, encode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reparam.cli.options import Force, Seed
from reparam.cli.runs import Device, Moved, OpenRun, Run, open_run
from reparam.cli.tables import show

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import Outline, Split
    from reparam.model import Codec, Model

Out = Annotated[Path, typer.Option("-o", "--out", help="File: .png (images), .npz or .csv.")]
Input = Annotated[
    str | None, typer.Argument(help="Other examples of the same shape; none: the test split.")
]
Label = Annotated[str | None, typer.Option(help="Column of a table that holds the labels.")]
Count = Annotated[int | None, typer.Option("-n", min=1, help="How many; none: all.")]


def sample(
    run: Run,
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 64,
    out: Out = Path("samples.png"),
    label: Annotated[str | None, typer.Option(help="Class, for a conditional model.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Condition of the model; one for each it has."),
    ] = None,
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
    c = _condition(model, label, attribute or [], n, outline)
    x = model.sample(n, c, generator=torch.Generator(model.anchor.device).manual_seed(seed))
    if out.suffix.lower() == ".png":
        write_picture(out, x, outline, math.ceil(math.sqrt(n)))
    else:
        write_rows(out, {"x": x}, outline.columns)
    show(f"{n} samples in [bold]{out}[/bold]")


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
    outline, codec = opened.outline, _codec(opened)
    check_output(out, force, outline.space.is_image)
    as_picture = out.suffix.lower() == ".png"
    split = _examples(examples, opened, moved, label, n or (16 if as_picture else None))
    with torch.no_grad():
        restored = torch.cat([codec.reconstruct(*batch).cpu() for batch in batches(codec, split)])
    if as_picture:
        width = min(16, len(split))
        rows = [
            part
            for start in range(0, len(split), width)
            for part in (split.x[start : start + width], restored[start : start + width])
        ]
        write_picture(out, torch.cat([row.to(restored) for row in rows]), outline, width)
    else:
        write_rows(out, {"x": restored}, outline.columns)
    show(f"{len(split)} reconstructions in [bold]{out}[/bold]")


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
    from reparam.evaluation.representation import code_features

    opened = open_run(run, device)
    check_output(out, force, images=False)
    codec = _codec(opened)
    split = _examples(examples, opened, moved, label, n)
    arrays = {"z": code_features(codec, split)}
    if split.labels is not None:
        arrays["label"] = split.labels
    write_rows(out, arrays)
    show(f"{len(split)} codes in [bold]{out}[/bold]")


def _codec(run: OpenRun) -> Codec:
    from reparam.model import Codec

    model = run.model
    if not isinstance(model, Codec):
        name = type(model).__name__
        raise ValueError(f"{run.path}: {name} has no codes; use an autoencoder or a VAE")
    return model


def _examples(
    source: str | None, run: OpenRun, moved: str | None, label: str | None, n: int | None
) -> Split:
    """The first n rows of the run's test split, or of other data of the same space."""
    from reparam.data import condition, load_rows

    if source is not None and moved is not None:
        raise ValueError("data: says where the run's own data are; leave it out beside examples")
    if source is None:
        split = run.data(moved).test
    else:
        split = load_rows(source, run.outline, label=label)
    condition(run.model, split, source or "test")  # refused before any work
    if n is None or n >= len(split):
        return split
    return split.take(slice(n))


def _condition(
    model: Model, label: str | None, attributes: list[str], n: int, outline: Outline
) -> Tensor | None:
    """n times the condition that was asked for; None: drawn, or the model takes none."""
    by_attributes = model.conditional and model.space.attributes is not None
    if label is not None and by_attributes:
        raise ValueError("label: the model is conditional on attributes; give --attribute")
    if not attributes:
        return _label(label, n, outline)
    if not by_attributes:
        raise ValueError("attribute: the model is not conditional on attributes; leave it out")
    return _attributes(attributes, n, outline.attribute_names or ())


def _attributes(words: list[str], n: int, names: tuple[str, ...]) -> Tensor:
    """n times the values in NAME=VALUE words, of which there is one for each name."""
    import torch

    from reparam.cli.options import parse_number
    from reparam.comparison import parse_assignments

    given = parse_assignments(words)
    if given.keys() != set(names):
        raise ValueError(
            f"attribute: expected one of each of {', '.join(names)}, got {', '.join(given)}"
        )
    values = [parse_number(name, given[name]) for name in names]
    return torch.tensor([values], dtype=torch.float64).expand(n, -1)


def _label(name: str | None, n: int, outline: Outline) -> Tensor | None:
    """n times the class of that name, for conditional sampling."""
    import torch

    if name is None:
        return None
    names = outline.class_names or ()
    if name not in names:
        raise ValueError(f"label: expected one of {', '.join(names) or 'no classes'}, got {name!r}")
    return torch.full((n,), names.index(name))
