"""The command that changes one attribute of an example, and shows what can be changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.drawing import steps_shown
from reparam.cli.examples import ClassName, Example, Out, Part, codec, condition_of, one_example
from reparam.cli.options import Force, Seed, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import named, rows_table, score_table, show, show_notes, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.cli.outputs import Result
    from reparam.data import Data, Split
    from reparam.evaluation.scores import Score
    from reparam.model import Codec
    from reparam.use.attributes import Attributes
    from reparam.use.directions import Direction, Directions

REACH = {"class": (0.0, 1.0), "flag": (-1.0, 1.0)}  # strengths, where nothing is said; else ± 2
STEPS = 7


@Parameter(name="*")
@dataclass(frozen=True)
class Strip:
    """How far an edit goes: to one value or strength, or through several."""

    to: Annotated[
        float | None, option(help="Value that a number is to have, in place of strengths.")
    ] = None
    strength: Annotated[
        float | None,
        option(help="How far: in standard deviations of a number; 1 is the whole way to a class."),
    ] = None
    start: Annotated[
        float | None, option("--from", help="First strength of a strip; none: -2, of a class 0.")
    ] = None
    until: Annotated[
        float | None, option(help="Last strength of a strip; none: 2, of a class 1.")
    ] = None
    steps: Annotated[
        int | None, option(help="How many strengths, both ends included; none: 7.")
    ] = None

    def strengths(self, direction: Direction) -> Tensor:
        """The strengths of the edits, (S,); of one value to go to there are none."""
        import torch

        from reparam.model import positive_count

        strip = {"from": self.start, "until": self.until, "steps": self.steps}
        given = [name for name, value in strip.items() if value is not None]
        if self.to is not None and self.strength is not None:
            raise ValueError("to: is a value in place of --strength; leave one of them out")
        single = self.to is not None or self.strength is not None
        if given and single:
            name = "strength" if self.to is None else "to"
            raise ValueError(
                f"{given[0]}: is of a strip, and --{name} makes one edit; leave it out"
            )
        if single:
            return torch.tensor([self.strength or 0.0], dtype=torch.float64)
        conditional_class = direction.conditional and direction.attribute.kind == "class"
        number = (2 if conditional_class else STEPS) if self.steps is None else self.steps
        positive_count("steps", number)
        first, last = REACH.get(direction.attribute.kind, (-2.0, 2.0))
        first = first if self.start is None else self.start
        last = last if self.until is None else self.until
        found = torch.linspace(first, last, number, dtype=torch.float64)
        # Ends as far to either side have 0 between them, and not what rounding leaves of it.
        return torch.where(found.abs() < 1e-12 * found.abs().max(), 0.0, found)


A_STRIP = Strip()


def edit(
    run: Run,
    example: Example | None = None,
    /,
    *,
    toward: Annotated[
        str | None, option(metavar="CLASS", help="Class to go to, from what the others have.")
    ] = None,
    attribute: Annotated[
        str | None, option(metavar="NAME", help="Attribute to change; --list says which there are.")
    ] = None,
    strip: Strip = A_STRIP,
    keep: Annotated[
        list[str] | None,
        option(metavar="NAME", help="Attribute that is to stay; repeatable; none: all others."),
    ] = None,
    method: Annotated[
        Literal["joint", "difference"],
        option(help="joint: the others stay; difference: they go along as in the data."),
    ] = "joint",
    attribute_table: Annotated[
        str | None,
        option(
            metavar="TABLE.csv",
            help="Attributes of the training examples: by file name, or a row for each in order.",
        ),
    ] = None,
    listing: Annotated[
        bool, option("--list", show_default=False, help="Show what can be edited, and how well.")
    ] = False,
    out: Out = "edited.png|csv",
    split: Part = "test",
    label: ClassName = None,
    seed: Seed = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Change one attribute of an example and keep the rest: the original, and a strip of edits.

    Attributes are the classes, columns that were read beside the data, and of gray images ink,
    slant, width, height and thickness.
    """
    from reparam.cli.folders import place_of, several
    from reparam.cli.outputs import Target, emit
    from reparam.use.edit_scores import edit_quality

    opened = where.open(run)
    model = codec(opened, own=True)
    if listing:
        if strip != A_STRIP or (example, toward, attribute) != (None, None, None):
            raise ValueError(
                "list: shows all that can be edited; leave the example, and what is to become of "
                "it, out"
            )
        data = opened.data()
        found = _attributes(data, attribute_table)
        _show_all(model, data, found, keep, method, seed)
        return
    name = _named(toward, attribute)
    if example is None:
        raise ValueError(f"{run}: expected an example to edit, by number or file")
    target = Target.of(out, force, opened.record, example, attribute_table)
    data = opened.data()
    found = _attributes(data, attribute_table)
    directions = _directions(model, data, found, name, toward is not None, keep, method)
    direction = directions[name]
    strengths, to = strip.strengths(direction), strip.to
    shown = one_example(example, opened, split)
    places = target.claim(several(place_of(shown, example), len(strengths)))
    c = condition_of(opened, shown, label)
    x = _edited(model, shown, direction, strengths, to, c)
    beside = {"strength": strengths} if to is None else {}
    result = replace(_result(opened, x, shown, direction, beside), places=places)
    scores = edit_quality(model, data, directions, names=[name], seed=seed)
    emit(result, target, opened.record)
    span = f"to {to:g}" if to is not None else _told_strengths(strengths)
    deviation = f"; 1 is {direction.said}, a standard deviation"
    unit = "" if direction.attribute.whole_way else deviation
    toward_it = f"{named(example)} toward {named(name)}"
    what = toward_it if toward is not None else f"{named(name)} of {named(example)}"
    show(f"{what} {span} in {told(target.name)}{unit}")
    _show_reached(x, direction)
    show_notes([note for score in scores.values() for note in score.notes])
    if scores:
        show(score_table(scores))
    else:
        show_notes(["Not measured: edited test images are black, or of the class already."])


def _named(toward: str | None, attribute: str | None) -> str:
    if (toward is None) == (attribute is None):
        raise ValueError(
            "attribute: expected --toward CLASS or --attribute NAME, one of the two; --list shows "
            "what can be edited"
        )
    return toward if toward is not None else attribute or ""


def _attributes(data: Data, table: str | None) -> Attributes:
    from reparam.use.attributes import find_attributes

    found = find_attributes(data, table=table)
    if not found.each:
        raise ValueError(
            "attribute: nothing is known of these data; bring a table with --attribute-table"
        )
    return found


def _directions(
    model: Codec,
    data: Data,
    found: Attributes,
    name: str,
    is_class: bool,
    keep: list[str] | None,
    method: Literal["joint", "difference"],
) -> Directions:
    """Those of the attribute that is asked for and of those that stay."""
    from reparam.limits import called
    from reparam.use.directions import attribute_directions
    from reparam.use.independence import editable

    classes = [one.name for one in found.each if one.kind == "class"]
    if is_class and name not in classes:
        known = ", ".join(classes) or "no classes, as the data have none"
        raise ValueError(f"toward: expected one of {known}; got {name!r}")
    if keep is not None and method == "difference":
        raise ValueError("keep: nothing is kept with --method difference; leave one of them out")
    with called("names", "attribute"), steps_shown("encoding"):
        found.find([name])
        with called("names", "keep"):
            found.find(keep or [])
        names = editable(found, [name])[0] if keep is None else [name, *keep]
        return attribute_directions(model, data, names, method=method, attributes=found)


def _edited(
    model: Codec,
    shown: Split,
    direction: Direction,
    strengths: Tensor,
    to: float | None,
    c: Tensor | None,
) -> Tensor:
    """(S, *shape), on the CPU."""
    from reparam.use.directions import edit as edited

    one, at = direction.attribute, None
    beside = {"attributes": shown.attributes, "factors": shown.factors}.get(one.source)
    if to is not None and beside is not None:
        at = beside[0, one.index].item()
    elif to is not None and one.kind == "number" and not direction.conditional:
        raise ValueError(
            f"to: what {one.name!r} is of the example now is not known, so that nothing says how "
            "far it goes; give --strength"
        )
    strip = edited(
        model,
        shown.x,
        direction,
        strength=strengths if to is None else None,
        to=to,
        at=at,
        c=c,
    )
    return strip[0].cpu()


def _result(
    run: OpenRun, x: Tensor, shown: Split, direction: Direction, beside: dict[str, Tensor]
) -> Result:
    """The edits; in a picture the example is before them, apart."""
    import torch

    from reparam.cli.outputs import Result
    from reparam.use.attributes import is_gray
    from reparam.use.moments import MEASURES, measure_images

    arrays = {"x": x, **beside}
    if is_gray(run.record.space):
        arrays |= {name: measure_images(x, name, direction.scale) for name in MEASURES}
    tiles = torch.cat([shown.x.to(x), x])
    return Result(arrays, run.record.columns, lambda: tiles, len(tiles), (1,))


def _show_reached(x: Tensor, direction: Direction) -> None:
    """What the first and the last edit measure, which may be less than was asked for."""
    from reparam.use.moments import measure_images

    one = direction.attribute
    if one.kind == "measured":
        values = measure_images(x, one.name, direction.scale)[[0, -1][: len(x)]].tolist()
        found = " to ".join(f"{value:.3g}{one.unit}" for value in values)
        show(f"measured on what is decoded: {found}")


def _told_strengths(strengths: Tensor) -> str:
    values = strengths.tolist()
    if len(values) == 1:
        return f"at strength {values[0]:g}"
    return f"at {len(values)} strengths from {values[0]:g} to {values[-1]:g}"


def _short(score: Score | None) -> str:
    """A value and its error, in three decimals."""
    return "—" if score is None else f"{score.value:.3f}±{score.stderr or 0:.3f}"


def _show_all(
    model: Codec,
    data: Data,
    found: Attributes,
    keep: list[str] | None,
    method: Literal["joint", "difference"],
    seed: int,
) -> None:
    """A row for each attribute: what strength 1 is, moved and leaked, and the nearest other."""
    from reparam.use.directions import attribute_directions
    from reparam.use.edit_scores import LEAKED, MOST, MOVED, edit_quality

    with steps_shown("encoding"):
        directions = attribute_directions(model, data, keep, method=method, attributes=found)
        scores = edit_quality(model, data, directions, seed=seed)
    rows = []
    for name, one in directions.items():
        moved, leaked = scores.get(MOVED + name), scores.get(LEAKED + name)
        most = leaked.notes[0].removeprefix(MOST) if leaked is not None else "—"
        unit = "condition" if one.conditional else one.said
        rows.append((name, unit, _short(moved), _short(leaked), most, directions.nearest(name)))
    header = ("attribute", "unit", "moved", "leaked", "most of it", "cosine")
    show(rows_table(header, rows))
    show(
        f"{directions.method}, from {directions.examples:,} training examples; attributes explain "
        f"{directions.r2:.1%} of the variance of the codes"
    )
    show_notes(directions.notes)
