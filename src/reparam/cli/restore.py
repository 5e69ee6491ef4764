"""The command that restores examples of which something is left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.drawing import Drawing
from reparam.cli.examples import (
    ClassName,
    Count,
    Input,
    Out,
    Part,
    asked_condition,
    condition_of,
    examples_of,
    refuse_beside_examples,
)
from reparam.cli.fill import show_chains
from reparam.cli.options import Force, Seed, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import show, show_notes, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from reparam.cli.folders import Place
    from reparam.cli.outputs import Target
    from reparam.data import DataRecord, Split
    from reparam.degradation import Degradation
    from reparam.model import Model
    from reparam.use.restoring import Restoration

FEW = 8  # examples in a picture where no number is asked for
AT_ONCE = 100  # draws


def restore(
    run: Run,
    examples: Annotated[
        Input, Parameter(help="What is left: images, .npy or .npz; none: of those of --split.")
    ] = None,
    /,
    *,
    out: Out = "restored.png|csv",
    degradation: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="What left it: downscale:FACTOR, subsample:FACTOR, gray, "
            "mask:FILE|square|half|random or blur:WIDTH; none: what the run was trained for.",
        ),
    ] = None,
    draws: Annotated[
        int | None, Parameter(help="Of each example; none: 4, in a folder of images 1.")
    ] = None,
    steps: Annotated[
        int | None, Parameter(help="Of the Markov chains by which VAEs draw; none: 100.")
    ] = None,
    sampling_steps: Annotated[
        int | None,
        Parameter(help="Of a diffusion model; none: as many as it samples by, at most 200."),
    ] = None,
    rounded: Annotated[
        bool, option(show_default=False, help="y was rounded to whole numbers.")
    ] = False,
    n: Count = None,
    split: Part = "test",
    seed: Seed = 0,
    label: ClassName = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Draw what examples may have been of which something is left: small, gray, masked or blurred.

    A picture has the original, what is given, the draws, their mean and their deviation in a row.
    Without a run that was trained with given=, a VAE or a diffusion model restores, too.
    """
    from reparam.cli.folders import several
    from reparam.cli.outputs import Target
    from reparam.model import positive_count
    from reparam.use.missing_part import STEPS
    from reparam.use.restoring import degradation_of, why_not_restored

    opened = where.open(run)
    model, record = opened.model, opened.record
    target = Target.of(out, force, record, examples)
    draws = draws if draws is not None else 1 if target.folder else 4
    positive_count("draws", draws)
    given = degradation_of(model, degradation)
    reason = why_not_restored(model, given)
    if reason is not None:
        raise ValueError(f"{run}: {reason}")
    model = _drawn_by(model, steps, sampling_steps)
    most = FEW if target.picture else None
    if examples is None:
        found = _degraded(opened, given, examples_of(None, opened, None, n, most, split), label)
    else:
        refuse_beside_examples(opened, split)
        found = _read(opened, given, examples, n, most, label, target)
    if rounded:
        found = Found(found.y, found.c, 0.5, found.places, found.split)
    each = [several(place, draws) if draws > 1 else [place] for place in found.places]
    claimed = target.claim([place for of_one in each for place in of_one])
    how = _restored(model, given, found, draws, STEPS if steps is None else steps, seed)
    _emit(opened, given, found, how, target, claimed)
    _tell(model, given, how, f"{len(found.y)} x {draws} restorations in {told(target.name)}")


@dataclass(frozen=True)
class Found:
    """What is given of some examples.

    Args:
        y: (N, *given).
        c: (N, …), the condition, for models that use another.
        within: how far y may be from what is left of x.
        places: of the examples in a folder.
        split: the examples themselves, where they are known.
    """

    y: Tensor
    c: Tensor | None
    within: float
    places: Sequence[Place]
    split: Split | None


def _drawn_by(model: Model, steps: int | None, sampling_steps: int | None) -> Model:
    from reparam.model import Generator, LatentVariable
    from reparam.use.restoring import trained_for

    chains = isinstance(model, LatentVariable) and trained_for(model) is None
    if steps is not None and not chains:
        name = type(model).__name__
        raise ValueError(f"steps: of chains, by which {name} does not draw; leave it out")
    if sampling_steps is None:
        return model
    assert isinstance(model, Generator)  # as all are that were not refused
    return Drawing(sampling_steps=sampling_steps).of(model)


def _degraded(opened: OpenRun, given: Degradation, split: Split, label: str | None) -> Found:
    """Of the run's own examples."""
    import torch

    from reparam.cli.folders import places
    from reparam.use.restoring import trained_for

    trained = trained_for(opened.model) is not None
    if trained and label is not None:
        raise ValueError("label: the condition of this run is what is given; leave it out")
    c = None if trained else condition_of(opened, split, label)
    x = split.x if split.x.is_floating_point() else split.x.float()
    device = given.known.device
    y = torch.cat([given(part.to(device)).cpu() for part in x.split(AT_ONCE)])
    return Found(y, c, 0.0, places(split), split)


def _read(
    opened: OpenRun,
    given: Degradation,
    source: str,
    n: int | None,
    most: int | None,
    label: str | None,
    target: Target,
) -> Found:
    """From files of the user's."""
    from reparam.cli.folders import Place, name_of, numbered, refuse_sources
    from reparam.data.given_rows import load_given
    from reparam.model import positive_count
    from reparam.use.restoring import trained_for

    if n is not None:
        positive_count("n", n)
    if target.folder:
        refuse_sources(target.path, [Path(source).expanduser()])
    rows = load_given(source, given.given, given.name, opened.record)
    show_notes(rows.notes)
    if n is None and most is not None and len(rows.y) > most:
        show_notes([f"The first {most} of {len(rows.y)}; -n says how many."])
        n = most
    y = rows.y[:n]
    names = None if rows.files is None else rows.files.names[:n]
    there = numbered(len(y)) if names is None else [Place(name_of(name)) for name in names]
    c = None
    if trained_for(opened.model) is None:
        c = asked_condition(opened.model, label, None, len(y), opened.record)
        if c is None and opened.model.conditional:
            raise ValueError("label: the model is conditional; say with --label which class it is")
    return Found(y, c, rows.within, there, None)


def _restored(
    model: Model, given: Degradation, found: Found, draws: int, steps: int, seed: int
) -> Restoration:
    """Draws of every row by noise of its own, whichever stand beside it."""
    from dataclasses import replace

    import torch

    from reparam.batching import rows_at_once, slices
    from reparam.evaluation.rows import seeded_slices
    from reparam.news import listening
    from reparam.progress import bar
    from reparam.use.restoring import at_once
    from reparam.use.restoring import restore as draw

    together = min(AT_ONCE, at_once(model), rows_at_once(model.space))
    parts: list[Tensor] = []
    shares: list[float] = []
    with bar("restoring") as watch:
        many, device = len(found.y), model.anchor.device
        for part, own_noise in seeded_slices(many, max(1, together // draws), seed, device):
            drawn: list[Tensor] = []
            y, c = found.y[part], None if found.c is None else found.c[part]

            def within(share: float, start: int = part.start, each: int = len(y)) -> None:
                turn = len(drawn)  # noqa: B023
                done = min(1.0, (turn + share) * together / draws)
                watch("examples", (start + each * done) / many)

            with own_noise, listening(within):
                for some in slices(0, draws, together):
                    count = some.stop - some.start
                    options = {"c": c, "draws": count, "steps": steps, "within": found.within}
                    how = draw(model, y, given, **options)
                    drawn.append(how.x.cpu())
                    shares += [] if how.acceptance is None else [how.acceptance] * len(y) * count
            parts.append(torch.cat(drawn, 1))
    accepted = sum(shares) / len(shares) if shares else None
    return replace(how, x=torch.cat(parts), acceptance=accepted)


def _emit(
    opened: OpenRun,
    given: Degradation,
    found: Found,
    how: Restoration,
    target: Target,
    places: Sequence[Place],
) -> None:
    import numpy as np

    from reparam.cli.outputs import Result, beside_draws, emit
    from reparam.degradation import as_seen

    record, x = opened.record, how.x
    n, draws = x.shape[:2]
    arrays: dict[str, object] = {"x": x.flatten(0, 1)}
    if target.path.suffix.lower() == ".npz" and not target.folder:
        wide = x.double()
        arrays |= {"given": found.y, "mean": wide.mean(1).to(x)}
        arrays |= {"deviation": wide.std(1).to(x)} if draws > 1 else {}
    if found.split is not None:
        arrays |= beside_draws(found.split, record, draws)
    elif not target.folder:
        names = [place.name for place in found.places]
        arrays |= {"source": np.repeat(np.array(names), draws)}
    original = None if found.split is None else found.split.x
    seen = as_seen(given, found.y, (record.low + record.high) / 2)
    tiles = partial(_in_rows, original, seen, x, record)
    first = 1 if original is None else 2
    width = first + draws + (2 if draws > 1 else 0)
    apart = (first - 1, first, first + draws)[1 if first == 1 else 0 : 3 if draws > 1 else 2]
    result = Result(arrays, record.columns, tiles, width, apart=apart, places=places)  # type: ignore[arg-type]
    emit(result, target, record)
    if target.picture and draws > 1:
        white = _deviation(x).max().item()
        note = f"At the end of a row mean and deviation, which is {white:.3g} where white."
        show_notes([note if white else "All draws of an example are alike."])


def _in_rows(original: Tensor | None, given: Tensor, x: Tensor, record: DataRecord) -> Tensor:
    """Original, what is given, draws, mean and deviation of each example."""
    import torch

    wide = x.double()
    shown = [given[:, None].to(wide), wide]
    if original is not None:
        shown.insert(0, original[:, None].to(wide))
    if x.shape[1] > 1:
        deviation = _deviation(x)
        share = deviation / deviation.max().clamp(min=torch.finfo(wide.dtype).tiny)
        gray = record.low + share * (record.high - record.low)
        shown += [wide.mean(1, keepdim=True), gray[:, None].expand_as(wide[:, :1])]
    return torch.cat(shown, 1).flatten(0, 1)


def _deviation(x: Tensor) -> Tensor:
    """Of the draws (B, k, C, H, W), (B, 1, H, W): of colors the mean of the three."""
    return x.double().std(1).mean(1, keepdim=True)


def _tell(model: Model, given: Degradation, how: Restoration, done: str) -> None:
    show_notes([how.remark] if how.remark else [])
    show(done)
    name = type(model).__name__
    if how.how == "trained":
        show(f"drawn by {name}, which was trained on what is given")
    elif how.how == "exact":
        show(f"drawn exactly, by {name}")
    elif how.how == "approximate":
        show(f"drawn approximately, by {name}")
    elif how.acceptance is not None and how.steps is not None:
        show_chains(how.steps, how.acceptance)
