"""Likelihoods as modules: units, normalisation at the ends of their parameters, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

import reparam as rp
from reparam.distributions.likelihoods import find_likelihood
from reparam.model import Space

F64 = torch.float64


@pytest.mark.parametrize("levels", [2, 5, 17, 256])
def test_discretized_logistic_sums_to_one_for_any_decoder_output(levels):
    """Saturated log-scales and locations far outside included."""
    likelihood = rp.DiscretizedLogistic(Space((1,), "levels", levels))
    raw = torch.tensor([-1e3, -50.0, -7.0, -1.0, 0.0, 1.0, 7.0, 50.0, 1e3], dtype=F64)
    pairs = torch.tensor(list(itertools.product([-3.0, -1.0, -0.1, 0.0, 0.4, 1.0, 3.0], raw)))
    p = likelihood(pairs.to(F64)[:, :, None])
    every = torch.stack([p.log_prob(torch.full((len(pairs), 1), float(k))) for k in range(levels)])
    assert every.isfinite().all()
    assert every.logsumexp(0).abs().max() < 1e-9


def test_discretized_logistic_units():
    """Location 0 is the middle and ±1 the ends; log-scale 0 is an eighth of the range."""
    likelihood = rp.DiscretizedLogistic(Space((1,), "levels", 256))
    for raw, location, level in ((0.0, 127.5, 127), (-1.0, 0.0, 1), (1.0, 255.0, 254)):
        p = likelihood(torch.tensor([[[raw], [0.0]]], dtype=F64))
        edges = np.array([level - 0.5, level + 0.5])
        mass = np.diff(stats.logistic(location, 255 / 8).cdf(edges))[0]
        # Near its location a mass goes as 1/scale, which the soft upper bound, ln(8 · 256 · 8/255)
        # = 4.16 away, lowers by a factor of up to 1 + e^−4.16 = 1.016.
        found = p.log_prob(torch.full((1, 1), float(level))).exp().item()
        assert found == pytest.approx(mass, rel=0.017)


def test_locations_of_the_discretized_logistic_are_levels():
    """At the narrowest scale, 1/32 of a level, all but e^−16 of the mass is on the level named."""
    likelihood = rp.DiscretizedLogistic(Space((1,), "levels", 5))
    for raw, level in ((-1.0, 0), (-0.5, 1), (0.0, 2), (1.0, 4), (7.0, 4), (-7.0, 0)):
        p = likelihood(torch.tensor([[[raw], [-100.0]]], dtype=F64))
        assert p.log_prob(torch.full((1, 1), float(level))).item() > -1e-6
        assert p.center.item() == pytest.approx(level, abs=1e-5)


def test_bernoulli_of_all_images_sums_to_one():
    """All 2⁶ binary 1×2×3 images under one decoder output, saturated logits among them."""
    logits = torch.tensor([-60.0, -3.0, 0.0, 0.5, 8.0, 60.0], dtype=F64).view(1, 1, 1, 2, 3)
    p = rp.Bernoulli(Space((1, 2, 3), "binary"))(logits)
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=F64)
    log_prob = p.repeat(64).log_prob(images.view(64, 1, 2, 3))
    assert log_prob.shape == (64, 6)
    assert abs(log_prob.sum(1).logsumexp(0).item()) < 1e-9


@pytest.mark.parametrize("scale", ["shared", "per-dimension", "fixed"])
def test_normal_of_real_data_is_the_normal(scale):
    likelihood = rp.Normal(Space((3,), "real"), scale, fixed=0.7).double()
    mean = torch.tensor([[0.1, -2.0, 4.0]], dtype=F64)
    x = torch.tensor([[0.0, 1.0, 5.0]], dtype=F64)
    wanted = stats.norm(mean.numpy(), 0.7).logpdf(x.numpy())
    # float32 log 0.7 before .double(), and the soft bounds 6.6 away: e^−6.6 = 1.4e-3 at worst.
    tolerance = 1e-6 if scale == "fixed" else 5e-3
    np.testing.assert_allclose(
        likelihood(mean).log_prob(x).detach().numpy(), wanted, rtol=tolerance
    )
    trainable = [p for p in likelihood.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trainable) == {"shared": 1, "per-dimension": 3, "fixed": 0}[scale]


@pytest.mark.parametrize("space", [Space((1,), "levels", 9), Space((1,), "binary")])
def test_normal_of_discrete_data_is_dequantised_in_level_units(space):
    """Network mean m ∈ [0, 1] stands for level m(K−1), whose bin's middle is half a level up."""
    top, sigma = space.level_count - 1, 0.3
    p = rp.Normal(space, "fixed", sigma).double()(torch.tensor([[0.25]], dtype=F64))
    law = stats.norm(0.25 * top + 0.5, sigma * top)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    for level in range(top + 1):
        wanted = law.logpdf(level + (nodes + 1) / 2) @ (weights / 2)
        found = p.log_prob(torch.full((1, 1), float(level), dtype=F64)).item()
        assert found == pytest.approx(wanted, rel=1e-6)  # log σ was float32 before .double()
    assert p.center.item() == pytest.approx(0.25 * top)
    assert p.kind == "lower bound"


def test_a_constant_column_does_not_give_an_infinite_density():
    """However far the learned σ runs down, the density of a perfect fit stays finite."""
    likelihood = rp.Normal(Space((2,), "real"))
    with torch.no_grad():
        likelihood.log_scale.fill_(-1e4)
    value = likelihood(torch.zeros(1, 2)).log_prob(torch.zeros(1, 2)).sum().item()
    assert value == pytest.approx(2 * (7 - 0.5 * math.log(2 * math.pi)), abs=1e-4)


def test_the_default_likelihood_is_exact():
    for space in (Space((2,), "binary"), Space((2,), "levels", 5), Space((2,), "real")):
        likelihood = find_likelihood("auto", space)
        assert likelihood(torch.zeros(1, *likelihood.parameter_shape)).kind == "exact"


def test_refusals():
    with pytest.raises(ValueError, match="likelihood: Bernoulli .* binary data, got real data"):
        rp.Bernoulli(Space((2,), "real"))
    with pytest.raises(ValueError, match="likelihood: DiscretizedLogistic .* got binary data"):
        rp.DiscretizedLogistic(Space((2,), "binary"))
    with pytest.raises(ValueError, match="scale: expected shared, .* got 'wide'"):
        rp.Normal(Space((2,), "real"), "wide")
    with pytest.raises(ValueError, match="fixed: expected a positive .* got 0"):
        rp.Normal(Space((2,), "real"), fixed=0)
    with pytest.raises(ValueError, match=r"decoder: Bernoulli expects .*\(B, 1, 2\), got \(3, 5\)"):
        rp.Bernoulli(Space((2,), "binary"))(torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r"encoder: DiagonalNormal expects .*\(3, 5\)"):
        rp.DiagonalNormal(2)(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="latent_dim: expected a positive number, got 0"):
        rp.DiagonalNormal(0)
