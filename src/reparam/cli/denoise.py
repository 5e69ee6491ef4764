"""The command that repairs examples through a run's model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.examples import WIDEST, Count, Input, Label, Out, Part, codec, examples_of
from reparam.cli.options import Force, Seed
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import score_table, show, told

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import Split
    from reparam.inspection import Noise

CorruptionName = Literal["masking", "gaussian", "salt-and-pepper"]
DEFAULT_LEVEL = 0.25


def denoise(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "denoised.png",
    noise: Annotated[
        CorruptionName | None,
        Parameter(help="Corrupt the examples first; none: as in training, given ones not."),
    ] = None,
    amount: Annotated[
        float | None, Parameter(help="Its level; none: as in training, or 0.25.")
    ] = None,
    n: Count = None,
    split: Part = "test",
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Repair noisy examples, or corrupt test examples first: clean, corrupted, repaired."""
    from reparam.cli.folders import places
    from reparam.cli.outputs import Result, Target, beside, emit, in_rows

    opened = where.open(run)
    record = opened.record
    codec(opened, own=True)
    target = Target.of(out, force, record, examples)
    clean = examples_of(examples, opened, label, n, WIDEST if target.picture else None, split)
    claimed = target.claim(places(clean))
    corrupt = examples is None or noise is not None or amount is not None
    noisy = _corrupted(opened, clean, _noise(opened, noise, amount), seed) if corrupt else clean
    repaired = _repaired(opened, noisy)
    shown = [clean.x, noisy.x, repaired] if corrupt else [clean.x, repaired]
    tiles, width = lambda: in_rows(shown, WIDEST), min(WIDEST, len(clean))
    arrays = {"x": repaired} | beside(clean, record)
    emit(Result(arrays, record.columns, tiles, width, places=claimed), target, record)
    show(f"{len(clean)} repaired examples in {told(out)}")
    if corrupt:
        _show_errors(opened, clean.x, {"corrupted": noisy.x, "repaired": repaired})


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
        if level is not None and level > own.strongest:
            raise ValueError(f"amount: expected at most {own.strongest}, got {level}")
        return own if level is None else replace(own, level=level)
    standardize = standardization(run.record.space)
    for stage in standardize.stages:  # of real data only
        stage.solve(run.model, [Batch(run.data().train.x)])
    corruption = make_corruption(name, DEFAULT_LEVEL if level is None else level, run.record.space)
    return noise_of(corruption, standardize.to(run.model.anchor))


def _corrupted(run: OpenRun, split: Split, noise: Noise, seed: int) -> Split:
    import torch

    from reparam.batching import rows_at_once
    from reparam.evaluation.rows import seeded_slices

    rows, device, parts = rows_at_once(run.model.space), run.model.anchor.device, []
    for part, own_noise in seeded_slices(len(split), rows, seed, device):
        with own_noise:
            parts.append(noise.corrupt(split.x[part], noise.level).cpu())
    return replace(split, x=torch.cat(parts), gray=None)


def _repaired(run: OpenRun, split: Split) -> Tensor:
    import torch

    from reparam.evaluation.rows import batches
    from reparam.space import trusted

    model = codec(run)
    with torch.no_grad(), trusted():  # noise may take x̃ anywhere
        return torch.cat([model.reconstruct(x, c).cpu() for x, c, _ in batches(model, split)])


def _show_errors(run: OpenRun, clean: Tensor, found: dict[str, Tensor]) -> None:
    """The squared error per entry before and after, as ``evaluate`` measures it."""
    import torch

    from reparam.evaluation.reconstruction import error_score
    from reparam.evaluation.vectors import Vectors

    space = run.record.space
    table = space.kind in ("real", "mixed") and not space.is_image
    vectors = Vectors(space, run.data().train.x if table else torch.empty(0))
    scores = {
        f"{name} error": error_score([vectors.errors(x, clean)], vectors.unit, "shown")
        for name, x in found.items()
    }
    show(score_table(scores))
