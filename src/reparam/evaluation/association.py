"""How strongly pairs of columns of a table depend on each other, whatever their kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.stats import rankdata
from torch import Tensor

from reparam.space import Column


def association(x: Tensor, columns: Sequence[Column]) -> Tensor:
    """A number for every pair of columns, (D, D), over the rows in which both cells are there.

    Of numbers and flags Spearman's rank correlation, in [−1, 1]; of names Cramér's V, of names and
    numbers the correlation ratio η of the ranks, both in [0, 1] and a little above 0 by chance:
    compare values of as many rows. NaN where a column is constant.

    Args:
        x: (N, D), NaN where a cell is missing.
        columns: of x.

    Reference: Cramér 1946, "Mathematical methods of statistics", section 21.9; Fisher 1925,
    "Statistical methods for research workers", section 45, for η.

    >>> x = torch.tensor([[1.0, 0, 4], [2, 0, 3], [3, 1, 2], [9, 1, 1]])
    >>> columns = (Column("a", "real"), Column("b", "category", 2), Column("c", "real"))
    >>> association(x, columns)[0].tolist()  # of ranks 1 2 | 3 4 the means explain 4 of 5
    [1.0, 0.8944271909999159, -1.0]
    """
    x = x.cpu().double()
    found = torch.eye(x.shape[1], dtype=torch.float64)
    for i in range(x.shape[1]):
        for j in range(i):
            there = ~(x[:, i].isnan() | x[:, j].isnan())
            pair = columns[i], columns[j]
            found[i, j] = found[j, i] = _of_pair(x[there, i], x[there, j], *pair)
    return found


def measure_of(first: Column, second: Column) -> str:
    """What ``association`` is of such a pair.

    >>> measure_of(Column("city", "category", 3), Column("height", "real"))
    'correlation ratio'
    """
    names = (first.kind, second.kind).count("category")
    return ("rank correlation", "correlation ratio", "Cramér's V")[names]


def _of_pair(a: Tensor, b: Tensor, first: Column, second: Column) -> float:
    if len(a) < 2:
        return math.nan
    kinds = first.kind == "category", second.kind == "category"
    if all(kinds):
        return cramers_v(a, b)
    if any(kinds):
        names, numbers = (a, b) if kinds[0] else (b, a)
        return correlation_ratio(names, _ranks(numbers))
    a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    below = (a.square().sum() * b.square().sum()).sqrt().item()
    return (a @ b).item() / below if below > 0 else math.nan


def _ranks(x: Tensor) -> Tensor:
    return torch.from_numpy(rankdata(x.numpy()))


def cramers_v(a: Tensor, b: Tensor) -> float:
    """√(χ² / (N min(r−1, c−1))) of the counts of two columns of names (N,).

    >>> cramers_v(torch.tensor([0, 0, 1, 1]), torch.tensor([5, 5, 7, 7]))
    1.0
    """
    rows, columns = a.unique(return_inverse=True)[1], b.unique(return_inverse=True)[1]
    r, c = int(rows.max()) + 1, int(columns.max()) + 1
    if min(r, c) < 2:
        return math.nan
    counts = (rows * c + columns).bincount(minlength=r * c).view(r, c).double()
    expected = counts.sum(1, keepdim=True) * counts.sum(0) / len(a)
    chi2 = ((counts - expected).square() / expected).sum().item()
    return math.sqrt(chi2 / (len(a) * (min(r, c) - 1)))


def correlation_ratio(names: Tensor, numbers: Tensor) -> float:
    """η = √(variance of the means of the names / variance of all numbers), (N,) both.

    >>> correlation_ratio(torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 3, 5, 7]))
    0.8944271909999159
    """
    group = names.unique(return_inverse=True)[1]
    numbers = numbers.double() - numbers.double().mean()
    total = numbers.square().sum().item()
    if not total > 0 or int(group.max()) < 1:
        return math.nan
    count = group.bincount().double()
    sums = torch.zeros_like(count).index_add(0, group, numbers)
    return math.sqrt((sums.square() / count).sum().item() / total)


def apart(first: Tensor, second: Tensor) -> float:
    """The root mean square of the differences of two associations over pairs that both know.

    >>> a = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    >>> apart(a, torch.eye(2))
    0.5
    """
    i, j = torch.triu_indices(len(first), len(first), offset=1)
    differences = (first - second)[i, j]
    return differences[~differences.isnan()].square().mean().sqrt().item()
