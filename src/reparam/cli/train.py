"""Commands that train: fit, resume, compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.options import (
    ALL_LABELS,
    BY_RULES,
    NONE_GIVEN,
    PATH,
    Coded,
    DataOptions,
    Force,
    LabelOptions,
    Samples,
    Source,
    Training,
    option,
)
from reparam.cli.runs import Moved, Run, recorded_data
from reparam.cli.tables import REFERENCE, comparison_table, named, show, show_notes, told
from reparam.progress import bar
from reparam.wording import typed

if TYPE_CHECKING:
    from reparam.comparison import Comparison
    from reparam.train import History


def fit(
    model: Annotated[str, Parameter(help="Its name, from `reparam models`.")],
    data: Source,
    /,
    *parameters: Annotated[
        str, Parameter(name="KEY=VALUE", help="Parameters of the model, as latent_dim=2.")
    ],
    out: Annotated[Path, PATH, Parameter(alias="-o", help="Folder for the run.")],
    force: Force = False,
    options: DataOptions = BY_RULES,
    few: LabelOptions = ALL_LABELS,
    training: Training = NONE_GIVEN,
) -> None:
    """Train a model on data; its best (or last) weights, curves and checkpoints go to a folder."""
    from reparam import train
    from reparam.presets import build, find_preset
    from reparam.presets.registry import parse_assignments
    from reparam.train.device import find_device

    given = find_preset(model).check(parse_assignments(parameters))
    find_device(training.get("device", "auto"))
    loaded = few.of(options.load(data))
    show_notes(loaded.notes)
    built = build(model, loaded.space, seed=training.get("seed", 0), **given)
    with _resumable(out):
        history = train.fit(built, loaded, out=out, force=force, **training)
    _tell(history, out)


def resume(run: Run, /, *, moved: Moved = None, training: Training = NONE_GIVEN) -> None:
    """Continue an interrupted run exactly, or a finished one with more --epochs."""
    from reparam import train

    folder = train.RunFolder(run)
    data, before = recorded_data(folder.read()["data"], run, moved), folder.history()
    with _resumable(run):
        _, history = train.resume(run, data=data, **training)
    if before is not None and before.ended == history.ended and before.rows == history.rows:
        show(f"nothing to do; {_how_it_goes_on(history)}")
    _tell(history, run)


def compare(
    data: Source,
    /,
    *,
    model: Annotated[
        list[str] | None,
        option(
            metavar='"NAME KEY=VALUE…"',
            help='As "vae latent_dim=2"; may be repeated; none: one of every family.',
        ),
    ] = None,
    families: Annotated[
        bool,
        option(
            show_default=False,
            help="A tuned model of each family, all for the same seconds; say what families are.",
        ),
    ] = False,
    out: Annotated[Path, PATH, Parameter(alias="-o", help="Folder for the report.")],
    seeds: Annotated[int, Parameter(help="How many seeds of each model.")] = 1,
    jobs: Annotated[int, Parameter(help="How many to train at a time.")] = 1,
    samples: Samples = None,
    coded: Coded = False,
    force: Force = False,
    options: DataOptions = BY_RULES,
    training: Training = NONE_GIVEN,
) -> None:
    """Train several models on the same data under one budget; write a report and scores.json."""
    from reparam import comparison
    from reparam.comparison_families import left_out
    from reparam.comparison_runs import refuse_counts
    from reparam.train.device import find_device

    for text in model or ():  # what is wrong is said before data are read
        comparison.Candidate.parse(text)
    refuse_counts(seeds, jobs)
    find_device(training.get("device", "auto"))
    loaded = options.load(data)
    show_notes([*loaded.notes, *left_out(loaded, model or None, families)])
    with continued(), bar("comparing") as watch:
        result = comparison.compare(
            loaded,
            model or None,
            out=out,
            families=families,
            seeds=seeds,
            jobs=jobs,
            samples=samples,
            coded=coded,
            force=force,
            watch=watch,
            **training,
        )
    _tell_comparison(result, out / comparison.REPORT_FILE)


@contextmanager
def _resumable(run: Path) -> Iterator[None]:
    """Let an interrupt, or a full disk, say how the run goes on, where it left something."""
    from reparam.atomic import Unwritable
    from reparam.train.folder import STATE_FILE

    continued = f"continue with: reparam resume {typed(run)}"
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if not (run / STATE_FILE).exists():
            raise
        raise type(interrupt)(f"interrupted; what was trained is saved; {continued}") from None
    except Unwritable as error:
        if not (run / STATE_FILE).exists():
            raise
        raise ValueError(f"{error}; the last checkpoint is whole; {continued}") from error


@contextmanager
def continued() -> Iterator[None]:
    """Let an interrupt say how several trainings go on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise type(interrupt)(
            "interrupted; what was trained is saved; the same command without --force continues"
        ) from None


def _tell(history: History, out: Path) -> None:
    """How a run ended, in a few lines."""
    from reparam.train.judge import judged

    kept = ""
    if history.best_epoch is not None:
        value = judged(history.kept, history.judge)
        kept = f"; kept the {history.keeps}, of epoch {round(history.best_epoch, 2):g}: {value}"
    show(f"{history.ended}; {history.seconds:.1f} s in all{kept}")
    show(f"run in {told(out)}; next: reparam evaluate {named(typed(out))}")


def _how_it_goes_on(history: History) -> str:
    """Why a run that was resumed made no step, and with what it would."""
    if history.ended == "solved":
        return "its last stage is solved for, not trained: more epochs change nothing"
    if history.ended == "budget used up":
        used = math.ceil(10 * history.seconds) / 10  # so that more than this is more than was used
        return f"its budget is used up; to train on, give a larger --budget ({used:g} s used)"
    if history.ended == "no further improvement":
        return "no validation is better; to train on, give a larger --patience"
    done = history.rows[-1]["epoch"]
    return f"all epochs are done; to train on, give a larger --epochs (now {done:g})"


def _tell_comparison(result: Comparison, report: Path) -> None:
    from reparam.evaluation import too_few

    if result.found:
        names = ", ".join(folder.name for folder in result.found)
        show_notes([f"Measured before and taken over (--force starts afresh): {names}."])
    rows = {entry.label: dict(entry.scores) for entry in result.entries}
    if result.reference:
        rows[REFERENCE] = result.reference
        show_notes(too_few(result.data))
    show(comparison_table(rows))
    show(f"every score, with pictures: {told(report)}")
