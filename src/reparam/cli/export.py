"""The command that writes a run's model as graphs for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.options import PATH, Force, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import show, show_notes, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.exporting.writing import Exported


def export(
    run: Run,
    /,
    *,
    out: Annotated[Path, PATH, Parameter(alias="-o", help="Folder of the files.")],
    onnx: Annotated[bool, option(help="Write .onnx files, as without any of the two.")] = False,
    torch: Annotated[bool, option(help="Write .pt2 files of torch.export.")] = False,
    part: Annotated[
        Literal["encoder", "decoder", "density", "classes", "all"],
        Parameter(help="Codes of x, x of codes, log p(x), classes of x, or all that it has."),
    ] = "all",
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Write a run's model as graphs that other programs run: ONNX, or torch.export.

    They take and give data units, and are compared with the model on test rows.
    """
    from reparam.exporting import writing
    from reparam.exporting.parts import functions_of

    formats: list[Literal["onnx", "torch"]] = ["onnx"] if onnx or not torch else []
    formats += ["torch"] if torch else []
    opened = where.open(run)
    writing.places_of(functions_of(opened.model, part), formats, out, force)
    x, c, notes = _rows(opened)
    written = writing.export(opened.model, out, part=part, formats=formats, x=x, c=c, force=force)
    for file in written:
        show(f"{told(file.path)}: {_closeness(file)}")
    show_notes([*notes, "A graph checks nothing: what its inputs have to be is in its metadata."])


def _rows(run: OpenRun) -> tuple[Tensor | None, Tensor | None, list[str]]:
    """The first test rows, as many as graphs are tried on, or why there are none."""
    from reparam.data.suitability import condition
    from reparam.exporting.writing import BATCHES

    try:
        test = run.data().test.take(slice(max(BATCHES)))
    except ValueError as error:
        return None, None, [f"Compared on random rows: {error}"]
    return test.x, condition(run.model, test), []


def _closeness(file: Exported) -> str:
    """How near a file is to the model."""
    unit = {"density": "nats", "classes": "nats"}.get(file.part)
    of = "" if unit else f" of a range of {file.range:.3g}"
    rows = "1 row" if file.rows == 1 else f"{file.rows} rows"
    return f"differs from the model by {file.difference:.1g}{f' {unit}' if unit else of} on {rows}"
