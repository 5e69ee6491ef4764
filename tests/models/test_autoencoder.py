"""Autoencoders: what is minimized, in which units, and PCA as the optimum of the linear one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg, special
from torch import nn

import reparam as rp
from reparam.model import Batch, Space

F64 = torch.float64


def linear(space: Space, latent_dim: int, loss: str = "auto") -> rp.Autoencoder:
    dimension = space.dimension
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(dimension, latent_dim))
    return rp.Autoencoder(
        space, encoder, nn.Linear(latent_dim, dimension), latent_dim, loss
    ).double()


def test_the_linear_autoencoder_is_the_projector_of_pca(minimize):
    """Trained by L-BFGS: decoder · encoder is UUᵀ, while the columns need not be orthogonal."""
    rng = np.random.default_rng(0)
    scales = np.array([3.0, 2.0, 1.0, 0.5, 0.3])
    x = torch.as_tensor(
        rng.normal(size=(300, 5)) * scales @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    )
    x = x - x.mean(0) + torch.tensor([1.0, -2.0, 0.0, 5.0, 0.5])
    torch.manual_seed(0)
    model = rp.build("linear-ae", Space((5,), "real"), latent_dim=2).double()
    minimize(model, x)
    values, vectors = np.linalg.eigh(np.cov(x.numpy().T, bias=True))
    top = vectors[:, ::-1][:, :2]
    encode, decode = (m.first.weight.detach().numpy() for m in (model.encoder, model.decoder))
    # A gradient of 1e-11 · curvature⁻¹ (the eigenvalue gap is 3) leaves ~1e-8 with room to spare.
    np.testing.assert_allclose(decode @ encode, top @ top.T, atol=1e-6)
    assert linalg.subspace_angles(decode, top).max() < 1e-6
    assert linalg.subspace_angles(encode.T, top).max() < 1e-6
    columns = decode / np.linalg.norm(decode, axis=0)
    assert abs(columns[:, 0] @ columns[:, 1]) > 1e-3  # principal angles, not the columns, agree
    assert model.loss(x).objective.item() == pytest.approx(values[:3].sum(), rel=1e-9)
    pca = rp.build("pca", Space((5,), "real"), latent_dim=2).double()
    pca.stages[0].solve(pca, [Batch(x)])
    torch.testing.assert_close(model.reconstruct(x), pca.reconstruct(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("levels", [5, 256])
def test_squared_error_of_levels_is_a_sum_on_the_unit_range(levels):
    """Σ over entries of ((x − x′)/(K−1))², x′ in data units; a sum, not a mean."""
    space = Space((1, 2, 3), "levels", levels)
    model = linear(space, 2)
    x = torch.randint(0, levels, (7, 1, 2, 3)).double()
    loss = model.loss(x)
    assert set(loss.terms) == {"squared_error"}
    ours = loss.terms["squared_error"].detach().numpy()
    difference = (model.reconstruct(x) - x).detach().numpy() / (levels - 1)
    np.testing.assert_allclose(ours, (difference**2).sum((1, 2, 3)), rtol=1e-10)
    assert loss.objective.item() == pytest.approx(ours.mean(), rel=1e-12)
    entry = model.encoder[1].weight, model.encoder[1].bias
    code = x.flatten(1) / (levels - 1) @ entry[0].T + entry[1]
    torch.testing.assert_close(model.encode(x), code)


def test_squared_error_of_real_data_is_on_standardized_columns():
    rng = np.random.default_rng(1)
    x = torch.as_tensor(rng.normal(size=(100, 3)) * [1, 100, 0.01] + [0, 1000, 5])
    model = linear(Space((3,), "real"), 2)
    (standardize, descend) = model.stages
    standardize.solve(model, [Batch(x)])
    difference = (model.reconstruct(x) - x).detach().numpy() / x.numpy().std(0)
    terms = model.loss(x).terms["squared_error"].detach().numpy()
    np.testing.assert_allclose(terms, (difference**2).sum(1), rtol=1e-9)


def test_the_same_data_in_other_units_give_the_same_loss_and_code():
    rng = np.random.default_rng(1)
    x = torch.as_tensor(rng.normal(size=(100, 3)))
    gain, offset = torch.tensor([2.0, 1e3, 1e-3]).double(), torch.tensor([5.0, -1e4, 0.1]).double()
    torch.manual_seed(0)
    model = linear(Space((3,), "real"), 2)
    found = []
    for rows in (x, x * gain + offset):
        model.stages[0].solve(model, [Batch(rows)])
        found.append((model.encode(rows), model.loss(rows).objective, model.reconstruct(rows)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-9, atol=0)
    torch.testing.assert_close(found[0][2] * gain + offset, found[1][2], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("space", [Space((6,), "binary"), Space((6,), "levels", 5)])
def test_cross_entropy_is_its_sum_and_reconstructs_by_the_sigmoid(space):
    """Σ −x ln σ(x′) − (1−x) ln(1−σ(x′)) on x/(K−1), saturated outputs included."""
    model = linear(space, 2, "cross_entropy")
    with torch.no_grad():
        model.decoder.weight.mul_(30)
    top = space.level_count - 1
    x = torch.randint(0, top + 1, (7, 6)).double()
    logits = model.decoder(model.encode(x)).detach().numpy()
    target = x.numpy() / top
    wanted = -(target * special.log_expit(logits) + (1 - target) * special.log_expit(-logits)).sum(
        1
    )
    loss = model.loss(x)
    assert set(loss.terms) == {"cross_entropy"}
    np.testing.assert_allclose(loss.terms["cross_entropy"].detach().numpy(), wanted, rtol=1e-10)
    np.testing.assert_allclose(
        model.reconstruct(x).detach().numpy(), top * special.expit(logits), rtol=1e-9, atol=1e-12
    )


def test_the_loss_follows_the_kind_of_data():
    for space, term in (
        (Space((3,), "binary"), "cross_entropy"),
        (Space((3,), "levels", 5), "squared_error"),
        (Space((3,), "real"), "squared_error"),
    ):
        assert set(linear(space, 2).loss(torch.zeros(2, 3)).terms) == {term}
    with pytest.raises(
        ValueError, match="loss: cross_entropy needs binary or levels data, got real"
    ):
        linear(Space((3,), "real"), 2, "cross_entropy")
    with pytest.raises(ValueError, match="loss: expected auto, .* got 'mse'"):
        linear(Space((3,), "real"), 2, "mse")


def test_the_preset_of_the_linear_autoencoder_is_linear_and_squared():
    """Binary data too: x ↦ x′ is affine, x′(a) + x′(b) = x′(a+b) + x′(0)."""
    model = rp.build("linear-ae", Space((1, 2, 3), "binary"), latent_dim=2).double()
    a, b = torch.tensor([1, 0, 1, 0, 0, 0]), torch.tensor([0, 1, 0, 0, 1, 0])
    rows = torch.stack([a, b, a + b, a * 0]).view(4, 1, 2, 3)
    x = model.reconstruct(rows)
    torch.testing.assert_close(x[0] + x[1], x[2] + x[3])
    assert set(model.loss(rows).terms) == {"squared_error"}


def test_an_autoencoder_has_no_likelihood():
    model = linear(Space((3,), "binary"), 2)
    assert not isinstance(model, rp.Density)
    assert not isinstance(model, rp.Generator)
