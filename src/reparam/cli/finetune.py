"""The command that fine-tunes a run on few labels and on many."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.options import NONE_GIVEN, PATH, Force, Training
from reparam.cli.probe import Draws, Labels, counts, percent, percent_of
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import named, rows_table, show, show_notes, told
from reparam.cli.train import continued
from reparam.progress import bar
from reparam.wording import listed, typed

if TYPE_CHECKING:
    from rich.table import Table

    from reparam.use.finetuning_runs import Tuned


def finetune(
    run: Run,
    data: Annotated[
        str | None, Parameter(help="Labeled data of the same shape; none: the run's own.")
    ] = None,
    /,
    *,
    out: Annotated[Path, PATH, Parameter(alias="-o", help="Folder for the runs.")],
    labels: Annotated[
        Labels, Parameter(help="How many labels there are, as 10,100,all; none: all.")
    ] = None,
    seeds: Draws = 1,
    tune: Annotated[
        Literal["linear", "all"],
        Parameter(help="linear trains a classifier of the codes alone, all the encoder too."),
    ] = "all",
    jobs: Annotated[int, Parameter(help="How many to train at a time.")] = 1,
    force: Force = False,
    where: Where = HERE,
    training: Training = NONE_GIVEN,
) -> None:
    """Train a classifier that begins with a run's encoder, on few labels and on many."""
    from reparam.use.finetuning import refuse_unfit_encoder
    from reparam.use.finetuning_runs import finetune_all

    if "seed" in training:
        raise ValueError("seed: fine-tunings have seeds 0, 1 …; say with --seeds how many")
    opened = where.open(run)
    refuse_unfit_encoder(opened.model, str(run))
    loaded = opened.labeled_data(data)
    numbers = counts(labels) or ("all",)
    with continued(), bar("fine-tuning") as watch:
        found = finetune_all(
            opened.model,
            loaded,
            numbers,
            seeds,
            out=out,
            tune=tune,
            jobs=jobs,
            force=force,
            watch=watch,
            **training,
        )
    show(tuned_table(found))
    show_notes(_notes(found))
    show(f"runs in {told(out)}; next: reparam classify {named(typed(out))}")


def tuned_table(found: Sequence[Tuned]) -> Table:
    """A row for each number of labels: the accuracy, and what it was reached with."""
    rows = []
    for n in dict.fromkeys(one.labels for one in found):
        of = [one for one in found if one.labels == n]
        shares = [one.accuracy for one in of]
        spread = statistics.stdev(shares) if len(of) > 1 else None
        nats, seconds = (
            statistics.mean(values)
            for values in ([o.cross_entropy for o in of], [o.seconds for o in of])
        )
        accuracy = percent(statistics.mean(shares), spread)
        rows.append((str(n), accuracy, f"{nats:.3f}", str(of[0].rows), f"{seconds:.1f}"))
    return rows_table(("labels", "accuracy", "cross-entropy", "train", "seconds"), rows)


def _notes(found: Sequence[Tuned]) -> list[str]:
    """What the numbers are, and where nothing was chosen."""
    n = found[0].n
    error = max((o.accuracy * (1 - o.accuracy) / n) ** 0.5 for o in found)
    of = percent_of(n, len({one.seed for one in found}), error)
    notes = [f"{of} Cross-entropy of their labels in nats."]
    last = [str(n) for n in dict.fromkeys(one.labels for one in found if not one.chosen)]
    if last:
        notes.append(f"With {listed(last)} labels none is held out: the last weights are kept.")
    return notes
