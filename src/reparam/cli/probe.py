"""The command that says how well few labels do with the codes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from reparam.cli.options import PATH, Force
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import named, rows_table, show, show_notes
from reparam.progress import bar
from reparam.wording import listed

if TYPE_CHECKING:
    from rich.table import Table

    from reparam.data.few_labels import Count
    from reparam.evaluation.probing import Probe, Probing


def parse_labels(text: str) -> tuple[Count, ...]:
    """Numbers of labels, as they are typed.

    >>> parse_labels("10,100,all")
    (10, 100, 'all')
    """
    words = [word.strip() for word in text.split(",")]
    wrong = next((word for word in words if word != "all" and not word.isdigit()), None)
    if wrong is not None:
        raise ValueError(f"labels: expected numbers or all, as 10,100,all, got {wrong!r}")
    return tuple("all" if word == "all" else int(word) for word in words)


def _labels(kind: object, tokens: Sequence[Token]) -> tuple[Count, ...]:
    return parse_labels(tokens[0].value)


Labels = Annotated[
    tuple[int | str, ...] | None,
    Parameter(
        converter=_labels,
        n_tokens=1,
        metavar="INT,…",
        help="How many labels there are, or all; none: those of 10,100,1000,all that there are.",
    ),
]
Draws = Annotated[int, Parameter(help="Draws of the labels.")]


def probe(
    run: Run,
    data: Annotated[
        str | None, Parameter(help="Labeled data of the same shape; none: the run's own.")
    ] = None,
    /,
    *,
    labels: Labels = None,
    seeds: Draws = 3,
    out: Annotated[
        Path | None, PATH, Parameter(alias="-o", help="Also write accuracies there, a .json.")
    ] = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Accuracy of logistic regression from codes to labels, where these are few; codes stay."""
    from reparam.atomic import check_place
    from reparam.checkpoint import write_json
    from reparam.evaluation import probing

    if out is not None:
        if out.suffix.lower() != ".json":
            raise ValueError(f"out: expected the name of a .json, got {out}")
        check_place(out)
        if out.exists() and not force:
            raise ValueError(f"{out}: exists already; choose another name or --force")
    opened = where.open(run)
    model = probing.refuse_probe(opened.model)
    loaded = opened.labeled_data(data)
    with bar("probing") as watch:
        found = probing.probe(model, loaded, counts(labels), seeds, watch=watch)
    show(probe_table(found))
    show_notes(_notes(found))
    if out is not None:
        write_json(out, {"run": str(run), **found.to_json()})
        show(f"accuracies in {named(out)}")


def counts(labels: Sequence[int | str] | None) -> tuple[Count, ...] | None:
    """Numbers of labels as functions take them."""
    if labels is None:
        return None
    return tuple("all" if isinstance(n, str) else n for n in labels)


def probe_table(found: Probing) -> Table:
    """A row for each number of labels, a column for each kind of features."""
    kinds = list(dict.fromkeys(probe.features for probe in found.probes))
    numbers = list(dict.fromkeys(probe.labels for probe in found.probes))
    rows = [(str(n), *(_accuracy(found[n, kind]) for kind in kinds)) for n in numbers]
    return rows_table(("labels", *kinds), rows)


def _accuracy(probe: Probe) -> str:
    return percent(probe.mean, probe.spread)


def percent(mean: float, spread: float | None) -> str:
    """A share and its standard deviation over draws in percent.

    >>> percent(0.9512, 0.011), percent(0.9512, None)
    ('95.1 ± 1.1', '95.1')
    """
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def percent_of(n: int, seeds: int, error: float) -> str:
    """What accuracies in percent are of, and how sure.

    Args:
        n: test examples.
        seeds: draws of labels, over which they vary.
        error: the largest standard error of a share of these examples.
    """
    over = f", ± standard deviation over {seeds} draws of labels" if seeds > 1 else ""
    return (
        f"Percent of {n} test examples{over}; of one draw the standard error over examples is "
        f"{100 * error:.1f} at most."
    )


def _notes(found: Probing) -> list[str]:
    """What the numbers are, and where nothing was chosen or not all was read."""
    n = found.probes[0].n
    error = max(probe.stderr for probe in found.probes)
    spread = any(probe.spread is not None for probe in found.probes)
    notes = [percent_of(n, len(found.seeds) if spread else 1, error)]
    unchosen = [str(p.labels) for p in found.probes if p.strengths and not p.chosen]
    if unchosen:
        few = listed(list(dict.fromkeys(unchosen)))
        notes.append(f"With {few} labels none is held out: the strength of regularization is 1.")
    less = [p for p in found.probes if p.labels == "all" and p.fitted < found.rows]
    notes += [f"Of the {p.features} {p.fitted} of {found.rows} rows were read." for p in less]
    return notes
