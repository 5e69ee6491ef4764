"""The command that classifies examples by a run's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.examples import Count, Input, Label, Out, Part, examples_of
from reparam.cli.options import Force, Seed
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import score_table, show, show_notes, told
from reparam.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.cli.outputs import Result
    from reparam.data import DataRecord, Split
    from reparam.inspection import Classifies
    from reparam.model import Density

IN_A_ROW = 16  # examples of a class in a picture
ROWS_AT_ONCE = 100  # examples classified between two signs of life


def classify(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "classes.csv",
    n: Count = None,
    samples: Annotated[int, Parameter(help="Importance samples per example and class.")] = 100,
    seed: Seed = 0,
    split: Part = "test",
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Classify examples by a classifier, or by log p(x|y) + log p(y) of a density of each class.

    What is written is log p(y|x), or a row, or a folder, of images for each class.
    """
    from reparam.cli.outputs import Target, emit
    from reparam.evaluation.scores import share_score

    opened = where.open(_tuned(run))
    record, model = opened.record, _classifier(opened)
    target = Target.of(out, force, record, examples)
    rows = examples_of(examples, opened, label, n, part=split)
    log_p = _log_posteriors(model, rows, samples, seed)
    found, names = log_p.argmax(1), record.class_names or tuple(map(str, range(log_p.shape[1])))
    if target.folder or target.picture:
        emit(_by_class(rows, found, names, record), target, record)
    else:
        emit(_table(rows, log_p, found, record), target, record)
    show(f"{counted(len(rows), 'class', 'classes')} in {told(target.name)}")
    if rows.labels is not None:
        name = split if examples is None else "given"
        show(score_table({"accuracy": share_score(found == rows.labels, name)}))


def _tuned(run: Path) -> Path:
    """The run itself, or that of the most labels and the first seed in a folder of fine-tunings."""
    from reparam.use.finetuning_runs import read_tuned

    found = read_tuned(run)
    if not found:
        return run
    show_notes([f"{found[0].labels} labels, seed {found[0].seed}: {found[0].folder}."])
    return run / found[0].folder


def _classifier(run: OpenRun) -> Classifies | Density:
    from reparam.inspection import Classifies
    from reparam.model import Density

    model = run.model
    if isinstance(model, Classifies):
        return model
    if not isinstance(model, Density) or model.class_frequencies is None:
        name = type(model).__name__
        raise ValueError(
            f"{run.path}: {name} is no density that is conditional on labels; use one such as "
            "cvae, or one of each class (per_class=true), or fine-tune an encoder"
        )
    return model


def _log_posteriors(model: Classifies | Density, split: Split, samples: int, seed: int) -> Tensor:
    """log p(y|x) of every row, in batches that news of progress can follow."""
    import torch

    from reparam.evaluation.rows import seeded_slices
    from reparam.model import Model
    from reparam.progress import bar
    from reparam.use.editing import classify as by_density

    parts: list[Tensor] = []
    device = model.anchor.device if isinstance(model, Model) else torch.device("cpu")
    slices = seeded_slices(len(split), ROWS_AT_ONCE, seed, device)
    with bar("classifying") as watch:
        for part, own_noise in slices:
            watch("examples", part.start / len(split))
            with own_noise:
                parts.append(by_density(model, split.x[part], samples=samples).cpu())
    return torch.cat(parts)


def _table(split: Split, log_p: Tensor, found: Tensor, record: DataRecord) -> Result:
    """log p(y|x), the class that was found and, where it is known, the true one."""
    import numpy as np

    from reparam.cli.outputs import Result, beside

    names = record.class_names or tuple(map(str, range(log_p.shape[1])))
    arrays = {"log_p": log_p, "class": np.array(names)[found.numpy()], **beside(split, record)}
    return Result(arrays, tuple(f"log p({name})" for name in names))


def _by_class(split: Split, found: Tensor, names: tuple[str, ...], record: DataRecord) -> Result:
    """A row of images, or a folder of them, for every class that was found."""
    from reparam.cli.folders import places
    from reparam.cli.outputs import Result, padded

    rows = [split.x[found == c][:IN_A_ROW] for c in found.unique().tolist()]
    width = max(map(len, rows))
    tiles = padded(rows, width, record.low)
    classes = [names[c] for c in found.tolist()]
    below = [p._replace(name=f"{c}/{p.name}") for c, p in zip(classes, places(split), strict=True)]
    return Result({"x": split.x}, tiles=lambda: tiles, width=width, places=below)
