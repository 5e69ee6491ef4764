"""What models tell of their inside is what they compute with."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import reparam as rp
from reparam.model import Space

F64 = torch.float64
SHAPE = (1, 4, 5)


def build(name, **parameters):
    torch.manual_seed(0)
    model = rp.build(name, Space(SHAPE, "real"), **parameters).double()
    model.standardize.shift.fill_(3.0)
    model.standardize.scale.fill_(7.0)
    return model


@pytest.mark.parametrize(
    "name,parameters",
    [
        ("linear-ae", {"latent_dim": 6}),
        ("k-sparse-ae", {"latent_dim": 6, "k": 6}),
        ("contractive-ae", {"latent_dim": 6}),
        ("sparse-ae", {"latent_dim": 6}),
        ("denoising-ae", {"latent_dim": 6, "hidden": ()}),
    ],
)
def test_filters_of_the_decoder_are_its_derivative(name, parameters):
    """Entry by entry of the code, what decode moves by in network units."""
    model = build(name, **parameters)
    filters = model.filters()
    code = torch.rand(1, 6, dtype=F64)
    moved = torch.autograd.functional.jacobian(model.decode, code)[0, :, :, :, 0] / 7.0
    assert filters.of == "decoder"
    torch.testing.assert_close(filters.weights, moved.movedim(-1, 0))


def test_filters_of_the_encoder_where_the_decoder_is_deep():
    deep = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 20))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(20, 3))
    model = rp.Autoencoder(Space(SHAPE, "real"), encoder, deep, 3).double()
    filters = model.filters()
    moved = torch.autograd.functional.jacobian(model.encode, torch.rand(1, *SHAPE, dtype=F64))
    assert filters.of == "encoder"
    torch.testing.assert_close(filters.weights, moved[0, :, 0])


def test_filters_of_pca_are_its_components():
    x = torch.randn(50, *SHAPE, dtype=F64)
    space = Space(SHAPE, "real")
    model = rp.PCA(space, 3)
    part = rp.Split(x)
    rp.fit(model, rp.Data(part, part, part, space, "made"), progress=False)
    first = torch.linalg.svd(x.flatten(1) - x.flatten(1).mean(0)).Vh[0]
    found = model.filters().weights[0].flatten()
    assert abs(found @ first) == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize("name", ["ae", "denoising-ae", "vae"])
def test_deep_models_have_no_filters(name):
    model = rp.build(name, Space(SHAPE, "binary"), latent_dim=2, hidden=(8,), network="mlp")
    assert model.filters() is None


def test_hidden_units_are_those_that_the_penalty_counts():
    """Σ penalty(ρ̂) is the term of the loss; every hidden sigmoid layer is among them."""
    model = build("sparse-ae", latent_dim=6, hidden=(9,), rho=0.1, beta=2.0)
    x = 3 + 7 * torch.randn(11, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
    units = model.hidden_units(x)
    assert units.activations.shape == (11, 9 + 6 + 9)
    assert (units.target, units.weight) == (0.1, 2.0)
    term = model.loss(x).terms["sparsity"][0]
    torch.testing.assert_close(units.penalty(units.activations.mean(0)).sum(), term)
    torch.testing.assert_close(units.activations[:, 9:15], model.encode(x))
    assert units.penalty(torch.tensor(0.1, dtype=F64)).item() == 0


def test_models_without_such_a_penalty_have_no_hidden_units():
    x = torch.zeros(2, *SHAPE)
    assert build("linear-ae").hidden_units(x) is None
    assert build("contractive-ae").hidden_units(x) is None


def test_two_stages_show_what_their_codec_has():
    codec = build("sparse-ae", latent_dim=4)
    model = rp.TwoStage(codec, rp.GaussianMixture(codec.code_space, 2)).double()
    x = torch.zeros(2, *SHAPE)
    assert torch.equal(model.filters().weights, codec.filters().weights)
    assert torch.equal(model.hidden_units(x).activations, codec.hidden_units(x).activations)
