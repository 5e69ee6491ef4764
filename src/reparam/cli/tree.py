"""The command that draws the taxonomy of the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reparam.cli.look import check_drawing
from reparam.cli.options import PATH, Force
from reparam.cli.tables import show, told


def taxonomy(
    folder: Annotated[
        Path | None, PATH, Parameter(help="Of a comparison, for its numbers; none: no numbers.")
    ] = None,
    /,
    *,
    out: Annotated[Path, PATH, Parameter(alias="-o", help="The drawing, an SVG.")] = Path(
        "taxonomy.svg"
    ),
    force: Force = False,
) -> None:
    """Draw all models as a tree by how they have log p(x), with what a comparison measured."""
    from reparam.checkpoint import write_text
    from reparam.comparison_tree import taxonomy as drawn

    check_drawing(out, force, (".svg",))
    write_text(out, drawn(folder))
    show(f"taxonomy in {told(out)}")
