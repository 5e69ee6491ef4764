"""The VAE where everything is known: linear-Gaussian parts, closed forms, deterministic noise.

Expectations over q are exact: with ε replaced by all 2^L sign vectors (two-point Gauss–Hermite in
each dimension) every polynomial of degree three in ε has its true mean.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from noise import noise_from
from scipy import stats
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

import reparam as rp
from reparam import model as vocabulary
from reparam.distributions.densities import NormalDensity
from reparam.model import Batch, Space
from reparam.objectives.latent_penalties import LatentPenalty

F64 = torch.float64
SIGMA = 0.8
MEAN = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=F64)
# Orthogonal columns, so that the exact posterior is diagonal.
WEIGHT = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [1.0, -1.0]], dtype=F64) * torch.tensor(
    [0.9, 0.3], dtype=F64
)
X = torch.tensor([[0.3, -1.0, 0.5, 2.0], [2.0, -2.1, -0.4, 3.3], [1.0, -5.0, 4.0, 0.0]], dtype=F64)


def unbound(log_scale: Tensor) -> Tensor:
    """What the encoder must give DiagonalNormal for this log σ: its soft bounds undone."""

    def inverse_softplus(v: Tensor) -> Tensor:
        return v + torch.log(-torch.expm1(-v))

    low, high = -8.0, 8.0
    return low + inverse_softplus(high - low - inverse_softplus(high - log_scale))


def linear_vae(gain: float = 1.0, shift: float = 0.0, widen: float = 0.0) -> rp.VAE:
    """N(μ + Wz, σ²I) under N(0, I), with q at the exact posterior, or moved away from it."""
    space = Space((4,), "real")
    parts = (rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Normal(space, "fixed"))
    model = rp.VAE(space, nn.Linear(4, 4), nn.Linear(2, 4), *parts).double()
    precision = (WEIGHT.T @ WEIGHT).diagonal() / SIGMA**2 + 1  # of z given x
    to_mean = WEIGHT.T / SIGMA**2 / precision[:, None] * gain
    with torch.no_grad():
        model.decoder.weight.copy_(WEIGHT)
        model.decoder.bias.copy_(MEAN)
        model.p_x.log_scale.fill_(math.log(SIGMA))
        model.encoder.weight.zero_()
        model.encoder.weight[:2] = to_mean
        model.encoder.bias[:2] = -to_mean @ MEAN + shift
        model.encoder.bias[2:] = unbound(-0.5 * precision.log() + widen)
    return model


def true_log_prob(x: Tensor = X) -> Tensor:
    covariance = (WEIGHT @ WEIGHT.T).numpy() + SIGMA**2 * np.eye(4)
    return torch.as_tensor(stats.multivariate_normal(MEAN.numpy(), covariance).logpdf(x.numpy()))


def true_posterior(x: Tensor = X) -> MultivariateNormal:
    precision = WEIGHT.T @ WEIGHT / SIGMA**2 + torch.eye(2, dtype=F64)
    mean = torch.linalg.solve(precision, WEIGHT.T @ (x - MEAN).T / SIGMA**2).T
    return MultivariateNormal(mean, precision_matrix=precision)


def expected_loss(model: rp.VAE, x: Tensor) -> dict[str, Tensor]:
    """Terms averaged over q exactly, (B,) each."""
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2)), dtype=F64)
    with noise_from(lambda like: signs.repeat_interleave(len(x), 0)):
        terms = model.loss(x.repeat(len(signs), 1)).terms
    return {
        name: term.detach().reshape(len(signs), len(x), -1).mean(0).sum(1)
        for name, term in terms.items()
    }


# ------------------------------------------------------------------------- the bound


def test_elbo_under_the_exact_posterior_is_log_p():
    terms = expected_loss(linear_vae(), X)
    torch.testing.assert_close(terms["bound"], true_log_prob(), rtol=1e-10, atol=0)
    torch.testing.assert_close(terms["bound"], -terms["distortion"] - terms["rate"])


@pytest.mark.parametrize(
    "change", [{"gain": 0.5}, {"shift": 0.7}, {"widen": 0.6}, {"gain": 1.2, "widen": -1.0}], ids=str
)
def test_elbo_under_another_q_is_lower_by_its_kl(change):
    model = linear_vae(**change)
    q = model.posterior(X)
    assert isinstance(q, NormalDensity)
    as_torch = MultivariateNormal(q.mean, torch.diag_embed(q.log_scale.exp().square()))
    gap = kl_divergence(as_torch, true_posterior())
    assert (gap > 1e-3).all()
    bound = expected_loss(model, X)["bound"]
    torch.testing.assert_close(true_log_prob() - bound, gap.detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("samples", [1, 2, 7, 1500])
def test_log_prob_under_the_exact_posterior_has_no_variance(samples):
    """p(x|z)p(z)/q(z|x) is p(x) whatever z; 1500 samples take several chunks."""
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        found = linear_vae().log_prob(X, samples=samples, generator=generator)
        torch.testing.assert_close(found.value, true_log_prob(), rtol=1e-10, atol=0)
        assert (found.kind, found.samples) == ("lower bound", samples)


def test_importance_weighting_is_monotone_in_the_number_of_samples():
    """Averaged over all subsets of k of six fixed draws, deterministic (Burda 2016, thm. 1)."""
    model, x = linear_vae(shift=0.8, widen=0.4), X[:1]
    draws = torch.randn(6, 2, generator=torch.Generator().manual_seed(3), dtype=F64)
    averages = []
    for k in range(1, 7):
        subsets = itertools.combinations(range(6), k)
        values = []
        for subset in subsets:
            with noise_from(lambda like, rows=subset: draws[list(rows)].reshape(like.shape)):
                values.append(model.log_prob(x, samples=k).value.item())
        averages.append(float(np.mean(values)))
    assert (np.diff(averages) > 1e-6).all()
    # The last one, from its definition: log 1/6 Σ p(x|z) p(z) / q(z|x).
    q = true_posterior(x)
    z = model.posterior(x).mean + model.posterior(x).log_scale.exp() * draws
    own = MultivariateNormal(
        model.posterior(x).mean, torch.diag_embed(model.posterior(x).log_scale.exp().square())
    )
    log_weights = true_log_prob(x) + q.log_prob(z) - own.log_prob(z)
    wanted = torch.logsumexp(log_weights, 0).item() - math.log(6)
    assert averages[-1] == pytest.approx(wanted, rel=1e-10)


def test_one_importance_sample_is_the_monte_carlo_bound_on_the_same_noise():
    """Without a closed form of the KL the loss's bound is log_prob at one sample, row for row."""

    class NoClosedForm(NormalDensity):
        def kl(self, other: object) -> None:
            return None

    class Posterior(rp.DiagonalNormal):
        def forward(self, parameters: Tensor) -> NoClosedForm:
            q = super().forward(parameters)
            return NoClosedForm(q.mean, q.log_scale)

    model = linear_vae(gain=0.3, widen=0.5)
    model.q_z = Posterior(2)
    epsilon = torch.randn(3, 2, dtype=F64)
    with noise_from(lambda like: epsilon):
        loss, found = model.loss(X), model.log_prob(X)
    torch.testing.assert_close(loss.terms["bound"], found.value, rtol=1e-12, atol=1e-12)
    assert loss.terms["rate"].shape == (3, 2)


@pytest.mark.parametrize("rows_per_chunk", [1, 2, 3, 5, 1000])
def test_chunks_of_samples_make_no_difference(monkeypatch, rows_per_chunk):
    """One stream of draws, however it is cut; 11 samples, so that the last chunk is shorter."""
    model, x = linear_vae(shift=0.8), X[:1]
    draws = torch.randn(11, 2, generator=torch.Generator().manual_seed(3), dtype=F64)
    q, p = model.posterior(x), true_posterior(x)
    z = q.mean + q.log_scale.exp() * draws
    own = MultivariateNormal(q.mean, torch.diag_embed(q.log_scale.exp().square()))
    log_weights = true_log_prob(x) + p.log_prob(z) - own.log_prob(z)
    wanted = log_weights.logsumexp(0).item() - math.log(11)
    stream, taken = iter(draws), []

    def next_rows(like: Tensor) -> Tensor:
        taken.append(len(like))
        return torch.stack([next(stream) for _ in range(len(like))])

    monkeypatch.setattr(vocabulary, "draws_at_once", lambda space, device=None: rows_per_chunk)
    with noise_from(next_rows):
        found = model.log_prob(x, samples=11).value.item()
    assert found == pytest.approx(wanted, rel=1e-10)
    assert sum(taken) == 11
    assert max(taken) == min(11, rows_per_chunk)


def test_samples_of_a_row_belong_to_that_row():
    """Many rows at many samples: the repeated posteriors and the repeated x stay aligned."""
    model = linear_vae()  # a weight is p(x) only where z came from the posterior of that x
    x = torch.randn(37, 4, dtype=F64) * 3
    found = model.log_prob(x, samples=50).value
    torch.testing.assert_close(found, true_log_prob(x), rtol=1e-9, atol=0)


def test_log_prob_converges_from_a_poor_posterior():
    """10⁵ weights of a q that is off but wider: the estimate is log p(x) within its own error."""
    model = linear_vae(shift=0.5, widen=0.5)
    rows = X.repeat_interleave(100, 0)
    found = model.log_prob(rows, samples=1000, generator=torch.Generator().manual_seed(0)).value
    weights = (found.view(3, 100) - true_log_prob()[:, None]).exp()
    error = weights.std(1) / math.sqrt(100)
    assert ((weights.mean(1) - 1).abs() < 4.5 * error).all()
    assert error.max() < 0.02


# ------------------------------------------------------------------ the objective, terms


def binary_vae(objective: nn.Module | None = None) -> rp.VAE:
    space = Space((5,), "binary")
    parts = (rp.DiagonalNormal(3), rp.StandardNormal(3), rp.Bernoulli(space))
    torch.manual_seed(0)
    return rp.VAE(space, nn.Linear(5, 6), nn.Linear(3, 5), *parts, objective).double()


def test_terms_are_sums_in_nats_and_the_objective_their_mean():
    model = binary_vae()
    x = (torch.rand(8, 5, dtype=F64) > 0.5).double()
    epsilon = torch.randn(8, 3, dtype=F64)
    with noise_from(lambda like: epsilon):
        loss = model.loss(x)
    outputs = model.encoder(x).detach().numpy()
    mean, scale = outputs[:, :3], np.exp(outputs[:, 3:])  # soft bounds 8 away: 2e-4 at most
    z = mean + scale * epsilon.numpy()
    logits = z @ model.decoder.weight.detach().numpy().T + model.decoder.bias.detach().numpy()
    p_one = 1 / (1 + np.exp(-logits))
    distortion = -stats.bernoulli(p_one).logpmf(x.numpy()).sum(1)
    rate = 0.5 * (mean**2 + scale**2 - 1 - 2 * np.log(scale))
    found = {name: term.detach().numpy() for name, term in loss.terms.items()}
    assert set(found) == {"distortion", "rate", "bound"}
    np.testing.assert_allclose(found["distortion"], distortion, rtol=2e-3)
    np.testing.assert_allclose(found["rate"], rate, atol=2e-3)
    np.testing.assert_allclose(found["bound"], -found["distortion"] - found["rate"].sum(1))
    total = found["distortion"].mean() + found["rate"].sum(1).mean()
    assert loss.objective.item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_weighting_changes_the_objective_and_no_term(beta):
    x = (torch.rand(8, 5, dtype=F64) > 0.5).double()
    epsilon = torch.randn(8, 3, dtype=F64)
    plain, weighted = binary_vae(), binary_vae(rp.ELBO(rp.Beta(beta)))
    with noise_from(lambda like: epsilon):
        one, other = plain.loss(x), weighted.loss(x)
    for name, term in one.terms.items():
        assert torch.equal(other.terms[name], term)
    distortion, rate = other.terms["distortion"], other.terms["rate"]
    wanted = distortion.mean() + beta * rate.sum(1).mean()
    torch.testing.assert_close(other.objective, wanted)
    if beta == 1:
        torch.testing.assert_close(other.objective, one.objective)


class MeanSquare(LatentPenalty):
    """Squared posterior means, and a record of what it was given."""

    term = "mean_square"

    def __init__(self, weight: float) -> None:
        super().__init__(weight)
        self.seen: list[Any] = []

    def forward(self, x: Tensor, z: Tensor, q: Any, p: Any) -> Tensor:
        self.seen.append((x, z, q, p))
        return q.mean.square().sum(1)


def test_penalties_are_added_and_given_what_they_need():
    penalty = MeanSquare(0.3)
    x = (torch.rand(8, 5, dtype=F64) > 0.5).double()
    epsilon = torch.randn(8, 3, dtype=F64)
    plain, model = binary_vae(), binary_vae(rp.ELBO(penalties=[penalty]))
    with noise_from(lambda like: epsilon):
        one, other = plain.loss(x), model.loss(x)
    ((seen_x, z, q, p),) = penalty.seen
    assert torch.equal(seen_x, x)
    torch.testing.assert_close(z, q.mean + q.log_scale.exp() * epsilon)
    squares = q.mean.square().sum(1)
    torch.testing.assert_close(other.objective - one.objective, 0.3 * squares.mean())
    assert torch.equal(other.terms["mean_square"], squares), "unweighted"
    assert all(torch.equal(other.terms[name], term) for name, term in one.terms.items())


def test_gradient_of_the_sigma_vae_at_fixed_sigma():
    """It is 1/(2σ²) times that of ‖x − f‖² + 2σ² KL."""
    model = linear_vae(gain=0.4, widen=0.3)
    epsilon = torch.randn(3, 2, dtype=F64)
    with noise_from(lambda like: epsilon):
        objective = model.loss(X).objective
    weights = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(objective, weights)
    q = model.posterior(X)
    reconstruction = model.decoder(q.mean + q.log_scale.exp() * epsilon)
    kl = 0.5 * (q.mean**2 + (2 * q.log_scale).exp() - 1 - 2 * q.log_scale).sum(1)
    plain = ((X - reconstruction).square().sum(1) + 2 * SIGMA**2 * kl).mean()
    for ours, theirs in zip(found, torch.autograd.grad(plain, weights), strict=True):
        torch.testing.assert_close(ours, theirs / (2 * SIGMA**2), rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------- the optimal linear VAE


def exact_data(eigenvalues: list[float], n: int = 24) -> Tensor:
    """n rows whose mean is 0 and whose 1/n covariance has exactly these eigenvalues."""
    rng = np.random.default_rng(0)
    d = len(eigenvalues)
    raw = rng.normal(size=(n, d))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(raw.T @ raw / n)).T
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return torch.as_tensor(white * np.sqrt(eigenvalues) @ rotation.T)


def train_exactly(model: rp.VAE, x: Tensor, latent_dim: int) -> dict[str, Tensor]:
    """L-BFGS on the expected objective; the terms at the end, (N, G)."""
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=latent_dim)), dtype=F64)
    epsilon, rows = signs.repeat_interleave(len(x), 0), x.repeat(len(signs), 1)
    optimizer = torch.optim.LBFGS(
        [p for p in model.parameters() if p.requires_grad],
        max_iter=1500,
        tolerance_grad=1e-10,
        tolerance_change=1e-15,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = model.loss(rows).objective
        objective.backward()
        return objective

    with noise_from(lambda like: epsilon):
        optimizer.step(closure)
        terms = model.loss(rows).terms
    return {name: term.detach() for name, term in terms.items()}


def fresh_linear(dimension: int, latent_dim: int, scale: str) -> rp.VAE:
    space = Space((dimension,), "real")
    parts = (rp.DiagonalNormal(latent_dim), rp.StandardNormal(latent_dim))
    torch.manual_seed(1)
    encoder, decoder = nn.Linear(dimension, 2 * latent_dim), nn.Linear(latent_dim, dimension)
    return rp.VAE(space, encoder, decoder, *parts, rp.Normal(space, scale)).double()


def test_a_latent_dimension_collapses_iff_its_eigenvalue_is_below_the_noise():
    """Lucas 2019: at σ² = 1 the rates are ½ ln λ_i where λ_i > 1 and exactly 0 elsewhere, and the
    bound is the density of pPCA. L-BFGS leaves the objective within 1e-9, rates within its root."""
    eigenvalues = [6.0, 2.5, 0.6, 0.3, 0.1]
    model = fresh_linear(5, 3, "fixed")
    terms = train_exactly(model, exact_data(eigenvalues), 3)
    rates = terms["rate"].mean(0).sort(descending=True).values
    wanted = torch.tensor([0.5 * math.log(6.0), 0.5 * math.log(2.5), 0.0], dtype=F64)
    torch.testing.assert_close(rates, wanted, atol=1e-4, rtol=0)
    fitted = np.array([6.0, 2.5, 1.0, 1.0, 1.0])
    log_p = -0.5 * (np.log(fitted) + np.array(eigenvalues) / fitted + math.log(2 * math.pi)).sum()
    assert terms["bound"].mean().item() == pytest.approx(log_p, abs=1e-6)


def test_the_linear_vae_with_learned_noise_is_probabilistic_pca():
    """Its bound at the optimum is the training evidence of pPCA and its σ² the discarded mean."""
    eigenvalues = [6.0, 2.5, 0.5, 0.3, 0.1]
    x = exact_data(eigenvalues)
    model = fresh_linear(5, 2, "shared")
    terms = train_exactly(model, x, 2)
    sigma2 = np.mean(eigenvalues[2:])
    evidence = -0.5 * (
        np.log(eigenvalues[:2]).sum() + 3 * math.log(sigma2) + 5 + 5 * math.log(2 * math.pi)
    )
    assert terms["bound"].mean().item() == pytest.approx(evidence, abs=1e-6)
    exact = rp.build("pca", Space((5,), "real"), latent_dim=2).double()
    exact.stages[0].solve(exact, [Batch(x)])
    importance = model.log_prob(x, samples=3).value
    torch.testing.assert_close(importance, exact.log_prob(x).value, atol=1e-3, rtol=0)


# ------------------------------------------------------------------------ units, samples


def test_real_data_in_other_units_shift_log_p_by_the_jacobian():
    """log p(a·x + b) = log p(x) − Σ ln a, once Standardize has read the new units."""
    gain = torch.tensor([2.0, 1e4, 1e-3, 0.5], dtype=F64)
    offset = torch.tensor([0.0, -3e4, 1.0, 100.0], dtype=F64)
    x = X.repeat(10, 1) + torch.randn(30, 4, dtype=F64)
    model = linear_vae(gain=0.7)
    values, draws, recovered = [], [], []
    for rows in (x, gain * x + offset):
        model.stages[0].solve(model, [Batch(rows)])
        found = model.log_prob(rows, samples=4, generator=torch.Generator().manual_seed(0))
        values.append(found.value)
        draws.append(model.sample(5, generator=torch.Generator().manual_seed(0)))
        recovered.append(model.reconstruct(rows).detach())
    shift = gain.log().sum()
    torch.testing.assert_close(values[1], values[0] - shift, rtol=1e-9, atol=1e-7)
    torch.testing.assert_close(draws[1], gain * draws[0] + offset, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(recovered[1], gain * recovered[0] + offset, rtol=1e-9, atol=1e-9)


def test_samples_have_the_law_of_the_model():
    """N(μ, WWᵀ + σ²I): the squared Mahalanobis lengths are χ² with four degrees of freedom."""
    x = linear_vae().sample(20_000, generator=torch.Generator().manual_seed(0)).numpy()
    covariance = (WEIGHT @ WEIGHT.T).numpy() + SIGMA**2 * np.eye(4)
    centered = x - MEAN.numpy()
    lengths = np.einsum("ni,ij,nj->n", centered, np.linalg.inv(covariance), centered)
    assert stats.kstest(lengths, stats.chi2(4).cdf).pvalue > 1e-4
    for column in range(4):
        law = stats.norm(MEAN[column].item(), math.sqrt(covariance[column, column]))
        assert stats.kstest(x[:, column], law.cdf).pvalue > 1e-4


def test_encode_and_decode_are_means():
    model = linear_vae()
    torch.testing.assert_close(model.encode(X), true_posterior().mean)
    z = torch.randn(3, 2, dtype=F64)
    torch.testing.assert_close(model.decode(z), z @ WEIGHT.T + MEAN)


# ------------------------------------------------------------------------------ refusals


def test_parts_that_do_not_fit_are_refused():
    space = Space((5,), "binary")
    encoder, decoder = nn.Linear(5, 6), nn.Linear(3, 5)
    q, p, likelihood = rp.DiagonalNormal(3), rp.StandardNormal(3), rp.Bernoulli(space)
    with pytest.raises(ValueError, match=r"prior: .*\(3,\), got \(2,\)"):
        rp.VAE(space, encoder, decoder, q, rp.StandardNormal(2), likelihood)
    with pytest.raises(ValueError, match="likelihood: expected one of Space.*got one of Space"):
        rp.VAE(Space((6,), "binary"), encoder, decoder, q, p, likelihood)
    wrong_encoder = rp.VAE(space, nn.Linear(5, 5), decoder, q, p, likelihood)
    with pytest.raises(ValueError, match=r"encoder: DiagonalNormal .*\(B, 6\).*\(2, 5\)"):
        wrong_encoder.loss(torch.zeros(2, 5))
    wrong_decoder = rp.VAE(space, encoder, nn.Linear(3, 4), q, p, likelihood)
    with pytest.raises(ValueError, match=r"decoder: Bernoulli .*\(B, 1, 5\), got \(2, 4\)"):
        wrong_decoder.loss(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="beta: expected a number of at least 0, got -1"):
        rp.Beta(-1)
