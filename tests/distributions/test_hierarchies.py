"""Several layers of z: closed KLs, joint rates, shared layers, where an analytic KL is wrong."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, distributions

import reparam as rp
from reparam.distributions.densities import NormalDensity
from reparam.distributions.hierarchies import LayeredDensity, precision_weighted, relative
from reparam.model import Space

F64 = torch.float64


def normal(*shape: int, seed: int) -> NormalDensity:
    generator = torch.Generator().manual_seed(seed)
    mean, log_scale = torch.randn(2, *shape, generator=generator, dtype=F64)
    return NormalDensity(mean, 0.5 * log_scale)


def model_of(name: str, shape: tuple[int, ...] = (1, 8, 8), **more) -> rp.VAE:
    torch.manual_seed(0)
    sizes = {
        "hierarchical-vae": {"latent_dims": (3, 2), "between": (6,), "hidden": (8,)},
        "ladder-vae": {"latent_dims": (3, 2, 2), "between": (6,), "hidden": (8,)},
        "very-deep-vae": {"channels": 4, "latent_channels": 2, "blocks": 2},
    }[name]
    model = rp.build(name, Space(shape, "binary"), **sizes | more).double()
    for parameter in model.parameters():  # away from layers that say nothing
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def data(shape: tuple[int, ...] = (1, 8, 8), rows: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(rows, *shape, generator=generator, dtype=F64) > 0.5).double()


def test_ladder_posteriors_are_the_product_of_prior_and_evidence():
    a, b = normal(4, 3, seed=0), normal(4, 3, seed=1)
    q = precision_weighted(a, b)
    precisions = torch.exp(-2 * a.log_scale), torch.exp(-2 * b.log_scale)
    total = precisions[0] + precisions[1]
    torch.testing.assert_close(torch.exp(-2 * q.log_scale), total)
    torch.testing.assert_close(q.mean, (precisions[0] * a.mean + precisions[1] * b.mean) / total)
    # As a density: N_a · N_b is proportional to it.
    z = torch.randn(6, 4, 3, dtype=F64)
    each = [distributions.Normal(d.mean, d.log_scale.exp()).log_prob(z).sum(2) for d in (a, b, q)]
    spread = (each[0] + each[1] - each[2]).std(0)
    assert spread.max() < 1e-10


def test_residual_posteriors_have_their_divergence_and_say_nothing_at_zero():
    """KL = ½ (δμ²/σ_p² + δσ² − ln δσ² − 1), zero iff δμ = 0 and δσ = 1."""
    change, p = normal(4, 3, seed=0), normal(4, 3, seed=1)
    q = relative(change, p)
    squared = torch.exp(2 * change.log_scale)
    wanted = 0.5 * (change.mean**2 * torch.exp(-2 * p.log_scale) + squared - squared.log() - 1)
    torch.testing.assert_close(q.kl(p), wanted)
    assert (wanted > 0).all()
    nothing = NormalDensity(torch.zeros(4, 3, dtype=F64), torch.zeros(4, 3, dtype=F64))
    assert relative(nothing, p).kl(p).abs().max() < 1e-15


@pytest.mark.parametrize("name", ["hierarchical-vae", "ladder-vae", "very-deep-vae"])
def test_draws_come_with_their_density(name):
    model, x = model_of(name), data()
    for density in (model.posterior(x), model.prior().repeat(5)):
        torch.manual_seed(3)
        z, log_prob = density.rsample_with_log_prob_terms()
        torch.testing.assert_close(density.log_prob_terms(z), log_prob, rtol=1e-10, atol=1e-10)
        torch.manual_seed(3)
        torch.testing.assert_close(density.rsample(), z)
        assert log_prob.shape == (5, len(model.p_z.layers))
        assert z.shape == (5, sum(model.p_z.layers))


@pytest.mark.parametrize("name", ["ladder-vae", "very-deep-vae"])
def test_closed_rates_of_the_way_down_are_right_on_average(name):
    """Their mean over draws is that of log q − log p, layer by layer, with a smaller spread."""
    model, rows = model_of(name), 4000
    with torch.no_grad():
        q = model.posterior(data(rows=1)).repeat(rows)
        torch.manual_seed(1)
        _, closed = q.rsample_with_rate(model.prior())
        z, log_q = q.rsample_with_log_prob_terms()
        sampled = log_q - model.prior().log_prob_terms(z)
    assert (closed >= -1e-12).all()
    error = (closed.var(0) + sampled.var(0)).div(rows).sqrt()
    assert ((closed.mean(0) - sampled.mean(0)).abs() < 4.5 * error).all()
    assert (closed.std(0) < sampled.std(0)).all()


@pytest.mark.parametrize("name", ["ladder-vae", "very-deep-vae"])
def test_the_closed_rates_are_not_taken_for_another_prior(name):
    """Of another model's prior the rates are log q − log p of the draw, in every layer."""
    model, other = model_of(name), copy.deepcopy(model_of(name))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
        q = model.posterior(data())
        torch.manual_seed(1)
        z, rates = q.rsample_with_rate(other.prior())
        torch.testing.assert_close(rates, q.log_prob_terms(z) - other.prior().log_prob_terms(z))


def linear_hierarchy() -> tuple[LayeredDensity, LayeredDensity]:
    """q(z1|x) = N(m, .1²), q(z2|z1) = N(.9 z1, .4²); p(z2) = N(0, 1), p(z1|z2) = N(.9 z2, .5²)."""
    up, down = rp.BottomUp((1, 1), ()).double(), rp.TopDown((1, 1), ()).double()

    def undo_bounds(log_scale: float) -> float:
        def inverse(v: float) -> float:
            return v + math.log(-math.expm1(-v))

        return -8 + inverse(16 - inverse(8 - log_scale))

    for path, scale in ((up, 0.4), (down, 0.5)):
        layer = path.networks[0].first
        layer.weight.data = torch.tensor([[0.9], [0.0]], dtype=F64)
        layer.bias.data = torch.tensor([0.0, undo_bounds(math.log(scale))], dtype=F64)
    given = torch.tensor([[1.5, undo_bounds(math.log(0.1))]], dtype=F64)
    nothing = torch.empty(1, 0, dtype=F64)
    return LayeredDensity(up, given, upwards=True), LayeredDensity(down, nothing)


def test_the_rate_of_the_way_up_is_that_of_the_joint_draw():
    """E[log q(z1|x) − log p(z1|z2)] under q(z1|x) q(z2|z1), in closed form: z2 depends on z1.

    The analytic KL(q(z1|x) ‖ p(z1|z2)), with z2 drawn from another z1, is off by a large part.
    """
    q, p = linear_hierarchy()
    rows = 200_000
    torch.manual_seed(0)
    with torch.no_grad():
        _, rates = q.repeat(rows).rsample_with_rate(p)
    means, errors = rates.mean(0), rates.std(0) / math.sqrt(rows)
    # z1 = 1.5 + .1 a, z2 = .9 z1 + .4 b; z1 − .9 z2 = .19 (1.5 + .1 a) − .36 b.
    residual = (0.19 * 1.5) ** 2 + (0.19 * 0.1) ** 2 + 0.36**2
    first = -math.log(0.1) - 0.5 + math.log(0.5) + residual / (2 * 0.25)
    second_moment = (0.9 * 1.5) ** 2 + 0.09**2 + 0.16
    second = -math.log(0.4) - 0.5 + 0.5 * second_moment
    wanted = torch.tensor([second, first], dtype=F64)  # coarsest first
    assert ((means - wanted).abs() < 4.5 * errors).all()
    analytic = -math.log(0.1) - 0.5 + math.log(0.5)
    analytic += (0.01 + (0.19 * 1.5) ** 2 + 0.81 * (0.01 * 0.81 + 0.16)) / (2 * 0.25)
    assert abs(analytic - first) > 0.01


def test_a_rate_of_the_way_up_may_be_negative():
    """q(z1|x) wider than p(z1|z2), whose center follows the very z1: below zero on average."""
    up, down = rp.BottomUp((1, 1), ()).double(), rp.TopDown((1, 1), ()).double()
    for path in (up, down):
        path.networks[0].first.weight.data = torch.tensor([[1.0], [0.0]], dtype=F64)
        path.networks[0].first.bias.data = torch.tensor([0.0, -3.0], dtype=F64)
    q = LayeredDensity(up, torch.tensor([[0.0, 1.0]], dtype=F64), upwards=True)
    p = LayeredDensity(down, torch.empty(1, 0, dtype=F64))
    with torch.no_grad():
        _, rates = q.repeat(5000).rsample_with_rate(p)
    assert rates[:, 1].mean() < -2
    assert rates.sum(1).mean() > 0, "the whole is a divergence"
    assert rp.BottomUpPosterior(up, 2).factors is None, "so free bits by layer are refused"


@pytest.mark.parametrize("name", ["hierarchical-vae", "ladder-vae", "very-deep-vae"])
def test_samples_share_their_coarsest_layers(name):
    model = model_of(name)
    p, sizes = model.prior(), model.p_z.layers
    z = p.sample().expand(6, -1)
    for kept in range(len(sizes) + 1):
        other = p.resample(z, kept, torch.Generator().manual_seed(kept))
        cut = sum(sizes[:kept])
        assert torch.equal(other[:, :cut], z[:, :cut])
        if kept < len(sizes):
            assert (other[:, cut:].std(0) > 0).all()


def test_log_likelihood_of_a_hierarchy_is_the_integral():
    """Two layers of one dimension each, p(x|z1) on four bits: a grid over z against the bound."""
    torch.manual_seed(0)
    model = rp.build(
        "hierarchical-vae",
        Space((4,), "binary"),
        latent_dims=(1, 1),
        between=(4,),
        hidden=(6,),
    ).double()
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=F64)
    line = torch.linspace(-8, 8, 401, dtype=F64)
    z = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2)
    with torch.no_grad():
        log_p = model.prior().log_prob_terms(z).sum(1)
        log_p = log_p + model.likelihood(z).log_prob_terms(x.expand(len(z), 4)).sum(1)
        truth = log_p.logsumexp(0).item() + 2 * math.log((line[1] - line[0]).item())
        found = model.log_prob(x, samples=50_000, generator=torch.Generator().manual_seed(0))
    assert found.kind == "lower bound"
    assert found.value.item() == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("shape", [(1, 5, 9), (3, 4, 4), (1, 33, 6), (2, 12, 20)], ids=str)
def test_very_deep_models_take_images_of_any_size(shape):
    # Without warm-up, so that the rate counts from the first step on and reaches the prior.
    model = model_of("very-deep-vae", shape, blocks=1, weighting="free-bits", nats=0.0)
    x = data(shape, 3)
    model.loss(x).objective.backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(2).shape == (2, *shape)


def test_free_bits_of_layers_are_refused_where_rates_may_be_negative():
    space = Space((4,), "binary")
    q = rp.BottomUpPosterior(rp.BottomUp((2, 2), (4,)), 4)
    p = rp.LayeredPrior(rp.TopDown((2, 2), (4,)))
    networks = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    with pytest.raises(ValueError, match="weighting: FreeBits .* does not factorize"):
        rp.VAE(space, *networks, q, p, rp.Bernoulli(space), rp.ELBO(rp.FreeBits()))
    for bad in ((), (3, 0)):
        with pytest.raises(ValueError, match="latent_dims: "):
            rp.build("ladder-vae", space, latent_dims=bad)
    with pytest.raises(ValueError, match=r"between: .*got \(8, 0\)"):
        rp.build("hierarchical-vae", space, between=(8, 0))


@pytest.mark.parametrize(
    ("prior", "got"),
    [
        (lambda: rp.LayeredPrior(rp.TopDown((2, 3), (4,))), "LayeredPrior of another path"),
        (lambda: rp.StandardNormal(5), "StandardNormal"),
    ],
)
def test_a_posterior_that_goes_down_another_path_is_refused(prior, got):
    """Its path would belong to no part of the model: neither trained, nor saved, nor moved."""
    space, path = Space((4,), "binary"), rp.TopDown((2, 3), (4,))
    q = rp.LadderPosterior(path)
    networks = torch.nn.Linear(4, 10), torch.nn.Linear(5, 4)
    with pytest.raises(ValueError, match=f"prior: expected the LayeredPrior of the path .*{got}"):
        rp.VAE(space, *networks, q, prior(), rp.Bernoulli(space))
    model = rp.VAE(space, *networks, q, rp.LayeredPrior(path), rp.Bernoulli(space))
    assert {id(p) for p in path.parameters()} <= {id(p) for p in model.parameters()}
    up = rp.BottomUpPosterior(rp.BottomUp((3, 2), (4,)), 6)  # which needs no path
    rp.VAE(space, torch.nn.Linear(4, 6), networks[1], up, prior(), rp.Bernoulli(space))


@pytest.mark.parametrize("name", ["hierarchical-vae", "ladder-vae", "very-deep-vae"])
def test_a_detached_posterior_keeps_its_values_and_gives_no_gradient(name):
    model, x = model_of(name), data()
    q = model.posterior(x)
    z = q.rsample().detach().requires_grad_()
    torch.testing.assert_close(q.detach().log_prob_terms(z), q.log_prob_terms(z))
    weights = [*model.q_z.parameters(), *model.prior().path.parameters()]
    grads = torch.autograd.grad(
        q.detach().log_prob_terms(z).sum(), [z, *weights], allow_unused=True
    )
    assert grads[0].any() and all(g is None for g in grads[1:])
    assert np.isfinite(model.loss(x).objective.item())
