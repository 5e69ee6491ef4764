"""Independent families against quadrature, SciPy and counted draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from reparam import numerics
from reparam.distributions.densities import (
    NormalDensity,
    StandardNormalDensity,
)
from reparam.distributions.dequantized import DequantizedNormalDensity
from reparam.distributions.masses import BernoulliMass, DiscretizedLogisticMass
from reparam.model import Distribution

F64 = torch.float64


def tensor(values: object) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=F64)


def normals(seed: int, rows: int = 4, entries: int = 3) -> NormalDensity:
    rng = np.random.default_rng(seed)
    return NormalDensity(
        tensor(rng.normal(size=(rows, entries)) * 2), tensor(rng.normal(size=(rows, entries)))
    )


def every_family() -> dict[str, object]:
    """One of each, 4 rows of 3 entries (the unconditional one has its single row)."""
    q = normals(3)
    return {
        "normal": q,
        "standard": StandardNormalDensity(torch.zeros(1, 3, dtype=F64)),
        "bernoulli": BernoulliMass(q.mean),
        "logistic": DiscretizedLogisticMass(q.mean + 4, q.log_scale, 9),
        "dequantized": DequantizedNormalDensity(q.mean + 4, q.log_scale, 9),
    }


# ------------------------------------------------------------------------------ normal


@pytest.mark.parametrize("standard", [False, True])
def test_kl_of_normals_is_its_gauss_hermite_quadrature(standard):
    """E_q[log q − log p]: the integrand is a quadratic in z, for which 8 nodes are exact."""
    q = normals(0)
    p = StandardNormalDensity(torch.zeros(1, 3, dtype=F64)) if standard else normals(1)
    p_mean = np.zeros((4, 3)) if standard else p.mean.numpy()
    p_scale = np.ones((4, 3)) if standard else p.log_scale.exp().numpy()
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    mean, scale = q.mean.numpy()[..., None], q.log_scale.exp().numpy()[..., None]
    z = mean + scale * nodes
    log_ratio = stats.norm(mean, scale).logpdf(z) - stats.norm(
        p_mean[..., None], p_scale[..., None]
    ).logpdf(z)
    found = q.kl(p)
    assert found.shape == (4, 3)  # it factorizes: one column per latent dimension
    np.testing.assert_allclose(found.numpy(), log_ratio @ weights, rtol=1e-10, atol=1e-12)


def test_kl_is_zero_between_equals_and_positive_otherwise():
    q = normals(0)
    assert q.kl(q).abs().max() < 1e-14
    assert (q.kl(normals(1)) > 0).all()
    same = NormalDensity(torch.zeros(2, 3, dtype=F64), torch.zeros(2, 3, dtype=F64))
    assert torch.equal(
        same.kl(StandardNormalDensity(torch.zeros(1, 3, dtype=F64))), torch.zeros(2, 3, dtype=F64)
    )


def test_kl_branches_agree_and_others_have_none():
    """The shortcut for the standard normal is the general formula at μ = 0, σ = 1."""
    q, zeros = normals(0), torch.zeros(1, 3, dtype=F64)
    torch.testing.assert_close(
        q.kl(StandardNormalDensity(zeros)), q.kl(NormalDensity(zeros, zeros))
    )
    assert q.kl(BernoulliMass(zeros)) is None
    assert StandardNormalDensity(zeros).kl(q) is None


def test_log_prob_of_normals_against_scipy():
    q, x = normals(0), tensor(np.random.default_rng(5).normal(size=(4, 3)))
    wanted = stats.norm(q.mean.numpy(), q.log_scale.exp().numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(q.log_prob_terms(x).numpy(), wanted, rtol=1e-12)
    p = StandardNormalDensity(torch.zeros(1, 3, dtype=F64))
    np.testing.assert_allclose(
        p.log_prob_terms(x).numpy(), stats.norm.logpdf(x.numpy()), rtol=1e-12
    )


def test_reparametrized_draws_of_a_normal():
    """z = μ + σε: dz/dμ = 1 and dz/dlog σ = z − μ exactly, and the draws have that law."""
    mean = tensor([[1.0, -2.0]]).requires_grad_()
    log_scale = tensor([[0.3, -1.0]]).requires_grad_()
    z = NormalDensity(mean, log_scale).rsample(torch.Generator().manual_seed(0))
    to_mean, to_scale = torch.autograd.grad(z.sum(), (mean, log_scale))
    torch.testing.assert_close(to_mean, torch.ones_like(mean))
    torch.testing.assert_close(to_scale, (z - mean).detach())
    many = NormalDensity(mean.detach(), log_scale.detach()).repeat(5000).sample()
    for column in range(2):
        law = stats.norm(mean[0, column].item(), math.exp(log_scale[0, column].item()))
        assert stats.kstest(many[:, column].numpy(), law.cdf).pvalue > 1e-4


def test_extreme_parameters_stay_finite():
    q = NormalDensity(tensor([[0.0, 1e3]]), tensor([[-8.0, 8.0]]))
    for value in (
        q.kl(StandardNormalDensity(torch.zeros(1, 2, dtype=F64))),
        q.kl(normals(0, 1, 2)),
    ):
        assert value.isfinite().all()


# --------------------------------------------------------------------------- Bernoulli


@pytest.mark.parametrize("logit", [-60.0, -41.0, -20.5, -3.0, 0.0, 20.5, 39.9, 41.0, 60.0])
def test_bernoulli_sums_to_one_and_is_exact_in_both_tails(logit):
    p = BernoulliMass(tensor([[logit]]))
    zero, one = (p.log_prob_terms(tensor([[v]])).item() for v in (0.0, 1.0))
    assert abs(math.exp(zero) + math.exp(one) - 1) < 1e-9
    # A difference of numbers of up to 60: rounded at 60 · 2.2e-16.
    wanted = stats.logistic.logcdf([-logit, logit])
    np.testing.assert_allclose([zero, one], wanted, rtol=1e-14, atol=1.4e-14)


def test_bernoulli_center_and_frequencies():
    logits = tensor([[-2.0, 0.0, 1.5]])
    p = BernoulliMass(logits)
    np.testing.assert_allclose(p.center.numpy(), stats.logistic.cdf(logits.numpy()), rtol=1e-14)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(1))
    for column in range(3):
        ones = int(draws[:, column].sum())
        assert stats.binomtest(ones, 20_000, float(p.center[0, column])).pvalue > 1e-4


# ------------------------------------------------------------------ discretized logistic

PARAMETERS = [(4.0, 0.3), (-3.0, 1.0), (12.5, -0.5), (30.0, 1.2), (8.0, -2.0), (7.3, 3.0)]


def masses(p: DiscretizedLogisticMass) -> np.ndarray:
    """P(k) by differences of the logistic CDF, (levels,), for one row of one entry."""
    edges = np.concatenate([[-np.inf], np.arange(p.levels - 1) + 0.5, [np.inf]])
    law = stats.logistic(p.location.item(), math.exp(p.log_scale.item()))
    return np.diff(law.cdf(edges))


@pytest.mark.parametrize("location,log_scale", PARAMETERS)
def test_center_of_the_discretized_logistic_is_the_mean_over_levels(location, log_scale):
    p = DiscretizedLogisticMass(tensor([[location]]), tensor([[log_scale]]), 17)
    wanted = (np.arange(17) * masses(p)).sum()
    assert p.center.item() == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    k = torch.arange(17, dtype=F64)[:, None]
    own = (k * p.repeat(17).log_prob_terms(k).exp()).sum().item()
    assert own == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("levels", [256, 2000])
@pytest.mark.parametrize("scale", [1 / 32, 0.5, 1, 3.99, 4, 4.01, 9, 100, 16_000])
def test_center_of_many_levels_is_the_sum_over_all_of_them(levels, scale):
    """Inside, at both ends and far outside; float64 to 1e-13, float32 to its rounding."""
    where = [-900.0, -5, 0, 0.5, 1.7, 40, levels / 2 + 0.3, levels - 1.5, levels - 1, levels + 900]
    k = np.arange(1, levels)
    wanted = stats.logistic.cdf((np.array(where)[:, None] - k + 0.5) / scale).sum(1)
    location = tensor([where])
    p = DiscretizedLogisticMass(location, torch.full_like(location, math.log(scale)), levels)
    np.testing.assert_allclose(p.center[0].numpy(), wanted, rtol=1e-13, atol=1e-12 * levels / 256)
    single = DiscretizedLogisticMass(location.float(), p.log_scale.float(), levels).center
    assert single.dtype == torch.float32
    rounding = 1e-6 * (levels + scale)
    np.testing.assert_allclose(single[0].numpy(), wanted, rtol=1e-5, atol=rounding)


def test_center_of_many_levels_takes_a_number_of_steps_that_does_not_grow(monkeypatch):
    steps = []
    monkeypatch.setattr(torch, "sigmoid", lambda x, to=torch.sigmoid: steps.append(1) or to(x))
    p = DiscretizedLogisticMass(torch.rand(2, 3) * 65_535, torch.randn(2, 3), 65_536)
    assert p.center.shape == (2, 3) and len(steps) < 150


def chi_square(draws: Tensor, probabilities: np.ndarray) -> float:
    """The p-value of counted draws, cells of under 5 expected merged with their neighbors."""
    counts = np.bincount(draws.long().numpy(), minlength=len(probabilities)).astype(float)
    expected = probabilities * len(draws)
    merged: list[list[float]] = [[0.0, 0.0]]
    for count, number in zip(counts, expected, strict=True):
        if merged[-1][1] >= 5:
            merged.append([0.0, 0.0])
        merged[-1][0] += count
        merged[-1][1] += number
    if len(merged) > 1 and merged[-1][1] < 5:
        last = merged.pop()
        merged[-1] = [merged[-1][0] + last[0], merged[-1][1] + last[1]]
    observed, wanted = np.array(merged).T
    if len(observed) == 1:
        return 1.0
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


@pytest.mark.parametrize("location,log_scale", PARAMETERS)
def test_frequencies_of_the_discretized_logistic(location, log_scale):
    p = DiscretizedLogisticMass(tensor([[location]]), tensor([[log_scale]]), 17)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(2))[:, 0]
    assert set(draws.unique().tolist()) <= set(range(17))
    assert chi_square(draws, masses(p)) > 1e-4


# -------------------------------------------------------------------- dequantized normal


@pytest.mark.parametrize("mean,log_scale", [(4.2, 0.0), (-1.0, 1.0), (8.7, -0.7), (4.0, 2.0)])
def test_dequantized_normal_is_its_expectation_and_below_the_mass(mean, log_scale):
    """E_u log N(x+u) by Gauss–Legendre (a quadratic in u: exact), and Jensen's gap positive."""
    p = DequantizedNormalDensity(tensor([[mean]]), tensor([[log_scale]]), 9)
    law = stats.norm(mean, math.exp(log_scale))
    nodes, weights = np.polynomial.legendre.leggauss(6)
    x = np.arange(9)
    expected = law.logpdf(x[:, None] + (nodes + 1) / 2) @ (weights / 2)
    found = p.repeat(9).log_prob_terms(tensor(x[:, None]))[:, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    upper = np.where(x > mean, law.sf(x) - law.sf(x + 1), law.cdf(x + 1) - law.cdf(x))
    assert (found < np.log(upper)).all()
    assert p.kind == "lower bound"
    assert np.exp(found).sum() < 1


def test_frequencies_and_center_of_the_dequantized_normal():
    """Draws are rounded down: the end cells take what lies outside."""
    mean, scale = 3.4, 2.5
    p = DequantizedNormalDensity(tensor([[mean]]), tensor([[math.log(scale)]]), 9)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(3))[:, 0]
    edges = np.concatenate([[-np.inf], np.arange(1, 9), [np.inf]])
    assert chi_square(draws, np.diff(stats.norm(mean, scale).cdf(edges))) > 1e-4
    assert p.center.item() == pytest.approx(mean - 0.5)
    outside = DequantizedNormalDensity(tensor([[-3.0, 40.0]]), tensor([[0.0, 0.0]]), 9)
    assert outside.center.tolist() == [[0.0, 8.0]]


# --------------------------------------------------------------- what all of them promise


@pytest.mark.parametrize("name", list(every_family()))
def test_repeat_puts_every_row_k_times_in_a_row(name):
    p = every_family()[name]
    many = p.repeat(3)
    assert many.rows == 3 * p.rows
    x = torch.ones(p.rows, 3, dtype=F64) * torch.arange(p.rows, dtype=F64)[:, None].fmod(2)
    torch.testing.assert_close(
        many.log_prob_terms(x.repeat_interleave(3, 0)), p.log_prob_terms(x).repeat_interleave(3, 0)
    )
    torch.testing.assert_close(many.center, p.center.repeat_interleave(3, 0))
    draws = many.sample(torch.Generator().manual_seed(0))
    assert draws.shape == (3 * p.rows, 3)
    if name in ("normal", "standard"):
        assert not torch.equal(draws[0], draws[1]), "the copies are drawn separately"


@pytest.mark.parametrize("name", ["normal", "bernoulli", "logistic", "dequantized"])
def test_detach_and_sample_cut_gradients(name):
    kinds = {
        "normal": NormalDensity,
        "bernoulli": lambda m, s: BernoulliMass(m + s),
        "logistic": lambda m, s: DiscretizedLogisticMass(m, s, 5),
        "dequantized": lambda m, s: DequantizedNormalDensity(m, s, 5),
    }
    mean = torch.ones(2, 3, dtype=F64, requires_grad=True)
    p = kinds[name](mean, torch.zeros(2, 3, dtype=F64, requires_grad=True))
    x = torch.ones(2, 3, dtype=F64)
    assert p.log_prob_terms(x).requires_grad
    assert not p.detach().log_prob_terms(x).requires_grad
    assert torch.equal(p.detach().log_prob_terms(x), p.log_prob_terms(x).detach())
    assert not p.sample().requires_grad
    if name == "normal":
        assert p.rsample().requires_grad
    if name in ("logistic", "dequantized"):
        assert p.repeat(2).levels == 5
        assert p.detach().levels == 5


@pytest.mark.parametrize("name", list(every_family()))
def test_draws_belong_to_the_generator(name):
    p = every_family()[name].repeat(20)
    state = torch.get_rng_state()
    one, two, other = (p.sample(torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    z, log_q = p.rsample_with_log_prob_terms(torch.Generator().manual_seed(7))
    assert torch.equal(z, one)
    torch.testing.assert_close(log_q, p.log_prob_terms(one))


# ----------------------------------------------------------------------- sums of log_prob


@pytest.mark.parametrize("entries", [1, 7, 100, 101, 784])
def test_the_sum_of_a_bernoulli_is_that_of_its_columns(entries):
    """Logits up to ±600 reach both tails; a product of σ(|l|) must not underflow on the way."""
    rng = np.random.default_rng(entries)
    logits = tensor(rng.normal(size=(6, entries)) * 10.0 ** rng.uniform(-2, 2.3, size=(6, 1)))
    x = tensor(rng.random(size=(3, entries)) < 0.5)
    p = BernoulliMass(logits)
    expected = p.log_prob_terms(x.repeat_interleave(2, 0)).sum(1)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-13, atol=1e-10)
    gray = x * 0.3 + 0.2  # x between 0 and 1: the same cross-entropy
    expected = p.log_prob_terms(gray.repeat_interleave(2, 0)).sum(1)
    torch.testing.assert_close(p.log_prob(gray), expected, rtol=1e-13, atol=1e-10)


@pytest.mark.parametrize("cached", [1, 20, 45, 90])
def test_the_sum_of_a_bernoulli_is_that_of_blocks_of_it(monkeypatch, cached):
    """7 entries of 6 draws of each of 5 examples: blocks of 1, 2, 6 and 12 rows of logits."""
    rng = np.random.default_rng(0)
    logits, x = tensor(rng.normal(size=(30, 7)) * 3), tensor(rng.random(size=(5, 7)) < 0.5)
    p = BernoulliMass(logits)
    monkeypatch.setattr(numerics, "CACHED", cached)
    expected = p.log_prob_terms(x.repeat_interleave(6, 0)).sum(1)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-14, atol=1e-13)


@pytest.mark.parametrize("entries", [99, 199, 20_099])
def test_the_sum_of_many_fair_coins_does_not_underflow(entries):
    """Every factor is ½, the least there is: in float32 a product of 150 would be 0."""
    p = BernoulliMass(torch.zeros(2, entries))
    total = p.log_prob(torch.ones(2, entries))
    torch.testing.assert_close(total, torch.full((2,), -entries * math.log(2)), rtol=1e-6, atol=0)


def test_the_sum_of_a_bernoulli_in_float32_loses_next_to_nothing():
    """100 binary images of 784: rounding of a sum of that size, 784 · 10 · 6e-8, far from hit."""
    rng = np.random.default_rng(0)
    logits, x = tensor(rng.normal(size=(100, 784)) * 8), tensor(rng.random(size=(100, 784)) < 0.3)
    exact = BernoulliMass(logits).log_prob_terms(x).sum(1)
    single = BernoulliMass(logits.float()).log_prob(x.float()).double()
    assert (single - exact).abs().max() < 5e-4  # nats, of some 2000
    assert (single - exact).mean().abs() < 5e-5  # the products lose nothing one-sidedly


@pytest.mark.parametrize("draws", [1, 2])
def test_the_sum_of_a_bernoulli_has_the_gradient_of_its_columns(draws):
    rng = np.random.default_rng(1)
    logits = tensor(rng.normal(size=(6, 5)) * 3).requires_grad_()
    x = tensor(rng.random(size=(6 // draws, 5)) < 0.5)
    weights = tensor(rng.normal(size=6))
    (gradient,) = torch.autograd.grad(BernoulliMass(logits).log_prob(x) @ weights, logits)
    expected = weights[:, None] * (x.repeat_interleave(draws, 0) - torch.sigmoid(logits))
    torch.testing.assert_close(gradient, expected.detach(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", sorted(every_family()))
def test_a_row_of_x_stands_for_the_rows_that_repeat_made(name):
    p = every_family()[name]
    assert isinstance(p, Distribution)
    x = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).double()
    once = p.log_prob_terms(x).sum(1)
    torch.testing.assert_close(p.log_prob(x), once, rtol=1e-12, atol=1e-12)
    if p.rows == len(x):
        repeated = p.repeat(3).log_prob(x)
        torch.testing.assert_close(repeated, once.repeat_interleave(3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["normal", "standard"])
def test_a_draw_comes_with_its_own_density(name):
    p = every_family()[name]
    assert isinstance(p, Distribution)
    z, log_prob = p.rsample_with_log_prob_terms(torch.Generator().manual_seed(0))
    assert torch.equal(z, p.rsample(torch.Generator().manual_seed(0)))
    torch.testing.assert_close(log_prob, p.log_prob_terms(z), rtol=1e-12, atol=1e-12)
