"""The command that ranks examples by how odd a run's model finds them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.examples import Count, Input, Label, Out, Part, examples_of, refuse_beside_examples
from reparam.cli.options import Force, Seed, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import rows_table, show, show_notes, told, value_text
from reparam.wording import did_you_mean, listed

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import Split
    from reparam.use.anomalies import AnomalyScores, By

MOST_IN_A_ROW = 100  # a picture of so many is over 10 000 pixels wide
CAUTION = (
    "A likelihood alone can rank foreign data above the model's own: compare the scores, and look "
    "at what they rank highest."
)


def anomaly(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "anomalies.csv",
    by: Annotated[
        Literal["auto", "log_prob", "reconstruction", "rate", "typicality"],
        option(help="What is odd; auto: an improbable x, without a likelihood a bad copy."),
    ] = "auto",
    anomalous: Annotated[
        list[str] | None,
        option(metavar="CLASS", help="Class that is to rank high; may be repeated."),
    ] = None,
    normal: Annotated[
        list[str] | None,
        option(metavar="CLASS", help="Class that is to rank low, all others high; repeatable."),
    ] = None,
    samples: Annotated[int, Parameter(help="Draws per example, where scores are drawn.")] = 50,
    top: Annotated[
        int | None,
        option(
            metavar="INT", help="How many of the oddest are written; none: all, of a picture 8."
        ),
    ] = None,
    n: Count = None,
    split: Part = "test",
    seed: Seed = 0,
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Rank examples by how odd the model finds them, the oddest first.

    A picture has the oddest above and the most ordinary below, with what of each is odd. A table
    says for rows of a table which columns are. Where --anomalous or --normal names classes, it
    tells how well each score of the model ranks them.
    """
    from reparam.cli.outputs import Target, emit
    from reparam.cli.ranked import Ranked
    from reparam.model import positive_count
    from reparam.progress import bar
    from reparam.use.anomalies import chosen_by, column_parts, every_anomaly_score

    opened = where.open(run)
    target = Target.of(out, force, opened.record, examples)
    positive_count("samples", samples)
    if top is not None:
        positive_count("top", top)
        if target.picture and top > MOST_IN_A_ROW:
            raise ValueError(
                f"top: expected at most {MOST_IN_A_ROW} in a row of a picture, got {top}; write a "
                "folder, .npz or .csv"
            )
    chosen = chosen_by(opened.model, by)
    rows, classes = _examples(examples, opened, label, n, split)
    given = examples is not None
    odd = _odd(rows, classes, anomalous, normal, None if given else opened)
    train, names = _measured(opened, chosen, given)
    # Of images they are as large as all of x in float64.
    seen = target.picture or target.path.suffix.lower() == ".npz"
    parts_of = chosen if seen or not opened.record.space.is_image else ""
    with bar("ranking") as watch:
        found = every_anomaly_score(
            opened.model, rows, names, samples, seed, train=train, parts_of=parts_of, watch=watch
        )
    record = replace(opened.record, class_names=classes or None)
    by_column = column_parts(found[chosen], rows, record.space, train)
    ranked = Ranked(rows, found, chosen, record, by_column)
    emit(ranked.result(target, top), target, record)
    show_notes(note for score in found.values() for note in score.notes)
    show(f"{len(rows)} examples, ranked by {chosen}, in {told(target.name)}")
    if odd is None:
        show(rows_table(*ranked.oddest()))
    else:
        _show_ranking(found, odd, split if examples is None else "given")
    if "log_prob" in found:
        show_notes([CAUTION])


def _examples(
    source: str | None, run: OpenRun, label: str | None, n: int | None, part: str
) -> tuple[Split, tuple[str, ...]]:
    """The examples and the names of their classes, which need not have been in training."""
    from reparam.data import load_foreign_rows
    from reparam.model import positive_count

    if source is None:
        return examples_of(None, run, label, n, part=part), run.record.class_names or ()
    if n is not None:
        positive_count("n", n)
    refuse_beside_examples(run, part)
    model = run.model
    rows, classes = load_foreign_rows(source, run.record, label=label, attributes=model.conditional)
    show_notes(rows.notes)
    rows = _not_trained_on(rows, source, run)
    by_class = model.conditional and model.space.attributes is None
    known = model.space.classes or 0
    if by_class and rows.labels is not None and int(rows.labels.max()) >= known:
        raise ValueError(
            f"{source}: class {classes[int(rows.labels.max())]!r} is none that the model is "
            f"conditional on ({listed(classes[:known])}), so that it has no p(x|c); use a model "
            "that is not conditional"
        )
    return rows if n is None or n >= len(rows) else rows.take(slice(0, n)), classes


def _not_trained_on(rows: Split, source: str, run: OpenRun) -> Split:
    """The rows, less those that training and validation carved from the same source."""
    import torch

    own = (run.record.source or {}).get("source")
    if own is None or Path(source).expanduser().resolve() != Path(own).resolve():
        return rows
    data = run.data()
    seen = torch.cat([data.train.numbers, data.valid.numbers])
    if int(seen.max()) >= len(rows):  # the source has a test split of its own
        return rows
    first = data.train.x[:1], rows.x[data.train.numbers[:1]]
    if not torch.equal(*(x.double().nan_to_num() for x in first)):
        return rows
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[seen] = False
    show_notes([f"Left out: {len(seen)} of {len(rows)} rows, which the model was trained on."])
    return rows.take(kept.nonzero().flatten())


def _odd(
    rows: Split,
    classes: tuple[str, ...],
    anomalous: list[str] | None,
    normal: list[str] | None,
    run: OpenRun | None,
) -> Tensor | None:
    """Which examples are to rank high, (N,); None where nobody says.

    Args:
        rows, classes: the examples, and the names of their classes.
        anomalous, normal: the classes that are asked for.
        run: whose own examples they are; None: others.
    """
    import torch

    name, asked = ("anomalous", anomalous) if anomalous else ("normal", normal)
    if not asked:
        return None
    if anomalous and normal:
        raise ValueError("anomalous, normal: expected one of them, got both")
    if rows.labels is None:
        raise ValueError(
            f"{name}: the examples have no labels; of a table, name their column with --label"
        )
    for word in asked:
        if word not in classes:
            raise ValueError(_unknown(name, word, classes, run))
    chosen = torch.isin(rows.labels.cpu(), torch.tensor([classes.index(word) for word in asked]))
    if chosen.all() or not chosen.any():
        which = "all" if chosen.all() else "none"
        raise ValueError(
            f"{name}: {which} of the {len(rows)} examples are of {listed(asked)}; to see how they "
            "rank, give examples of other classes beside them"
        )
    return chosen if anomalous else ~chosen


def _unknown(name: str, word: str, classes: tuple[str, ...], run: OpenRun | None) -> str:
    recipe = {} if run is None else run.record.source or {}
    only, without = recipe.get("only", ()), recipe.get("without", ())
    if run is not None and (word in without or only):
        words = [run.path, recipe.get("source", "EXAMPLES"), f"--{name}", word]
        words += ["--label", recipe["label"]] if "label" in recipe else []
        return (
            f"{name}: training left out class {word!r}, and so do its splits; give the data "
            f"themselves: reparam anomaly {shlex.join(map(str, words))}"
        )
    known = listed(classes, 10) or "no classes"
    return f"{name}: expected one of {known}, got {word!r}{did_you_mean(word, classes)}"


def _measured(run: OpenRun, chosen: By, given: bool) -> tuple[Split | None, list[By]]:
    """The training rows, where they can be had, and the scores that can be found with them."""
    from reparam.use.anomalies import known_scores, needs_training

    names = sorted(known_scores(run.model), key=lambda name: name != chosen)
    needy = [name for name in names if needs_training(run.model, name)]
    if not needy:
        return None, names
    try:
        return run.data().train, names
    except (ValueError, OSError) as error:
        if chosen in needy or not given:
            raise
        show_notes([f"Not measured: {listed(needy)}, of training rows. {error}"])
        return None, [name for name in names if name not in needy]


def _show_ranking(found: Mapping[str, AnomalyScores], odd: Tensor, part: str) -> None:
    """How well each score ranks the anomalous examples, one line for each."""
    from reparam.evaluation.ranking import auroc, average_precision

    scores = {
        name: (auroc(of.score, odd, part), average_precision(of.score, odd, part))
        for name, of in found.items()
    }
    lines = [
        [name, value_text("auroc", area), value_text("average_precision", precision)]
        for name, (area, precision) in scores.items()
    ]
    show(rows_table(["score", "AUROC", "average precision"], lines))
    many, n = int(odd.sum()), len(odd)
    chance = f"by chance 0.5 and {many / n:.3g}"
    notes = [f"{name}: {note}" for name, (area, _) in scores.items() for note in area.notes]
    show_notes([f"± one standard error; {many} anomalous of {n} examples, {chance}.", *notes])
