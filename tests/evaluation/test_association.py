"""Associations of columns: known values, and those of scipy."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import spearmanr
from scipy.stats.contingency import association as scipys

from reparam.evaluation.association import apart, association, correlation_ratio, cramers_v
from reparam.space import Column

COLUMNS = (
    Column("a", "real"),
    Column("b", "levels", 4),
    Column("c", "category", 3),
    Column("d", "category", 2),
    Column("e", "binary"),
    Column("f", "log"),
)
NAN = math.nan


def table():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(60, generator=generator)
    c = torch.randint(3, (60,), generator=generator).float()
    d = ((c > 0) ^ (torch.rand(60, generator=generator) < 0.2)).float()
    x = torch.stack([a, (a + c).round().clamp(0, 3), c, d, (a > 0).float(), a.exp()], 1)
    x[::7, 0], x[3::11, 2] = NAN, NAN
    return x


def test_numbers_and_flags_have_rank_correlations_over_the_cells_that_are_there():
    x = table()
    found = association(x, COLUMNS)
    there = ~x[:, 0].isnan()
    for other in (1, 4, 5):
        wanted = spearmanr(x[there, 0], x[there, other]).statistic
        assert found[0, other].item() == found[other, 0].item() == pytest.approx(wanted)
    assert found[0, 5] == pytest.approx(1)  # whatever the scale
    assert found.diagonal().tolist() == [1] * 6


def test_names_have_cramers_v():
    x = table()
    there = ~x[:, 2].isnan()
    counts = torch.zeros(3, 2)
    for c, d in x[there][:, [2, 3]].long().tolist():
        counts[c, d] += 1
    wanted = scipys(counts.long().numpy(), method="cramer")
    assert association(x, COLUMNS)[2, 3].item() == pytest.approx(wanted)
    # By hand: χ² = 4 (2 − 1.5)²/1.5 + … of counts 2 1 | 1 2: all expected 1.5, χ² = 4 · .25 / 1.5.
    pairs = torch.tensor([[0, 0], [0, 0], [0, 1], [1, 0], [1, 1], [1, 1]])
    assert cramers_v(*pairs.T) == pytest.approx((4 * 0.25 / 1.5 / 6) ** 0.5)


def test_names_and_numbers_have_a_correlation_ratio():
    # Means 2 and 6 of 4: between 4 · 2² = 16, in all 9 + 1 + 1 + 9 = 20.
    names, numbers = torch.tensor([7, 7, 9, 9]), torch.tensor([1.0, 3, 5, 7])
    assert correlation_ratio(names, numbers) == pytest.approx(0.8**0.5)
    found = association(torch.stack([numbers, names - 7], 1), (COLUMNS[0], COLUMNS[3]))
    assert found[0, 1].item() == pytest.approx(0.8**0.5)  # of the ranks 1 2 3 4


def test_independent_columns_have_little_and_constant_ones_nothing_to_say():
    generator = torch.Generator().manual_seed(1)
    x = torch.stack([torch.randint(3, (4000,), generator=generator).float() for _ in range(3)], 1)
    x[:, 2] = 1
    columns = (Column("a", "category", 3), Column("b", "real"), Column("c", "category", 3))
    found = association(x, columns)
    assert 0 <= found[0, 1] < 0.06
    assert found[2, :2].isnan().all()


def test_apart_leaves_out_what_one_does_not_know():
    a = torch.tensor([[1.0, 0.5, 0.2], [0.5, 1, 0.1], [0.2, 0.1, 1]])
    b = torch.tensor([[1.0, 0.1, NAN], [0.1, 1, 0.4], [NAN, 0.4, 1]])
    assert apart(a, b) == pytest.approx(((0.4**2 + 0.3**2) / 2) ** 0.5)
