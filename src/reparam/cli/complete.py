"""The command that completes examples of which a part is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.examples import Count, Input, Label, Out, Part, examples_of
from reparam.cli.options import Force, Seed
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import show, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import DataRecord, Split
    from reparam.model import Completer

FEW = 8  # examples in a picture where no number is asked for
ROWS_AT_ONCE = 100


def complete(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "completions.png",
    keep: Annotated[
        float, Parameter(help="Share given: rows from the top, or first entries.")
    ] = 0.5,
    draws: Annotated[int, Parameter(help="Completions of each example.")] = 4,
    n: Count = None,
    split: Part = "test",
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Draw the rest of examples given their top: original, given part, completions in a row."""
    import torch

    from reparam.cli.folders import places, several
    from reparam.cli.outputs import Result, Target, beside, emit
    from reparam.model import Completer, positive_count

    opened = where.open(run)
    model, record = opened.model, opened.record
    target = Target.of(out, force, record)
    positive_count("draws", draws)
    if not isinstance(model, Completer):
        name = type(model).__name__
        raise ValueError(f"{run}: {name} does not complete; use an autoregressive model")
    found = examples_of(examples, opened, label, n, FEW if target.picture else None, split)
    claimed = target.claim([p for place in places(found) for p in several(place, draws)])
    given = given_part(record.space.shape, keep)
    x = _completions(model, found, given, draws, seed)  # (n, draws, *shape)

    def tiles() -> Tensor:
        hidden = torch.where(given, found.x.to(x), _gray(record))
        return torch.cat([found.x.to(x)[:, None], hidden[:, None], x], 1).flatten(0, 1)

    each = {name: values.repeat(draws) for name, values in beside(found, record).items()}
    arrays = {"x": x.flatten(0, 1)} | each
    result = Result(arrays, record.columns, tiles, draws + 2, apart=(1, 2), places=claimed)
    emit(result, target, record)
    show(f"{len(found)} x {draws} completions in {told(out)}")


def given_part(shape: tuple[int, ...], keep: float) -> Tensor:
    """The mask of a share of the rows from the top, or of a vector's first entries, rounded."""
    import torch

    if not 0 <= keep <= 1:
        raise ValueError(f"keep: expected a share, 0 to 1, got {keep}")
    mask = torch.zeros(shape, dtype=torch.bool)
    axis = 1 if len(shape) == 3 else 0
    mask.narrow(axis, 0, round(keep * shape[axis])).fill_(True)
    return mask


def _completions(model: Completer, split: Split, given: Tensor, draws: int, seed: int) -> Tensor:
    import torch

    from reparam.evaluation.rows import batches

    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    parts = []
    for x, c, _ in batches(model, split, max(1, ROWS_AT_ONCE // draws)):
        labels = None if c is None else c.repeat_interleave(draws, 0)
        drawn = model.complete(x.repeat_interleave(draws, 0), given, labels, generator=generator)
        parts.append(drawn.cpu().unflatten(0, (len(x), draws)))
    return torch.cat(parts)


def _gray(record: DataRecord) -> float:
    """The middle of the brightness of the run's data, where nothing is given."""
    return (record.low + record.high) / 2
