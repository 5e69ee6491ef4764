"""The command that draws the taxonomy of the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

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
    from reparam.atomic import check_place
    from reparam.checkpoint import write_text
    from reparam.comparison_tree import taxonomy as drawn

    if out.suffix.lower() != ".svg":
        raise ValueError(f"{out}: expected a name ending in .svg")
    check_place(out)
    if out.exists() and not force:
        raise ValueError(f"{out}: exists already; choose another name or --force")
    write_text(out, drawn(folder))
    show(f"taxonomy in {told(out)}")
