"""The command that repairs examples through a run's model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from reparam.cli.examples import WIDEST, Count, Input, Label, Out, Part, codec, examples_of
from reparam.cli.hide import (
    corrupted,
    hiding_noise,
    pictures_across,
    predicted,
    rows_of,
    show_hidden_errors,
    with_given,
)
from reparam.cli.options import Force, Seed, parse_number
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import score_table, show, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.cli.folders import Place
    from reparam.cli.outputs import Target
    from reparam.data import Split
    from reparam.inspection import Noise

CorruptionName = Literal["masking", "gaussian", "salt-and-pepper"]
DEFAULT_LEVEL = 0.25
RISING = (0.75, 0.85, 0.95)  # shares hidden, of models that learned to predict what is


def _levels(kind: object, tokens: Sequence[Token]) -> tuple[float, ...]:
    return tuple(parse_number("amount", word) for word in tokens[0].value.split(","))


def denoise(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "denoised.png|csv",
    noise: Annotated[
        CorruptionName | None,
        Parameter(help="Corrupt the examples first; none: as in training, given ones not."),
    ] = None,
    amount: Annotated[
        tuple[float, ...] | None,
        Parameter(
            converter=_levels,
            n_tokens=1,
            metavar="LEVEL[,LEVEL...]",
            help="Its level, or several; none: as in training, or 0.25; of what is hidden "
            "0.75,0.85,0.95.",
        ),
    ] = None,
    n: Count = None,
    split: Part = "test",
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Repair noisy examples, or corrupt test examples first: clean, corrupted, repaired.

    What is hidden, by models that learned to predict it, is hatched; what was given stays there.
    """
    from reparam.cli.folders import places, several
    from reparam.cli.outputs import Target

    opened = where.open(run)
    codec(opened, own=True)
    target = Target.of(out, force, opened.record, examples)
    clean = examples_of(examples, opened, label, n, WIDEST if target.picture else None, split)
    corrupt = examples is None or noise is not None or amount is not None
    noises = _noises(opened, noise, amount) if corrupt else []
    many = len(noises) > 1
    files = [several(p, len(noises)) if many else [p] for p in places(clean)]
    claimed = target.claim([place for of_one in files for place in of_one])
    seen = [corrupted(opened, clean, one, seed) for one in noises] or [clean.x]
    found = [predicted(opened, replace(clean, x=x, gray=None)) for x in seen]
    made = Made(noises, seen, found, holes=opened.record.space.columns is None)
    _write(opened, clean, made, target, claimed)
    at = f" at {', '.join(f'{one.level:g}' for one in noises)}" if many else ""
    show(f"{len(clean)} repaired examples{at} in {told(target.name)}")
    if corrupt:
        _show_errors(opened, clean.x, made)


@dataclass(frozen=True)
class Made:
    """What became of examples at each level of a noise.

    Args:
        noises: the same at each level; none where examples were given as they are.
        seen: corrupted examples, (N, *shape) of each.
        found: reconstructions of these.
        holes: whether NaN in these is what was hidden, and no cell of a table.
    """

    noises: Sequence[Noise]
    seen: Sequence[Tensor]
    found: Sequence[Tensor]
    holes: bool

    @property
    def repaired(self) -> list[Tensor]:
        """Of each level: where something is hidden, what was given stays."""
        pairs = zip(self.seen, self.found, strict=True)
        return [
            with_given(x, found) if self.holes and bool(x.isnan().any()) else found
            for x, found in pairs
        ]


def _noises(
    run: OpenRun, name: CorruptionName | None, levels: Sequence[float] | None
) -> list[Noise]:
    """What is done to clean examples, at each level."""
    if levels is None:
        noise = _noise(run, name, None)
        if not noise.hides:
            return [noise]
        # Of few patches several shares hide as many: each number once, at the first share.
        rising = [min(level, noise.strongest) for level in reversed(RISING)]
        levels = sorted({round(level * noise.parts): level for level in rising}.values())
    return [_noise(run, name, level) for level in levels]


def _noise(run: OpenRun, name: CorruptionName | None, level: float | None) -> Noise:
    """What is done to clean examples: the model's own noise, or another at some level."""
    from reparam.bijections.standardization import standardization
    from reparam.model import Batch
    from reparam.objectives.corruptions import make_corruption, noise_of

    if level is not None and not level >= 0:
        raise ValueError(f"amount: expected at least 0, got {level}")
    own = codec(run).noise
    if name is None:
        if own is None:
            raise ValueError(
                f"noise: {run.path} was trained on none of these; say which with --noise, or give "
                "noisy examples"
            )
        if level is not None and own.hides:
            return hiding_noise(run, level, "amount")
        if level is not None and level > own.strongest:
            raise ValueError(f"amount: expected at most {own.strongest}, got {level}")
        return own if level is None else replace(own, level=level)
    standardize = standardization(run.record.space)
    for stage in standardize.stages:  # of real data only
        stage.solve(run.model, [Batch(run.data().train.x)])
    corruption = make_corruption(name, DEFAULT_LEVEL if level is None else level, run.record.space)
    return noise_of(corruption, standardize.to(run.model.anchor))


def _write(
    opened: OpenRun, clean: Split, made: Made, target: Target, places: Sequence[Place]
) -> None:
    """Examples, and below them at each level what was seen of them and as they are repaired."""
    import torch

    from reparam.cli.outputs import Result, beside, emit

    record, levels = opened.record, len(made.found)
    shown = [clean.x] if made.noises else []
    for x, repaired in zip(made.seen, made.repaired, strict=True):
        shown += [x, repaired]
    arrays: dict[str, Any] = {"x": torch.stack(made.repaired, 1).flatten(0, 1)}
    if levels > 1:
        each = torch.tensor([noise.level for noise in made.noises], dtype=torch.float64)
        arrays["level"] = each.repeat(len(clean))
    arrays |= {name: values.repeat(levels, 0) for name, values in beside(clean, record).items()}
    width = pictures_across(record, len(clean))
    result = Result(arrays, record.columns, lambda: rows_of(shown, record), width, places=places)
    emit(result, target, record)


def _show_errors(run: OpenRun, clean: Tensor, made: Made) -> None:
    """The squared error per entry before and after, as ``evaluate`` measures it."""
    import torch

    from reparam.evaluation.reconstruction import error_score
    from reparam.evaluation.vectors import Vectors

    noises = made.noises
    levels = [noise.level for noise in noises]
    if noises[0].hides:
        return show_hidden_errors(run, clean, made.seen, made.found, levels)
    at = [f" at {level:g}" for level in levels] if len(levels) > 1 else [""]
    space = run.record.space
    table = space.kind in ("real", "mixed") and not space.is_image
    vectors = Vectors(space, run.data().train.x if table else torch.empty(0))
    scores = {
        f"{name} error{level}": error_score([vectors.errors(x, clean)], vectors.unit, "shown")
        for level, pair in zip(at, zip(made.seen, made.found, strict=True), strict=True)
        for name, x in zip(("corrupted", "repaired"), pair, strict=True)
    }
    show(score_table(scores))
