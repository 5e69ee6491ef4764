"""Scores of a table by column: what each costs in nats, and how far its reconstruction is off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from reparam.data import Split, as_data
from reparam.evaluation.modes import evaluating
from reparam.evaluation.rows import seeded_batches
from reparam.evaluation.scores import Score, mean_score, share_score
from reparam.model import Batch, Codec, Density, LatentVariable, Model
from reparam.space import Column, Space

RMS = "root mean square, in the column's unit"
Given = Literal["z", "what is before"]


@dataclass(frozen=True)
class ColumnScores:
    """What a model makes of one column of a split, over the cells that are there.

    Args:
        column: its name and kind.
        log_prob: mean log p(x_j | ``given``) in nats, of real columns per their unit; None where a
            model has no such terms.
        given: one draw z ~ q(z|x), or the columns before in the order of an autoregressive model.
        error: of its reconstruction: of numbers the root mean square in the column's unit, of flags
            and names the accuracy; None for models without reconstructions.
        constant: that of one answer for all rows, the training mean or most frequent value.
        missing: cells of the split that are missing.
    """

    column: Column
    log_prob: Score | None
    given: Given | None
    error: Score | None
    constant: Score | None
    missing: int


def by_column(model: Model, data: Any, *, split: str = "test", seed: int = 0) -> list[ColumnScores]:
    """What a model makes of every column of a table.

    Args:
        model: of a table; it is measured in evaluation mode and left in the mode it was in.
        data: of the model's space; what is no ``Data`` is read and carved as ``fit`` does it.
        split: ``"test"``, ``"valid"`` or ``"train"``.
        seed: of the draws of z.

    Raises:
        ValueError: images.

    >>> import reparam as rp
    >>> columns = (rp.Column("city", "category", 3), rp.Column("owned", "binary"))
    >>> part = rp.Split(torch.tensor([[0.0, 1], [2, 0], [2, torch.nan]]))
    >>> data = rp.Data(part, part, part, rp.Space((2,), "mixed", columns=columns), "three")
    >>> city, owned = by_column(rp.build("made", data.space, hidden=(4,), seed=0), data)
    >>> city.given, city.constant.value == 2 / 3, owned.missing
    ('what is before', True, 1)
    """
    data = as_data(data, model.space)
    if data.space.is_image:
        raise ValueError("by_column: expected a table, got images")
    rows, columns = data.splits[split], table_columns(data.space, data.columns)
    with evaluating([model]):
        terms, given = _terms(model, rows, seed)
        restored = _restored(model, rows, seed)
    found = []
    for index, column in enumerate(columns):
        x = rows.x[:, index].cpu().double()
        there = ~x.isnan()
        log_prob = None
        if terms is not None and there.any():
            log_prob = mean_score(terms[there, index], "nats", split, seed=_seed(given, seed))
        other = None if restored is None else restored[:, index]
        stand_in = constant_answer(column, data.train.x[:, index])
        error, constant = (
            None if answer is None else column_error(column, answer[there], x[there], split)
            for answer in (other, torch.full_like(x, stand_in))
        )
        missing = int((~there).sum())
        found.append(ColumnScores(column, log_prob, given, error, constant, missing))
    return found


def table_columns(space: Space, names: Sequence[str] | None) -> tuple[Column, ...]:
    """The columns of a table, x1 … where they have no names; of one kind where it is not mixed."""
    if space.columns:
        return space.columns
    assert space.kind != "mixed"
    names = names or [f"x{i + 1}" for i in range(space.dimension)]
    return tuple(Column(name, space.kind, space.levels) for name in names)


def is_number(column: Column) -> bool:
    """Whether values of a column have differences: not those of flags and names."""
    return column.kind not in ("binary", "category")


def constant_answer(column: Column, train: Tensor) -> float:
    """The mean of the cells that are there (N,), of flags and names the most frequent value.

    >>> constant_answer(Column("city", "category", 3), torch.tensor([2.0, 0, 2, torch.nan]))
    2.0
    """
    values = train[~train.isnan()].cpu().double()
    if is_number(column):
        return values.mean().item()
    return float((values - column.low).long().bincount(minlength=1).argmax() + column.low)


def column_error(column: Column, answer: Tensor, x: Tensor, name: str) -> Score | None:
    """How far answers (N,) are off: root mean square, of flags and names the accuracy.

    The standard error of a root is that of what is under it over twice the root.

    >>> answer, x = torch.tensor([1.0, 7.0]), torch.tensor([1.0, 3.0])
    >>> round(column_error(Column("age", "real"), answer, x, "test").value, 6)
    2.828427
    >>> column_error(Column("owned", "binary"), torch.tensor([0.4]), torch.zeros(1), "test").value
    1.0
    """
    if not len(x):
        return None
    answer, x = answer.cpu().double(), x.cpu().double()
    if not is_number(column):
        halves = (answer - column.low + 0.5).floor() + column.low  # probabilities of flags
        return share_score(halves == x, name)
    squares = (answer - x).square()
    root = squares.mean().sqrt()
    # What each cell adds to the root, to first order, so that answers compare cell by cell.
    values = root + (squares - squares.mean()) / (2 * root) if root > 0 else squares
    return replace(mean_score(values, RMS, name), value=root.item())


def _seed(given: Given | None, seed: int) -> int | None:
    return seed if given == "z" else None


def _terms(model: Model, split: Split, seed: int) -> tuple[Tensor | None, Given | None]:
    """log p of every cell (N, D) on the CPU, 0 of what is missing, and given what it is."""
    if isinstance(model, LatentVariable):

        def reconstruction(batch: Batch) -> Tensor:
            z = model.posterior(batch.x, batch.c).rsample()
            x, c = model.prepare(batch.x, batch.c)
            return model.likelihood(z, c).log_prob_terms(x)

        return _by_cell(model, split, seed, reconstruction), "z"
    if not isinstance(model, Density) or model.log_prob_draws:
        return None, None
    factors = _by_cell(model, split, seed, lambda b: model.log_prob(b.x, b.c).per_dimension)
    return factors, None if factors is None else "what is before"


def _restored(model: Model, split: Split, seed: int) -> Tensor | None:
    if not isinstance(model, Codec):
        return None
    return _by_cell(model, split, seed, lambda b: model.reconstruct(b.x, b.c))


def _by_cell(
    model: Model, split: Split, seed: int, find: Callable[[Batch], Tensor | None]
) -> Tensor | None:
    """What there is to find for every cell, (N, D) in float64; None where it is not by cell."""
    parts = []
    for batch, own_noise in seeded_batches(model, split, seed):
        with own_noise:
            part = find(batch)
        if part is None or part.shape != batch.x.shape:
            return None
        parts.append(part.cpu().double())
    return torch.cat(parts)
