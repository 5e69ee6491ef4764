"""Posteriors of z against torch.distributions, quadrature and counting, and what each can fit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, distributions, nn

import reparam as rp
from reparam import numerics

F64 = torch.float64


def parameters(posterior: nn.Module, rows: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, *posterior.parameter_shape, generator=generator, dtype=F64)


def flow(*maps: rp.Bijection) -> rp.FlowPosterior:
    return rp.FlowPosterior(2, rp.Chain(*maps)).double()


POSTERIORS = {
    "full": lambda: rp.FullNormal(2),
    "mixture": lambda: rp.NormalMixture(2, 3),
    "planar": lambda: flow(rp.Planar(2), rp.Planar(2)),
    "radial": lambda: flow(rp.Radial(2), rp.Radial(2)),
    "iaf": lambda: flow(rp.Inverse(rp.MaskedAffine(2, (8,), 3))),
}


def grid(reach: float = 12.0, points: int = 241) -> tuple[Tensor, float]:
    line = torch.linspace(-reach, reach, points, dtype=F64)
    mesh = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2)
    return mesh, (line[1] - line[0]).item() ** 2


@pytest.mark.parametrize("name", POSTERIORS)
def test_densities_integrate_to_one(name):
    posterior = POSTERIORS[name]()
    points, area = grid()
    for row in range(2):
        q = posterior(0.5 * parameters(posterior, seed=row)[:1]).repeat(len(points))
        total = q.log_prob_terms(points).sum(1).exp().sum().item() * area
        assert total == pytest.approx(1, abs=2e-3)  # kinks of a rectified network: no better


@pytest.mark.parametrize("name", POSTERIORS)
def test_draws_come_with_their_density_and_are_of_it(name):
    """The density with the draw is the density of the draw; moments are those by quadrature."""
    posterior, rows = POSTERIORS[name](), 30_000
    q = posterior(0.5 * parameters(posterior)[:1])
    torch.manual_seed(2)
    z, log_prob = q.repeat(rows).rsample_with_log_prob_terms()
    torch.testing.assert_close(log_prob, q.repeat(rows).log_prob_terms(z), rtol=1e-6, atol=1e-6)
    points, area = grid()
    density = q.repeat(len(points)).log_prob_terms(points).sum(1).exp() * area
    for power in (1, 2):
        wanted = (density[:, None] * points**power).sum(0)
        error = (z**power).std(0) / math.sqrt(rows)
        assert ((z**power).mean(0) - wanted).abs().max() < 5 * error.max() + 2e-3


def test_a_posterior_of_splines_is_a_density_that_comes_with_its_draws():
    torch.manual_seed(0)
    network = rp.MADE((2,), rp.Spline(4).parameters, (8,), context=3, gain=0.7)
    posterior = flow(rp.Inverse(rp.AutoregressiveTransform(rp.Spline(4), network)))
    h = 0.5 * parameters(posterior)[:1]
    q = posterior(h)
    z, log_prob = q.repeat(100).rsample_with_log_prob_terms()
    torch.testing.assert_close(log_prob, q.repeat(100).log_prob_terms(z), rtol=1e-6, atol=1e-6)
    assert (log_prob - posterior.base(h[:, :4]).log_prob(z)).std() > 0.05  # the splines bend
    points, area = grid(points=161)
    total = q.repeat(len(points)).log_prob_terms(points).sum(1).exp().sum().item() * area
    assert total == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("name", POSTERIORS)
def test_rows_are_repeated_and_detached_whole(name):
    posterior = POSTERIORS[name]()
    h = parameters(posterior).requires_grad_()
    q = posterior(h)
    assert q.rows == 4
    z = torch.randn(12, 2, dtype=F64).requires_grad_()
    many = q.repeat(3).log_prob_terms(z)
    for k in range(3):
        torch.testing.assert_close(q.log_prob_terms(z[k::3]), many[k::3])
    fixed = q.detach()
    torch.testing.assert_close(fixed.log_prob_terms(z[:4]), q.log_prob_terms(z[:4]))
    inputs = [h, *posterior.parameters()]
    found = torch.autograd.grad(fixed.log_prob_terms(z[:4]).sum(), [z, *inputs], allow_unused=True)
    assert found[0].any() and all(g is None for g in found[1:])


def test_full_normal_is_the_multivariate_normal():
    posterior = rp.FullNormal(3)
    q = posterior(parameters(posterior))
    reference = distributions.MultivariateNormal(q.mean, scale_tril=q.factor)
    z = torch.randn(4, 3, dtype=F64)
    torch.testing.assert_close(q.log_prob_terms(z).squeeze(1), reference.log_prob(z))
    standard = distributions.MultivariateNormal(torch.zeros(3, dtype=F64), torch.eye(3, dtype=F64))
    kl = distributions.kl_divergence(reference, standard)
    torch.testing.assert_close(q.kl(rp.StandardNormal(3).double()()).squeeze(1), kl)
    torch.testing.assert_close(q.variance, reference.variance)
    assert q.kl(q) is None


def test_normal_mixture_is_the_mixture():
    posterior = rp.NormalMixture(2, 3)
    q = posterior(parameters(posterior))
    components = distributions.Independent(distributions.Normal(q.mean, q.log_scale.exp()), 1)
    weights = distributions.Categorical(torch.ones(4, 3, dtype=F64))
    reference = distributions.MixtureSameFamily(weights, components)
    z = torch.randn(4, 2, dtype=F64)
    torch.testing.assert_close(q.log_prob_terms(z).squeeze(1), reference.log_prob(z))
    torch.testing.assert_close(q.center, reference.mean)
    torch.testing.assert_close(q.variance, reference.variance)


def test_the_variance_of_a_mixture_far_from_zero_keeps_its_digits():
    q = rp.NormalMixture(1, 2)(torch.tensor([[300.0, 300.5, -3.0, -3.0]]))
    wanted = torch.exp(2 * q.log_scale[0, 0]) + 0.25**2
    torch.testing.assert_close(q.variance, wanted.view(1, 1), rtol=1e-5, atol=0)


# ----------------------------------------------------- what a family costs on a known posterior


def sigma_points() -> Tensor:
    """Four points with the mean and covariance of N(0, I₂): expectations of quadratics exactly."""
    return math.sqrt(2) * torch.cat([torch.eye(2, dtype=F64), -torch.eye(2, dtype=F64)])


def least_divergence(posterior: nn.Module, rho: float) -> float:
    """min KL(q ‖ N(0, Σ_ρ)) over the encoder's outputs and the family's own weights."""
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=F64)
    target = distributions.MultivariateNormal(torch.zeros(2, dtype=F64), covariance)
    h = torch.zeros(1, *posterior.parameter_shape, dtype=F64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [h, *posterior.parameters()],
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(numerics, "noise", lambda like, kind="normal", generator=None: sigma_points())

    def divergence() -> Tensor:
        z, log_q = posterior(h).repeat(4).rsample_with_log_prob_terms()
        # Of the four points −½‖ε‖² is −1, its mean under N(0, I): so log q has its own mean too.
        return (log_q.sum(1) - target.log_prob(z)).mean()

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = divergence()
        value.backward()
        return value

    optimizer.step(closure)
    value = divergence().item()
    patch.undo()
    return value


@pytest.mark.parametrize("rho", [0.3, 0.8, -0.95])
def test_what_correlation_costs_each_family(rho):
    """The diagonal exactly −½ ln(1 − ρ²), full covariance and linear IAF nothing."""
    assert least_divergence(rp.DiagonalNormal(2), rho) == pytest.approx(
        -0.5 * math.log(1 - rho**2), rel=1e-8
    )
    assert least_divergence(rp.FullNormal(2), rho) == pytest.approx(0, abs=1e-9)
    linear = flow(rp.Inverse(rp.MaskedAffine(2, ())))
    assert least_divergence(linear, rho) == pytest.approx(0, abs=1e-9)


# --------------------------------------------------------------------------- categorical


def test_one_hot_draws_have_the_frequencies_of_the_logits():
    posterior = rp.GumbelSoftmax(2, 3, temperature=0.5).double()
    h = parameters(posterior, rows=1)
    probabilities = h.view(2, 3).softmax(1)
    rows = 50_000
    torch.manual_seed(3)
    hard = posterior.eval()(h).repeat(rows).rsample()
    relaxed = posterior.train()(h).repeat(rows).rsample().view(rows, 2, 3)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(relaxed.sum(2), torch.ones(rows, 2, dtype=F64))
    chosen = nn.functional.one_hot(relaxed.argmax(2), 3).double()
    for draws in (hard.view(rows, 2, 3), chosen):
        error = (probabilities * (1 - probabilities) / rows).sqrt()
        assert ((draws.mean(0) - probabilities).abs() < 5 * error).all()


def test_categorical_divergence_and_mass():
    posterior = rp.GumbelSoftmax(2, 3).double().eval()
    q = posterior(parameters(posterior))
    reference = distributions.Categorical(logits=q.logits)
    uniform = distributions.Categorical(torch.ones(3, dtype=F64))
    kl = q.kl(rp.UniformOneHot(2, 3).double()())
    torch.testing.assert_close(kl, distributions.kl_divergence(reference, uniform))
    z = q.sample()
    torch.testing.assert_close(q.log_prob_terms(z), reference.log_prob(z.view(4, 2, 3).argmax(2)))
    assert q.kind == "exact" and posterior.train()(parameters(posterior)).kind == "estimate"


def test_the_bound_of_a_discrete_code_is_below_its_enumerated_likelihood():
    """log Σ_z p(z) p(x|z) over all nine codes, and the bound of evaluation averaged over draws."""
    from reparam.model import Space

    space = Space((4,), "binary")
    torch.manual_seed(1)
    model = rp.build(
        "vae", space, latent_dim=2, categories=3, hidden=(8,), posterior="categorical"
    ).double()
    model.eval()
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=F64)
    codes = torch.cat(
        [torch.cat([a, b])[None] for a in torch.eye(3, dtype=F64) for b in torch.eye(3, dtype=F64)]
    )
    with torch.no_grad():
        log_p = model.likelihood(codes).log_prob_terms(x.expand(9, 4)).sum(1) - math.log(9)
        truth = log_p.logsumexp(0).item()
        q = model.posterior(x)
        log_q = q.repeat(9).log_prob_terms(codes).sum(1)
        wanted = (log_q.exp() * (log_p - log_q)).sum().item()
        torch.manual_seed(0)
        bounds = model.loss(x.expand(20_000, 4)).terms["bound"]
    error = bounds.std().item() / math.sqrt(20_000)
    assert bounds.mean().item() == pytest.approx(wanted, abs=5 * error)
    assert wanted < truth
    estimate = model.log_prob(x, samples=20_000)
    assert estimate.kind == "lower bound"
    assert estimate.value.item() == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rp.FullNormal(0), "latent_dim: .*0"),
        (lambda: rp.NormalMixture(2, 0), "components: .*0"),
        (lambda: rp.GumbelSoftmax(2, 3, 0.0), "temperature: .*0"),
        (lambda: rp.GumbelSoftmax(2, 0), "categories: .*0"),
        (
            lambda: rp.FullNormal(2)(torch.zeros(1, 4)),
            r"encoder: FullNormal .*\(B, 5\), got",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
