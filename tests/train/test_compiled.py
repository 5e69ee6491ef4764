"""Compiled training is training, and where a loss cannot be compiled nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import reparam as rp
from reparam.model import Loss


def trained(preset: str, compiled: bool, **options: Any) -> tuple[torch.Tensor, rp.History]:
    data = rp.load_data("digits", binarize=0.5)
    torch.manual_seed(0)
    model = rp.build(preset, data.space, latent_dim=2, hidden=(8,))
    config = dict(epochs=1, batch_size=200, precision="float64", device="cpu", progress=False)
    history = rp.fit(model, data, compile=compiled, **config, **options)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), history


def test_compiled_training_is_training(monkeypatch):
    """The same steps within the rounding of a fused kernel: float64, six steps."""
    real = torch.compile
    plain, _ = trained("ae", False)
    monkeypatch.setattr(torch, "compile", lambda m: real(m, backend="aot_eager"))
    compiled, history = trained("ae", True)
    assert not history.warnings
    # Adam's first steps divide a gradient by its own size: entries near 0 amplify rounding.
    torch.testing.assert_close(compiled, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fails", ["forward", "backward"])
def test_what_cannot_be_compiled_runs_as_it_is_and_says_why(fails, monkeypatch):
    """Bit for bit: the draws of the attempt are taken back, its gradients dropped."""

    class Stopped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel\nand a long trace")

    def broken(model: rp.Model) -> Any:
        def run(*arguments: Any) -> Any:
            loss = model(*arguments)
            if fails == "forward":
                raise RuntimeError("no kernel\nand a long trace")
            return loss._replace(objective=Stopped.apply(loss.objective))

        return run

    plain, _ = trained("vae", False)
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(RuntimeWarning, match="^compile: the loss runs uncompiled"):
        fallen, history = trained("vae", True)
    assert torch.equal(fallen, plain)
    reason = "compile: the loss runs uncompiled: RuntimeError: no kernel"
    assert history.warnings == [reason]  # once, in one line


def test_the_trial_moves_no_running_statistics(monkeypatch):
    """Of ten batches a batch norm counts ten, though the first loss ran twice."""

    class Normed(rp.Model):
        def __init__(self, space: rp.Space) -> None:
            super().__init__(space)
            self.norm = torch.nn.BatchNorm1d(64)

        def loss(self, x: Any, c: Any = None, player: str = "model") -> Any:
            value = self.norm(self.prepare(x)[0].flatten(1)).square().mean(1)
            return Loss(value.mean() + 0 * self.norm.weight.sum(), {"loss": value})

    def broken(model: rp.Model) -> Any:
        def run(*arguments: Any) -> Any:
            model(*arguments)
            raise RuntimeError("no kernel")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    data = rp.load_data("digits")
    model = Normed(data.space)
    with pytest.warns(RuntimeWarning, match="compile: "):
        rp.fit(model, data, compile=True, epochs=1, batch_size=125, device="cpu", progress=False)
    assert model.norm.num_batches_tracked == 10  # of 1258 rows, whole batches only


def test_an_error_of_the_model_itself_is_not_hidden():
    class Wrong(rp.Model):
        def __init__(self, space: rp.Space) -> None:
            super().__init__(space)
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def loss(self, x: Any, c: Any = None, player: str = "model") -> Any:
            raise ValueError("wrong by design")

    data = rp.load_data("digits")
    with (
        pytest.warns(RuntimeWarning, match="compile: "),
        pytest.raises(ValueError, match="wrong by design"),
    ):
        rp.fit(Wrong(data.space), data, compile=True, epochs=1, device="cpu", progress=False)
