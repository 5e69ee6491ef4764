"""How well missing cells are filled: errors on cells of a table that are hidden on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reparam.data import Data, Split, condition
from reparam.evaluation.column_scores import (
    column_error,
    constant_answer,
    is_number,
    table_columns,
)
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.evaluation.vectors import Vectors
from reparam.model import Completer, LatentVariable, Model
from reparam.space import Column
from reparam.use.imputation import impute

SHARE, MOST_ROWS, MOST_FITTED = 0.2, 200, 5000
MOST_NUMBERS = 100  # in a vector that is regressed on itself: seconds
DRAWS, STEPS = 20, 50


@dataclass(frozen=True)
class HiddenCells:
    """Rows of a split some of whose cells are hidden.

    Args:
        seen: the rows as they are given, NaN where a cell is hidden or was missing before.
        x: the rows as they are, (N, D).
        hidden: which cells are hidden, (N, D); all of them are there in ``x``.
        columns: of x.
        name: of the split.
        seed: of the rows and of what is hidden.
    """

    seen: Split
    x: Tensor
    hidden: Tensor
    columns: Sequence[Column]
    name: str
    seed: int


def hide(
    data: Data, split: str = "test", share: float = SHARE, seed: int = 0, rows: int = MOST_ROWS
) -> HiddenCells:
    """Some rows of a table with each cell that is there hidden by chance.

    Args:
        data: a table.
        split: of which rows are taken.
        share: the probability of a cell to be hidden.
        seed: of all chance.
        rows: at most, drawn at random.
    """
    chosen = subset(data.splits[split], rows, seed)
    x = chosen.x.cpu().double()
    uniform = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    hidden = (uniform < share) & ~x.isnan()
    seen = replace(chosen, x=torch.where(hidden, torch.nan, x))
    return HiddenCells(seen, x, hidden, table_columns(data.space, data.columns), split, seed)


def imputation_errors(cells: HiddenCells, answers: Tensor) -> list[Score | None]:
    """By column how far answers (N, D) to the hidden cells are off, as ``column_error`` has it.

    None of a column of which no cell is hidden.
    """
    return [
        _seeded(column_error(column, answers[at, i], cells.x[at, i], cells.name), cells.seed)
        for i, (column, at) in enumerate(zip(cells.columns, cells.hidden.T, strict=True))
    ]


def fills(model: Model, cells: HiddenCells) -> bool:
    """Whether the model has p(hidden | seen) of these patterns."""
    if isinstance(model, Completer):
        try:
            model.refuse_given(~cells.seen.x.isnan())
        except ValueError:  # as of an autoregressive model, in whose order they do not come last
            return False
    return model.takes_missing and isinstance(model, Completer | LatentVariable)


@torch.no_grad()
def drawn_answers(
    model: Model, cells: HiddenCells, draws: int = DRAWS, steps: int = STEPS
) -> Tensor:
    """The mean of draws of ``impute``, of flags and names the most frequent, (N, D).

    The mean of many draws is what has the least squared error; a single draw has twice the
    conditional variance.

    Args:
        model: one that ``fills`` them.
        cells: of a table.
        draws: of each row.
        steps: of a chain, where draws come from chains.
    """
    c = condition(model, cells.seen)
    generator = torch.Generator().manual_seed(cells.seed)
    filled = impute(model, cells.seen.x, c, draws=draws, steps=steps, generator=generator)
    x = filled.x.cpu().double()
    numbers = torch.tensor([is_number(column) for column in cells.columns])
    return torch.where(numbers, x.mean(1), x.mode(1).values)


def constant_answers(data: Data, cells: HiddenCells) -> Tensor:
    """The training mean, of flags and names the most frequent value, for every row, (N, D)."""
    train = data.train.x
    row = [constant_answer(column, train[:, i]) for i, column in enumerate(cells.columns)]
    return torch.tensor(row, dtype=torch.float64).expand(cells.x.shape)


def iterative_answers(data: Data, cells: HiddenCells) -> Tensor | None:
    """What scikit-learn's ``IterativeImputer`` says, (N, D): a regression of each column on others.

    It is fitted to training rows, 5000 at most, as ``Vectors``: names are one-hot, and the largest
    of their numbers is the answer. None where these have more than 100 numbers, of which each would
    be regressed on all others, round by round.
    """
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    vectors = Vectors(data.space, data.train.x)
    if vectors.width > MOST_NUMBERS:
        return None
    rows = subset(data.train, MOST_FITTED, cells.seed).x
    fitted, asked = (
        torch.where(x[:, vectors.entries].isnan(), torch.nan, vectors(x)).numpy()
        for x in (rows.cpu().double(), cells.seen.x)
    )
    imputer = IterativeImputer(random_state=cells.seed, keep_empty_features=True, max_iter=20)
    return vectors.inverse(torch.from_numpy(imputer.fit(fitted).transform(asked)))


def _seeded(score: Score | None, seed: int) -> Score | None:
    return None if score is None else replace(score, seed=seed)
