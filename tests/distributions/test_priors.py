"""Priors of z: densities against references, first values, and what each refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import distributions, nn

import reparam as rp
from reparam.model import Batch, Solve, Space

F64 = torch.float64


def test_a_learned_mixture_is_the_mixture():
    torch.manual_seed(0)
    prior = rp.MixturePrior(2, 4).double()
    nn.init.normal_(prior.logits)
    nn.init.normal_(prior.log_scale)
    p = prior()
    components = distributions.Independent(distributions.Normal(p.mean[0], p.log_scale[0].exp()), 1)
    weights = distributions.Categorical(logits=prior.logits[0])
    reference = distributions.MixtureSameFamily(weights, components)
    z = 2 * torch.randn(9, 2, dtype=F64)
    torch.testing.assert_close(p.log_prob_terms(z).squeeze(1), reference.log_prob(z))
    rows = 200_000
    draws = p.repeat(rows).sample()
    assert draws.shape == (rows, 2)
    error = reference.variance.sqrt() / math.sqrt(rows)
    assert ((draws.mean(0) - reference.mean).abs() < 5 * error).all()


def vamp(space: Space, components: int = 3) -> rp.VAE:
    torch.manual_seed(0)
    return rp.build(
        "vae", space, latent_dim=2, hidden=(6,), prior="vamp", components=components
    ).double()


def test_vamp_prior_is_the_mean_of_the_posteriors_of_its_inputs():
    model = vamp(Space((5,), "binary"))
    z = torch.randn(7, 2, dtype=F64)
    with torch.no_grad():
        each = torch.stack(
            [
                model.posterior(u[None]).repeat(7).log_prob_terms(z).sum(1)
                for u in model.p_z.pseudo_inputs
            ]
        )
    wanted = each.logsumexp(0) - math.log(3)
    torch.testing.assert_close(model.prior().log_prob_terms(z).squeeze(1), wanted)


def test_pseudo_inputs_start_at_training_examples_in_network_units():
    model = vamp(Space((5,), "levels", 9), components=6)
    x = torch.arange(50, dtype=F64).view(10, 5) % 9
    (solve,) = [s for s in model.stages if isinstance(s, Solve) and s.name == "prior"]
    solve.solve(model, [Batch(x[:3]), Batch(x[3:])])
    rows = {tuple(row) for row in (x / 8).tolist()}
    started = [tuple(row) for row in model.p_z.pseudo_inputs.tolist()]
    assert len(set(started)) == 6 and set(started) <= rows
    few = vamp(Space((5,), "levels", 9), components=25)
    (solve,) = [s for s in few.stages if isinstance(s, Solve) and s.name == "prior"]
    solve.solve(few, [Batch(x[:4])])
    assert {tuple(row) for row in few.p_z.pseudo_inputs.tolist()} <= rows


def test_vamp_prior_shares_the_networks_and_owns_its_inputs():
    model = vamp(Space((5,), "binary"))
    assert [name for name, _ in model.p_z.named_parameters()] == ["pseudo_inputs"]
    objective = model.loss((torch.rand(8, 5) > 0.5).double()).objective
    objective.backward()
    assert model.p_z.pseudo_inputs.grad.any()
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names))


def test_a_flow_prior_is_a_density_and_draws_from_it():
    torch.manual_seed(0)
    bijection = rp.Chain(rp.MaskedAffine(2, (8,)), rp.Reverse(), rp.MaskedAffine(2, (8,)))
    prior = rp.FlowPrior(2, bijection).double()
    for parameter in prior.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    line = torch.linspace(-20, 20, 801, dtype=F64)
    points = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2)
    with torch.no_grad():
        density = prior().log_prob_terms(points).sum(1).exp() * (line[1] - line[0]) ** 2
        assert density.sum().item() == pytest.approx(1, abs=5e-3)
        draws = prior().repeat(100_000).sample()
    wanted = (density[:, None] * points).sum(0)
    error = draws.std(0) / math.sqrt(100_000)
    assert ((draws.mean(0) - wanted).abs() < 5 * error + 5e-3).all()


def autoregressive(latent_dim: int) -> rp.AutoregressivePrior:
    torch.manual_seed(0)
    prior = rp.AutoregressivePrior(rp.MADE((latent_dim,), 2, (8,), gain=0.1)).double()
    for parameter in prior.parameters():
        parameter.data += 0.4 * torch.randn_like(parameter)
    return prior


def test_an_autoregressive_prior_is_a_density_and_draws_from_it():
    prior = autoregressive(2)
    line = torch.linspace(-40, 40, 1601, dtype=F64)
    points = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2)
    rows = 100_000
    with torch.no_grad():
        density = prior().log_prob_terms(points).sum(1).exp() * (line[1] - line[0]) ** 2
        draws = prior().repeat(rows).sample()
        assert prior().sample().shape == prior().center.shape == (1, 2)
    # The trapezoid rule on a grid much finer than the scales, over nearly all of the mass.
    assert density.sum().item() == pytest.approx(1, abs=1e-3)
    # First moments, squares and the product, which only dependent entries have.
    for f in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:]):
        wanted, found = (density[:, None] * f(points)).sum(0), f(draws)
        error = found.std(0) / math.sqrt(rows)
        assert ((found.mean(0) - wanted).abs() < 5 * error + 1e-2).all()
    assert (draws.T.corrcoef()[0, 1] / (1 / math.sqrt(rows))).abs() > 10


def test_columns_of_an_autoregressive_prior_are_normals_given_what_comes_before():
    prior = autoregressive(4)
    z = torch.randn(3, 4, dtype=F64, requires_grad=True)
    columns = prior().log_prob_terms(z)
    assert columns.shape == (3, 4)
    for i in range(4):
        (slope,) = torch.autograd.grad(columns[:, i].sum(), z, create_graph=True)
        assert not slope[:, i + 1 :].any() and slope[:, i].all()
        assert i == 0 or slope[:, :i].any()
        # Of a normal in z_i: the second derivative is −1/σ², and the rest follows from both.
        (second,) = torch.autograd.grad(slope[:, i].sum(), z, retain_graph=True)
        scale = (-second[:, i]) ** -0.5
        mean = z[:, i] + slope[:, i] * scale**2
        wanted = distributions.Normal(mean, scale).log_prob(z[:, i])
        torch.testing.assert_close(columns[:, i], wanted)


def test_an_autoregressive_prior_is_one_affine_flow(monkeypatch):
    monkeypatch.setattr("reparam.bijections.masked_affine.LOG_SCALE_BOUNDS", (-7.0, 7.0))
    prior, flow = autoregressive(3), rp.FlowPrior(3, rp.MaskedAffine(3, (8,))).double()
    flow.bijection.network.load_state_dict(prior.network.state_dict())
    z = torch.randn(7, 3, dtype=F64)
    torch.testing.assert_close(prior().log_prob_terms(z).sum(1), flow().log_prob_terms(z).sum(1))


def test_rates_under_an_autoregressive_prior_are_those_beyond_the_entries_before():
    prior, rows = autoregressive(2), 200_000
    q = rp.DiagonalNormal(2)(torch.tensor([[0.7, -0.4, 0.2, -0.5]], dtype=F64))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    first = q.mean[0, 0] + q.log_scale[0, 0].exp() * torch.from_numpy(nodes)
    with torch.no_grad():
        _, rates = q.repeat(rows).rsample_with_rate(prior())
        given = torch.stack([first, torch.zeros_like(first)], 1)
        p = prior.conditional(prior.network(given))  # of every z_1 of the quadrature
        kl = distributions.kl_divergence(
            distributions.Normal(q.mean, q.log_scale.exp()),
            distributions.Normal(p.mean, p.log_scale.exp()),
        )
    wanted = torch.stack([kl[0, 0], (kl[:, 1] * torch.from_numpy(weights / weights.sum())).sum()])
    error = rates.std(0) / math.sqrt(rows)
    assert ((rates.mean(0) - wanted).abs() < 5 * error).all()


def test_a_detached_autoregressive_prior_passes_gradients_to_z_alone():
    prior, z = autoregressive(3), torch.randn(2, 3, dtype=F64, requires_grad=True)
    fixed = prior().detach().log_prob_terms(z)
    torch.testing.assert_close(fixed, prior().log_prob_terms(z))
    fixed.sum().backward()
    assert z.grad.all() and all(p.grad is None for p in prior.parameters())


def test_an_autoregressive_prior_starts_near_the_standard_normal():
    torch.manual_seed(0)
    z = torch.randn(500, 5)
    with torch.no_grad():
        p = rp.AutoregressivePrior(rp.MADE((5,), 2, (64,), gain=0.1))()
        gap = p.log_prob_terms(z) - rp.StandardNormal(5)().log_prob_terms(z)
    # Parameters of about a tenth: a shift of 0.1 z and a scale of e^0.1 move a log-density so far.
    assert gap.abs().mean() < 0.1


def test_a_class_conditional_prior_is_the_normal_of_its_class():
    torch.manual_seed(0)
    prior = rp.ClassConditional(2, 3).double()
    nn.init.normal_(prior.log_scale)
    c = torch.tensor([2, 0, 1, 2])
    p = prior(c)
    assert torch.equal(p.mean, prior.mean[c])
    torch.testing.assert_close(p.log_scale, prior.log_scale[c], rtol=0, atol=0.02)  # soft bounds
    reference = distributions.Normal(p.mean, p.log_scale.exp())
    z = torch.randn(4, 2, dtype=F64)
    torch.testing.assert_close(p.log_prob_terms(z), reference.log_prob(z))
    q = rp.DiagonalNormal(2)(torch.randn(4, 4, dtype=F64))
    other = distributions.Normal(q.mean, q.log_scale.exp())
    torch.testing.assert_close(q.kl(prior(c)), distributions.kl_divergence(other, reference))


def parts(space: Space, q: nn.Module, p: nn.Module, **more):
    encoder = nn.Linear(space.dimension, q.parameter_shape[0])
    decoder = nn.Linear(q.event_shape[0], space.dimension)
    return rp.VAE(space, encoder, decoder, q, p, rp.Bernoulli(space), **more)


def test_products_without_meaning_are_refused_with_their_reason():
    space = Space((5,), "binary", classes=3)
    q, encoder = rp.DiagonalNormal(2), nn.Linear(5, 4)
    cases = [
        (rp.GumbelSoftmax(2, 3), rp.StandardNormal(6), {}, "one-hot vectors, as GumbelSoftmax"),
        (rp.DiagonalNormal(6), rp.UniformOneHot(2, 3), {}, "real vectors, as DiagonalNormal"),
        (q, rp.StandardNormal(3), {}, r"shape \(2,\), got \(3,\)"),
        (q, rp.ClassConditional(2, 3), {}, "needs labels, got a model without"),
        (q, rp.VampPrior(encoder, q, (5,)), {"conditional": True}, "without labels"),
        (rp.DiagonalNormal(2), rp.VampPrior(encoder, q, (5,)), {}, "own posterior, got another"),
    ]
    for posterior, prior, more, message in cases:
        with pytest.raises(ValueError, match=f"prior: .*{message}"):
            parts(space, posterior, prior, **more)
    with pytest.raises(ValueError, match="prior: VampPrior mixes diagonal .*FullNormal"):
        rp.VampPrior(encoder, rp.FullNormal(2), (5,))
    with pytest.raises(ValueError, match="bijection: .*without context, got 5"):
        rp.FlowPrior(2, rp.Planar(2))
