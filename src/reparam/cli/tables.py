"""What commands print: tables on the output stream."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reparam.measures import HEADLINES, measure
from reparam.terminal import console, printable

if TYPE_CHECKING:
    from reparam.evaluation import Score, Scores

OVER_SEEDS = "± one standard error over the examples, (±) over the seeds"
ACCURACIES = "accuracies: 95 % interval in brackets"


def show(content: RenderableType) -> None:
    """Print to the output stream; of several processes, the first does."""
    if _speaks():
        console().print(content)


def named(text: object) -> str:
    """A name of a user's in a sentence for ``show``: as it is, brackets being no markup."""
    return escape(printable(text))


def told(path: object) -> str:
    """The same in bold."""
    return f"[bold]{named(path)}[/bold]"


def show_notes(notes: Iterable[str]) -> None:
    """What was decided on the way, quietly."""
    for note in notes if _speaks() else ():
        console().print(Text(f"  • {printable(note)}"), style="dim")


def _speaks() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def key_values(rows: Mapping[str, str]) -> Table:
    """Two columns without lines."""
    table = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        table.add_row(Text(printable(key), "bold"), Text(printable(value)))
    return table


def rows_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table of text."""
    table = Table(*header, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


REFERENCE = "training data"  # in place of samples: a row, or a column, beside models


def score_table(scores: Scores, reference: Scores | None = None) -> Table:
    """One model: a row per score, with its unit and protocol.

    Args:
        scores: by name.
        reference: what training data score in place of samples, a column without errors.
    """
    beside = {name: replace(score, stderr=None) for name, score in (reference or {}).items()}
    table = Table(box=None, header_style="bold")
    for heading in ("score", "value", *([REFERENCE.replace(" ", "\n")] if beside else [])):
        table.add_column(heading, no_wrap=True)
    for heading in ("unit", "measured on"):
        table.add_column(heading)
    for name, score in scores.items():
        data = [value_text(name, beside.get(name))] if beside else []
        cells = (name, value_text(name, score), *data, score.unit, _protocol(score))
        table.add_row(*map(Text, cells))
    return table


def comparison_table(models: Mapping[str, Scores], width: int | None = None) -> Table:
    """Several models: a row each, with the scores that one looks at first.

    Args:
        models: their scores by label.
        width: characters in a line, None: of the terminal; where they are few, labels are broken
            between words and errors stand below their values, but nothing is cut off.
    """
    from reparam.evaluation.scores import groups_in_order  # torch, which takes a second

    groups = groups_in_order(models.values())
    there = [name for name in HEADLINES if any(name in scores for scores in models.values())]
    there.sort(key=lambda name: groups.index(measure(name).group))
    rows = {
        label: [printable(label), *(value_text(name, scores.get(name)) for name in there)]
        for label, scores in models.items()
    }
    headings = ["model", *(HEADLINES[name] for name in there)]
    widest = [max(map(len, lines)) for lines in _lines_by_column([headings, *rows.values()])]
    narrow = sum(widest) + 2 * len(widest) > (width or console().width)
    if narrow:
        rows = {k: [_broken(cell) for cell in row] for k, row in rows.items()}
    found = [score for scores in models.values() for score in scores.values()]
    several = any(score.seed_stderr is not None for score in found)
    shares = any(score.interval is not None for score in found)
    table = Table(
        box=None,
        header_style="bold",
        padding=(0, 2, 0, 0),
        caption=", ".join([OVER_SEEDS] * several + [ACCURACIES] * shares) or None,
        caption_justify="left",
    )
    words = [" ".join(lines).split() for lines in _lines_by_column([headings, *rows.values()])]
    for heading, in_column in zip(headings, words, strict=True):
        table.add_column(heading, min_width=max(map(len, in_column)), overflow="fold")
    for row in rows.values():
        table.add_row(*map(Text, row))
    return table


def _broken(cell: str) -> str:
    """Errors and intervals below their value."""
    return cell.replace(" ± ", "\n± ").replace(" (", "\n(").replace("–", "–\n")


def _lines_by_column(rows: Iterable[Iterable[str]]) -> list[list[str]]:
    """The lines of all cells of each column."""
    columns = zip(*rows, strict=True)
    return [[line for cell in column for line in cell.split("\n")] for column in columns]


def _protocol(score: Score) -> str:
    drawn = "" if score.samples is None else f", {score.samples:,} samples"
    binned = "" if score.bins is None else f", {score.bins} bins".replace("levels", "as many")
    by = "" if score.predictor is None else f", {score.predictor}"
    return f"{score.n:,} {score.counted.removesuffix(' examples')}{drawn}{binned}{by}"


def value_text(name: str, score: Score | None) -> str:
    """A value with its mark and errors; a dash where the model does not define it.

    >>> from reparam.evaluation import Score
    >>> value_text("elbo", Score(-88.71, "nats", 100, "test", stderr=0.25, kind="lower bound"))
    '≥ -88.71 ± 0.25'
    >>> value_text("elbo", Score(-88.71, "nats", 100, "test", stderr=0.25, seed_stderr=0.031))
    '-88.71 ± 0.25 (±0.031)'
    >>> value_text("linear_probe_accuracy", Score(1.0, "accuracy", 30, "test", stderr=0.0))
    '1.000 (0.886–1.000)'
    """
    if score is None:
        return "—"
    from reparam.evaluation.scores import mark

    sign = mark(score, name)
    over_seeds = ""
    if score.seed_stderr is not None:
        over_seeds = f" (±{score.seed_stderr:.{decimals(score.seed_stderr)}f})"
    if score.interval is not None:  # a standard error of 0 would be none
        low, high = score.interval
        return f"{sign} {score.value:.3f} ({low:.3f}–{high:.3f}){over_seeds}".strip()
    rounded = score.seed_stderr if score.stderr is None else score.stderr
    if rounded is None:
        number = f"{score.value:,.0f}" if abs(score.value) >= 100 else f"{score.value:.3g}"
        return f"{sign} {number}".strip()
    digits = decimals(rounded)
    over_examples = "" if score.stderr is None else f" ± {score.stderr:.{digits}f}"
    return f"{sign} {score.value:.{digits}f}{over_examples}{over_seeds}".strip()


def decimals(stderr: float) -> int:
    """Decimals that show two digits of the error, at most 6.

    >>> decimals(0.25), decimals(0.0123), decimals(12.0)
    (2, 3, 0)
    """
    digits = 0
    while digits < 6 and 0 < stderr * 10**digits < 9.95:
        digits += 1
    return digits
