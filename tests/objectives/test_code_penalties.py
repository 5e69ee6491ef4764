"""Penalties: sparsity against relative entropies, contraction against Jacobians found otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

import reparam as rp
from reparam.model import Space

F64 = torch.float64


def activations(means):
    """Two rows of units whose means over the batch are ``means``, but not themselves."""
    means = torch.as_tensor(means, dtype=F64)
    spread = torch.minimum(means, 1 - means) / 2
    return torch.stack([means - spread, means + spread])


def sparsity(layers, rho):
    return rp.Sparsity(rho=rho)(nn.Identity(), torch.zeros(2, 1), layers)


def test_sparsity_is_the_relative_entropy_of_the_mean_activations():
    layers = [activations([0.1, 0.6]), activations([0.9, 0.3, 0.2])]
    means = np.array([0.1, 0.6, 0.9, 0.3, 0.2])
    wanted = (special.rel_entr(0.3, means) + special.rel_entr(0.7, 1 - means)).sum()
    found = sparsity(layers, 0.3)
    assert found.shape == (2,)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("rho", [0.05, 0.25, 0.8])
def test_sparsity_is_zero_only_at_rho(rho):
    assert abs(sparsity([activations([rho])], rho)[0]) < 1e-15
    for other in (rho - 0.01, rho + 0.01):
        # To second order δ²/(2ρ(1−ρ)): at least 1e-4 · 2 for any ρ, less a third-order part.
        assert sparsity([activations([other])], rho)[0] > 1e-4


def test_the_gradient_of_sparsity():
    """d KL / d ρ̂ = −ρ/ρ̂ + (1−ρ)/(1−ρ̂), of which each of B rows gets 1/B."""
    means = torch.tensor([0.1, 0.25, 0.6], dtype=F64)
    layer = activations(means).requires_grad_()
    sparsity([layer], 0.25)[0].backward()
    wanted = (-0.25 / means + 0.75 / (1 - means)) / 2
    torch.testing.assert_close(layer.grad, wanted.expand(2, 3), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_sparsity_is_finite_for_units_always_off_or_on(dtype):
    layer = torch.tensor([[0.0, 1.0]] * 2, dtype=dtype, requires_grad=True)
    value = sparsity([layer], 0.25)[0]
    value.backward()
    # −ρ ln ε and more for both: a strong penalty, no infinity and no zero.
    assert value.isfinite() and value > 5
    assert layer.grad.isfinite().all()


def test_every_hidden_layer_of_the_preset_counts(monkeypatch):
    """Seen by hooks, which the library does not use: encoder 8, code 2, decoder 8."""
    model = rp.build("sparse-ae", Space((6,), "real"), latent_dim=2, hidden=(8,), rho=0.1, beta=2.0)
    model.double()
    seen = []
    for module in model.modules():
        if isinstance(module, nn.Sigmoid):
            module.register_forward_hook(lambda m, i, output: seen.append(output))
    x = torch.randn(10, 6, dtype=F64)
    loss = model.loss(x)
    assert [h.shape[1] for h in seen] == [8, 2, 8]
    means = torch.cat([h.mean(0) for h in seen]).detach().numpy()
    wanted = (special.rel_entr(0.1, means) + special.rel_entr(0.9, 1 - means)).sum()
    np.testing.assert_allclose(loss.terms["sparsity"].detach().numpy(), [wanted] * 10, rtol=1e-10)
    objective = loss.terms["squared_error"].mean() + 2 * loss.terms["sparsity"][0]
    torch.testing.assert_close(loss.objective, objective)
    code = model.encode(x)
    assert code.min() > 0 and code.max() < 1


def test_what_sparsity_promises_of_the_batch():
    """Rows meet in their mean alone: a repeated batch, in any order, has the same terms."""
    model = rp.build("sparse-ae", Space((6,), "binary"), latent_dim=3, hidden=(8,)).double()
    assert model.couples_rows
    x = (torch.rand(8, 6, dtype=F64) > 0.5).double()
    once, twice = model.loss(x), model.loss(torch.cat([x.flip(0), x]))
    torch.testing.assert_close(twice.objective, once.objective)
    torch.testing.assert_close(twice.terms["sparsity"][:8], once.terms["sparsity"])
    other = model.loss(x[:4])
    assert not torch.isclose(other.terms["sparsity"][0], once.terms["sparsity"][0], rtol=1e-6)
    torch.testing.assert_close(other.terms["cross_entropy"], once.terms["cross_entropy"][:4])
    torch.testing.assert_close(model.encode(x[:1]), model.encode(x)[:1])


def test_sparsity_without_sigmoids_is_refused():
    networks = nn.Linear(3, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 3))
    with pytest.raises(ValueError, match="penalty: Sparsity expects nn.Sigmoid layers"):
        rp.Autoencoder(Space((3,), "real"), *networks, 2, penalty=rp.Sparsity())


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.2])
def test_a_mean_activation_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="rho: "):
        rp.Sparsity(rho=bad)
    with pytest.raises(ValueError, match="weight: .*-1"):
        rp.Contraction(-1)


def test_the_contraction_of_a_sigmoid_layer_in_closed_form():
    """z = σ(Wx+b): ‖∂z/∂x‖² = Σ_j (z_j(1−z_j))² ‖W_j‖² (Rifai et al. 2011, eq. 7), x on [0, 1]."""
    space = Space((1, 2, 3), "levels", 5)
    model = rp.build("contractive-ae", space, latent_dim=4, weight=0.3).double()
    x = torch.randint(0, 5, (7, 1, 2, 3)).double()
    z, weight = model.encode(x), model.encoder[1].weight
    wanted = ((z * (1 - z)).square() * weight.square().sum(1)).sum(1)
    loss = model.loss(x)
    torch.testing.assert_close(loss.terms["contraction"], wanted)
    torch.testing.assert_close(
        loss.objective, loss.terms["squared_error"].mean() + 0.3 * wanted.mean()
    )
    ours = torch.autograd.grad(loss.terms["contraction"].sum(), weight, retain_graph=True)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(wanted.sum(), weight)[0])
    with torch.no_grad():  # as in validation
        torch.testing.assert_close(model.loss(x).terms["contraction"], wanted)


def test_the_contraction_of_any_encoder_against_differences():
    """A convolutional encoder: central differences, each off by h² = 1e-10 of third derivatives."""
    from reparam import nets

    encoder = nets.encoder((1, 6, 5), (3,), (8,), "conv").double()
    x, h = torch.randn(2, 1, 6, 5, dtype=F64), 1e-5
    steps = h * torch.eye(30, dtype=F64).view(30, 1, 6, 5)
    with torch.no_grad():
        slopes = [(encoder(row + steps) - encoder(row - steps)) / (2 * h) for row in x]
    wanted = torch.stack([slope.square().sum() for slope in slopes])
    found = rp.Contraction()(encoder, x, [])
    assert found.shape == (2,)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
