"""Estimators that are kept: pickles, and runs that commands take."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from commands import succeed
from sklearn.datasets import load_digits
from small_estimators import SMALL, SMALL_VAE, frame, labeled, rows

import reparam as rp
from reparam.checkpoint import FORMAT
from reparam.estimator import GenerativeModel
from reparam.presets import PRESETS


class Noting(pickle.Unpickler):
    """Notes what a pickle asks for."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))
        self.asked = set()

    def find_class(self, module, name):
        self.asked.add(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("preset", ["pca", "vae", "cvae"])
def test_pickles_hold_safetensors_and_no_class_of_torch_or_ours(preset):
    x, y = labeled()
    options = {"latent_dim": 2, **SMALL} if preset == "pca" else SMALL_VAE
    estimator = GenerativeModel(preset, **options).fit(x, y)
    reader = Noting(pickle.dumps(estimator))
    again = reader.load()
    ours = {name for name in reader.asked if name.startswith(("torch", "reparam"))}
    assert ours == {"reparam.estimator.generative_model.GenerativeModel"}
    np.testing.assert_array_equal(again.score_samples(x, y), estimator.score_samples(x, y))
    np.testing.assert_array_equal(again.sample(3), estimator.sample(3))
    assert again.history_ == estimator.history_ and again.space_ == estimator.space_
    assert again.model_.anchor.dtype == torch.float64


def test_pickles_of_other_versions_say_so(monkeypatch):
    vae = GenerativeModel("vae", **SMALL_VAE).fit(rows())
    content = pickle.dumps(vae)
    monkeypatch.setattr("reparam.checkpoint.FORMAT", FORMAT - 1)
    with pytest.raises(ValueError, match=r"GenerativeModel: written by a newer reparam \(format"):
        pickle.loads(content)
    monkeypatch.undo()
    state = vae.__getstate__()
    for sealed in (state["sealed"][:-1], b"", state["sealed"].replace(b"real", b"reel")):
        with pytest.raises(ValueError, match="GenerativeModel: "):
            GenerativeModel().__setstate__({**state, "sealed": sealed})


def test_draws_on_the_way_survive_a_pickle():
    options = {"parameters": dict(PRESETS["gan"].small), "image_shape": (8, 8)}
    estimator = GenerativeModel("gan", **options, **SMALL).fit(load_digits().data[:50])
    strip = pickle.loads(pickle.dumps(estimator)).history_.strip
    expected = estimator.history_.strip
    assert expected and strip.keys() == expected.keys()
    assert all(strip[step].equal(expected[step]) for step in expected)


def test_runs_are_read_by_everything(tmp_path):
    x = frame()
    estimator = GenerativeModel("vae", **SMALL_VAE).fit(x)
    run = estimator.to_run(tmp_path / "run")
    again = GenerativeModel.from_run(run)
    for method in ("transform", "score_samples", "reconstruct"):
        np.testing.assert_array_equal(getattr(again, method)(x), getattr(estimator, method)(x))
    np.testing.assert_array_equal(again.sample(3), estimator.sample(3))
    assert again.feature_names_in_.tolist() == list("abcd") and again.n_features_in_ == 4
    assert again.get_params()["parameters"] == {"hidden": (8,)}
    np.testing.assert_array_equal(again.fit(x).transform(x), estimator.transform(x))
    assert rp.load(run).encode(x.to_numpy()).shape == (60, 2)
    with pytest.raises(ValueError, match="holds a run already"):
        estimator.to_run(run)
    estimator.to_run(run, force=True)
    x.to_csv(tmp_path / "x.csv", index=False)
    succeed("sample", run, "-n", 3, "-o", tmp_path / "s.csv")
    succeed("encode", run, tmp_path / "x.csv", "-o", tmp_path / "z.csv")
    drawn, codes = (pd.read_csv(tmp_path / name) for name in ("s.csv", "z.csv"))
    assert drawn.columns.tolist() == list("abcd") and len(codes) == 60
    np.testing.assert_allclose(codes.filter(like="z").to_numpy(), estimator.transform(x), rtol=1e-5)


def test_runs_of_commands_become_estimators(tmp_path):
    data = rp.load_data("digits")
    model = rp.build("pca", data.space, latent_dim=3, seed=0)
    rp.fit(model, data, out=tmp_path / "pca", progress=False)
    estimator = GenerativeModel.from_run(tmp_path / "pca")
    x = data.test.x.flatten(1).numpy()
    codes = model.encode(data.test.x).numpy()
    np.testing.assert_allclose(estimator.transform(x), codes, rtol=1e-6, atol=1e-5)
    assert estimator.get_params()["image_shape"] == (1, 8, 8)


def test_a_conditional_run_keeps_its_classes(tmp_path):
    x, y = labeled()
    cvae = GenerativeModel("cvae", **SMALL_VAE).fit(x, y)
    again = GenerativeModel.from_run(cvae.to_run(tmp_path / "cvae"))
    np.testing.assert_array_equal(again.score_samples(x, y), cvae.score_samples(x, y))


def test_runs_of_several_kinds_of_columns_are_refused(tmp_path):
    table = pd.DataFrame({"a": np.arange(40) % 7 / 2, "b": list("xyzw") * 10})
    data = rp.load_data(table)
    model = rp.build("vae", data.space, latent_dim=1, hidden=(4,), seed=0)
    rp.fit(model, data, epochs=1, out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="of several kinds of columns, which is no estimator"):
        GenerativeModel.from_run(tmp_path / "run")
