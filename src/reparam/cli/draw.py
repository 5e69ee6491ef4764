"""The command that draws what a model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.options import PATH, Force, as_shape, option
from reparam.cli.tables import show, told

if TYPE_CHECKING:
    from reparam.model import Space


def draw(
    model: Annotated[str, Parameter(help="A model, as reparam models lists them.")],
    /,
    *parameters: Annotated[str, Parameter(help="DATA, a source; and key=value of the model.")],
    what: Annotated[
        Literal["graph", "network", "mask", "reparameterization", "all"],
        option(help="What of it; all: everything that it has."),
    ] = "graph",
    shape: Annotated[
        tuple[int, ...] | None,
        Parameter(converter=as_shape, n_tokens=1, help="Of x, in place of data: 28x28, 3x32x32."),
    ] = None,
    kind: Annotated[
        Literal["binary", "levels", "real"], option(help="Of x, beside --shape; 256 levels.")
    ] = "binary",
    out: Annotated[Path, PATH, Parameter(alias="-o", help="The drawing, an SVG.")] = Path(
        "model.svg"
    ),
    force: Force = False,
) -> None:
    """Draw a model as it is built: its variables, its networks with shapes, its masks, its draws.

    It is not trained. Without data and shape it is built for small images, or what it takes.
    """
    from reparam.atomic import check_place
    from reparam.diagrams.drawn import draw as drawn
    from reparam.presets import build
    from reparam.presets.registry import parse_assignments

    if out.suffix.lower() != ".svg":
        raise ValueError(f"{out}: expected a name ending in .svg")
    check_place(out)
    if out.exists() and not force:
        raise ValueError(f"{out}: exists already; choose another name or --force")
    sources = [word for word in parameters if "=" not in word]
    given = parse_assignments(word for word in parameters if "=" in word)
    built = build(model, _space(model, sources, shape, kind), seed=0, **given)
    drawn(built, what).save(out)
    show(f"{what} of {model} in {told(out)}")


def _space(
    model: str,
    sources: list[str],
    shape: tuple[int, ...] | None,
    kind: Literal["binary", "levels", "real"],
) -> Space:
    """What x is: of data, of a shape, or the first of the usual ones that the model takes."""
    from reparam.data import load_data
    from reparam.presets import find_preset
    from reparam.presets.places import USUAL
    from reparam.space import Space

    if len(sources) > 1 or (sources and shape):
        raise ValueError(f"draw: expected one source or --shape, got {', '.join(sources)}")
    if sources:
        return load_data(sources[0]).space
    if shape:
        shape = (1, *shape) if len(shape) == 2 else shape
        return Space(shape, kind, levels=256 if kind == "levels" else None)
    accepts = find_preset(model).accepts
    return next(space for space in USUAL if accepts.refusal(space) is None)
