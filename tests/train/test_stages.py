"""Stages in any order, and several players in one descent."""

from __future__ import annotations

import importlib
import os
import signal

import pytest
import torch
from clock import clock_of_steps
from torch import Tensor, nn

import reparam as rp
from reparam.config import TrainConfig
from reparam.data import Data, Split
from reparam.model import Descend, Generator, Loss, Model, Player, Solve, Space
from reparam.models.autoencoder import Autoencoder
from reparam.models.gaussian_mixture import GaussianMixture
from reparam.models.two_stage import TwoStage
from reparam.train import NonFinite, fit, resume
from reparam.train.state import Training

loop = importlib.import_module("reparam.train.loop")


def data() -> Data:
    split = Split(torch.full((64, 1), 3.0))
    return Data(split, split, split, Space((1,), "real"), "threes")


class TwoParts(Model):
    """Two numbers that follow x, one per player; stages as asked."""

    def __init__(self, *stages) -> None:
        super().__init__(Space((1,), "real"))
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        for part in (self.a, self.b):
            nn.init.zeros_(part.weight)
        self.register_buffer("solved", torch.zeros(()))
        self.chosen = stages

    @property
    def stages(self):
        return tuple(stage(self) if callable(stage) else stage for stage in self.chosen)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        part = self.b if player == "b" else self.a
        error = (part(torch.ones_like(x)) - x).square().sum(1)
        terms = {"squared_error": error}
        if player == "b":
            terms["sparsity"] = error * 0 + 7
        return Loss(error.mean(), terms)


def player(name):
    return lambda model: Descend(name, (Player(name, (getattr(model, name),)),))


def note_weight(model, batches):
    model.solved.copy_(model.a.weight.detach().squeeze())


def test_a_solve_after_a_descent_reads_and_keeps_its_best_weights():
    model = TwoParts(player("a"), Solve("note", note_weight))
    fit(model, data(), epochs=200, lr=0.05, progress=False)
    assert model.a.weight.item() == pytest.approx(3.0, abs=0.05)
    assert model.solved.item() == model.a.weight.item() != 0.0


def test_a_second_descent_is_judged_by_itself():
    """The first reaches a squared error near 0; the second starts at 9 and must be kept."""
    model = TwoParts(player("a"), player("b"))
    fit(model, data(), epochs=200, lr=0.05, progress=False)
    assert model.a.weight.item() == pytest.approx(3.0, abs=0.05)
    assert model.b.weight.item() == pytest.approx(3.0, abs=0.05)


def test_players_with_terms_of_their_own_have_curves_of_their_own():
    def both(model):
        return Descend("both", (Player("a", (model.a,)), Player("b", (model.b,), lr=0.0)))

    model = TwoParts(both)
    history = fit(model, data(), epochs=50, lr=0.05, progress=False)
    row = history.rows[0]
    assert row["train/b/sparsity"] == 7.0
    assert row["train/b/squared_error"] == 9.0  # a player with learning rate 0 stays at 0
    assert 0 < row["train/a/squared_error"] < 9.0
    assert model.b.weight.item() == 0.0


def test_a_run_without_one_finite_validation_is_no_success():
    with pytest.warns(RuntimeWarning), pytest.raises(NonFinite, match="diverged"):
        fit(TwoParts(player("a")), data(), epochs=1, lr=1e30, progress=False)


def test_a_budget_alone_is_not_cut_short(monkeypatch):
    """By default there are so many steps; a budget has as many as there is time for."""
    monkeypatch.setattr("reparam.train.state.STEPS_BY_DEFAULT", 20)
    monkeypatch.setattr("reparam.train.state.EPOCHS_AT_LEAST", 1)
    model = clock_of_steps(monkeypatch).counts(TwoParts(player("a")))
    history = fit(model, data(), budget=70, batch_size=64, progress=False)
    assert history.ended == "budget used up"
    assert history.rows[-1]["step"] == 70


class Center(Generator):
    """A code that follows the codes it is shown."""

    def __init__(self) -> None:
        super().__init__(Space((1,), "real"))
        self.code = nn.Parameter(torch.zeros(1))

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        nll = (x - self.code).square().sum(1)
        return Loss(nll.mean(), {"nll": nll})

    def draw(self, n, c, generator):
        return self.code.detach().expand(n, 1)


def ramp() -> Data:
    split = Split(torch.linspace(0, 9, 64)[:, None])
    return Data(split, split, split, Space((1,), "real"), "ramp")


def test_a_mixture_is_fitted_on_the_codes_of_the_best_weights():
    codec = Autoencoder(Space((1,), "real"), nn.Linear(1, 1), nn.Linear(1, 1), 1)
    model = TwoStage(codec, GaussianMixture(codec.code_space, 1))
    history = fit(model, ramp(), epochs=100, lr=0.05, progress=False)
    assert history.ended == "all epochs"  # of the codec: that is what took time
    assert history.rows[-1]["valid/squared_error"] < 0.1
    code = model.encode(ramp().train.x).detach().double()
    # Codes encoded in other batches differ by float32 rounding.
    torch.testing.assert_close(model.generator.means[0], code.mean(0), rtol=1e-5, atol=1e-5)
    spread = code.var(0, correction=0) * (1 + 1e-6)
    torch.testing.assert_close(model.generator.covariances[0, 0], spread, rtol=1e-5, atol=0)


def test_a_descent_on_codes_leaves_the_codec_as_it_was():
    torch.manual_seed(0)
    codec = Autoencoder(Space((1,), "real"), nn.Linear(1, 1), nn.Linear(1, 1), 1)
    model = TwoStage(codec, Center())
    history = fit(model, ramp(), epochs=100, lr=0.05, progress=False)
    assert history.rows[-1]["valid/code_nll"] >= 0
    assert "valid/nll" not in history.rows[-1]
    assert history.rows[0]["valid/squared_error"] > 0
    code = model.encode(ramp().train.x).detach()
    assert model.generator.code.item() == pytest.approx(code.mean().item(), abs=0.02)
    error = model.codec.loss(ramp().train.x).terms["squared_error"].mean().item()
    kept = [r["valid/squared_error"] for r in history.rows if "valid/squared_error" in r]
    assert error == pytest.approx(min(kept), rel=1e-5)


# -------------------------------------------------------------------- budgets that are short


def test_a_budget_that_ends_before_the_first_step_is_said_and_can_be_raised(tmp_path):
    model = TwoParts(player("a"))
    with pytest.warns(RuntimeWarning, match="budget: its 1e-09 s were used up before the first st"):
        history = fit(model, data(), budget=1e-9, out=tmp_path, progress=False)
    assert history.ended == "budget used up" and model.a.weight.item() == 0.0
    (row,) = history.rows
    assert (row["step"], row["epoch"], row["valid/squared_error"]) == (0.0, 0.0, 9.0)
    assert history.kept == row
    _, again = resume(tmp_path, data=data(), model=TwoParts(player("a")), progress=False)
    assert again.seconds == history.seconds == 0.0  # what made no step was no training
    assert again.rows == [row] and len(again.warnings) == 1  # and not said twice
    _, more = resume(
        tmp_path, data=data(), model=TwoParts(player("a")), budget=60.0, epochs=90, progress=False
    )
    assert more.ended == "all epochs" and more.rows[-1]["epoch"] == 90.0
    assert more.rows[-1]["valid/squared_error"] < 9.0


@pytest.fixture
def clock(monkeypatch):
    """A second for every step, 6 for making an optimizer, 5 for a write: the first imports much."""
    clock = clock_of_steps(monkeypatch)
    for name, seconds in (("state.make_optimizer", 6.0), ("folder.write_tensors", 5.0)):
        clock.charges(monkeypatch, f"reparam.train.{name}", seconds)
    return clock


def test_making_optimizers_is_no_training(clock, tmp_path):
    """Else a budget of 4 s ends before the first step, and a resume never reaches its next."""
    one, two = (clock.counts(TwoParts(player("a"))) for _ in range(2))
    history = fit(one, data(), budget=4, out=tmp_path, progress=False)
    assert history.seconds == 4 and history.rows[-1]["step"] == 4
    _, more = resume(tmp_path, data=data(), model=two, budget=7, progress=False)
    assert more.seconds == 7 and more.rows[-1]["step"] == 7


@pytest.mark.parametrize("fields", [{"epochs": 3}, {"budget": 4}])
def test_resuming_a_finished_run_leaves_its_seconds(clock, tmp_path, fields):
    history = fit(
        clock.counts(TwoParts(player("a"))), data(), out=tmp_path, progress=False, **fields
    )
    for _ in range(2):
        model = TwoParts(player("a"))
        _, again = resume(tmp_path, data=data(), model=model, progress=False)
        assert again.seconds == history.seconds == history.rows[-1]["seconds"] > 0
        assert again.rows == history.rows


def test_the_seconds_of_a_solve_count(clock):
    def slow(model, batches):
        clock.now += 3

    model = clock.counts(TwoParts(Solve("slow", slow), player("a")))
    history = fit(model, data(), epochs=2, progress=False)
    assert history.seconds == 3 + history.rows[-1]["step"] == 3 + 8


def test_a_budget_that_is_used_up_while_interrupted_is_no_divergence(tmp_path):
    """Stopped in the first row; by when it goes on the seconds are over: that row is validated."""

    def press(news):
        if news.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)
        fit(TwoParts(player("a")), data(), out=tmp_path, watch=press, progress=False)
    model = TwoParts(player("a"))
    _, history = resume(tmp_path, data=data(), model=model, budget=1e-9, progress=False)
    assert history.ended == "budget used up" and history.warnings == []
    assert [row["step"] for row in history.rows] == [7.0]


def test_every_descent_has_its_part_of_a_budget():
    """Of 0.6 seconds each of two gets half, not the first all of them."""
    torch.manual_seed(0)
    codec = Autoencoder(Space((1,), "real"), nn.Linear(1, 1), nn.Linear(1, 1), 1)
    history = fit(TwoStage(codec, Center()), ramp(), budget=0.6, progress=False)
    first = [row for row in history.rows if "valid/squared_error" in row]
    second = [row for row in history.rows if "valid/code_nll" in row]
    assert first[-1]["step"] > 0 and second[-1]["step"] > 0
    assert 0.3 <= first[-1]["seconds"] < 0.6 <= second[-1]["seconds"]


def test_the_share_of_a_budget_begins_anew_with_every_descent():
    """And with it a cosine schedule, which else would end the second before it begins."""
    training = Training(TwoParts(player("a"), player("b")), data(), TrainConfig(budget=10.0))
    found = []
    for stage, seconds in ((0, 2.0), (0, 5.0), (1, 4.0), (1, 7.5), (1, 12.0)):
        training.enter(stage)
        training.history.seconds = seconds
        found.append(training.share_of_budget)
    assert found == [0.4, 1.0, 0.0, 0.5, 1.0]


@pytest.mark.parametrize("epochs", [2, 4])
def test_codes_are_made_once_for_all_steps_where_that_pays(monkeypatch, epochs):
    """Of three epochs or more the codec sees fewer rows, and the weights are the same."""
    x = (torch.rand(100, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    split = [Split(part) for part in x.split([60, 20, 20])]
    made = Data(*split, Space((6,), "binary"), "made up")
    sizes = {"codes": 8, "tokens": 3, "code_dim": 2, "hidden": (5,), "second_stage": "made"}
    ends, rows = [], []
    for few in (2, 99):
        monkeypatch.setattr("reparam.train.state.FEW_EPOCHS", few)
        model = rp.build("vq-vae", made.space, seed=1, **sizes)
        seen = []

        def codes_of(x: Tensor, model: TwoStage = model, seen: list[int] = seen) -> Tensor:
            seen.append(len(x))
            return type(model).codes_of(model, x)

        monkeypatch.setattr(model, "codes_of", codes_of)
        fit(model, made, epochs=epochs, batch_size=20, progress=False)
        rows.append(sum(seen))
        ends.append(model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert rows[1] - rows[0] == (60 * epochs - 60 if epochs > 2 else 0)
