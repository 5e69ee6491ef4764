"""log p(x) by draws from the prior, where p(x) and the variance of the weights are known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

import reparam as rp
from reparam.evaluation.prior_draws import posterior_log_prob

WEIGHT = torch.tensor(
    [[1.0, 0.0], [0.5, 0.0], [0.0, 1.2]], dtype=torch.float64
)  # columns at right angles
SCALE = 0.8
X = torch.tensor([[0.3, -1.0, 0.5], [2.0, 0.1, -0.4]], dtype=torch.float64)


@pytest.fixture(scope="module")
def model():
    """x = W z + 0.8 ε, with q(z|x) = p(z|x) up to the soft bounds of log-scales."""
    space = rp.Space((3,), "real")
    encoder, decoder = nn.Linear(3, 4), nn.Linear(2, 3)
    parts = (rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Normal(space, "fixed", SCALE))
    made = rp.VAE(space, encoder, decoder, *parts).double()
    with torch.no_grad():
        decoder.weight.copy_(WEIGHT)
        decoder.bias.zero_()
        variance = 1 / (1 + WEIGHT.square().sum(0) / SCALE**2)
        encoder.weight.zero_()
        encoder.weight[:2] = variance[:, None] * WEIGHT.T / SCALE**2
        encoder.bias.copy_(torch.cat([torch.zeros(2).double(), variance.log() / 2]))
    return made.eval()


def normal(variance):
    """N(x; 0, W Wᵀ + variance I) of both rows."""
    covariance = WEIGHT @ WEIGHT.T + variance * torch.eye(3, dtype=torch.float64)
    return torch.as_tensor(stats.multivariate_normal(None, covariance.numpy()).pdf(X.numpy()))


def test_the_mean_weight_is_p_of_x_and_its_variance_the_known_one(model):
    """E w = p(x), and E w² = (4πσ²)^(−3/2) N(x; 0, W Wᵀ + σ²/2 I) for w = p(x|z), z ~ p(z)."""
    first = normal(SCALE**2)
    second = (4 * math.pi * SCALE**2) ** -1.5 * normal(SCALE**2 / 2)
    k = 40_000
    found = rp.prior_log_prob(model, X, samples=k, generator=torch.Generator().manual_seed(0))
    assert (found.kind, found.samples) == ("lower bound", k)
    error = ((second - first**2) / k).sqrt()
    assert ((found.value.exp() - first).abs() < 4 * error).all()
    # The share of effective draws tends to (E w)² / E w²; of so many its error is below a hundredth
    # of it times a few, as Var of both sums is of that order.
    share = first**2 / second
    assert torch.allclose(found.effective_samples / k, share, rtol=0.05)


def test_beside_importance_weights_the_same_truth_and_fewer_effective_draws(model):
    generator = torch.Generator().manual_seed(1)
    prior = rp.prior_log_prob(model, X, samples=20_000, generator=generator)
    weighted = posterior_log_prob(model, X, samples=20_000, generator=generator)
    usual = model.log_prob(X, samples=20_000, generator=generator).value
    truth = normal(SCALE**2).log()
    for values, share in ((prior.value, prior), (weighted.value, weighted), (usual, weighted)):
        # Var(log mean w) ≈ Var(w) / (K p²) = (K/ESS − 1) / K, ESS being found of the same draws.
        error = ((20_000 / share.effective_samples - 1) / 20_000).sqrt()
        assert ((values - truth).abs() < 4 * error).all()
    # By p(z|x) itself all weights are the same.
    assert (weighted.effective_samples > 0.999 * 20_000).all()
    assert (prior.effective_samples < 0.6 * 20_000).all()


def test_one_draw_is_its_own_weight_and_all_of_it_counts(model):
    found = rp.prior_log_prob(model, X, samples=1, generator=torch.Generator().manual_seed(0))
    z = model.prior().repeat(2).sample(torch.Generator().manual_seed(0))
    assert torch.allclose(found.value, model.likelihood(z).log_prob(X))
    assert found.effective_samples.tolist() == pytest.approx([1, 1])


def test_batches_of_draws_change_nothing_but_the_noise(model, monkeypatch):
    monkeypatch.setattr("reparam.evaluation.prior_draws.draws_at_once", lambda *_: 999)
    found = rp.prior_log_prob(model, X, samples=20_000, generator=torch.Generator().manual_seed(2))
    error = ((20_000 / found.effective_samples - 1) / 20_000).sqrt()
    assert ((found.value - normal(SCALE**2).log()).abs() < 4 * error).all()


@pytest.mark.parametrize("samples", [0, -1, 1.5])
def test_a_bad_number_of_draws_is_refused(model, samples):
    with pytest.raises(ValueError, match="samples"):
        rp.prior_log_prob(model, X, samples=samples)


def test_conditional_models_and_layers_are_taken_too():
    space = rp.Space((9,), "binary", classes=3)
    x = torch.ones(4, 9)
    cvae = rp.build("cvae", space, latent_dim=2, hidden=(4,)).eval()
    found = rp.prior_log_prob(cvae, x, torch.tensor([0, 1, 2, 0]), samples=7)
    assert found.value.shape == (4,) and bool(found.value.isfinite().all())
    deep = rp.build("hierarchical-vae", rp.Space((9,), "binary"), hidden=(4,)).eval()
    assert rp.prior_log_prob(deep, x, samples=7).value.shape == (4,)
