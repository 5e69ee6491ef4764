"""Masses over levels: discretized normal and categorical against SciPy and counted draws."""

from __future__ import annotations

import itertools
import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.distributions.likelihood_names import LIKELIHOODS, make_likelihood
from reparam.distributions.masses import CategoricalMass, DiscretizedNormalMass
from reparam.model import Space
from reparam.presets import PRESETS
from reparam.presets.likelihoods import LikelihoodOptions, likelihoods

F64 = torch.float64
NARROWEST = -math.log(32)  # log-scale in level units, as the likelihoods bound it


def column(values: object) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=F64)[:, None]


def log_mass(k: np.ndarray, mean: float, scale: float, levels: int) -> np.ndarray:
    """log P(k) of the discretized normal from SciPy's logarithms of both tails."""
    a, b = (k + 0.5 - mean) / scale, (k - 0.5 - mean) / scale
    a, b = np.where(k == levels - 1, np.inf, a), np.where(k == 0, -np.inf, b)
    flip = a + b > 0  # the side of the mean where neither Φ is near 1
    upper, lower = np.where(flip, -b, a), np.where(flip, -a, b)
    high, low = special.log_ndtr(upper), special.log_ndtr(lower)
    return high + np.log(-np.expm1(low - high))


# ----------------------------------------------------------------- they are probabilities


@pytest.mark.parametrize("levels", [2, 5, 17, 256])
@pytest.mark.parametrize("name", ["discretized-normal", "discretized-logistic"])
def test_discretized_likelihoods_sum_to_one_for_any_decoder_output(name, levels):
    """Saturated log-scales (the narrowest is 1/32 level) and locations far outside included."""
    likelihood = make_likelihood(name, Space((1,), "levels", levels))
    raw = [-1e3, -50.0, -7.0, -1.0, 0.0, 1.0, 7.0, 50.0, 1e3]
    where = [-3.0, -1.0, -0.1, 0.0, 0.4, 1 / 255, 1.0, 3.0]
    pairs = torch.tensor(list(itertools.product(where, raw)), dtype=F64)
    p = likelihood(pairs[:, :, None])
    every = torch.stack(
        [p.log_prob_terms(torch.full((len(pairs), 1), float(k))) for k in range(levels)]
    )
    assert every.isfinite().all()
    assert (every <= 0).all()
    assert every.logsumexp(0).abs().max() < 1e-9


@pytest.mark.parametrize("space", [Space((2,), "levels", 17), Space((2,), "binary")])
def test_categorical_sums_to_one(space):
    k = space.level_count
    logits = torch.randn(4, k, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * 30
    logits[0, 0] = 1e4  # a level that has everything
    p = rp.Categorical(space)(logits)
    every = torch.stack([p.log_prob_terms(torch.full((4, 2), float(level))) for level in range(k)])
    assert every.shape == (k, 4, 2)
    assert every.isfinite().all()
    assert every.logsumexp(0).abs().max() < 1e-9
    wanted = special.log_softmax(logits.numpy(), axis=1)
    np.testing.assert_allclose(every.numpy(), wanted.transpose(1, 0, 2), rtol=1e-12, atol=1e-12)


def test_categorical_reads_images():
    """(B, K, C, H, W) → one column per entry, in the order of x."""
    space = Space((2, 3, 4), "levels", 5)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 5, 2, 3, 4, generator=generator, dtype=F64)
    x = torch.randint(5, (6, 2, 3, 4), generator=generator)
    found = rp.Categorical(space)(logits.flatten(1)).log_prob_terms(x.double())
    for i, (b, c, h, w) in enumerate(np.ndindex(6, 2, 3, 4)):
        weights = special.softmax(logits[b, :, c, h, w].numpy())
        mass = weights[int(x[b, c, h, w])]
        assert found.flatten()[i].exp().item() == pytest.approx(mass, rel=1e-12)


# -------------------------------------------------------------------- against SciPy's Φ


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("scale", [1 / 32, 0.3, 1.0, 20.0, 2048.0])
def test_discretized_normal_is_the_difference_of_cdfs(levels, scale):
    """In both tails: means 50 scales and more beyond either end of the range."""
    k = np.arange(levels)
    for mean in (-300.0, -0.4, 0.5, levels / 2 + 0.13, levels - 1.0, levels + 300.0):
        p = DiscretizedNormalMass(column([mean]), column([math.log(scale)]), levels)
        found = p.repeat(levels).log_prob_terms(column(k))[:, 0].numpy()
        wanted = log_mass(k, mean, scale, levels)
        # log Φ of ±u is rounded at u²/2 · 2e-16, here at most 1e8 · 2e-16 of itself; a bin that is
        # 1/2048 of a scale wide takes a difference of logarithms 4e-4 apart: 1e-12 of the mass.
        np.testing.assert_allclose(found, wanted, rtol=2e-12, atol=2e-12)


def test_reference_of_the_tails_is_the_plain_difference_where_that_has_digits():
    k = np.arange(9)
    edges = np.concatenate([[-np.inf], k[:-1] + 0.5, [np.inf]])
    plain = np.diff(stats.norm(3.3, 1.4).cdf(edges))
    np.testing.assert_allclose(np.exp(log_mass(k, 3.3, 1.4, 9)), plain, rtol=1e-10, atol=1e-15)


def test_log_cdf_and_its_slope_against_scipy():
    """d log Φ = φ/Φ, in float32 too, where torch's own slope is lost below −300.

    Far above 0 log Φ goes as e^{−u²/2}, whose exponent is rounded: 9² · 6e-8 = 5e-6 of it.
    """
    u = np.array([-1e5, -16320.0, -300.0, -40.0, -3.0, -1.0001, -1.0, -0.9, 0.0, 2.0, 9.0])
    wanted = special.log_ndtr(u)
    slopes = math.sqrt(2 / math.pi) / special.erfcx(-u * math.sqrt(0.5))
    for dtype, tolerance in ((F64, 1e-13), (torch.float32, 1e-5)):
        x = torch.as_tensor(u).to(dtype).requires_grad_()
        value = numerics.normal_log_cdf(x)
        (slope,) = torch.autograd.grad(value.sum(), x)
        np.testing.assert_allclose(value.detach().numpy(), wanted, rtol=tolerance, atol=1e-30)
        kept = u < 9  # φ(9) is 1e-18, the slope of a number that rounds to 0
        np.testing.assert_allclose(slope.numpy()[kept], slopes[kept], rtol=10 * tolerance)


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_gradients_of_the_discretized_normal_far_from_the_data(dtype):
    """At d from the nearer edge of the bin, far out, log P ≈ −d²/2s²: slopes d/s² and d²/s²."""
    levels, top = 256, 255.0
    for scale in (1 / 32, 1.0, 5.0):
        far = 50 * scale + 0.5
        x = torch.tensor([0.0, 1.0, 100.0, 100.0, 254.0, top, 0.0, top], dtype=dtype)
        shift = torch.tensor([far, far, far, -far, -far, -far, 300.0, -300.0], dtype=dtype)
        mean = (x + shift).requires_grad_()
        log_scale = torch.full((8,), math.log(scale), dtype=dtype, requires_grad=True)
        value = numerics.discretized_normal_log_prob(x, mean, log_scale, levels)
        assert value.isfinite().all()
        to_mean, to_scale = torch.autograd.grad(value.sum(), (mean, log_scale))
        distance = (mean - x).abs().detach() - 0.5
        wanted = -shift.sign() * distance / scale**2
        # The next term of φ/Φ is a share (s/d)² ≤ 1/2500 of it; an inner bin's other edge is a
        # level, at least 1/5 scale, further: e^{−50/5} of it.
        torch.testing.assert_close(to_mean, wanted, rtol=2e-3, atol=0)
        torch.testing.assert_close(to_scale, distance.square() / scale**2, rtol=2e-3, atol=0)


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("name", ["discretized-normal", "categorical"])
def test_gradients_are_finite_whatever_the_decoder_says(name, dtype):
    space = Space((1,), "levels", 256)
    likelihood = make_likelihood(name, space)
    extremes = [-1e4, -30.0, -3.0, -1.0, 0.0, 1 / 255, 1.0, 3.0, 30.0, 1e4]
    rows = len(extremes) ** 2
    raw = torch.zeros(rows, *likelihood.parameter_shape, dtype=dtype)
    raw[:, :2, 0] = torch.tensor(list(itertools.product(extremes, extremes)), dtype=dtype)
    raw.requires_grad_()
    for level in (0.0, 1.0, 127.0, 128.0, 254.0, 255.0):
        value = likelihood(raw).log_prob_terms(torch.full((rows, 1), level, dtype=dtype))
        (gradient,) = torch.autograd.grad(value.sum(), raw)
        assert not value.isnan().any()
        assert (value <= 0).all()
        assert gradient.isfinite().all()


# ------------------------------------------------------------------------ means and draws

PARAMETERS = [(4.0, 0.3), (-3.0, 1.0), (12.5, -0.5), (30.0, 1.2), (8.0, NARROWEST), (7.3, 3.0)]


def p_value(draws: Tensor, probabilities: np.ndarray) -> float:
    """χ² of counted draws, all levels of under 5 expected draws in one cell."""
    counts = np.bincount(draws.long().numpy(), minlength=len(probabilities)).astype(float)
    expected = probabilities / probabilities.sum() * len(draws)
    rare = expected < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    if wanted[-1] < 1e-3:  # not one is expected, and χ² needs some
        assert observed[-1] == 0
        observed, wanted = observed[:-1], wanted[:-1]
    if len(wanted) == 1:
        return 1.0
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


@pytest.mark.parametrize("mean,log_scale", PARAMETERS)
def test_center_and_frequencies_of_the_discretized_normal(mean, log_scale):
    p = DiscretizedNormalMass(column([mean]), column([log_scale]), 17)
    k = np.arange(17)
    masses = np.exp(log_mass(k, mean, math.exp(log_scale), 17))
    assert p.center.item() == pytest.approx((k * masses).sum(), rel=1e-11, abs=1e-12)
    own = p.repeat(17).log_prob_terms(column(k))[:, 0].exp().numpy()
    assert (k * own).sum() == pytest.approx(p.center.item(), rel=1e-11, abs=1e-12)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(2))[:, 0]
    assert set(draws.unique().tolist()) <= set(range(17))
    assert p_value(draws, masses) > 1e-4


@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0])
def test_center_and_frequencies_of_the_categorical(spread):
    logits = spread * torch.randn(1, 9, 2, generator=torch.Generator().manual_seed(3), dtype=F64)
    p = CategoricalMass(logits)
    masses = special.softmax(logits[0].numpy(), axis=0)
    np.testing.assert_allclose(p.center[0].numpy(), np.arange(9) @ masses, rtol=1e-12)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(4))
    assert draws.shape == (20_000, 2)
    for entry in range(2):
        assert p_value(draws[:, entry], masses[:, entry]) > 1e-4
    both = draws[:, 0] * 9 + draws[:, 1]  # entries are drawn independently
    assert p_value(both, np.outer(masses[:, 0], masses[:, 1]).ravel()) > 1e-4


@pytest.mark.parametrize("family", ["normal", "categorical"])
def test_rows_repeat_detach_and_generators(family):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 9, 3, generator=generator, dtype=F64, requires_grad=True)
    if family == "normal":
        p = DiscretizedNormalMass(logits[:, 0] + 4, logits[:, 1], 9)
    else:
        p = CategoricalMass(logits)
    x = torch.randint(9, (4, 3), generator=generator).double()
    many = p.repeat(2)
    assert (p.rows, many.rows) == (4, 8)
    torch.testing.assert_close(
        many.log_prob_terms(x.repeat_interleave(2, 0)), p.log_prob_terms(x).repeat_interleave(2, 0)
    )
    torch.testing.assert_close(many.center, p.center.repeat_interleave(2, 0))
    assert p.log_prob_terms(x).requires_grad
    assert not p.detach().log_prob_terms(x).requires_grad
    one, two, other = (many.sample(torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


# -------------------------------------------------------------------------------- by name


def test_likelihoods_by_name():
    offered = set(get_args(get_type_hints(LikelihoodOptions)["likelihood"]))
    assert offered == {"auto", *LIKELIHOODS}
    for kind, levels in (("binary", None), ("levels", 5), ("real", None)):
        space = Space((2,), kind, levels)
        for name, chosen in LIKELIHOODS.items():
            if kind in chosen.kinds:
                assert type(make_likelihood(name, space)) is chosen
                continue
            with pytest.raises(ValueError, match=f"likelihood: {name} is none of {kind} data"):
                rp.build("vae", space, likelihood=name)
            with pytest.raises(ValueError, match=f"likelihood: .* got {kind} data"):
                chosen(space)
    with pytest.raises(ValueError, match="likelihood: expected auto, .*, got 'poisson'"):
        make_likelihood("poisson", Space((2,), "real"))


def test_what_is_shown_of_likelihoods_is_what_their_classes_say():
    default = {"binary": "bernoulli", "levels": "discretized-logistic", "real": "normal"}
    for name in ("vae", "cvae", "iwae"):
        found = likelihoods(PRESETS[name])
        for kind in ("binary", "levels", "real"):
            fitting = {n for n, chosen in LIKELIHOODS.items() if kind in chosen.kinds}
            assert set(found[kind]) == fitting and found[kind][0] == default[kind]
    assert likelihoods(PRESETS["pixel-cnn"])["levels"][0] == "categorical"
    assert likelihoods(PRESETS["pca"]) == {}


def test_every_preset_with_a_likelihood_shows_one_for_each_kind_of_data():
    for preset in PRESETS.values():
        found = likelihoods(preset)
        assert set(found) == (
            set(preset.accepts.kinds) if "likelihood" in preset.parameters else set()
        )
        assert all(found.values())
