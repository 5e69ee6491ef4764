"""Variances: enumeration of levels, SciPy's tails, and counted draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from reparam.bijections.base import Bijection
from reparam.bijections.elementwise import Standardize
from reparam.distributions.densities import (
    NormalDensity,
    StandardNormalDensity,
)
from reparam.distributions.dequantized import DequantizedNormalDensity, OptimalNormalDensity
from reparam.distributions.masses import (
    BernoulliMass,
    CategoricalMass,
    DiscretizedLogisticMass,
    DiscretizedNormalMass,
)
from reparam.distributions.transformed import Transformed
from reparam.model import Space

F64 = torch.float64
WHERE = [-40.0, -0.5, 0.0, 3.5, 7.26, 100.0, 128.5, 254.6, 255.0, 300.0]
SCALES = [1 / 32, 0.3, 1.0, 5.0, 80.0, 2000.0]


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    where, scale = np.meshgrid(WHERE, SCALES)
    return torch.tensor(where, dtype=F64), torch.tensor(scale, dtype=F64).log()


def moments(mass: np.ndarray) -> np.ndarray:
    """The variance of levels 0 … K−1 with these probabilities, (K, …), about their mean."""
    k = np.arange(len(mass)).reshape(-1, *[1] * (mass.ndim - 1))
    return (mass * (k - (mass * k).sum(0)) ** 2).sum(0)


@pytest.mark.parametrize("family", [DiscretizedLogisticMass, DiscretizedNormalMass])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_variance_over_levels_is_the_sum_over_all_of_them(family, levels):
    p = family(*pairs(), levels)
    mass = torch.stack(
        [p.log_prob_terms(torch.full_like(p.log_scale, k)).exp() for k in range(levels)]
    )
    wanted = moments(mass.view(levels, *p.log_scale.shape).numpy())
    # Differences of masses that round at 1e-16 and are weighted by up to K².
    np.testing.assert_allclose(p.variance.numpy(), wanted, rtol=1e-9, atol=1e-15 * levels**2)
    single = family(*(v.float() for v in pairs()), levels).variance
    np.testing.assert_allclose(single.numpy(), wanted, rtol=1e-4, atol=1e-6 * levels)


def test_variance_of_a_rounded_down_normal_is_that_of_its_draws():
    """P(k) = Φ((k+1−m)/σ) − Φ((k−m)/σ), the end levels taking what lies outside."""
    mean, log_scale = pairs()
    p = DequantizedNormalDensity(mean, log_scale, 256)
    edges = np.concatenate([[-np.inf], np.arange(1, 256), [np.inf]]).reshape(-1, 1, 1)
    law = stats.norm(mean.numpy(), log_scale.exp().numpy())
    upper, lower = edges[1:], edges[:-1]
    mass = np.where(
        lower > mean.numpy(), law.sf(lower) - law.sf(upper), law.cdf(upper) - law.cdf(lower)
    )
    np.testing.assert_allclose(p.variance.numpy(), moments(mass), rtol=1e-9, atol=1e-10)
    optimal = OptimalNormalDensity(mean, log_scale, 256, least=1e-6)
    assert torch.equal(optimal.variance, p.variance)


def test_variance_of_unordered_levels_and_of_coins():
    logits = torch.randn(3, 6, 2, 4, dtype=F64, generator=torch.Generator().manual_seed(0)) * 3
    wanted = moments(logits.softmax(1).movedim(1, 0).numpy())
    np.testing.assert_allclose(CategoricalMass(logits).variance.numpy(), wanted, rtol=1e-12)
    coins = torch.tensor([[-700.0, -2.0, 0.0, 1.0, 40.0]], dtype=F64)
    wanted = stats.bernoulli(1 / (1 + np.exp(-coins.numpy().clip(max=0)))).var()[:, :3]
    np.testing.assert_allclose(BernoulliMass(coins).variance[:, :3].numpy(), wanted, rtol=1e-12)
    # Beyond σ = 1 − 2⁻⁵³ a difference from 1 would be 0: p(1−p) is e⁻⁴⁰ to a relative e⁻⁴⁰.
    assert BernoulliMass(coins).variance[0, 4].item() == pytest.approx(math.exp(-40), rel=1e-12)


def test_variance_of_normals():
    p = NormalDensity(torch.zeros(2, 3, dtype=F64), torch.full((2, 1), math.log(3.0), dtype=F64))
    torch.testing.assert_close(p.variance, torch.full((2, 3), 9.0, dtype=F64))
    assert StandardNormalDensity(torch.zeros(1, 3)).variance.tolist() == [[1.0, 1.0, 1.0]]


class Arsinh(Bijection):
    """z = arsinh x: entry by entry, but not a straight line."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.asinh(), -x.square().log1p().sum(1) / 2

    def inverse(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return z.sinh(), z.cosh().log().sum(1)


def test_variance_through_a_bijection_is_that_of_draws():
    base = NormalDensity(torch.zeros(1, 2, dtype=F64), torch.tensor([[-0.4, 0.2]], dtype=F64))
    straight = Standardize(Space((2,), "real")).double()
    straight.scale.copy_(torch.tensor([0.2, 4.0]))
    p = Transformed(base, straight)
    draws = p.repeat(200_000).sample(torch.Generator().manual_seed(0))
    # A variance of 200,000 normal draws has a relative deviation of √(2/n) = 0.3 %: five of them.
    np.testing.assert_allclose(p.variance[0].numpy(), draws.var(0).numpy(), rtol=0.016)
    assert Transformed(base, Arsinh()).variance is None
    levels = Standardize(Space((2,), "levels", 11)).double()
    torch.testing.assert_close(Transformed(base, levels).variance, 100 * base.variance)
