"""IWAE and DReG where everything is known: exact posteriors, fixed weights, gradients by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from noise import noise_from
from scipy import stats
from torch import Tensor, nn

import reparam as rp
from reparam.distributions.densities import NormalDensity
from reparam.model import Space

F64 = torch.float64
WEIGHT = torch.tensor([[0.9, 0.3], [0.9, -0.3], [0.9, 0.3], [0.9, -0.3]], dtype=F64)
SIGMA = 0.8
X = torch.tensor([[0.3, -1.0, 0.5, 2.0], [2.0, -2.1, -0.4, 3.3], [1.0, -5.0, 4.0, 0.0]], dtype=F64)


def inverse_softplus(v: Tensor) -> Tensor:
    return v + torch.log(-torch.expm1(-v))


def linear_vae(
    objective: nn.Module | None, shift: float = 0.0, widen: float = 0.0, closed_form: bool = True
) -> rp.VAE:
    """N(Wz, σ²I) under N(0, I), W's columns orthogonal: q is the exact posterior, or beside it."""
    space = Space((4,), "real")
    q_z = rp.DiagonalNormal(2) if closed_form else NoClosedForm(2)
    parts = (q_z, rp.StandardNormal(2), rp.Normal(space, "fixed"))
    model = rp.VAE(space, nn.Linear(4, 4), nn.Linear(2, 4), *parts, objective).double()
    precision = (WEIGHT.T @ WEIGHT).diagonal() / SIGMA**2 + 1
    log_scale = -0.5 * precision.log() + widen
    with torch.no_grad():
        model.p_x.log_scale.fill_(math.log(SIGMA))
        model.decoder.weight.copy_(WEIGHT)
        model.decoder.bias.zero_()
        model.encoder.weight.zero_()
        model.encoder.weight[:2] = WEIGHT.T / SIGMA**2 / precision[:, None]
        model.encoder.bias[:2] = shift
        # The soft bounds of DiagonalNormal, −8 and 8, undone.
        model.encoder.bias[2:] = -8 + inverse_softplus(16 - inverse_softplus(8 - log_scale))
    return model


class NoClosedForm(rp.DiagonalNormal):
    """A posterior whose KL is left to Monte Carlo."""

    class Density(NormalDensity):
        def kl(self, other: object) -> None:
            return None

    def forward(self, parameters: Tensor) -> NormalDensity:
        q = super().forward(parameters)
        return self.Density(q.mean, q.log_scale)


def true_log_prob(x: Tensor = X) -> Tensor:
    covariance = (WEIGHT @ WEIGHT.T).numpy() + SIGMA**2 * np.eye(4)
    return torch.as_tensor(stats.multivariate_normal(np.zeros(4), covariance).logpdf(x.numpy()))


def log_weights(model: rp.VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) p(z) / q(z|x) by torch.distributions, from the weights; z is (B, k, L)."""
    normal = torch.distributions.Normal
    q = model.posterior(x)
    assert isinstance(q, NormalDensity)
    log_q = normal(q.mean[:, None], q.log_scale.exp()[:, None]).log_prob(z).sum(2)
    means = z @ model.decoder.weight.T + model.decoder.bias
    log_p = normal(means, SIGMA).log_prob(x[:, None]).sum(2)
    return log_p + normal(0.0, 1.0).log_prob(z).sum(2) - log_q


def draws(k: int, rows: int = 3, seed: int = 0) -> Tensor:
    """Noise of k draws for each of some rows, in the order of ``repeat``."""
    return torch.randn(rows * k, 2, generator=torch.Generator().manual_seed(seed), dtype=F64)


# ------------------------------------------------------------------------------ the value


def test_one_draw_is_the_elbo_with_monte_carlo_kl_per_sample():
    epsilon = draws(1)
    elbo = linear_vae(rp.ELBO(), 0.5, 0.3, closed_form=False)
    one = linear_vae(rp.IWAE(1), 0.5, 0.3)
    with noise_from(lambda like: epsilon):
        wanted, found = elbo.loss(X), one.loss(X)
    for name in ("distortion", "rate", "bound"):
        assert found.terms[name].shape == wanted.terms[name].shape
        torch.testing.assert_close(found.terms[name], wanted.terms[name], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found.objective, wanted.objective, rtol=1e-13, atol=0)
    weights = list(one.parameters())
    ours = torch.autograd.grad(found.objective, weights)
    theirs = torch.autograd.grad(wanted.objective, list(elbo.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("objective", [rp.IWAE, rp.DReG])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_exact_posterior_gives_log_p_without_variance(objective, k):
    """Every weight is p(x), whatever z; the distortions and rates still vary."""
    for seed in (0, 1):
        torch.manual_seed(seed)
        loss = linear_vae(objective(k)).loss(X)
        torch.testing.assert_close(loss.terms["bound"], true_log_prob(), rtol=1e-10, atol=0)
        assert loss.objective.item() == pytest.approx(-true_log_prob().mean().item(), rel=1e-10)


@pytest.mark.parametrize("objective", [rp.IWAE, rp.DReG])
def test_value_and_terms_from_their_definitions(objective):
    """log 1/k Σ w; distortion and rate are means over the draws, whose sum is the ELBO."""
    model, epsilon = linear_vae(objective(5), 0.6, 0.4), draws(5)
    with noise_from(lambda like: epsilon):
        terms = model.loss(X).terms
    q = model.posterior(X)
    z = q.mean[:, None] + q.log_scale.exp()[:, None] * epsilon.view(3, 5, 2)
    log_w = log_weights(model, X, z)
    wanted = log_w.logsumexp(1) - math.log(5)
    torch.testing.assert_close(terms["bound"], wanted, rtol=1e-12, atol=0)
    elbo = -terms["distortion"] - terms["rate"].sum(1)
    torch.testing.assert_close(elbo, log_w.mean(1), rtol=1e-12, atol=0)
    assert terms["rate"].shape == (3, 2)
    assert (terms["bound"] > elbo).all()


def test_the_bound_is_monotone_in_k_over_subsets_of_fixed_draws():
    """Averaged over all subsets of k of six draws (Burda 2016, theorem 1): deterministic."""
    table, averages = draws(6, rows=1, seed=3), []
    for k in range(1, 7):
        model, values = linear_vae(rp.IWAE(k), 0.8, 0.4), []
        for subset in itertools.combinations(range(6), k):
            with noise_from(lambda like, rows=subset: table[list(rows)]):
                values.append(model.loss(X[:1]).terms["bound"].item())
        averages.append(float(np.mean(values)))
    assert (np.diff(averages) > 1e-6).all()


def test_prior_sampling_agrees_with_importance_weighting():
    """log 1/n Σ p(x|z), z ~ p(z), and the IWAE of a poor q estimate one log p(x)."""
    n = 200_000
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(5), dtype=F64)
    means = z @ WEIGHT.T
    model = linear_vae(rp.IWAE(2000), 0.3, 0.3)
    for x, truth in zip(X[:2], true_log_prob(X[:2]), strict=True):
        log_p = torch.distributions.Normal(means, SIGMA).log_prob(x).sum(1)
        weights = (log_p - truth).exp()
        error = weights.std().item() / math.sqrt(n)
        assert abs(weights.mean().item() - 1) < 4.5 * error
        assert error < 0.05
        rows = x.expand(50, -1)
        with torch.no_grad():
            importance = (model.loss(rows).terms["bound"] - truth).exp()
        own_error = importance.std().item() / math.sqrt(50)
        assert abs(importance.mean().item() - 1) < 4.5 * own_error
        difference = importance.mean().item() - weights.mean().item()
        assert abs(difference) < 4.5 * math.hypot(error, own_error)
        assert own_error < error  # q knows x, the prior does not


# ---------------------------------------------------------------------------- gradients


def gradients(model: rp.VAE, epsilon: Tensor, x: Tensor = X) -> tuple[Tensor, list[Tensor]]:
    """The objective, and its gradients of encoder weight and bias, decoder weight and bias."""
    with noise_from(lambda like: epsilon):
        objective = model.loss(x).objective
    parts = [*model.encoder.parameters(), *model.decoder.parameters()]
    return objective.detach(), list(torch.autograd.grad(objective, parts))


@pytest.mark.parametrize("k", [1, 4, 16])
def test_dreg_has_the_value_and_the_decoder_gradient_of_iwae(k):
    epsilon = draws(k)
    plain, plain_gradients = gradients(linear_vae(rp.IWAE(k), 0.6, 0.4), epsilon)
    doubly, doubly_gradients = gradients(linear_vae(rp.DReG(k), 0.6, 0.4), epsilon)
    # Equal but for rounding: log q of a draw comes from its noise in one, from z in the other.
    torch.testing.assert_close(plain, doubly, rtol=1e-13, atol=0)
    for ours, theirs in zip(doubly_gradients[2:], plain_gradients[2:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)
    assert not torch.allclose(doubly_gradients[0], plain_gradients[0])


@pytest.mark.parametrize("k", [1, 4, 16])
def test_encoder_gradient_of_dreg_is_its_equation(k):
    """−1/B Σ_rows Σ_k w̃² ∂log w/∂z ∂z/∂φ: the two factors by autograd, one after the other."""
    model, epsilon = linear_vae(rp.DReG(k), 0.6, 0.4), draws(k)
    _, found = gradients(model, epsilon)
    frozen = linear_vae(None, 0.6, 0.4)  # of its q and p only z moves
    q = model.posterior(X)
    z = q.mean[:, None] + q.log_scale.exp()[:, None] * epsilon.view(3, k, 2)
    leaf = z.detach().requires_grad_()
    q_fixed = frozen.posterior(X)
    assert isinstance(q_fixed, NormalDensity)
    log_w = log_weights(frozen, X, leaf)
    (to_z,) = torch.autograd.grad(log_w.sum(), leaf)
    factor = log_w.softmax(1).square()[:, :, None] * to_z
    parts = list(model.encoder.parameters())
    wanted = torch.autograd.grad(-(factor.detach() * z).sum() / 3, parts)
    for ours, theirs in zip(found[:2], wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [2, 8])
def test_encoder_gradients_of_dreg_and_iwae_have_one_expectation(k):
    """Means over 400 batches of 250 rows: equal within 4.5 standard errors of the difference, and
    neither expectation is zero within them."""
    rows = X[:1].expand(250, -1)
    samples: dict[str, Tensor] = {}
    for name, objective in (("iwae", rp.IWAE(k)), ("dreg", rp.DReG(k))):
        model = linear_vae(objective, 0.6, 0.4)
        found = []
        for seed in range(400):
            # Other noise for each: independent estimates.
            epsilon = draws(k, 250, seed + (1000 if name == "dreg" else 0))
            found.append(gradients(model, epsilon, rows)[1][1])  # of the encoder's bias
        samples[name] = torch.stack(found)
    means = {name: values.mean(0) for name, values in samples.items()}
    errors = {name: values.std(0) / math.sqrt(400) for name, values in samples.items()}
    difference = (means["iwae"] - means["dreg"]).abs()
    assert (difference < 4.5 * (errors["iwae"] ** 2 + errors["dreg"] ** 2).sqrt()).all()
    assert (means["dreg"].abs() > 10 * errors["dreg"]).all()


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_under_a_weighting_the_weights_are_those_of_distortion_and_weighted_rate(beta):
    """−log 1/k Σ exp(−D − βR), and of it DReG has the value, the decoder's gradient and, on
    average over 200 batches of 250 rows, the encoder's."""
    rows, samples = X[:1].expand(250, -1), {}
    model, epsilon = linear_vae(rp.IWAE(4, rp.Beta(beta)), 0.6, 0.4), draws(4)
    value, plain = gradients(model, epsilon)
    q = model.posterior(X)
    z = q.mean[:, None] + q.log_scale.exp()[:, None] * epsilon.view(3, 4, 2)
    log_p = torch.distributions.Normal(z @ WEIGHT.T, SIGMA).log_prob(X[:, None]).sum(2)
    log_w = log_p + beta * (log_weights(model, X, z) - log_p)
    wanted = -(log_w.logsumexp(1) - math.log(4)).mean()
    torch.testing.assert_close(value, wanted.detach(), rtol=1e-12, atol=0)
    doubly, found = gradients(linear_vae(rp.DReG(4, rp.Beta(beta)), 0.6, 0.4), epsilon)
    torch.testing.assert_close(doubly, value, rtol=1e-13, atol=0)
    for ours, theirs in zip(found[2:], plain[2:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)
    for objective, first in ((rp.IWAE, 0), (rp.DReG, 1000)):
        one = linear_vae(objective(4, rp.Beta(beta)), 0.6, 0.4)
        seeds = range(first, first + 200)  # other noise for each: independent estimates
        of_bias = [gradients(one, draws(4, 250, seed), rows)[1][1] for seed in seeds]
        samples[objective] = torch.stack(of_bias)
    means = [values.mean(0) for values in samples.values()]
    errors = [values.std(0) / math.sqrt(200) for values in samples.values()]
    assert ((means[0] - means[1]).abs() < 4.5 * errors[0].hypot(errors[1])).all()
    assert (means[1].abs() > 10 * errors[1]).any()


def test_dreg_of_the_exact_posterior_has_no_encoder_gradient():
    """log w is constant in z there, so that each draw's gradient is zero, not only their mean."""
    _, doubly = gradients(linear_vae(rp.DReG(4)), draws(4))
    _, plain = gradients(linear_vae(rp.IWAE(4)), draws(4))
    assert all(g.abs().max() < 1e-10 for g in doubly[:2])
    assert plain[0].abs().max() > 1e-3


def test_gradients_are_finite_where_one_weight_has_everything():
    model, epsilon = linear_vae(rp.DReG(8), shift=30.0, widen=3.0), draws(8)
    _, found = gradients(model, epsilon)
    assert all(g.isfinite().all() for g in found)


@pytest.mark.parametrize("objective", [rp.IWAE, rp.DReG])
def test_no_draws_are_refused(objective):
    with pytest.raises(ValueError, match="k: .*0"):
        objective(0)
    with pytest.raises(ValueError, match="k: .*-1"):
        rp.build("iwae", Space((3,), "real"), k=-1)


# --------------------------------------------------------------------------------- β-VAE


@pytest.mark.parametrize("kind", ["binary", "levels", "real"])
def test_beta_vae_at_one_is_the_vae_and_its_terms_are_never_weighted(kind):
    space = Space((5,), kind, 9 if kind == "levels" else None)
    x = (torch.rand(8, 5, dtype=F64) > 0.5).double()
    models = {}
    for beta in (None, 1.0, 4.0):
        torch.manual_seed(3)
        name, more = ("vae", {}) if beta is None else ("beta-vae", {"beta": beta})
        models[beta] = rp.build(name, space, latent_dim=2, hidden=(6,), **more).double()
    losses = {}
    for beta, model in models.items():
        torch.manual_seed(4)
        losses[beta] = model.loss(x)
    assert torch.equal(losses[1.0].objective, losses[None].objective)
    for beta in (1.0, 4.0):
        for name, term in losses[None].terms.items():
            assert torch.equal(losses[beta].terms[name], term), name
    terms = losses[4.0].terms
    wanted = (terms["distortion"] + 4 * terms["rate"].sum(1)).mean()
    torch.testing.assert_close(losses[4.0].objective, wanted, rtol=1e-13, atol=0)
    torch.testing.assert_close(terms["bound"], -terms["distortion"] - terms["rate"].sum(1))
    gradients = [
        torch.autograd.grad(losses[beta].objective, list(models[beta].parameters()))
        for beta in (None, 1.0)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
