"""Captured training is training, and where a step cannot be captured nothing is lost."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch

import reparam as rp
from reparam.model import Batch, Loss
from reparam.train import captured
from reparam.train.tally import Measured

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
pytestmark = pytest.mark.filterwarnings("ignore:ended at step")
PRESETS = ["vae", "factor-vae", "ladder-vae", "control-vae"]  # noise, players, norms, a controller


def trained(model: Any, device: str = "cpu", **options: Any) -> tuple[dict, rp.History]:
    data = rp.load_data("digits", binarize=0.5)
    config = {"epochs": 2, "batch_size": 200, "ema": 0.5} | options
    if isinstance(model, str):
        model = rp.build(model, data.space, seed=0)
    history = rp.fit(model, data, device=device, progress=False, **config)
    return {name: value.cpu() for name, value in model.state_dict().items()}, history


class Replayed(captured.Captured):
    """What a graph does, step by step."""

    def __init__(self, step: captured.Step, like: Batch) -> None:
        self.step = step

    def __call__(self, batch: Batch) -> Measured:
        return self.step(batch)


class Refused(Replayed):
    def __init__(self, step: captured.Step, like: Batch) -> None:
        raise RuntimeError("operation not permitted\nand a long trace")


class Frozen(Replayed):
    """A graph that holds on to what was not on the device."""

    def __call__(self, batch: Batch) -> Measured:
        found = super().__call__(batch)
        return found._replace(values=torch.ones_like(found.values))


@pytest.fixture
def anywhere(monkeypatch):
    monkeypatch.setattr(captured, "_capturable", lambda training: True)
    monkeypatch.setattr(captured, "_aside", nullcontext)


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_trial_moves_nothing(preset, monkeypatch, anywhere):
    """Bit for bit: weights, statistics, what Adam remembers and generators are put back."""
    options = {"batch_norm": True} if preset == "ladder-vae" else {}
    space = rp.load_data("digits", binarize=0.5).space
    monkeypatch.setattr(captured, "Captured", Replayed)
    replayed, history = trained(rp.build(preset, space, seed=0, **options))
    monkeypatch.undo()
    plain, _ = trained(rp.build(preset, space, seed=0, **options))
    assert same(replayed, plain)
    assert not any("captured" in warning for warning in history.warnings)


@pytest.mark.parametrize(
    "graph, reason",
    [
        (Refused, "RuntimeError: operation not permitted"),
        (Frozen, "ValueError: replayed, its losses are others"),
    ],
)
def test_what_cannot_be_captured_runs_as_it_is_and_says_why(graph, reason, monkeypatch, anywhere):
    monkeypatch.setattr(captured, "Captured", graph)
    with pytest.warns(RuntimeWarning, match="a step cannot be captured"):
        fallen, history = trained("vae")
    monkeypatch.undo()
    assert same(fallen, trained("vae")[0])
    assert history.warnings == [f"a step cannot be captured, and runs as it is: {reason}"]


def test_a_resumed_run_goes_on_from_what_adam_remembered(monkeypatch, anywhere, tmp_path):
    monkeypatch.setattr(captured, "Captured", Replayed)
    whole, _ = trained("vae")
    data = rp.load_data("digits", binarize=0.5)
    trained("vae", epochs=1, out=tmp_path)
    rp.resume(tmp_path, data=data, epochs=2, progress=False)
    model = rp.load(tmp_path)
    assert same(whole, {name: value.cpu() for name, value in model.state_dict().items()})


class Replacing(rp.Model):
    """It makes another tensor of its running mean, as is often written."""

    def __init__(self, space: rp.Space) -> None:
        super().__init__(space)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.full((), 5.0))

    def loss(self, x: Any, c: Any = None, player: str = "model") -> Loss:
        value = (self.weight - self.prepare(x)[0].flatten(1).mean(1)).square()
        return Loss(value.mean(), {"loss": value})

    def after_step(self, loss: Loss, player: str = "model") -> None:
        self.mean = 0.9 * self.mean + 0.1 * self.weight.detach()


def test_a_buffer_that_is_replaced_is_put_back_and_the_step_not_captured(monkeypatch, anywhere):
    space = rp.load_data("digits", binarize=0.5).space
    monkeypatch.setattr(captured, "Captured", Replayed)
    with pytest.warns(RuntimeWarning, match="mean is replaced in a step; change it in place"):
        fallen, _ = trained(Replacing(space), epochs=1)
    monkeypatch.undo()
    assert same(fallen, trained(Replacing(space), epochs=1)[0])


class Counting(rp.Model):
    """Its loss depends on how often Python called it."""

    def __init__(self, space: rp.Space, waits: bool = False) -> None:
        super().__init__(space)
        self.weight, self.calls, self.waits = torch.nn.Parameter(torch.zeros(())), 0, waits

    def loss(self, x: Any, c: Any = None, player: str = "model") -> Loss:
        self.calls += 1
        if self.waits:
            self.calls = int(self.weight.item())
        value = (self.weight - self.calls).square().expand(len(x))
        return Loss(value.mean(), {"loss": value})


@CUDA
@pytest.mark.parametrize("preset", PRESETS)
def test_captured_training_is_training(preset, monkeypatch):
    found, history = trained(preset, "cuda")
    assert not any("captured" in warning for warning in history.warnings)
    monkeypatch.setattr(captured, "_capturable", lambda training: False)
    assert same(found, trained(preset, "cuda")[0])


@CUDA
@pytest.mark.parametrize("waits", [False, True])
def test_what_depends_on_python_is_not_captured(waits):
    space = rp.load_data("digits", binarize=0.5).space
    with pytest.warns(RuntimeWarning, match="a step cannot be captured"):
        trained(Counting(space, waits), "cuda", epochs=1)
    trained("vae", "cuda")  # the next model is captured as if nothing had been
