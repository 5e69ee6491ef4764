"""Several players in one descent: who moves what, on which batch, by which optimizer."""

from __future__ import annotations

import importlib
import os
import signal
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data, Split
from reparam.model import Descend, Loss, Model, Player, Space
from reparam.train import RunFolder, fit, resume

loop = importlib.import_module("reparam.train.loop")


def rows(n: int = 48) -> Data:
    """Row i is (i, i)."""
    split = Split(torch.arange(n, dtype=torch.float32)[:, None].expand(n, 2).contiguous())
    return Data(split, split, split, Space((2,), "real"), "rows")


class Two(Model):
    """Two linear maps of x, each a player's, with losses that depend on both."""

    def __init__(self, **of_b: Any) -> None:
        super().__init__(Space((2,), "real"))
        self.a, self.b, self.of_b = nn.Linear(2, 1), nn.Linear(2, 1), of_b
        for part in (self.a, self.b):
            nn.init.constant_(part.weight, 0.1)
            nn.init.zeros_(part.bias)
        self.asked: list[tuple[str, list[float]]] = []
        self.stepped: list[str] = []
        self.others: list[Tensor | None] = []

    @property
    def stages(self) -> tuple[Descend, ...]:
        return (Descend("both", (Player("a", (self.a,)), Player("b", (self.b,), **self.of_b))),)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        if self.training:
            self.asked.append((player, x[:, 0].tolist()))
        value = (self.a(x) + self.b(x)).sum(1) + 3
        return Loss(value.mean(), {"squared_error": value})

    def after_step(self, loss: Loss, player: str = "model") -> None:
        self.stepped.append(player)
        self.others.append((self.a if player == "b" else self.b).weight.grad)


def test_players_move_only_their_modules_each_at_its_own_rate_and_turn():
    model = Two(lr=0.1, steps=2)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    fit(model, rows(), progress=False, epochs=1, lr=1e-3, batch_size=48)
    assert [player for player, _ in model.asked] == model.stepped == ["a", "b", "b"]
    moved = {n: (p.detach() - before[n]).abs().max().item() for n, p in model.named_parameters()}
    assert moved["a.weight"] == pytest.approx(1e-3, rel=1e-2)
    assert moved["b.weight"] == pytest.approx(2e-4, rel=1e-2)


def test_a_players_backward_pass_computes_its_own_gradients_only():
    model = Two()
    fit(model, rows(), progress=False, epochs=1, batch_size=48)
    assert model.others[0] is None  # of b, before its turn, though the loss of a depends on it


def test_a_player_with_several_steps_sees_another_batch_in_each():
    model = Two(steps=3)
    fit(model, rows(), progress=False, epochs=1, batch_size=6)
    steps = [model.asked[i : i + 4] for i in range(0, len(model.asked), 4)]
    assert len(steps) == 8
    for (_, first), *others in steps:
        assert [player for player, _ in others] == ["b"] * 3
        assert others[0][1] == first  # its first turn is that of the other player
        assert len({tuple(seen) for _, seen in others}) == 3
    for turn in range(1, 4):
        assert sorted(x for step in steps for x in step[turn][1]) == list(range(48))


def test_resuming_players_of_several_steps_is_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)
    fields = dict(epochs=3, batch_size=6, lr=0.01, ema=0.9, progress=False)
    one, two = Two(steps=3), Two(steps=3)
    fit(one, rows(), **fields)

    def watch(news: rp.News) -> None:
        if news.step == 11:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(two, rows(), out=tmp_path, watch=watch, **fields)
    back = Two(steps=3)
    resume(tmp_path, data=rows(), model=back, progress=False)
    assert two.asked + back.asked == one.asked
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), back.parameters(), strict=True))


def test_the_average_moves_once_per_step_whatever_the_players_do(monkeypatch):
    """Both critics' turns count as one, and each weight's mean is one of the ends of steps."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)
    model, seen = Two(steps=3), []
    start = model.b.weight.detach().clone()
    fields = dict(epochs=5, batch_size=48, lr=0.05, ema=0.99, progress=False)
    fit(model, rows(), watch=lambda news: seen.append(model.b.weight.detach().clone()), **fields)
    average = start
    for s, weight in enumerate(seen):
        decay = (1 + s) / (10 + s)
        average = decay * average + (1 - decay) * weight
    assert len(seen) == 5
    torch.testing.assert_close(model.b.weight.detach(), average, rtol=1e-5, atol=0)


def test_betas_are_those_of_the_config_unless_a_player_has_its_own(monkeypatch):
    made: list[tuple[float, float]] = []
    real = torch.optim.Adam.step

    def step(self: torch.optim.Adam, *args: Any) -> Any:
        made.append(self.param_groups[0]["betas"])
        return real(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    for betas, decay in (((0.5, 0.9), 0.0), ((0.0, 0.99), 0.1)):
        made.clear()
        model, fields = Two(betas=(0.0, 0.9)), dict(epochs=1, batch_size=48, weight_decay=decay)
        fit(model, rows(), progress=False, betas=betas, **fields)
        assert made == [betas, (0.0, 0.9)]


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 1.0), (-0.1, 0.9), 0.9, ("0.9", 0.9)], ids=str)
def test_betas_that_are_none_are_refused(betas):
    with pytest.raises(ValueError, match="^betas: expected 2 numbers of at least 0 and below 1"):
        rp.TrainConfig(betas=betas)


def test_betas_survive_a_run_folder(tmp_path):
    model = Two()
    fit(model, rows(), out=tmp_path, progress=False, epochs=1, betas=(0.5, 0.9))
    before = (tmp_path / "run.json").read_bytes()
    assert RunFolder(tmp_path).config().betas == (0.5, 0.9)
    resume(tmp_path, data=rows(), model=Two(), progress=False)
    assert (tmp_path / "run.json").read_bytes() == before
