"""The command that draws what a model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from reparam.cli.look import check_drawing
from reparam.cli.options import BY_RULES, PATH, DataOptions, Force, option
from reparam.cli.runs import HERE
from reparam.cli.tables import show, told
from reparam.hub_files import is_on_hub

if TYPE_CHECKING:
    from reparam.model import Model, Space


def draw(
    model: Annotated[
        str, Parameter(help="Its name, from `reparam models`; or a RUN, whose model is drawn.")
    ],
    /,
    *parameters: Annotated[
        str, Parameter(help="DATA, a source; and KEY=VALUE, parameters of the model.")
    ],
    what: Annotated[
        Literal["graph", "network", "mask", "reparameterization", "all"],
        option(help="What of it; all: everything that it has."),
    ] = "graph",
    out: Annotated[Path, PATH, Parameter(alias="-o", help="The drawing, an SVG.")] = Path(
        "model.svg"
    ),
    force: Force = False,
    options: DataOptions = BY_RULES,
) -> None:
    """Draw a model as it is built: its variables, its networks with shapes, its masks, its draws.

    It is not trained. Without data it is built for x of --shape, --kind (else binary) and --levels
    (else 256), and without a shape for small images, or what it takes.
    """
    from reparam.diagrams.drawn import draw as drawn
    from reparam.presets.registry import parse_assignments

    check_drawing(out, force, (".svg",))
    sources = [word for word in parameters if "=" not in word]
    given = parse_assignments(word for word in parameters if "=" in word)
    drawn(_model(model, sources, given, options), what).save(out)
    show(f"{what} of {model} in {told(out)}")


def _model(name: str, sources: list[str], given: dict[str, Any], options: DataOptions) -> Model:
    """That of a run as it is, or one that is built for what x is."""
    from reparam.checkpoint import RUN_FILE
    from reparam.presets import PRESETS, build, find_preset

    if name not in PRESETS and (is_on_hub(name) or (Path(name) / RUN_FILE).is_file()):
        if words := [*sources, *(f"{key}={value}" for key, value in given.items())]:
            raise ValueError(f"draw: expected nothing beside a run, got {', '.join(words)}")
        return HERE.open(Path(name)).model
    find_preset(name).check(given)  # before data are read
    return build(name, _space(name, sources, options), seed=0, **given)


def _space(model: str, sources: list[str], options: DataOptions) -> Space:
    """What x is: of data, of a shape, or the first of the usual ones that the model takes."""
    from reparam.presets import find_preset
    from reparam.presets.places import USUAL
    from reparam.space import Space

    if len(sources) > 1:
        raise ValueError(f"draw: expected one source, got {', '.join(sources)}")
    if sources:
        return options.load(sources[0]).space
    if options.shape is None:
        accepts = find_preset(model).accepts
        return next(space for space in USUAL if accepts.refusal(space) is None)
    shape = options.shape if len(options.shape) == 3 else (1, *options.shape)
    kind = (options.kind or ["levels" if options.levels else "binary"])[-1]
    levels = options.levels or 256
    made = {"binary": Space(shape, "binary"), "real": Space(shape, "real")}
    made["levels"] = Space(shape, "levels", levels=levels)
    if kind not in made:
        raise ValueError(f"kind: expected {', '.join(made)} beside a shape, got {kind!r}")
    return made[kind]
