"""Losses and gradients that are not finite: found, skipped, and said where they come from."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data, Split
from reparam.model import Batch, Space
from reparam.train import NonFinite, fit
from reparam.train.diagnosis import diagnose

SPACE = Space((4,), "binary")


class Trap(nn.Module):
    """The identity, but on a batch with a row of ones: then its gradient is NaN, or its output."""

    def __init__(self, what: str, always: bool = False) -> None:
        super().__init__()
        self.what, self.always = what, always

    def forward(self, x: Tensor) -> Tensor:
        if not self.always and not bool((x.detach()[:, :4] == 1).all(1).any()):
            return x
        if self.what == "output":
            return x / torch.zeros_like(x)
        return x + (x - x).square().sqrt()  # plus 0, whose derivative is 0 times infinity


def model(what: str, always: bool = False) -> Any:
    torch.manual_seed(0)
    # A layer before the trap, for a gradient to spoil; ones must reach it, for an output.
    before = nn.Linear(4, 4) if what == "gradient" else nn.Identity()
    encoder = nn.Sequential(before, Trap(what, always), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    decoder = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 4))
    return rp.Autoencoder(SPACE, encoder, decoder, latent_dim=2)


def data(trapped: bool = True) -> Data:
    x = torch.randint(0, 2, (120, 4), generator=torch.Generator().manual_seed(0))
    x[(x == 1).all(1)] = 0
    if trapped:
        x[3] = 1
    return Data(Split(x[:100]), Split(x[100:110]), Split(x[110:]), SPACE, "bits")


CONFIG: dict[str, Any] = dict(epochs=10, batch_size=20, progress=False)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_nan_under_a_finite_loss_is_skipped(clip):
    """With and without clipping, which looks at all gradients anyway."""
    made = model("gradient", always=True)
    with pytest.raises(NonFinite, match="gradient in 50 steps; these steps were skipped"):
        fit(made, data(False), **CONFIG, clip=clip)
    assert all(bool(p.isfinite().all()) for p in made.parameters())


def test_one_bad_batch_an_epoch_is_left_out_and_named():
    made = model("output")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history = fit(made, data(), **CONFIG)
    (message,) = history.warnings
    assert "objective in 10 steps" in message and "these steps were skipped" in message
    assert "first output that is not finite is that of encoder.1 (Trap)" in message
    assert "gradients that are not finite: encoder.2.weight" in message
    assert str(told[0].message) == message and history.ended == "all epochs"
    assert all(bool(p.isfinite().all()) for p in made.parameters())


def test_the_diagnosis_names_what_is_not_finite_and_changes_nothing():
    x = torch.ones(3, 4)
    made = model("gradient", always=True).train()
    before, generator = [p.clone() for p in made.parameters()], torch.get_rng_state()
    said = diagnose(made, Batch(x), "model", 0)
    assert said == "gradients that are not finite: encoder.0.weight, encoder.0.bias"
    assert all(torch.equal(a, b) for a, b in zip(before, made.parameters(), strict=True))
    assert all(p.grad is None for p in made.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert not made.encoder[1]._forward_hooks
    assert "finite" in diagnose(model("output"), Batch(x * 0), "model", 0)
    assert diagnose(made, Batch(x * float("nan")), "model", 0).startswith("the data of that batch")
    with torch.no_grad():
        made.decoder[0].bias[1] = float("inf")
    assert diagnose(made, Batch(x), "model", 0) == "weights are not finite: decoder.0.bias"


@pytest.mark.parametrize("layer", range(3))
def test_an_error_signal_that_is_nan_is_seen_in_the_small_parameters(layer):
    """Wherever it begins, the bias of that layer has it, and so the sum of every step."""
    from reparam.train.optimizers import SMALL, gradient_sum

    net = nn.Sequential(*(nn.Linear(SMALL // 8, SMALL // 8) for _ in range(3)))

    def spoil(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output + (output - output).square().sqrt()

    x = torch.randn(5, SMALL // 8)
    net(x).sum().backward()
    assert gradient_sum(list(net.parameters())).isfinite()
    net.zero_grad()
    hook = net[layer].register_forward_hook(spoil)
    loss = net(x).sum()
    assert loss.isfinite()
    loss.backward()
    hook.remove()
    assert not gradient_sum(list(net.parameters())).isfinite()
