"""Batch normalization: as PyTorch's own, but for one row and for batches that are not finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam import nets
from reparam.model import Descend
from reparam.nets.conv import ConvDecoder
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


def test_a_saved_model_brings_its_running_statistics_back(tmp_path):
    model = rp.build("vae", rp.Space((3,), "real"), latent_dim=1, hidden=(4,), batch_norm=True)
    norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
    for norm in norms:
        norm.after_step(torch.tensor([[1.0, -2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]]))
    rp.save(model, tmp_path / "run")
    back = [part for part in rp.load(tmp_path / "run").modules() if isinstance(part, BatchNorm)]
    assert norms and len(back) == len(norms)
    for norm, loaded in zip(norms, back, strict=True):
        assert torch.equal(loaded.running, norm.running)


def test_one_row_is_normalized_as_in_evaluation():
    norm, _ = pair((1, 3))
    norm(torch.randn(6, 3, dtype=F64))
    norm.after_step(norm.batch)
    x = torch.randn(1, 3, dtype=F64)
    assert norm(x).equal(norm.eval()(x)) and norm.batch is None


def test_what_a_batch_had_is_its_mean_and_unbiased_variance(monkeypatch):
    """Also where memory that was not written holds NaN, as it does in the deterministic mode."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    try:
        norm, x = BatchNorm(3).double(), torch.randn(6, 3, dtype=F64)
        norm(x)
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(norm.batch, torch.stack([x.mean(0), x.var(0)]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e25])
def test_what_is_not_finite_leaves_no_trace(bad):
    """The mean of numbers whose squares overflow is finite, their variance is not."""
    norm = pair((1, 2))[0].float()
    before = norm.running.clone()
    x = torch.randn(6, 2)
    x[2, 0] = bad
    norm(x)
    norm.after_step(norm.batch)
    assert norm.running[:, 0].equal(before[:, 0])
    assert (norm.running[:, 1] != before[:, 1]).all()  # of the other channel nothing was wrong


@pytest.mark.parametrize("sizes", [(4, 2), (2, 1)])
def test_statistics_of_processes_add_up_by_their_rows(sizes):
    """Parts of a batch: the running ones move by the mean of what each saw, by rows.

    One row sees nothing, and says so in a message of the same length.
    """
    model, seen = nn.Sequential(nn.Linear(2, 3), BatchNorm(3)).double(), []
    sums: dict[str, Tensor] = {}
    for rows in sizes:
        part = torch.randn(rows, 2, dtype=F64)
        model(part)
        for key, value in statistics(model, rows).items():
            sums[key] = sums[key] + value if key in sums else value
        h = model[0](part).detach()
        if rows > 1:
            seen.append((rows, torch.stack([h.mean(0), h.var(0)])))
    after_step(model, sums)
    batch = sum(rows * both for rows, both in seen) / sum(rows for rows, _ in seen)
    wanted = 0.9 * torch.tensor([[0.0], [1.0]], dtype=F64) + 0.1 * batch
    torch.testing.assert_close(model[1].running, wanted)


def test_a_vamp_prior_refuses_an_encoder_that_normalizes():
    space = rp.Space((9,), "binary")
    rp.build("vae", space, prior="vamp")
    with pytest.raises(ValueError, match="batch_norm"):
        rp.build("vae", space, prior="vamp", batch_norm=True)


def test_what_would_mix_other_rows_into_the_statistics_is_refused():
    space = rp.Space((9,), "binary")
    normalized = rp.build("vae", space, batch_norm=True)
    mixture = rp.GaussianMixture(normalized.code_space, 2)
    with pytest.raises(ValueError, match=r"^codec: .*batch_norm"):
        rp.TwoStage(normalized, mixture)
    path = rp.TopDown((2, 3), (4,), normalize=True)
    with pytest.raises(ValueError, match=r"^penalty: MMD .*batch_norm"):
        rp.MMD(1.0).refuse(rp.DiagonalNormal(5), rp.LayeredPrior(path))


def test_a_model_that_would_not_move_its_statistics_is_not_trained():
    data = rp.load_data("digits")
    encoder = nets.encoder(data.space.shape, (2,), (8,), normalize=True)
    decoder = nets.decoder((2,), data.space.shape, data.space.shape, (8,))
    with pytest.raises(ValueError, match=r"^model: Autoencoder .*normalize=False"):
        Training(rp.Autoencoder(data.space, encoder, decoder, 2), data, rp.TrainConfig())


@pytest.mark.parametrize("shape", [(7,), (3, 9, 6), (3, 20, 28)])
@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("preset", ["vae", "hierarchical-vae", "ladder-vae"])
def test_presets_normalize_before_every_activation(preset, network, shape):
    if network == "conv" and len(shape) == 1:
        pytest.skip("no convolutions of vectors")
    space = rp.Space(shape, "binary")
    model = rp.build(preset, space, batch_norm=True, hidden=(8, 6), network=network)
    plain = rp.build(preset, space, batch_norm=False, hidden=(8, 6), network=network)
    assert model.couples_rows and not plain.couples_rows
    norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
    activations = [p for p in plain.modules() if isinstance(p, (nn.ReLU, nn.SiLU))]
    stages = sum(len(p.layers) for p in plain.modules() if isinstance(p, ConvDecoder))
    ladder = preset == "ladder-vae"  # d_1 is normalized as well
    assert len(norms) == len(activations) + stages + ladder
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
    training = Training(model, data, rp.TrainConfig(epochs=1, ema=0.5))
    training.start(Descend())
    norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
    for norm in norms:
        norm.running.fill_(3.0)
    with training.averaged():
        assert all(norm.running[0].eq(0).all() and norm.running[1].eq(1).all() for norm in norms)
    assert all(norm.running.eq(3).all() for norm in norms)
