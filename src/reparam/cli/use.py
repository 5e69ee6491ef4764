"""Commands that use a run: sample, reconstruct, encode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reparam.cli.options import Force, Run, Seed, open_run
from reparam.cli.tables import show

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import Data, Split
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
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Draw new examples x ~ p(x) from a run's model."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.model import Generator

    model, data = open_run(run)
    check_output(out, force, data.space.is_image)
    if not isinstance(model, Generator):
        raise ValueError(f"{run}: {type(model).__name__} does not generate; use a density or a VAE")
    c = _label(label, n, data)
    x = model.sample(n, c, generator=torch.Generator().manual_seed(seed))
    if out.suffix.lower() == ".png":
        write_picture(out, x, data, math.ceil(math.sqrt(n)))
    else:
        write_rows(out, {"x": x}, data.columns)
    show(f"{n} samples in [bold]{out}[/bold]")


def reconstruct(
    run: Run,
    examples: Input = None,
    out: Out = Path("reconstructions.png"),
    n: Count = None,
    label: Label = None,
    force: Force = False,
) -> None:
    """Encode and decode examples: originals above, reconstructions below in a picture."""
    import torch

    from reparam.cli.outputs import check_output, write_picture, write_rows
    from reparam.evaluation.likelihood import batches

    model, data = open_run(run)
    check_output(out, force, data.space.is_image)
    as_picture = out.suffix.lower() == ".png"
    split = _examples(examples, data, label, n or (16 if as_picture else None))
    codec = _codec(model, run)
    with torch.no_grad():
        restored = torch.cat([codec.reconstruct(*batch).cpu() for batch in batches(codec, split)])
    if as_picture:
        width = min(16, len(split))
        rows = [
            part
            for start in range(0, len(split), width)
            for part in (split.x[start : start + width], restored[start : start + width])
        ]
        write_picture(out, torch.cat([row.to(restored) for row in rows]), data, width)
    else:
        write_rows(out, {"x": restored}, data.columns)
    show(f"{len(split)} reconstructions in [bold]{out}[/bold]")


def encode(
    run: Run,
    examples: Input = None,
    out: Out = Path("codes.csv"),
    n: Count = None,
    label: Label = None,
    force: Force = False,
) -> None:
    """Write the codes of examples, with their labels where there are any."""
    from reparam.cli.outputs import check_output, write_rows
    from reparam.evaluation.representation import code_features

    model, data = open_run(run)
    check_output(out, force, images=False)
    split = _examples(examples, data, label, n)
    arrays = {"z": code_features(_codec(model, run), split)}
    if split.labels is not None:
        arrays["label"] = split.labels
    write_rows(out, arrays)
    show(f"{len(split)} codes in [bold]{out}[/bold]")


def _codec(model: Model, run: Path) -> Codec:
    from reparam.model import Codec

    if not isinstance(model, Codec):
        raise ValueError(f"{run}: {type(model).__name__} has no codes; use an autoencoder or a VAE")
    return model


def _examples(source: str | None, data: Data, label: str | None, n: int | None) -> Split:
    """The first n rows of the run's test split, or of other data of the same space."""
    from reparam.data import Split, load_rows

    split = data.test if source is None else load_rows(source, data, label=label)
    if n is None or n >= len(split):
        return split
    labels = None if split.labels is None else split.labels[:n]
    return Split(split.x[:n], labels)


def _label(name: str | None, n: int, data: Data) -> Tensor | None:
    """n times the class of that name, for conditional sampling."""
    import torch

    if name is None:
        return None
    names = data.class_names or ()
    if name not in names:
        raise ValueError(f"label: expected one of {', '.join(names) or 'no classes'}, got {name!r}")
    return torch.full((n,), names.index(name))
