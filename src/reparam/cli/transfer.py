"""The command that says how much unlabeled data help when labels are few."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.options import (
    BY_RULES,
    NONE_GIVEN,
    PATH,
    DataOptions,
    Force,
    Source,
    Training,
    option,
)
from reparam.cli.probe import Draws, Labels, counts, percent
from reparam.cli.tables import rows_table, show, show_notes, told
from reparam.cli.train import continued
from reparam.progress import bar
from reparam.wording import listed

if TYPE_CHECKING:
    from rich.table import Table

    from reparam.data.few_labels import Count
    from reparam.report.label_curves import Learned


def transfer(
    data: Source,
    /,
    *,
    model: Annotated[
        list[str] | None,
        option(
            metavar='"NAME KEY=VALUE…"',
            help='As "vae latent_dim=2", or scratch, or "scratch encoder=ae"; may be repeated; '
            "none: scratch, pca, ae, vae and mae.",
        ),
    ] = None,
    out: Annotated[Path, PATH, Parameter(alias="-o", help="Folder for the report.")],
    labels: Labels = None,
    seeds: Draws = 3,
    tuning_epochs: Annotated[
        int | None, Parameter(help="Of fine-tuning; none: at least 500 steps and 5 epochs.")
    ] = None,
    jobs: Annotated[int, Parameter(help="How many models at a time.")] = 1,
    force: Force = False,
    options: DataOptions = BY_RULES,
    training: Training = NONE_GIVEN,
) -> None:
    """Train models without labels, then probe and fine-tune them with few; write a report."""
    from reparam.comparison_runs import REPORT_FILE
    from reparam.evaluation.probing import unchosen
    from reparam.train.device import find_device
    from reparam.transfer_models import Learner
    from reparam.transfer_study import MODELS
    from reparam.transfer_study import transfer as study

    for text in model or ():  # what is wrong is said before data are read
        Learner.parse(text)
    find_device(training.get("device", "auto"))
    loaded = options.load(data)
    show_notes(loaded.notes)
    with continued(), bar("learning from few labels") as watch:
        found = study(
            loaded,
            model or MODELS,
            out=out,
            labels=counts(labels),
            seeds=seeds,
            tuning_epochs=tuning_epochs,
            jobs=jobs,
            force=force,
            watch=watch,
            **training,
        )
    show(accuracy_table(found.entries, found.labels))
    notes = [
        f"Percent of {len(loaded.test)} test examples, ± standard deviation over draws of labels."
    ]
    bare = list(map(str, unchosen(loaded, found.labels)))
    if bare:
        notes.append(f"With {listed(bare)} labels none is held out: nothing is chosen by them.")
    show_notes(notes)
    show(f"curves, and probes beside fine-tuning: {told(out / REPORT_FILE)}")


def accuracy_table(entries: Sequence[Learned], labels: Sequence[Count]) -> Table:
    """A row for each model and what was measured of it, a column for each number of labels."""
    rows = [
        (entry.label, features, *(_cell(entry, n, features) for n in labels))
        for entry in entries
        for features in entry.features
    ]
    return rows_table(("model", "what", *map(str, labels)), rows)


def _cell(entry: Learned, n: Count, features: str) -> str:
    found = entry[n, features]
    return percent(found.mean, found.spread)
