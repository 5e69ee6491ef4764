"""The command that draws a single figure of a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from reparam.cli.look import check_drawing
from reparam.cli.options import PATH, Force, Seed, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import rows_table, show, told
from reparam.progress import bar

if TYPE_CHECKING:
    from reparam.data import Data
    from reparam.report import TrainedModel


def figure(
    run: Run,
    name: Annotated[
        str | None, Parameter(help="Of the figure, as latent; none: list those there are.")
    ] = None,
    /,
    *,
    out: Annotated[
        Path | None, PATH, Parameter(alias="-o", help="The drawing, an SVG; none: NAME.svg.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        option(metavar="RUN", help="Another run of the same data; may be repeated."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Draw one figure of a report about a run, or about several: a file with nothing around it."""
    from reparam.checkpoint import write_text
    from reparam.report.section import Shown
    from reparam.report.single_figure import (
        draw_figure,
        figure_names,
        scores_needed,
        section_named,
    )

    out = out or Path(f"{name}.svg")
    opened = [where.open(path) for path in (run, *(beside or ()))]
    if name is not None:
        check_drawing(out, force, (".svg",))
    data = opened[0].data()
    for one in opened[1:]:
        _same_data(one, data)
    shown = Shown(data, [_entry(one, data, None) for one in opened])
    if name is None:
        show(rows_table(("figure", "what it is"), list(figure_names(shown).items())))
        return
    section_named(name, shown)  # refused before anything is measured
    with bar(f"drawing {name}"):
        entries = [_entry(one, data, scores_needed(name)) for one in opened]
        drawn = draw_figure(name, data, entries, seed=seed)
    write_text(out, drawn)
    show(f"{name} in {told(out)}")


def _same_data(run: OpenRun, data: Data) -> None:
    if run.recorded["fingerprint"] != data.fingerprint():
        raise ValueError(f"beside: expected runs of {data.name}, got {run.path} of other data")


def _entry(run: OpenRun, data: Data, asked: dict[str, Any] | None) -> TrainedModel:
    """The model as reports show it, called as one would type it."""
    from reparam.comparison import Candidate
    from reparam.evaluation import evaluate
    from reparam.report import TrainedModel
    from reparam.train import History

    history = run.history() or History()
    label = Candidate(**run.model.recipe).label if run.model.recipe else run.path.name
    scores = {} if asked is None else evaluate(run.model, data, history=history, **asked)
    config = None if run.folder is None else run.folder.config()
    return TrainedModel(label, run.model, scores, history, config)
