"""The Python of a report, run as it stands there, gives the weights of the report."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clock import clock_of_steps

import reparam as rp
from reparam.cli.main import app
from reparam.config import TrainConfig
from reparam.model import Space
from reparam.presets import PRESETS
from reparam.report import recipes
from reparam.report.trained import TrainedModel
from reparam.train.history import History

SMALL = {"latent_dim": 2, "hidden": (8,)}


@pytest.fixture
def noise(tmp_path):
    """A file of 60 rows without any structure, which every model soon overfits."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32))
    return rp.load_data(tmp_path / "x.npy")


def rebuilt(data, entry):
    """The model that the code builds and trains, from any state of the default generator."""
    torch.manual_seed(99)
    names = {}
    exec(recipes.python(data, [entry]), names)
    return names["model"]


def assert_same_weights(one, two):
    ours, theirs = one.state_dict(), two.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_comparison_command_and_code_have_the_same_weights(noise, tmp_path, monkeypatch):
    mixed = "ae-gmm codec.hidden=8 generator.components=2"
    texts = ["vae latent_dim=2 hidden=8", mixed, "pca latent_dim=2"]
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)  # which takes long
    fields = dict(epochs=2, batch_size=13, lr=0.02, clip=1.0, schedule="cosine", samples=2)
    found = rp.compare(noise, texts, out=tmp_path / "c", seeds=2, seed=5, **fields)
    for text, entry in zip(texts, found.entries, strict=True):
        preset, *parameters = text.split()
        words = ["fit", preset, str(tmp_path / "x.npy"), *parameters, "-o", str(tmp_path / preset)]
        words += "--epochs 2 --batch-size 13 --lr 0.02 --clip 1 --schedule cosine --seed 5".split()
        app(words)
        assert_same_weights(rp.load(tmp_path / preset), entry.model)
        assert_same_weights(rebuilt(noise, entry), entry.model)
    code = recipes.python(noise, found.entries)
    call = "rp.fit(model, data, seed=5, epochs=2, batch_size=13, lr=0.02, schedule='cosine', clip="
    assert code.count(call) == 3 and code.count("this run and those of seeds 6") == 3
    assert "model = rp.build('vae', data.space, latent_dim=2, hidden=(8,), seed=5)" in code


def test_a_run_that_patience_ended(noise, tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)
    fields = dict(budget=1e6, patience=2, lr=0.05, samples=2)
    (entry,) = rp.compare(noise, ["vae hidden=8"], out=tmp_path / "c", **fields).entries
    assert entry.history.ended == "no further improvement"
    assert entry.history.best_epoch < entry.history.rows[-1]["epoch"]
    code = recipes.python(noise, [entry])
    assert code.endswith("rp.fit(model, data, seed=0, budget=1000000.0, lr=0.05, patience=2)")
    assert_same_weights(rebuilt(noise, entry), entry.model)


def stopped(data, monkeypatch, seconds, **fields):
    """A run that its clock stopped, a second being a step."""
    with monkeypatch.context() as patched:
        model = clock_of_steps(patched).counts(rp.build("vae", data.space, **SMALL, seed=3))
        config = TrainConfig(seed=3, budget=seconds, **fields)
        history = rp.fit(model, data, config, progress=False)
    assert history.ended == "budget used up"
    return TrainedModel("VAE", model, {}, history, config)


def test_a_run_that_the_clock_ended_after_its_best_epoch(noise, monkeypatch):
    """Rows end every 17 epochs of three steps; later ones are worse."""
    entry = stopped(noise, monkeypatch, 300, lr=0.05, patience=9)
    best, last = int(entry.history.best_epoch), entry.history.rows[-1]["epoch"]
    assert best % 17 == 0 and last == 100 > best > 17
    code = recipes.python(noise, [entry])
    assert "# the clock stopped it after 300 s: this is the epoch it kept\n" in code
    assert code.endswith(f"rp.fit(model, data, seed=3, lr=0.05, patience=9, epochs={best})")
    assert_same_weights(rebuilt(noise, entry), entry.model)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({}, "when it ends"),  # within an epoch, and best there
        ({"schedule": "cosine"}, "how its learning rate falls and when it ends"),
    ],
)
def test_what_the_clock_decided_is_said(noise, monkeypatch, fields, what):
    entry = stopped(noise, monkeypatch, 25, **fields)
    code = recipes.python(noise, [entry])
    assert f"# the clock decides {what}: no two runs have quite the same weights\n" in code
    assert "budget=25" in code


def test_a_run_that_the_clock_ended_before_its_first_step():
    data = rp.load_data("digits")
    model, config = rp.build("vae", data.space, **SMALL, seed=3), TrainConfig(seed=3, budget=1e-9)
    with pytest.warns(RuntimeWarning, match="before the first step"):
        entry = TrainedModel("VAE", model, {}, rp.fit(model, data, config, progress=False), config)
    code = recipes.python(data, [entry])
    assert "# no step of training was kept" in code and "rp.fit" not in code
    assert "the clock" not in code
    assert_same_weights(rebuilt(data, entry), model)


def test_a_run_that_only_solved_is_not_only_built(noise, monkeypatch):
    """Real data are standardized before the first step; the rate is not the preset's on them."""
    model, config = rp.build("vae", noise.space, **SMALL, seed=3), TrainConfig(seed=3, budget=1e-9)
    with pytest.warns(RuntimeWarning, match="before the first step"):
        entry = TrainedModel("VAE", model, {}, rp.fit(model, noise, config, progress=False), config)
    code = recipes.python(noise, [entry])
    assert "the clock decides when it ends" in code
    assert code.endswith("rp.fit(model, data, seed=3, budget=1e-09, lr=0.001)")


def test_no_preset_has_a_budget_of_its_own():
    assert {preset.train_on(Space((9,), "binary")).budget for preset in PRESETS.values()} == {None}


def test_models_of_unknown_training_are_built_and_fitted_by_default(noise):
    model = rp.build("ae", noise.space, latent_dim=2)
    code = recipes.python(noise, [TrainedModel("AE", model, {}, History())])
    assert code.endswith("model = rp.build('ae', data.space, latent_dim=2)\nrp.fit(model, data)")
