"""The pure functions against SciPy, exact sums and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from reparam import numerics

LEVELS = (2, 5, 17, 256)
F64 = torch.float64


def log_masses(levels: int, location: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """log P(k) for all k, (N, levels), of logistics whose range of 2 runs over the levels."""
    half = (levels - 1) / 2
    k = torch.arange(levels, dtype=location.dtype)
    return numerics.discretized_logistic_log_prob(
        k, (half * (1 + location))[:, None], (log_scale + math.log(half))[:, None], levels
    )


def grid(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Locations inside, at the ends of and outside the range; log-scales from −7 up."""
    location = torch.linspace(-1.3, 1.3, 53, dtype=dtype)
    log_scale = torch.linspace(-7, 3, 21, dtype=dtype)
    return tuple(t.flatten() for t in torch.meshgrid(location, log_scale, indexing="ij"))


@pytest.mark.parametrize("levels", LEVELS)
def test_discretized_logistic_sums_to_one(levels):
    total = log_masses(levels, *grid(F64)).logsumexp(1)
    assert total.abs().max() < 1e-9


@pytest.mark.parametrize("levels", LEVELS)
def test_discretized_logistic_sums_to_one_in_float32(levels):
    """MODELS.md: 3e-5. At log-scale −7 the arguments are off by 255 · 2⁻²⁴ · e⁷/127 ≈ 1e-4 far
    out, where there is no mass, and by a tenth of that where there is."""
    total = log_masses(levels, *grid(torch.float32)).logsumexp(1)
    assert total.abs().max() < 3e-5


@pytest.mark.parametrize("levels", LEVELS)
def test_discretized_logistic_is_the_difference_of_cdfs(levels):
    """Differences are taken on the side where they do not cancel; cells under 1e-12 are left out,
    as SciPy's difference of two numbers near 1e-12 has few digits of its own."""
    location, log_scale = grid(F64)
    half = (levels - 1) / 2
    m, s = half * (1 + location.numpy()), half * np.exp(log_scale.numpy())
    edges = np.concatenate([[-np.inf], np.arange(levels - 1) + 0.5, [np.inf]])
    a, b = (edges[None, :-1] - m[:, None]) / s[:, None], (edges[None, 1:] - m[:, None]) / s[:, None]
    below = stats.logistic.cdf(b) - stats.logistic.cdf(a)
    above = stats.logistic.sf(a) - stats.logistic.sf(b)
    mass = np.where(a > 0, above, below)
    found = log_masses(levels, location, log_scale).exp().numpy()
    kept = mass > 1e-12
    assert kept.sum() > 1.5 * len(m)
    np.testing.assert_allclose(found[kept], mass[kept], rtol=1e-8)


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_discretized_logistic_has_finite_gradients_at_the_extremes(dtype):
    """A level at the other end of the range from a very narrow logistic, and very wide ones."""
    levels, half = 256, 127.5
    raw = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0], dtype=dtype)
    location = (half * (1 + raw)).repeat_interleave(3).requires_grad_()
    narrow_to_wide = torch.tensor([-7.0 + math.log(half), 0.0, 12.0], dtype=dtype)
    log_scale = narrow_to_wide.repeat(5).requires_grad_()
    for level in (0.0, 1.0, 127.0, 254.0, 255.0):
        x = torch.full((15,), level, dtype=dtype)
        value = numerics.discretized_logistic_log_prob(x, location, log_scale, levels)
        assert value.isfinite().all()
        assert (value <= 0).all()
        gradients = torch.autograd.grad(value.sum(), (location, log_scale))
        assert all(g.isfinite().all() for g in gradients)
        # Uphill is towards the level; in an open end bin it is outwards, wherever the location is.
        wanted = torch.sign(x - location)
        wanted = {0.0: -torch.ones_like(wanted), 255.0: torch.ones_like(wanted)}.get(level, wanted)
        away = (x - location).abs() > 0.5
        assert (gradients[0][away] * wanted[away] >= 0).all()
        # Narrow and far away it is a slope of 1/scale, not a vanishing gradient.
        far = (wanted * (x - location)) > 100
        narrow = log_scale < 0
        both = far & narrow
        if both.any():
            slopes = gradients[0][both].abs() * log_scale[both].exp()
            torch.testing.assert_close(slopes, torch.ones_like(slopes), rtol=1e-5, atol=0)


def test_bound_softly_is_monotone_bounded_and_the_identity_inside():
    low, high = -7.0, 7.0
    raw = torch.linspace(-60, 60, 20001, dtype=F64)
    bounded = numerics.bound_softly(raw, low, high)
    assert (bounded.diff() >= 0).all()
    inside = (raw > -30) & (raw < 30)
    assert (bounded[inside].diff() > 0).all()  # outside it is flat to 1e-16 of its value
    # Its lower limit is high − softplus(high − low), below low by ln(1 + e^{low−high}).
    slack = math.log1p(math.exp(low - high))
    assert bounded.max() <= high
    assert bounded.min() >= low - slack - 1e-12
    # d from an end it is off by ln(1 + e^{−d}), at most e^{−d}, from each end.
    middle = raw.abs() <= 3
    assert (bounded - raw)[middle].abs().max() <= math.exp(-4) + math.exp(-10)
    zero = numerics.bound_softly(torch.zeros(1, dtype=F64), low, high)
    assert abs(zero.item()) < 2 * math.exp(-7) ** 2 + 1e-12  # the two ends cancel in the middle


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_bound_softly_has_finite_gradients_far_outside(dtype):
    raw = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4], dtype=dtype, requires_grad=True)
    value = numerics.bound_softly(raw, -8.0, 8.0)
    (slope,) = torch.autograd.grad(value.sum(), raw)
    assert value.isfinite().all()
    assert slope.isfinite().all()
    assert (slope >= 0).all()
    assert slope[1] > 0  # log-scales that ran away come back
    assert abs(slope[2] - 1) < 1e-3


def test_log_mean_exp():
    values = np.random.default_rng(0).normal(size=(4, 9)) * 30
    wanted = special.logsumexp(values, axis=1) - math.log(9)
    found = numerics.log_mean_exp(torch.as_tensor(values), 1)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-13)
    huge = torch.tensor([[1e4, 1e4], [-1e4, -1e4], [0.0, -math.inf]], dtype=F64)
    expected = torch.tensor([1e4, -1e4, -math.log(2)], dtype=F64)
    torch.testing.assert_close(numerics.log_mean_exp(huge, 1), expected)


def test_bits_per_dim():
    """A uniform guess among 256 levels costs 8 bits an entry; the sign is that of a cost."""
    dimension = 3 * 16 * 16
    nats = -dimension * math.log(256)
    assert numerics.bits_per_dim(nats, dimension) == pytest.approx(8.0, rel=1e-14)
    assert numerics.bits_per_dim(-10.0, 5) == pytest.approx(2 / math.log(2), rel=1e-14)


def test_normal_log_prob_against_scipy():
    rng = np.random.default_rng(1)
    x, mean, log_scale = rng.normal(size=(3, 50)) * 3
    found = numerics.normal_log_prob(*(torch.as_tensor(v) for v in (x, mean, log_scale)))
    wanted = stats.norm(mean, np.exp(log_scale)).logpdf(x)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_noise_has_the_law_it_names(kind):
    """Kolmogorov–Smirnov with a fixed seed, under both the default and a given generator."""
    like = torch.empty(100, 50, dtype=F64)
    law = stats.norm() if kind == "normal" else stats.uniform()
    for generator in (None, torch.Generator().manual_seed(3)):
        values = numerics.noise(like, kind, generator)
        assert values.dtype == like.dtype
        assert values.shape == like.shape
        assert stats.kstest(values.flatten().numpy(), law.cdf).pvalue > 1e-4


def test_noise_draws_from_the_given_generator_only():
    like = torch.empty(3, 2)
    state = torch.get_rng_state()
    one, two = (numerics.noise(like, "normal", torch.Generator().manual_seed(5)) for _ in "ab")
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(numerics.noise(like), numerics.noise(like))


def test_moments_are_those_of_numpy_however_the_rows_are_cut():
    """To rounding: sums of 500 numbers in another order, of 1e5 beside a deviation of 1."""
    x = torch.randn(500, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0], x[::3, 1, 2], x[:, 1, 1] = 0.3, torch.nan, torch.nan
    x[:, 0, 1] += 1e5
    with_cells = np.array([[1, 1, 1], [1, 0, 1]], bool)
    for rows in (1, 7, 500, 1000):
        mean, deviation = (t.numpy() for t in numerics.moments(lambda rows=rows: x.split(rows)))
        for found, wanted in ((mean, np.nanmean), (deviation, np.nanstd)):
            expected = wanted(x.numpy()[:, with_cells], 0)
            np.testing.assert_allclose(found[with_cells], expected, rtol=1e-10, atol=1e-10)
        assert (mean[0, 0], deviation[0, 0]) == (0.3, 0)  # whose sums round
        assert (mean[1, 1], deviation[1, 1]) == (0, 0)  # nothing is there


def test_bernoulli_sums_take_transforms_and_rows_of_any_shape():
    """Forward slopes and maps, with x, logits or both mapped; images beside flat logits."""
    torch.manual_seed(0)
    x, logits = (torch.rand(5, 4) < 0.5).to(F64), torch.randn(5, 4, dtype=F64)
    wanted = numerics.bernoulli_log_prob(x, logits).sum(1)

    def of_rows(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return numerics.bernoulli_log_prob_sum(one.unsqueeze(0), other.unsqueeze(0))[0]

    torch.testing.assert_close(torch.func.vmap(of_rows)(x, logits), wanted)
    for dims, given in (((0, None), (x, logits[0])), ((None, 0), (x[0], logits))):
        wanted_there = numerics.bernoulli_log_prob(*given).sum(1)
        torch.testing.assert_close(torch.func.vmap(of_rows, dims)(*given), wanted_there)
    _, slope = torch.func.jvp(
        lambda given: numerics.bernoulli_log_prob_sum(x, given), (logits,), (logits,)
    )
    torch.testing.assert_close(slope, ((x - logits.sigmoid()) * logits).sum(1))
    for given in (logits, logits.clone().requires_grad_()):
        found = numerics.bernoulli_log_prob_sum(x.view(5, 1, 2, 2), given)
        torch.testing.assert_close(found, wanted, check_stride=False)
