"""Batch normalisation: as PyTorch's own, but for one row and for batches that are not finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import reparam as rp
from reparam.nets.norm import BatchNorm, after_step, statistics
from reparam.train.state import Training

F64 = torch.float64


def pair(shape: tuple[int, ...]) -> tuple[BatchNorm, nn.Module]:
    """Ours and PyTorch's with the same weights, away from one and zero."""
    theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(shape[1], dtype=F64)
    ours = BatchNorm(shape[1]).double()
    with torch.no_grad():
        ours.scale.copy_(theirs.weight.copy_(torch.linspace(0.5, 2, shape[1])))
        ours.shift.copy_(theirs.bias.copy_(torch.linspace(-1, 1, shape[1])))
    return ours, theirs


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5, 2), (1, 3, 2, 2)])
def test_it_is_that_of_pytorch_in_training_and_after(shape):
    ours, theirs = pair(shape)
    for seed in range(3):
        torch.manual_seed(seed)
        x = 3 + 2 * torch.randn(shape, dtype=F64)
        a, b = (x.clone().requires_grad_() for _ in range(2))
        y, wanted = ours(a), theirs(b)
        ours.after_step(ours.batch)
        torch.testing.assert_close(y, wanted)
        weights = torch.randn_like(y)
        (y * weights).sum().backward()
        (wanted * weights).sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
    torch.testing.assert_close(ours.running[0], theirs.running_mean)
    torch.testing.assert_close(ours.running[1], theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_one_row_is_normalised_as_in_evaluation():
    norm, _ = pair((1, 3))
    norm(torch.randn(6, 3, dtype=F64))
    norm.after_step(norm.batch)
    x = torch.randn(1, 3, dtype=F64)
    assert norm(x).equal(norm.eval()(x)) and norm.batch is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_leaves_no_trace(bad):
    norm, _ = pair((1, 2))
    before = norm.running.clone()
    x = torch.randn(6, 2, dtype=F64)
    x[2, 0] = bad
    norm(x)
    norm.after_step(norm.batch)
    assert norm.running[:, 0].equal(before[:, 0])
    assert (norm.running[:, 1] != before[:, 1]).all()  # of the other channel nothing was wrong


def test_statistics_of_processes_add_up_by_their_rows():
    """Two parts of a batch: the running ones move by the mean of what each saw, by rows."""
    model = nn.Sequential(nn.Linear(2, 3), BatchNorm(3)).double()
    parts, seen = (torch.randn(4, 2, dtype=F64), torch.randn(2, 2, dtype=F64)), []
    for part in parts:
        model(part)
        seen.append((statistics(model, len(part)), model[1].batch.clone()))
    sums = {key: seen[0][0][key] + seen[1][0][key] for key in seen[0][0]}
    after_step(model, sums)
    wanted = (
        0.9 * torch.tensor([[0.0], [1.0]], dtype=F64) + 0.1 * (4 * seen[0][1] + 2 * seen[1][1]) / 6
    )
    torch.testing.assert_close(model[1].running, wanted)


def test_a_vamp_prior_refuses_an_encoder_that_normalises():
    space = rp.Space((9,), "binary")
    rp.build("vae", space, prior="vamp")
    with pytest.raises(ValueError, match="batch_norm"):
        rp.build("vae", space, prior="vamp", batch_norm=True)


@pytest.mark.parametrize("shape", [(7,), (3, 9, 6)])
@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("preset", ["vae", "hierarchical-vae", "ladder-vae"])
def test_presets_normalise_before_every_activation(preset, network, shape):
    if network == "conv" and len(shape) == 1:
        pytest.skip("no convolutions of vectors")
    space = rp.Space(shape, "binary")
    model = rp.build(preset, space, batch_norm=True, hidden=(8, 6), network=network)
    plain = rp.build(preset, space, batch_norm=False, hidden=(8, 6), network=network)
    assert model.couples_rows and not plain.couples_rows
    norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
    activations = [p for p in plain.modules() if isinstance(p, (nn.ReLU, nn.SiLU))]
    assert len(norms) >= len(activations) > 0
    assert not any(isinstance(part, BatchNorm) for part in plain.modules())
    x = (torch.rand(5, *shape) > 0.5).float()
    before = [norm.running.clone() for norm in norms]
    loss = model.train().loss(x)
    loss.objective.backward()
    model.after_step(loss)
    assert all(not norm.running.equal(old) for norm, old in zip(norms, before, strict=True))
    assert all(p.grad is not None for p in model.parameters())
    one = model.eval().log_prob(x[:1], samples=3, generator=torch.Generator().manual_seed(0))
    assert one.value.isfinite().all()


def test_averages_take_the_statistics_along():
    data = rp.load_data("digits", binarize="dynamic")
    model = rp.build("vae", data.space, batch_norm=True, hidden=(8,), latent_dim=2)
    config = rp.TrainConfig(epochs=1, ema=0.5)
    training = Training(model, data, config)
    norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
    names = {id(value) for value in training.moving}
    assert all(id(norm.running) in names for norm in norms)
    assert all(id(parameter) in names for parameter in model.parameters())
