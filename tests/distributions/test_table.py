"""Probabilities of all levels: against log-probabilities, means and variances."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from reparam import numerics
from reparam.distributions.densities import NormalDensity
from reparam.distributions.masses import (
    BernoulliMass,
    CategoricalMass,
    DiscretizedLogisticMass,
    DiscretizedNormalMass,
    LogisticMixtureMass,
)
from reparam.model import Distribution

F64 = torch.float64
EVENT = (2, 3, 2)


def numbers(*shape: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return shift + scale * torch.randn(4, *shape, *EVENT, generator=generator, dtype=F64)


def units(levels: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Locations over the range and a little beyond, scales from far below a level to the range."""
    return numbers(*shape, scale=levels / 2, shift=levels / 2), numbers(*shape, scale=1.5)


FAMILIES: dict[str, Callable[[int], Distribution]] = {
    "logistic": lambda k: DiscretizedLogisticMass(*units(k), k),
    "normal": lambda k: DiscretizedNormalMass(*units(k), k),
    "mixture": lambda k: LogisticMixtureMass(numbers(3), *units(k, 3), k),
    "categorical": lambda k: CategoricalMass(numbers(k)),
}


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_table_has_the_probabilities_of_all_levels(name, levels):
    p = FAMILIES[name](levels)
    table = p.table()
    assert table.shape == (4, 12, levels)
    torch.testing.assert_close(table.sum(2), torch.ones(4, 12, dtype=F64))
    for level in (0, 1, levels // 2, levels - 1):
        x = torch.full((4, *EVENT), float(level), dtype=F64)
        torch.testing.assert_close(table[..., level], p.log_prob_terms(x).exp())
    k = torch.arange(levels, dtype=F64)
    mean = (table * k).sum(2)
    torch.testing.assert_close(p.center.flatten(1), mean, rtol=1e-9, atol=1e-12 * levels)
    variance = (table * (k - mean.unsqueeze(2)).square()).sum(2)
    torch.testing.assert_close(p.variance.flatten(1), variance, rtol=1e-7, atol=1e-14 * levels**2)


def test_tables_of_coins_and_of_vectors():
    p = BernoulliMass(torch.tensor([[0.0, 2.0, -50.0]], dtype=F64))
    wanted = torch.stack([torch.sigmoid(-p.logits), torch.sigmoid(p.logits)], 2)
    torch.testing.assert_close(p.table(), wanted)
    one = torch.zeros(1, 2, 3)  # two components in three entries
    assert LogisticMixtureMass(one, one, one, 5).table().shape == (1, 3, 5)
    assert NormalDensity(one, one).table() is None, "a density has no probabilities"


@pytest.mark.parametrize("name", ["logistic", "normal", "mixture"])
def test_means_and_variances_do_not_depend_on_how_many_levels_are_taken_at_once(name, monkeypatch):
    p = FAMILIES[name](256)
    one, spread = p.center, p.variance
    monkeypatch.setattr(numerics, "LEVELS_AT_ONCE", 7)  # no divisor of 255, nor of 129
    torch.testing.assert_close(p.center, one, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(p.variance, spread, rtol=1e-9, atol=1e-10)
