"""Draws while a game is trained: always of the same z, and no part of the training."""

from __future__ import annotations

import importlib
import time

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.data import Data, Split
from reparam.model import Descend, Model, Solve, Space, Stage
from reparam.train import History, RunFolder, fit, resume
from reparam.train.random import seeded
from reparam.train.state import Training

loop = importlib.import_module("reparam.train.loop")
strips = importlib.import_module("reparam.train.strip")

IMAGES = Space((1, 3, 3), "levels", 5)
PLANE = Space((2,), "real")
EPOCHS = 5  # of 4 steps


def data(space: Space) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, *space.shape, generator=generator)
    x = x if space.kind == "real" else (x + 2).round().clamp(0, 4)
    return Data(*map(Split, x.split([64, 16, 16])), space, "made up")


def gan(space: Space = IMAGES, name: str = "gan") -> Model:
    options = {"critic": (4,)} if name == "aae" else {}
    return rp.build(name, space, latent_dim=3, hidden=(8,), seed=0, **options)


def trained(
    model: Model, space: Space = IMAGES, epochs: int = EPOCHS, **options: object
) -> History:
    config = {"batch_size": 16, "ema": 0.9, "seed": 3, "progress": False}
    return fit(model, data(space), epochs=epochs, **config, **options)


def same(first: dict[int, Tensor], second: dict[int, Tensor]) -> bool:
    return list(first) == list(second) and all(
        x.dtype == second[step].dtype and x.equal(second[step]) for step, x in first.items()
    )


def test_training_is_bit_for_bit_what_it_is_without(monkeypatch):
    models = [gan(), gan()]
    histories = [trained(models[0])]
    monkeypatch.setattr(loop, "keep_draws", lambda training, ended=False: None)
    histories.append(trained(models[1]))
    assert histories[0].strip and not histories[1].strip
    for name, value in models[0].state_dict().items():
        assert value.equal(models[1].state_dict()[name])
    rows = [[{**row, "seconds": 0} for row in h.rows] for h in histories]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("space, name", [(IMAGES, "gan"), (PLANE, "gan"), (IMAGES, "aae")])
def test_the_last_are_draws_of_the_weights_that_are_kept(space, name):
    model = gan(space, name)
    strip = trained(model, space).strip
    assert list(strip) == [*range(0, 20, 2), 20]
    with seeded(3, torch.device("cpu")):
        assert strip[20].float().equal(model.sample(len(strip[20])))
    assert not strip[20].equal(strip[0])
    assert strip[20].dtype == (torch.uint8 if space is IMAGES else torch.float32)


def test_where_nothing_moves_all_draws_are_the_same():
    """As it is one z and one rounding that all of them are made of."""
    strip = trained(gan(), lr=1e-30).strip
    assert all(x.equal(strip[0]) for x in strip.values()) and strip[0].unique().numel() > 1


def test_of_a_vae_with_a_critic_they_are_means():
    model = gan(name="vae-gan")
    strip = trained(model).strip
    with seeded(3, torch.device("cpu")), torch.no_grad():
        z = model.prior().repeat(len(strip[20])).sample()
        torch.testing.assert_close(strip[20].float(), model.decode(z), rtol=2**-11, atol=0)


def test_a_run_that_was_interrupted_or_trained_on_has_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)
    whole = trained(gan(), out=tmp_path / "whole").strip
    assert same(RunFolder(tmp_path / "whole").history().strip, whole)

    class Killed(Exception):
        pass

    def kill(news: loop.News) -> None:
        if news.step == 13:
            raise Killed

    with pytest.raises(Killed):
        trained(gan(), out=tmp_path / "killed", watch=kill, save_every=0.0)
    left = RunFolder(tmp_path / "killed").history().strip
    assert list(left) == list(range(13))
    assert same(resume(tmp_path / "killed", data=data(IMAGES), progress=False)[1].strip, whole)
    assert same(
        resume(tmp_path / "killed", data=data(IMAGES), progress=False)[1].strip, whole
    )  # nothing left to do


@pytest.mark.parametrize("most, ends", [(12, [*range(0, 12), 12]), (2, [0, 8, 12])])
def test_a_run_that_is_trained_on_has_those_of_a_long_one(tmp_path, monkeypatch, most, ends):
    """Also from an end that comes between two of them."""
    monkeypatch.setattr(strips, "MOST", most)
    assert list(trained(gan(), epochs=3, out=tmp_path / "short").strip) == ends
    _, more = resume(tmp_path / "short", data=data(IMAGES), epochs=EPOCHS, progress=False)
    assert same(more.strip, trained(gan()).strip) and list(more.strip)[1] != 12


@pytest.mark.parametrize("most", [1, 5, 12])
def test_steps_are_evenly_apart_however_many_there_are(monkeypatch, most):
    monkeypatch.setattr(strips, "MOST", most)
    kept: dict[int, None] = {}
    for step in range(200):
        apart = strips._interval(step)
        if step % apart == 0:
            kept = {old: None for old in kept if old % apart == 0} | {step: None}
            assert list(kept) == list(range(0, step + 1, apart))
        assert min(step, most / 2) < len(kept) <= most + 1


def test_seconds_are_no_training_time(monkeypatch):
    drawn = strips._draws

    def slowly(*args: object) -> Tensor:
        time.sleep(0.05)
        return drawn(*args)

    monkeypatch.setattr(strips, "_draws", slowly)
    began = time.perf_counter()
    history = trained(gan(), epochs=2)
    assert len(history.strip) == 9
    assert history.seconds < time.perf_counter() - began - 9 * 0.05


def test_draws_that_are_not_finite_are_left_out(monkeypatch):
    drawn, calls = strips._draws, []

    def broken(model: Model, n: int) -> Tensor:
        calls.append(n)
        return drawn(model, n) * (torch.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(strips, "_draws", broken)
    assert list(trained(gan(), epochs=1).strip) == [0, 1, 3, 4]


@pytest.mark.parametrize(
    "name, space",
    [("vae", IMAGES), ("rbm", Space((1, 2, 2), "binary")), ("gan", Space((4,), "real"))],
)
def test_others_keep_none(tmp_path, name, space):
    """Best weights, long chains, and tables that no picture shows."""
    made = data(Space(space.shape, "real"))
    if space.kind != "real":
        parts = [Split((part.x > 0).float()) for part in (made.train, made.valid, made.test)]
        made = Data(*parts, space, "made up")
    model = rp.build(name, space, hidden=4 if name == "rbm" else (4,), seed=0)
    assert not fit(model, made, epochs=1, out=tmp_path / "run", progress=False).strip
    assert not RunFolder(tmp_path / "run").history().strip


@pytest.mark.parametrize("prior", ["standard", "vamp", "mixture"])
def test_weights_that_are_not_finite_leave_draws_out(prior):
    """Their codes are nobody's mistake, and training has its own word for it."""
    model = rp.build("l-vae", IMAGES, latent_dim=3, hidden=(8,), prior=prior, seed=0)
    training = Training(model, data(IMAGES), rp.TrainConfig(batch_size=16, device="cpu"))
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(torch.nan)
    strips.keep_draws(training)
    assert not training.history.strip and model.training


def test_what_is_solved_for_after_a_descent_leaves_its_draws():
    class Solved(type(gan())):  # type: ignore[misc]
        @property
        def stages(self) -> tuple[Stage, ...]:
            solved = Solve("nothing", lambda model, batches: None)
            return (*super().stages, solved, Descend())

    model = gan()
    model.__class__ = Solved
    training = Training(model, data(IMAGES), rp.TrainConfig(batch_size=16, device="cpu"))
    strips.keep_draws(training)
    training.enter(1)
    assert list(training.history.strip) == [0]
    training.enter(2)
    assert not training.history.strip
