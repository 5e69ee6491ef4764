"""bfloat16 training: its layout of memory, what it leaves, and what a CPU is told of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import reparam as rp
from reparam.bijections.coupling import halves
from reparam.train import device, fit, resume

NO_INSTRUCTIONS = "^precision: this CPU has no instructions for bfloat16"
CONFIG: dict[str, Any] = dict(
    batch_size=50, precision="bfloat16", device="cpu", progress=False, lr=3e-3
)


@pytest.fixture(autouse=True)
def supported(monkeypatch):
    """As on a CPU that has the instructions, so that nothing is warned of."""
    monkeypatch.setattr("reparam.train.loop.lacks_bfloat16", lambda config, device: False)


@pytest.fixture(scope="module")
def images() -> rp.Data:
    x = torch.rand(300, 3, 9, 11, generator=torch.Generator().manual_seed(0)).cumsum(3)
    return rp.load_data((x * 20).to(torch.uint8))


def fresh(data: rp.Data) -> rp.Model:
    torch.manual_seed(1)
    return rp.build("vae", data.space, network="conv", hidden=(8,), latent_dim=2)


def test_a_resumed_convolutional_run_is_the_uninterrupted_one(images, tmp_path):
    """Weights lie channels last, a checkpoint does not: Adam's means must find their entries."""
    straight = fresh(images)
    fit(straight, images, epochs=4, **CONFIG)
    weights = [p for p in straight.parameters() if p.ndim == 4 and 1 not in p.shape[1:]]
    assert weights and not any(p.is_contiguous() for p in weights)
    fit(fresh(images), images, epochs=2, out=tmp_path / "run", **CONFIG)
    resumed, _ = resume(tmp_path / "run", data=images, epochs=4, progress=False)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    loaded = rp.load(tmp_path / "run").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in straight.state_dict().items())


def test_the_loss_is_that_of_float32_within_the_rounding_of_activations(images):
    """bfloat16 keeps 8 bits: 0.4 % an activation; the curves of 160 steps stay within 2 %."""
    ends = []
    for precision in ("float32", "bfloat16"):
        model = fresh(images)
        history = fit(model, images, epochs=40, **CONFIG | {"precision": precision, "lr": 1e-2})
        assert model.anchor.dtype == torch.float32  # weights and probabilities
        curve = history.curve("valid/objective")
        ends.append((curve[0], curve[-1]))
    (_, single), (first, half) = ends
    assert half == pytest.approx(single, rel=0.02)
    assert half < first - 10  # nats from the first row of the curves on


def test_a_cpu_without_the_instructions_is_told(images, monkeypatch):
    monkeypatch.setattr("reparam.train.loop.lacks_bfloat16", lambda config, device: True)
    with pytest.warns(RuntimeWarning, match=NO_INSTRUCTIONS):
        history = fit(fresh(images), images, epochs=1, **CONFIG)
    assert len(history.warnings) == 1
    float32 = rp.TrainConfig(precision="float32")
    assert not device.lacks_bfloat16(float32, torch.device("cpu"))


@pytest.mark.parametrize("name", ["hierarchical-vae", "ladder-vae", "very-deep-vae"])
def test_layers_of_z_are_drawn_and_measured_in_float32(name):
    """The density with a draw is that of the draw: in bfloat16 it is off by tenths of a nat."""
    torch.manual_seed(0)
    model = rp.build(name, rp.Space((1, 8, 8), "binary"))
    x = (torch.rand(20, 1, 8, 8) > 0.5).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for density in (model.posterior(x), model.prior().repeat(20)):
            z, log_prob = density.rsample_with_log_prob_terms()
            torch.testing.assert_close(density.log_prob_terms(z), log_prob, rtol=1e-5, atol=2e-3)
        assert all(t.dtype == torch.float32 for t in model.loss(x).terms.values())


FLOWS = {
    "masked affine": lambda: rp.MaskedAffine(6),
    "coupling": lambda: rp.Coupling(rp.Affine(), rp.CouplingMLP(3, 6, (16,)), halves(6)),
    "splines": lambda: rp.AutoregressiveTransform(rp.Spline(), rp.MADE((6,), 23, (16,), gain=0)),
    "matrix": lambda: rp.LULinear(6, rotated=True),
    "own": lambda: rp.Own(rp.Planar(6)),
    "scales": lambda: rp.Elementwise(rp.Affine(), (6,)),
}


@pytest.mark.parametrize("name", FLOWS)
def test_flows_are_invertible_whatever_their_networks_compute_in(name):
    torch.manual_seed(0)
    flow, x = FLOWS[name](), 3 * torch.randn(50, 6)
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        z, there = flow(x)
        again, back = flow.inverse(z)
    assert z.dtype == there.dtype == torch.float32
    torch.testing.assert_close(again, x, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(there, -back, rtol=1e-5, atol=2e-5)


def test_the_critic_judges_in_float32():
    penalty, z = rp.CriticTotalCorrelation(3), torch.randn(9, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert penalty(z, z, None, None).dtype == penalty.play(z, None).dtype == torch.float32
