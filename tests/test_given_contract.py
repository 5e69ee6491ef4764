"""What every preset promises, of models of what is left of x: a case for each kind of network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from conftest import random_x, tiny_model
from elsewhere import DEVICE, Elsewhere, There

import reparam as rp
from reparam.model import Density, Space
from reparam.nets.pixels import PixelNetwork
from reparam.nets.transformer import CausalTransformer
from reparam.presets import PRESETS
from reparam.space import trusted

MLP, CONV, UNET = ({"network": name} for name in ("mlp", "conv", "unet"))


@dataclass(frozen=True)
class Case:
    name: str
    shape: tuple[int, ...] = (1, 5, 3)
    given: str = "downscale:2"
    how: dict[str, Any] = field(default_factory=dict)

    @property
    def space(self) -> Space:
        real = "real" in PRESETS[self.name].accepts.kinds
        return Space(self.shape, "real") if real else Space(self.shape, "levels", 5)

    def model(self, dtype: torch.dtype = torch.float64) -> Any:
        return tiny_model(self.name, self.space, dtype, given=self.given, **self.how)

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.how.values()), self.given])


CASES = [
    Case("cvae", how=MLP),
    Case("cvae", (1, 9, 6), how=CONV | {"hidden": (8, 4)}),
    Case("cvae", (5,), "subsample:2"),
    Case("gan", how=MLP),
    Case("gan", (1, 9, 6), how=CONV | {"hidden": (8, 4)}),
    Case("regression", how=MLP),
    Case("regression", how=UNET | {"width": 4}),
    Case("ddpm", given="mask:half", how=UNET | {"width": 4}),
    Case("ddpm", how=MLP),
    Case("score-sde", how=MLP),
    Case("pixel-cnn", (3, 5, 3), "gray"),
    Case("gated-pixel-cnn", given="blur:1"),
    Case("pixel-cnn++"),
    Case("pixel-rnn"),
    Case("image-transformer", given="mask:random"),
]
every = pytest.mark.parametrize("told", CASES, ids=str)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Every step of a solver is like the others; and no inference mode, for ``Elsewhere``."""
    monkeypatch.setattr("reparam.models.diffusion.ODE_STEPS", 2)
    for network in (PixelNetwork, CausalTransformer):
        generate = network.generate.__wrapped__  # type: ignore[attr-defined]
        monkeypatch.setattr(network, "generate", torch.no_grad()(generate))


@every
def test_gradients_reach_every_parameter(told, descent_of):
    model = told.model()
    for player, parameters in descent_of(model).items():
        learned = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        wanted = {n for n, p in learned if any(p is q for q in parameters)}
        reached = set()
        for step in range(3):
            model.zero_grad()
            model.loss(random_x(told.space, 8, step), None, player).objective.backward()
            with torch.no_grad():
                for name, p in model.named_parameters():
                    if name in wanted and p.grad is not None:
                        assert p.grad.isfinite().all()
                        reached |= {name} if p.grad.any() else set()
                        p -= 1e-6 * p.grad  # so that what starts at 0 wakes up
        assert reached == wanted


@every
def test_saved_models_draw_and_judge_the_same(told, tmp_path):
    model, x = told.model(torch.float32).eval(), random_x(told.space, 3)
    rp.save(model, tmp_path / "model")
    again = rp.load(tmp_path / "model").eval()
    y = model.degradation(x).float()
    first, second = (
        m.sample(3, y, generator=torch.Generator().manual_seed(0)) for m in (model, again)
    )
    assert torch.equal(first, second)
    assert torch.equal(model.told_of.rows, again.told_of.rows)
    if isinstance(model, Density):
        values = [
            m.log_prob(x, samples=2, generator=torch.Generator().manual_seed(0)).value
            for m in (model, again)
        ]
        assert torch.equal(*values)


@every
def test_everything_stays_on_the_device(told):
    with Elsewhere():
        model = told.model(torch.float32).to(DEVICE).eval()
        x = random_x(told.space, 3).to(DEVICE)
        with trusted(), torch.no_grad():
            assert isinstance(model(x).objective, There)
            y = model.told(x, None)
            assert isinstance(y, There)
            assert isinstance(model.sample(3, y), There)
            if isinstance(model, Density):
                assert isinstance(model.log_prob(x, y, samples=2).value, There)
