"""Commands that look: which models and data there are, and how good a run is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from reparam.cli.options import BY_RULES, PATH, Coded, DataOptions, Force, Samples, Seed, Source
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import (
    key_values,
    rows_table,
    score_table,
    show,
    show_notes,
)
from reparam.progress import bar

NAMES = 26  # characters that a column of models takes
DRAWN = (".png", ".svg", ".pdf")  # what figures are written as
NAMED = 50  # columns that are named where data are described


def models(
    name: Annotated[str | None, Parameter(help="A model; none: list them all.")] = None, /
) -> None:
    """List the models, or describe one: its parameters, its paper, its data."""
    from reparam.presets import by_family, find_preset
    from reparam.presets.likelihoods import likelihoods

    if name is None:
        for family, presets in by_family().items():
            show(rows_table((family.ljust(NAMES), ""), [(p.name, p.summary) for p in presets]))
        return
    preset = find_preset(name)
    accepts = preset.accepts
    forms = [word for word, on in (("images", accepts.images), ("vectors", accepts.vectors)) if on]
    show(
        key_values(
            {
                "model": preset.name,
                "what it is": preset.summary,
                **({"when to use it": preset.when} if preset.when else {}),
                "paper": preset.paper,
                "data": f"{', '.join(accepts.kinds)}; {' and '.join(forms)}",
            }
        )
    )
    parameters = [
        (p.name, p.type_name, p.shown_default, p.meaning) for p in preset.parameters.values()
    ]
    show(rows_table(("parameter", "type", "default", "meaning"), parameters))
    fitting = [
        (kind, first, ", ".join(others)) for kind, (first, *others) in likelihoods(preset).items()
    ]
    if fitting:
        show(rows_table(("data", "likelihood by default", "others"), fitting))


def data(source: Source | None = None, /, *, options: DataOptions = BY_RULES) -> None:
    """List the named data sets, or describe one of them or your own, a table by its columns."""
    from reparam.data import describe, describe_columns, sources
    from reparam.wording import listed

    if source is None:
        show(rows_table(("name", "what it is"), sources()))
        return
    data = options.load(source)
    facts = describe(data)
    if data.columns is not None:
        facts["columns"] = listed(data.columns, NAMED)
    show(key_values(facts))
    for headings, rows in describe_columns(data).items():
        show(rows_table(headings, rows))
    show_notes(data.notes)


def evaluate(
    run: Run,
    /,
    *,
    samples: Samples = None,
    split: Annotated[str, Parameter(help="train, valid or test.")] = "test",
    seed: Seed = 0,
    coded: Coded = False,
    json: Annotated[Path | None, PATH, Parameter(help="Also write the scores there.")] = None,
    where: Where = HERE,
) -> None:
    """Measure a run: every score its model defines, with its uncertainty and protocol."""
    from reparam.atomic import check_place
    from reparam.checkpoint import write_json
    from reparam.comparison import Candidate, scores_json
    from reparam.evaluation import evaluate as measure
    from reparam.evaluation import reference_scores, too_few
    from reparam.evaluation.absent import left_out
    from reparam.evaluation.diagnosis import diagnose
    from reparam.evaluation.file_length import coded_name, why_no_file
    from reparam.model import Generator

    if json is not None:
        check_place(json)
    opened = where.open(run)
    data, model, history = opened.data(), opened.model, opened.history()
    recipe = model.recipe or {"preset": str(run), "parameters": {}}
    label = Candidate(**recipe).label
    asked: dict[str, Any] = {"split": split, "samples": samples, "seed": seed, "coded": coded}
    generates = isinstance(model, Generator)
    with bar(f"measuring {label} on {data.name}") as watch:
        scores = measure(model, data, **asked, history=history, watch=watch)
        reference = reference_scores(data, split, seed=seed) if generates else {}
    try:
        show(score_table(scores, reference))
    finally:  # neither a stream nor a disk that fails loses what was measured
        if json is not None:
            write_json(json, scores_json(data, {label: scores}, reference))
    told = [scores[k] for k in ("log_likelihood", coded_name(model)) if k in scores]
    notes = [
        *(note for score in told for note in score.notes),
        *(why_no_file(model) if coded else []),
        *left_out(model, scores),
        *(too_few(data, split) if generates else []),
    ]
    show_notes([*notes, *diagnose(model, data.splits[split], seed)])


def gallery(
    bend: Annotated[Literal["planar", "radial"], Parameter(help="Kind of the layers.")] = "planar",
    /,
    *,
    out: Annotated[Path, PATH, Parameter(alias="-o", help="A .png, .svg or .pdf file.")] = Path(
        "gallery.png"
    ),
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Draw what 1, 2 and 10 random layers of a flow do to a normal and a uniform density."""
    from reparam.atomic import write_atomically
    from reparam.report.bends import draw_bends

    check_drawing(out, force)
    write_atomically(out, draw_bends(bend, seed).savefig)
    show(f"{bend} layers in {out}")


def check_drawing(out: Path, force: bool, endings: Sequence[str] = DRAWN) -> None:
    """ValueError where no figure can be written; before any work is done."""
    from reparam.atomic import check_place

    if out.suffix.lower() not in endings:
        raise ValueError(f"{out}: expected a name ending in {', '.join(endings)}")
    check_place(out)
    if out.exists() and not force:
        raise ValueError(f"{out}: exists already; choose another name or --force")
