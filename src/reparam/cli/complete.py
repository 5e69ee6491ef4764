"""The command that completes examples of which a part is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from reparam.cli.drawing import Drawing
from reparam.cli.examples import Count, Input, Label, Out, Part, examples_of
from reparam.cli.options import PATH, Force, Seed
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import show, show_notes, told
from reparam.wording import typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from reparam.data import DataRecord, Split
    from reparam.model import Completer, Model

Box = tuple[int, int, int, int]  # top, left, height, width
FEW = 8  # examples in a picture where no number is asked for
AT_ONCE = 100  # completions
IN_ORDER = "Entries are drawn in the model's order: what is given after one does not act on it."


def _box(kind: object, tokens: Sequence[Token]) -> Box:
    numbers = tokens[0].value.split(",")
    if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
        raise ValueError(
            f"box: expected top,left,height,width in pixels, as 4,4,8,8, got {tokens[0].value!r}"
        )
    top, left, height, width = map(int, numbers)
    return top, left, height, width


@Parameter(name="*")
@dataclass(frozen=True)
class Given:
    """Which part of the examples is given.

    Args:
        keep: Share given: rows from the top, or first entries; none: a half.
        mask: Of the run's size: white is given; black, or transparent, is drawn.
        box: The pixels that are drawn; all others are given.
    """

    keep: float | None = None
    mask: Annotated[Path | None, PATH, Parameter(metavar="IMAGE")] = None
    box: Annotated[
        Box | None, Parameter(converter=_box, n_tokens=1, metavar="TOP,LEFT,HEIGHT,WIDTH")
    ] = None

    def entries(self, shape: tuple[int, ...]) -> Tensor:
        """The given entries as True, (*shape), from whichever of the options says so."""
        if sum(option is not None for option in (self.keep, self.mask, self.box)) > 1:
            raise ValueError("keep, mask, box: expected one of them, got several")
        if len(shape) != 3 and (self.mask or self.box):
            raise ValueError("mask, box: expected a run of images, got vectors; use --keep")
        if self.mask is not None:
            return _white(self.mask, shape)
        if self.box is not None:
            return _outside(self.box, shape)
        return _first(0.5 if self.keep is None else self.keep, shape)


A_HALF = Given()


def complete(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "completions.png|csv",
    given: Given = A_HALF,
    draws: Annotated[
        int | None, Parameter(help="Completions of each example; none: 4, of a table with holes 1.")
    ] = None,
    steps: Annotated[
        int | None,
        Parameter(help="Of the Markov chains by which VAEs draw; none: 100."),
    ] = None,
    sampling_steps: Annotated[
        int | None,
        Parameter(
            help="Of a diffusion model; none: as many as it samples by, 200 in place of all."
        ),
    ] = None,
    n: Count = None,
    split: Part = "test",
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Draw the rest of examples given a part, or the missing cells of a table given the others.

    A picture has the original, the given part and the completions in a row. A text table with
    missing cells comes back as it is written, but for these.
    """
    from reparam.cli.fill import Source, fill, show_chains
    from reparam.cli.folders import places, several
    from reparam.cli.outputs import Result, Target, beside_draws, emit
    from reparam.model import Completer, Generator, positive_count
    from reparam.use.missing_part import STEPS, why_not

    opened = where.open(run)
    model, record = opened.model, opened.record
    target = Target.of(out, force, record, examples, given.mask)
    if record.space.columns and given == A_HALF:
        if sampling_steps is not None:
            raise ValueError(
                "sampling_steps: diffusion models fill no missing cells; give --keep, or leave it"
                " out"
            )
        source = Source(examples, label, split)
        draws, steps = 1 if draws is None else draws, STEPS if steps is None else steps
        return fill(opened, source, target, n, draws, steps, seed)
    draws = 4 if draws is None else draws
    positive_count("draws", draws)
    reason = why_not(model)
    if reason is not None:
        raise ValueError(f"{run}: {reason}")
    if model.space.given is not None:  # it would be made of what is to be drawn
        raise ValueError(
            f"{run}: was trained on what is left of x, which says what is given; use: reparam "
            f"restore {typed(run)}"
        )
    if steps is not None and isinstance(model, Completer):
        raise ValueError(f"steps: of chains, by which {_name(model)} does not draw; leave it out")
    if sampling_steps is not None:
        assert isinstance(model, Generator)  # as all are that complete
        model = Drawing(sampling_steps=sampling_steps).of(model)
    part = given.entries(record.space.shape)  # first, as it may be refused
    found = examples_of(examples, opened, label, n, FEW if target.picture else None, split)
    claimed = target.claim([p for place in places(found) for p in several(place, draws)])
    asked = Asked(part, draws, STEPS if steps is None else steps, seed)
    x, accepted = _completions(model, found, asked)  # (n, draws, *shape)
    show_notes(_remarks(model, part, bool((found.x.isnan() & part).any())))
    tiles = partial(_in_rows, found.x.to(x), part, x, _gray(record))
    arrays = {"x": x.flatten(0, 1)} | beside_draws(found, record, draws)
    result = Result(arrays, record.columns, tiles, draws + 2, apart=(1, 2), places=claimed)
    emit(result, target, record)
    show(f"{len(found)} x {draws} completions in {told(target.name)}")
    if accepted is not None:
        show_chains(asked.steps, accepted)


def _name(model: Model) -> str:
    return type(model).__name__


def _remarks(model: Model, part: Tensor, holes: bool) -> list[str]:
    """What is to be known of completions by the model of such a part, in which cells may lack."""
    from reparam.model import Completer

    if not isinstance(model, Completer):
        said = [] if holes and part.all() else unseen(part)
    elif not model.in_order:
        said = [model.approximates] if model.approximates else []
    elif holes and part.all():
        said = [IN_ORDER]
    else:
        said = unseen(part, _late(model, part))
    missing = "Cells that are missing from the part that is given are drawn too."
    return [missing, *said] if holes else said


def _late(model: Completer, part: Tensor) -> bool:
    """Whether a given entry comes, in the model's order, after one that is drawn."""
    try:
        model.refuse_given(part[None].to(model.anchor.device))
    except ValueError:
        return True
    return False


def _in_rows(original: Tensor, given: Tensor, x: Tensor, gray: float) -> Tensor:
    """Original, given part and completions of each example, one after the other."""
    import torch

    hidden = torch.where(given, original, gray)
    return torch.cat([original[:, None], hidden[:, None], x], 1).flatten(0, 1)


def _first(keep: float, shape: tuple[int, ...]) -> Tensor:
    """A share of the rows from the top, or of a vector's first entries, rounded."""
    import torch

    if not 0 <= keep <= 1:
        raise ValueError(f"keep: expected a share, 0 to 1, got {keep}")
    given = torch.zeros(shape, dtype=torch.bool)
    axis = 1 if len(shape) == 3 else 0
    given.narrow(axis, 0, round(keep * shape[axis])).fill_(True)
    return given


def _outside(box: Box, shape: tuple[int, ...]) -> Tensor:
    """All pixels but those of a box."""
    import torch

    top, left, height, width = box
    if height < 1 or width < 1 or top + height > shape[1] or left + width > shape[2]:
        size = "x".join(map(str, shape[1:]))
        raise ValueError(f"box: expected a part of {size} pixels, got {','.join(map(str, box))}")
    given = torch.ones(shape, dtype=torch.bool)
    given[:, top : top + height, left : left + width] = False
    return given


def _white(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The pixels that are nearer to white than to black in an image of that size."""
    from reparam.presets.given import white_pixels

    white, notes = white_pixels(path, shape[1:], "; to draw all of the image, say --keep 0")
    show_notes(notes)
    return white.expand(shape)


def unseen(given: Tensor, late: bool = False) -> list[str]:
    """What to know where nothing is to be done, or what is given comes after what is drawn."""
    if given.all():
        return ["Nothing is drawn, as all is given."]
    if not given.any():
        return ["Nothing is given, so that all is drawn."]
    return [IN_ORDER] if late else []


@dataclass(frozen=True)
class Asked:
    """What is drawn of each example.

    Args:
        part: the given entries as True, (*shape).
        draws: how many.
        steps: of a chain, for models that draw by chains.
        seed: of the draws.
    """

    part: Tensor
    draws: int
    steps: int
    seed: int


def _completions(model: Model, split: Split, asked: Asked) -> tuple[Tensor, float | None]:
    """Completions (n, draws, *shape), and the share of accepted proposals of chains."""
    import torch

    from reparam.batching import slices
    from reparam.evaluation.rows import seeded_batches
    from reparam.news import listening
    from reparam.progress import bar
    from reparam.use.missing_part import complete as draw

    draws = asked.draws
    parts: list[Tensor] = []
    shares: list[float] = []
    with bar("completing") as watch:
        rows = seeded_batches(model, split, asked.seed, max(1, AT_ONCE // draws))
        for (x, c, _), own_noise in rows:
            done, each = sum(map(len, parts)) / len(split), len(x) / len(split)
            drawn: list[Tensor] = []

            def within(share: float, at: tuple[float, float] = (done, each)) -> None:
                turn = len(drawn)  # noqa: B023
                watch("examples", at[0] + at[1] * min(1.0, (turn + share) * AT_ONCE / draws))

            with own_noise, listening(within):  # of a row in all its draws, one after the other
                for part in slices(0, draws, AT_ONCE):
                    count = part.stop - part.start
                    found = draw(model, x, asked.part, c, draws=count, steps=asked.steps)
                    drawn.append(found.x.cpu())
                    shares += [found.acceptance] * len(x) * count if found.steps else []
            parts.append(torch.cat(drawn, 1))
    return torch.cat(parts), sum(shares) / len(shares) if shares else None


def _gray(record: DataRecord) -> float:
    """The middle of the brightness of the run's data, where nothing is given."""
    return (record.low + record.high) / 2
