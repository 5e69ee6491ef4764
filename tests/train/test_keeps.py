"""Which weights a training leaves: the best of a fixed objective, the last of one that moves."""

from __future__ import annotations

import importlib
import math
import os
import signal
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam import checkpoint
from reparam.data import Data, Split
from reparam.evaluation.diagnosis import idle
from reparam.evaluation.likelihood import bound_terms
from reparam.model import Descend, Loss, Model, Space
from reparam.models.two_stage import TwoStage
from reparam.train import RunFolder, fit, resume
from reparam.train.judge import disagreement
from reparam.train.state import refuse_patience

loop = importlib.import_module("reparam.train.loop")
WEIGHED = {"l-vae", "dl-vae", "control-vae", "dynamic-vae"}  # by what is learned or controlled
JUDGED = {"gan", "aae", "vae-gan", "rbm", "ebm", "dino"}  # by what learns or moves beside them
KEEP_THE_LAST = WEIGHED | JUDGED


class Pulled(Model):
    """w is pulled to 1 by the objective, and judged by ``bound`` = −w²: every step is worse."""

    def __init__(self, keeps: Any = "best", spoiled_from: float = math.inf) -> None:
        super().__init__(Space((2,), "real"))
        self.w = nn.Parameter(torch.zeros(2))
        self.keeps, self.spoiled_from = keeps, spoiled_from
        self.register_buffer("validations", torch.zeros(()), persistent=False)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        bound = -self.w.square().sum().expand(len(x))
        if not self.training:
            self.validations += 1
            bound = bound * (math.nan if self.validations >= self.spoiled_from else 1)
        return Loss((1 - self.w).square().sum(), {"bound": bound})


def ones() -> Data:
    split = Split(torch.ones(8, 2))
    return Data(split, split, split, Space((2,), "real"), "ones")


def curve_and_kept(model: Model, **fields: Any) -> tuple[list[float], float, rp.History]:
    history = fit(model, ones(), progress=False, epochs=300, lr=1e-3, **fields)
    return history.curve("valid/bound"), -model.w.square().sum().item(), history


def test_the_last_weights_stay_where_no_rows_are_held_out_to_choose_by():
    split = Split(torch.ones(8, 2))
    data = Data(split, split, split, Space((2,), "real"), "ones", holds_out=False)
    model = Pulled()
    history = fit(model, data, progress=False, epochs=300, lr=1e-3)
    assert -model.w.square().sum().item() == history.curve("valid/bound")[-1]
    assert history.keeps == "last"
    with pytest.raises(ValueError, match="patience: expected None, as ones hold nothing out"):
        fit(model, data, progress=False, patience=3)


def test_the_best_are_those_of_the_best_unweighted_term_not_of_the_objective():
    curve, kept, history = curve_and_kept(Pulled())
    assert len(curve) > 3 and curve == sorted(curve, reverse=True)
    objectives = history.curve("valid/objective")
    assert objectives == sorted(objectives, reverse=True)  # by which the last would be the best
    assert kept == pytest.approx(curve[0], rel=1e-6)
    assert (history.keeps, history.kept) == ("best", history.rows[0])


class Unbounded(Pulled):
    """As a WAE: the bound is no part of the objective, the distortion is."""

    judge = "distortion"

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        loss = super().loss(x, c, player)
        distortion = loss.objective.detach().expand(len(x))
        return loss._replace(terms=loss.terms | {"distortion": distortion})


def test_what_the_objective_leaves_out_judges_nothing():
    model = Unbounded()
    history = fit(model, ones(), progress=False, epochs=300, lr=1e-3)
    curve = history.curve("valid/distortion")
    assert curve == sorted(curve, reverse=True) and len(curve) > 3
    assert (1 - model.w).square().sum().item() == pytest.approx(curve[-1], rel=1e-6)
    assert (history.keeps, history.judge, history.kept) == ("best", "distortion", history.rows[-1])
    space = Space((4,), "binary")
    judges = [("wae", {}, "distortion"), ("info-vae", {}, "bound"), ("beta-vae", {}, "bound")]
    judges += [
        ("info-vae", {"alpha": 1.0}, "distortion"),
        ("beta-vae", {"beta": 0.0}, "distortion"),
    ]
    judges += [("annealed-vae", {"end": 0.0}, "distortion"), ("ae", {"latent_dim": 1}, None)]
    for name, parameters, wanted in judges:
        assert rp.build(name, space, **parameters).judge == wanted, name


def test_the_last_are_kept_whatever_the_validations_say():
    curve, kept, history = curve_and_kept(Pulled("last"))
    assert kept == pytest.approx(curve[-1], rel=1e-6) and kept < curve[0]
    assert (history.keeps, history.kept) == ("last", history.rows[-1])


def test_of_averaged_weights_the_last_average_is_kept_as_it_was_validated():
    curve, kept, _ = curve_and_kept(Pulled("last"), ema=0.98)
    assert kept == pytest.approx(curve[-1], rel=1e-6)
    plain, _, _ = curve_and_kept(Pulled("last"))
    assert abs(curve[-1]) < 0.9 * abs(plain[-1])  # the average lags behind


@pytest.mark.parametrize("keeps", ["best", "last"])
def test_weights_whose_validation_is_not_finite_are_not_kept(keeps):
    model = Pulled(keeps, spoiled_from=4)
    with pytest.warns(RuntimeWarning, match="not finite at step 200: these weights are not kept"):
        curve, kept, history = curve_and_kept(model)
    assert len(curve) == 3 and len(history.rows) > 3
    assert kept == pytest.approx(curve[-1 if keeps == "last" else 0], rel=1e-6)
    assert history.kept == history.rows[2 if keeps == "last" else 0]


@pytest.mark.one_space
def test_every_preset_says_which_it_keeps(case):
    model = case.model()
    assert model.keeps == ("last" if case.name in KEEP_THE_LAST else "best")
    if model.keeps == "last":
        with pytest.raises(ValueError, match=f"patience: expected None for {case.name}.*a budget"):
            refuse_patience(model, ones())
    else:
        refuse_patience(model, ones())


# ------------------------------------------------------------------------------- in stages


def test_each_stage_of_two_is_kept_by_its_own_word():
    codec = rp.build("l-vae", Space((4,), "binary"), latent_dim=2, hidden=(4,), steps=9)
    model = TwoStage(codec, rp.build("vae", codec.code_space, latent_dim=1, hidden=(4,)))
    assert model.keeps == "last" and model.unsettled == "step 0 of 9"
    descents = [stage for stage in model.stages if isinstance(stage, Descend)]
    assert [stage.of for stage in descents] == [model.codec, model.generator]
    other = TwoStage(model.generator, rp.build("vae", Space((1,), "real"), latent_dim=1))
    assert other.keeps == "best" and other.unsettled == ""


# ------------------------------------------------------------------------------- patience


def test_patience_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="patience: expected None for Pulled, which keeps its las"):
        fit(Pulled("last"), ones(), patience=3, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    fit(Pulled("last"), ones(), epochs=1, out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="patience: expected None"):
        resume(tmp_path / "run", data=ones(), model=Pulled("last"), patience=3, progress=False)


def test_a_comparison_leaves_its_own_patience_out_and_refuses_that_of_others(tmp_path, monkeypatch):
    from reparam import comparison

    generator = torch.Generator().manual_seed(0)
    data = rp.load_data((torch.rand(60, 4, generator=generator) > 0.5).to(torch.uint8))
    models = ["vae latent_dim=1 hidden=4", "control-vae latent_dim=1 hidden=4 target=1"]
    monkeypatch.setattr(comparison, "BY_DEFAULT", {"patience": 20, "budget": 0.2})
    with pytest.raises(ValueError, match="control-vae .*patience: expected None"):
        rp.compare(data, models, out=tmp_path, patience=2, epochs=2)
    assert not list(tmp_path.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        rp.compare(data, models, out=tmp_path, samples=2)
    found = {p.parent.name: RunFolder(p.parent).config() for p in tmp_path.glob("*/run.json")}
    assert sorted(config.patience is None for config in found.values()) == [False, True]
    assert found[next(name for name in found if "control" in name)].patience is None


# --------------------------------------------------------------------- resumed, and collapsed


def digits() -> Data:
    return rp.load_data("digits", binarize=0.5)


def tiny(name: str = "l-vae", **parameters: Any) -> Any:
    torch.manual_seed(0)
    return rp.build(name, digits().space, latent_dim=2, hidden=(8,), **parameters)


def test_a_resumed_run_keeps_the_last_weights_of_the_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)
    config = dict(epochs=6, ema=0.9, weight_decay=0.01, seed=3, progress=False)

    def press(news: Any) -> None:
        if news.step == 75:  # within a row
            os.kill(os.getpid(), signal.SIGINT)

    model = tiny(steps=50)
    fit(model, digits(), out=tmp_path / "one", **config)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(steps=50), digits(), out=tmp_path / "two", watch=press, **config)
    back, _ = resume(tmp_path / "two", progress=False)
    files = ("state.safetensors", "model.safetensors")
    for one, two in (
        (checkpoint.read_tensors(tmp_path / n / f)[0] for n in ("one", "two")) for f in files
    ):
        assert one.keys() == two.keys()
        assert all(torch.equal(value, two[name]) for name, value in one.items())
    for name, value in model.state_dict().items():
        assert torch.equal(value, back.state_dict()[name])
    # One copy of the weights that are kept, as of every model, and none besides.
    kept = [n for n in checkpoint.read_tensors(tmp_path / "one" / files[0])[0] if "raw" in n]
    assert sorted(kept)[:2] == ["best/objective.weighting.raw", "model/objective.weighting.raw"]


def test_the_scores_of_a_collapsed_l_vae_show_it():
    """With so low a floor K = 0 is the optimum: β is √R / floor, and no dimension is used."""
    model, data = tiny(steps=50, floor=0.02), digits()
    history = fit(model, data, epochs=12, lr=1e-2, progress=False)
    scores = rp.evaluate(model, data, samples=2)
    assert scores["rate"].value < 0.02
    assert scores["active_units"].value == 0
    weighting = model.objective.weighting
    assert scores["beta"].value == weighting.beta().item()
    # Up to how the distortion moved since: R/σ₀² + σ₀² is least at √R.
    assert scores["beta"].value == pytest.approx(
        math.sqrt(scores["distortion"].value) / 0.02, rel=0.1
    )
    assert weighting.count.item() == history.rows[-1]["step"]
    found = idle(bound_terms(model, data.test)["rate"])
    assert found.collapsed and "all 2 dimensions are idle" in found.text


# ----------------------------------------------------------------- where both disagree in rate


def row(epoch: float, rate: float, objective: float, beta: float | None = None) -> dict[str, float]:
    moved = {} if beta is None else {"valid/beta": beta}
    named = {"epoch": epoch, "step": 10 * epoch, "valid/objective": objective, "valid/rate": rate}
    return named | moved


@pytest.mark.parametrize(
    ("last", "kept", "said"),
    [
        (row(9, 2.0, 50.0), row(3, 5.0, 60.0), True),  # the objective prefers the last
        (row(9, 7.0, 70.0), row(3, 5.0, 60.0), False),  # it has overfitted
        (row(9, 2.0, 70.0, 4.0), row(3, 5.0, 60.0, 1.0), True),  # objectives of two weights
        (row(9, 2.0, 70.0, 4.0), row(3, 5.0, 60.0, 4.0), False),
        (row(9, 5.4, 50.0), row(3, 5.0, 60.0), False),  # within a tenth
        (row(9, 5.7, 50.0), row(3, 5.0, 60.0), True),
        (row(9, 0.001, 50.0), row(3, 0.004, 60.0), False),  # of a nat where there is less
        ({"epoch": 9.0, "step": 90.0}, row(3, 5.0, 60.0), False),
    ],
)
def test_it_is_said_where_kept_and_last_weights_have_another_rate(last, kept, said):
    text = disagreement(last, kept)
    assert bool(text) == said
    if said:
        assert "epoch 3, with a rate of 5 nats" in text and f"{last['valid/rate']:.3g} nats" in text


def test_a_run_that_keeps_another_rate_than_its_last_warns():
    """A trained VAE under β = 8: the bound is best while little is unlearned, the objective not."""
    plain, model = tiny("vae"), tiny("beta-vae", beta=8.0)
    fit(plain, digits(), epochs=12, lr=1e-2, progress=False)
    model.load_state_dict(plain.state_dict())
    with pytest.warns(RuntimeWarning, match="at step .* of epoch .*, with a rate of .* the last"):
        history = fit(model, digits(), epochs=6, lr=3e-3, progress=False)
    assert history.warnings[-1] == disagreement(history.rows[-1], history.kept)
