"""Missing cells of a table, filled as the command that completes examples does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reparam.cli.examples import examples_of
from reparam.cli.runs import OpenRun, recipe_of
from reparam.cli.tables import show, show_notes, told
from reparam.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.cli.outputs import Target
    from reparam.data import Split
    from reparam.use.imputation import Imputation

FEW = 0.05  # accepted proposals of q under which chains may not have forgotten where they began


@dataclass(frozen=True)
class Source:
    """Where the rows are: examples of the user's and their label column, or a split of the run's.

    Args:
        examples: a file, or none.
        label: the column of labels in it.
        split: of the run's data, where no examples are given.
    """

    examples: str | None
    label: str | None
    split: str

    def text(self, run: OpenRun) -> Path | None:
        """The text table that holds the rows, if one does."""
        from reparam.data.tables.table_columns import TEXT

        recipe, path = recipe_of(run.recorded, run.moved), self.examples
        if path is None:
            path = recipe.get("test" if self.split == "test" and "test" in recipe else "source")
        if path is None or Path(path).suffix.lower() not in TEXT:
            return None
        return Path(path).expanduser()


def fill(
    run: OpenRun,
    source: Source,
    target: Target,
    n: int | None,
    draws: int,
    steps: int,
    seed: int,
) -> None:
    """Write rows with their missing cells drawn from p(x_missing | x_observed).

    Args:
        run: of a table whose columns have kinds.
        source: of the rows.
        target: where they go: a text table as it is written, or numbers.
        n: how many rows; None: all.
        draws: of each row.
        steps: of each Markov chain, where the model needs them.
        seed: of the draws.

    Raises:
        ValueError: a model that cannot, or rows in which no cell is missing.
    """
    from reparam.data.own_rows import layout_alike
    from reparam.data.tables.filled_text import Filled, write_filled

    _refuse(run, draws, steps)
    found = examples_of(source.examples, run, source.label, n, part=source.split)
    holes = found.x.isnan()
    if not holes.any():
        raise ValueError(
            f"{source.examples or source.split}: no cell is missing; to draw cells that are there "
            "anew, say with --keep which share of the columns is given, the first ones"
        )
    x, imputed = _filled(run, found, holes, draws, steps, seed)
    path, columns = source.text(run), run.record.columns or ()
    layout = None
    if path is not None and target.path.suffix.lower() == ".csv":
        layout = layout_alike(path, run.record, source.label)
    # A table of names of which flags were made cannot hold what is drawn of each flag.
    if path is not None and layout is not None and {*columns} <= {*layout.names}:
        from reparam.atomic import write_atomically

        space = run.record.space
        arrays = (found.numbers.numpy(), found.x.numpy(), x.numpy())
        filled = Filled(path, layout, columns, space, *arrays)
        write_atomically(target.path, lambda file: write_filled(file, filled))
    else:
        _emit(run, found, x, target)
    several = f", {draws} draws of each" if draws > 1 else ""
    cells, rows = counted(int(holes.sum()), "missing cell"), int(holes.any(1).sum())
    show(f"{cells} of {counted(rows, 'row')} filled in {told(target.path)}{several}")
    _show_chains(imputed)


def _refuse(run: OpenRun, draws: int, steps: int) -> None:
    """ValueError where nothing can be drawn, before the rows are read."""
    from reparam.model import Completer, LatentVariable, positive_count

    positive_count("draws", draws)
    positive_count("steps", steps)
    model = run.model
    if not (model.takes_missing and isinstance(model, Completer | LatentVariable)):
        name, or_keep = type(model).__name__, ""
        if isinstance(model, Completer):  # of a part of every row, that is
            or_keep = "give the columns that stay by --keep, or "
        raise ValueError(
            f"{run.path}: {name} draws no missing cells given the others; {or_keep}use a VAE, PCA "
            "or an autoregressive model"
        )


def _filled(
    run: OpenRun, split: Split, holes: Tensor, draws: int, steps: int, seed: int
) -> tuple[Tensor, Imputation]:
    """x with filled cells (N, draws, D), and how the rows with missing cells were drawn."""
    import torch

    from reparam.data import condition
    from reparam.model import Completer
    from reparam.use.imputation import impute

    model, rows = run.model, holes.any(1).nonzero().flatten()
    if isinstance(model, Completer):
        model.refuse_given(~holes)  # of all rows, which messages count
    few = split.take(rows)
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    c = condition(model, few)
    imputed = impute(model, few.x, c, draws=draws, steps=steps, generator=generator)
    x = split.x[:, None].repeat(1, draws, 1).to(imputed.x.dtype)
    x[rows] = imputed.x.cpu()
    return x, imputed


def _emit(run: OpenRun, split: Split, x: Tensor, target: Target) -> None:
    """The columns that the model has, beside the numbers of rows and draws."""
    from reparam.cli.outputs import Result, beside_draws, emit

    each = beside_draws(split, run.record, x.shape[1])
    emit(Result({"x": x.flatten(0, 1), **each}, run.record.columns), target, run.record)


def _show_chains(imputed: Imputation) -> None:
    if imputed.steps is None or imputed.acceptance is None:
        show("drawn exactly")
    else:
        show_chains(imputed.steps, imputed.acceptance)


def show_chains(steps: int, accepted: float) -> None:
    """How chains drew, and what to do where they hardly moved."""
    show(
        f"by chains of {counted(steps, 'step')}, of whose proposals by q(z|x) {accepted:.1%} were "
        "accepted"
    )
    if accepted < FEW:
        show_notes([f"Few proposals are accepted: try more steps, --steps {10 * steps}."])
