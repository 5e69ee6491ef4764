"""Commands that use a run: sample, reconstruct."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.drawing import AS_IT_DRAWS, Drawing, steps_shown
from reparam.cli.examples import (
    WIDEST,
    Attributes,
    Count,
    Input,
    Label,
    Out,
    Part,
    asked_condition,
    codec,
    examples_of,
)
from reparam.cli.hide import OF_WHOLE, hiding_noise, repair_hidden
from reparam.cli.options import Draw, Force, Seed, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import show, show_notes, told

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from reparam.model import Generator
    from reparam.progress import Watch


OF_EACH = 8  # samples of each of several classes, where no number is asked for


def sample(
    run: Run,
    /,
    *,
    n: Annotated[
        int | None,
        Parameter(name="-n", help="How many; none: 64, of each of several classes 8."),
    ] = None,
    out: Out = "samples.png|csv",
    label: Annotated[
        list[str] | None,
        option(
            metavar="CLASS",
            help="Class, for a model that knows classes; repeatable: a row of each.",
        ),
    ] = None,
    attribute: Attributes = None,
    drawing: Drawing = AS_IT_DRAWS,
    seed: Seed = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Draw new examples x ~ p(x) from a run's model; of several classes as many of each."""
    import torch

    from reparam.cli.folders import numbered
    from reparam.cli.outputs import Parts, Result, Target, conditions, emit
    from reparam.model import Generator, positive_count
    from reparam.progress import bar

    opened = where.open(run)
    model, record = opened.model, opened.record
    target = Target.of(out, force, record)
    if not isinstance(model, Generator):
        raise ValueError(f"{run}: {type(model).__name__} does not generate; use a density or a VAE")
    classes: Sequence[str | None] = label or (None,)
    each = n if n is not None else 64 if len(classes) == 1 else OF_EACH
    positive_count("n", each)
    n = each * len(classes)
    model = drawing.of(model)
    draw = drawing.draw(model)
    places = target.claim(numbered(n))
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    asked = [asked_condition(model, one, attribute, each, record) for one in classes]
    c = None if asked[0] is None else torch.cat([one for one in asked if one is not None])
    c = model.draw_condition(n, generator) if c is None else c
    with bar("sampling") as watch:
        parts = Parts(n, _drawn(model, draw, n, c, generator, watch))
        result = Result(
            {"x": parts, **conditions(c, record)},
            record.columns,
            lambda: torch.cat(list(parts.each)),
            math.ceil(math.sqrt(n)) if len(classes) == 1 else each,
            places=places,
        )
        emit(result, target, record)
    show(f"{n} samples{drawing.told(model)} in {told(target.name)}")


def _drawn(
    model: Generator,
    draw: Callable[..., Tensor],
    n: int,
    c: Tensor | None,
    generator: torch.Generator,
    watch: Watch,
) -> Iterator[Tensor]:
    """n samples, as many at a time as memory allows."""
    from reparam.batching import draws_at_once, slices
    from reparam.news import listening

    for part in slices(0, n, draws_at_once(model.space, model.anchor.device)):
        of_part, many = None if c is None else c[part], part.stop - part.start

        def within(share: float, start: int = part.start, many: int = many) -> None:
            watch("samples", (start + share * many) / n)

        within(0.0)
        with listening(within):
            drawn = draw(many, of_part, generator=generator).cpu()
        yield drawn


def reconstruct(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "reconstructions.png|csv",
    n: Count = None,
    split: Part = "test",
    draw: Draw = False,
    hide: Annotated[
        float | None,
        Parameter(help="Share of each to hide first, for a model that learned to find it again."),
    ] = None,
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Encode and decode examples: originals above, reconstructions below in a picture.

    What is hidden, or missing in files of your own, is hatched; below it stand repaired examples,
    in which what was given stays.
    """
    import torch

    from reparam.cli.folders import places
    from reparam.cli.outputs import Result, Target, beside, emit, in_rows
    from reparam.evaluation.rows import seeded_batches

    opened = where.open(run)
    target = Target.of(out, force, opened.record, examples)
    record, model = opened.record, codec(opened)
    noise = None if hide is None else hiding_noise(opened, hide)
    if noise is not None and draw:
        raise ValueError("draw: of what is hidden there are means alone; leave it out")
    found = examples_of(examples, opened, label, n, WIDEST if target.picture else None, split)
    claimed = target.claim(places(found))
    if noise is not None or (model.takes_missing and bool(found.x.isnan().any())):
        if record.space.columns is None:
            return repair_hidden(opened, found, noise, target, claimed, seed)
    again = _redrawn(opened) if draw else model.reconstruct
    parts = []
    for (x, c, _), own_noise in seeded_batches(model, found, seed):
        with torch.no_grad(), own_noise, steps_shown("reconstructing"):
            parts.append(again(x, c).cpu())
    restored = torch.cat(parts)
    tiles, width = lambda: in_rows([found.x, restored], WIDEST), min(WIDEST, len(found))
    arrays = {"x": restored} | beside(found, record)
    emit(Result(arrays, record.columns, tiles, width, places=claimed), target, record)
    show(f"{len(found)} reconstructions in {told(target.name)}")
    if model.noise is not None and model.noise.hides:
        show_notes([OF_WHOLE])


def _redrawn(opened: OpenRun) -> Callable[[Tensor, Tensor | None], Tensor]:
    """``redraw`` by the model of a run."""
    from reparam.model import LatentVariable
    from reparam.use.editing import redraw

    model = opened.model
    if not isinstance(model, LatentVariable):
        name = type(model).__name__
        raise ValueError(f"draw: {name} has no q(z|x) and p(x|z) to draw from; leave it out")
    return lambda x, c: redraw(model, x, c)
