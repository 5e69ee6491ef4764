"""What every preset computes, it computes on the model's device, and training waits for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import Case, cases_of, random_x, tiny_model
from elsewhere import DEVICE, Elsewhere, There
from torch import Tensor, nn
from torch.optim import optimizer

import reparam as rp
from reparam.model import Codec, Completer, Density, Descend, Generator, Model, Player, Space
from reparam.nets.pixels import PixelNetwork
from reparam.nets.transformer import CausalTransformer
from reparam.presets import PRESETS
from reparam.space import trusted
from reparam.train.optimizers import gradient_sum
from reparam.train.state import Training, trainable
from reparam.train.tally import Measured

PIXELS = (2, 2, 4)  # as few as show what many would
CONVOLUTIONS = ("ae", "vae")  # the networks of all others that take vectors too are theirs


def cases() -> list[Case]:
    """Every preset and variant, on real data where it takes them; images as small as can be."""
    found: dict[tuple[str, str, bool], Case] = {}
    for name in PRESETS:
        for case in cases_of(name):
            if not case.space.is_image:
                found[name, case.variant, False] = case
            elif name in CONVOLUTIONS or not PRESETS[name].accepts.vectors:
                changes = {"network": "conv"} if name in CONVOLUTIONS else case.changes
                sides = (max(side, PRESETS[name].accepts.least) for side in PIXELS[1:])
                small = replace(case.space, shape=(PIXELS[0], *sides))
                found[name, case.variant, True] = Case(name, small, changes)
    return list(found.values())


every_small_case = pytest.mark.parametrize("small", cases(), ids=str)


@pytest.fixture(autouse=True)
def without_inference_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors that wrap others cannot be viewed in it."""
    for network in (PixelNetwork, CausalTransformer):
        generate = network.generate.__wrapped__  # type: ignore[attr-defined]
        monkeypatch.setattr(network, "generate", torch.no_grad()(generate))


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of a solver or a completion is like the others."""
    monkeypatch.setattr("reparam.models.diffusion.ODE_STEPS", 2)
    monkeypatch.setattr("reparam.models.diffusion.COMPLETING", 2)


def moved(case: Case) -> tuple[Any, Tensor, Tensor | None]:
    """The model in float32 with everything on the device."""
    model, c = case.model(torch.float32), case.c(4)
    return model.to(DEVICE), case.x(4).to(DEVICE), None if c is None else c.to(DEVICE)


def players_of(model: Model) -> list[Player]:
    descents = [stage for stage in model.stages if isinstance(stage, Descend)]
    return [p for d in descents for p in d.players or (Player("model", (model,)),)]


@every_small_case
def test_a_training_step_stays_on_the_device_and_waits_for_nothing(small):
    """But for the optimizer, which is PyTorch's and has kernels for real devices only."""
    with Elsewhere() as device:
        model, x, c = moved(small)
        targets, players = placed_targets(small), players_of(model)
        device.waits.clear()
        for player in players or [Player("model", (model,))]:
            # As training calls it: values were looked at before.
            loss = model(x, c, player.name, **targets)
            gradient = loss.objective
            if loss.objective.requires_grad:
                loss.objective.backward()
                parameters = trainable(player.modules)
                nn.utils.clip_grad_norm_(parameters, 1.0)
                gradient = gradient_sum(parameters)
            skip = Measured.of(loss, gradient).skip
            with torch.no_grad():
                model.after_step(loss, player.name)
    assert not device.waits
    assert isinstance(skip, There) and skip.here.item() == 0.0
    assert all(isinstance(t, There) for t in loss.terms.values())


def placed_targets(case: Case) -> dict[str, Tensor]:
    return {name: labels.to(DEVICE) for name, labels in case.targets(4).items()}


def uses(
    model: Any, x: Tensor, c: Tensor | None, targets: dict[str, Tensor]
) -> dict[str, Callable[[], Tensor]]:
    """What the model can do that asks for no value of a tensor, but to look whether it may be x."""
    found: dict[str, Callable[[], Tensor]] = {"loss": lambda: model(x, c, **targets).objective}
    if isinstance(model, Codec):
        found["reconstruct"] = lambda: model.reconstruct(x, c)
    if isinstance(model, Generator):
        found["sample"] = lambda: model.sample(3)
    if isinstance(model, Density):
        found["log_prob"] = lambda: model.log_prob(x, c, samples=3).value
    if isinstance(model, Completer):
        given = torch.zeros(x.shape[1:], dtype=torch.bool).to(DEVICE)
        found["complete"] = lambda: model.complete(x, given, c)
    return found


@every_small_case
@torch.no_grad()
def test_all_that_a_model_does_stays_on_the_device_and_waits_for_nothing(small):
    with Elsewhere() as device:
        model, x, c = moved(small)
        for name, use in uses(model.eval(), x, c, placed_targets(small)).items():
            device.waits.clear()
            with trusted():
                assert isinstance(use(), There), name
            if name == "sample" and getattr(getattr(model, "network", None), "members", 1) > 1:
                continue  # which rows a member of an ensemble draws is read
            if name == "log_prob" and model.takes_missing and not model.log_prob_draws:
                continue  # of which cells are missing it depends whether log p(x) is exact
            if name == "log_prob" and model.chains:
                continue  # whether log Z is known of these weights is read
            assert not device.waits, name


def waits_of_fit(steps: int, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Counter[str]:
    """What is waited for in a run of one row of the curves, of so many steps."""
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: [DEVICE.type])
    space = Space((7,), "binary")
    parts = [rp.Split(random_x(space, n, n)) for n in (4 * steps, 4, 4)]
    data = rp.Data(*parts, space=space, name="random")
    model = tiny_model("vae", space, torch.float32, steps=3)
    with Elsewhere() as device:
        how |= {"device": DEVICE.type, "epochs": 1, "batch_size": 4, "progress": False}
        assert rp.fit(model, data, **how).rows[-1]["step"] == steps
    return device.waits


@pytest.mark.parametrize(
    "how",
    [{}, {"clip": 1.0, "ema": 0.9, "warmup": 2, "schedule": "cosine", "weight_decay": 0.1}],
    ids=["plain", "everything"],
)
def test_more_steps_of_fit_wait_no_longer(how, monkeypatch):
    """Optimizer and curves included: what is waited for belongs to the row, not to its steps."""
    few, more = (waits_of_fit(steps, monkeypatch, **how) for steps in (3, 6))
    assert few and more == few


def test_a_run_that_goes_on_on_another_device_draws_new_noise():
    """It has no state of that device's generator: noise follows from the step."""
    space = Space((7,), "binary")
    data = rp.Data(*[rp.Split(random_x(space, 8))] * 3, space=space, name="random")
    config = rp.TrainConfig(device="cpu")
    training = Training(tiny_model("vae", space), data, config)
    state, draws = torch.get_rng_state(), []
    training.device = torch.device("cuda")
    for training.step in (7, 8, 7):
        training._restore_generators({"cpu": state})
        draws.append(torch.rand(()))
    assert draws[0] == draws[2] != draws[1]


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.zeros(3),
        lambda x: x.index_select(0, torch.tensor([0])),
        lambda x: x + torch.randn(3, generator=torch.Generator()),
        lambda x: x + torch.tensor([1.0, 2.0, 3.0], device=x.device),
    ],
    ids=["a constant", "indices", "a generator", "numbers"],
)
def test_tensors_of_two_devices_do_not_go_together(mistake):
    with Elsewhere(), pytest.raises(RuntimeError, match=r"one device|without values"):
        mistake(torch.ones(3).to(DEVICE))


@pytest.mark.parametrize(
    "reading",
    [
        lambda x: x.sum().item(),
        lambda x: x if x.any() else -x,
        lambda x: x[x > 0],
        lambda x: x[torch.tensor([0, 2])],
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: x.add_(torch.zeros(3).to(DEVICE)),
    ],
    ids=["item", "branch", "boolean indices", "indices", "cpu", "nonzero", "constant"],
)
def test_what_a_device_would_be_waited_for_is_counted(reading):
    with Elsewhere() as device:
        x = torch.ones(3).to(DEVICE)
        device.waits.clear()
        reading(x)
    assert sum(device.waits.values()) == 1


def test_values_elsewhere_are_those_of_the_cpu():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(5, 3)
    network(x).sum().backward()
    wanted = [parameter.grad for parameter in network.parameters()]
    network.zero_grad()
    with Elsewhere():
        network.to(DEVICE)
        network(x.to(DEVICE)).sum().backward()
        found = [parameter.grad.cpu() for parameter in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
