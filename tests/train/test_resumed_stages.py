"""More epochs of a model of several stages: what follows a descent is done again."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import reparam as rp
from reparam import checkpoint
from reparam.data import Data, Split
from reparam.model import Space
from reparam.models import gaussian_mixture
from reparam.train import RunFolder, fit, resume

FIELDS: dict[str, Any] = dict(batch_size=10, lr=3e-3, ema=0.9, progress=False)  # 5 steps an epoch
SHORT, LONG = 10, 20  # epochs: whole rows of the curves


def data() -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 3, generator=generator) @ torch.randn(3, 6, generator=generator)
    return Data(*(Split(part) for part in x.split([50, 20, 20])), Space((6,), "real"), "made up")


def two_stage(kind: str) -> Any:
    """A descent and a solve, or two descents with solves before, between and after them."""
    codec = rp.build("ae", data().space, latent_dim=2, hidden=(5,), seed=3)
    if kind == "mixture":
        return rp.TwoStage(codec, rp.GaussianMixture(codec.code_space, 2))
    inner = rp.build("ae", codec.code_space, latent_dim=1, hidden=(4,), seed=4)
    last = rp.GaussianMixture(inner.code_space, 2)
    return rp.TwoStage(codec, rp.TwoStage(inner, last))


def assert_same_run(one: Path, two: Path) -> None:
    for name in ("state.safetensors", "model.safetensors"):
        (ours, our), (theirs, their) = (checkpoint.read_tensors(p / name) for p in (one, two))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items()), name
        assert [our.get(k) for k in ("stage", "step")] == [their.get(k) for k in ("stage", "step")]
    ours, theirs = (RunFolder(path).history().rows for path in (one, two))
    assert [row | {"seconds": 0} for row in ours] == [row | {"seconds": 0} for row in theirs]


@pytest.mark.parametrize("kind", ["mixture", "deep"])
def test_more_epochs_are_the_longer_run(tmp_path, kind):
    """Every descent goes on from where it ended, the first one's end included."""
    fit(two_stage(kind), data(), out=tmp_path / "one", epochs=LONG, **FIELDS)
    fit(two_stage(kind), data(), out=tmp_path / "two", epochs=SHORT, **FIELDS)
    before = rp.load(tmp_path / "two", model=two_stage(kind)).state_dict()
    model = two_stage(kind)
    _, history = resume(tmp_path / "two", data=data(), model=model, epochs=LONG, progress=False)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert history.ended == "all epochs"
    changed = {name for name, value in model.state_dict().items() if value.ne(before[name]).any()}
    assert any(name.startswith("codec.encoder") for name in changed)
    assert any(name.endswith("means") for name in changed)  # solved again, on other codes


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("ae-gmm", {"codec.latent_dim": 2, "codec.hidden": (5,), "generator.components": 2}),
        # Bounds of its codes are infinite until they are found, after the first descent.
        ("latent-diffusion", {"codec.latent_dim": 2, "codec.hidden": (5,)}),
    ],
)
def test_a_preset_of_two_stages_is_given_more_epochs(tmp_path, preset, options):
    fields = FIELDS | {"epochs": SHORT, "schedule": "constant", "clip": None}
    for name, epochs in (("one", LONG), ("two", SHORT)):
        model = rp.build(preset, data().space, seed=1, **options)
        fit(model, data(), out=tmp_path / name, **(fields | {"epochs": epochs}))
    resume(tmp_path / "two", data=data(), epochs=LONG, progress=False)
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("stop", [17, 90], ids=["codec", "prior"])
def test_codes_that_move_and_restart_are_resumed_exactly(tmp_path, stop):
    """Interrupted in the descent of the codec, of 70 steps, or in that of the prior."""
    flags = Data(
        *(Split((part.x > 0).float()) for part in (data().train, data().valid, data().test)),
        Space((6,), "binary"),
        "made up",
    )

    def model() -> Any:
        sizes = {"codes": 8, "tokens": 3, "code_dim": 2, "hidden": (5,), "start": "random"}
        return rp.build("vq-vae", flags.space, seed=2, **sizes, restart=0.4, second_stage="made")

    fields = FIELDS | {"epochs": 14, "ema": None}
    whole = model()
    fit(whole, flags, out=tmp_path / "one", **fields)
    assert whole.codec.coder.parts[0].restarts > 0
    told = []

    def watch(news: Any) -> None:
        told.append(news.step)
        if len(told) == stop:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("reparam.train.loop"), "SECONDS_BETWEEN_NEWS", 0.0)
        fit(model(), flags, out=tmp_path / "two", watch=watch, **fields)
    resume(tmp_path / "two", data=flags, progress=False)
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("died", ["in the first descent", "in the last solve"])
def test_dying_in_what_is_done_again_loses_nothing(tmp_path, monkeypatch, died):
    fit(two_stage("deep"), data(), out=tmp_path / "one", epochs=LONG, **FIELDS)
    fit(two_stage("deep"), data(), out=tmp_path / "two", epochs=SHORT, **FIELDS)

    class Death(BaseException):
        pass

    def die(*args: Any) -> None:
        raise Death

    where = {
        "in the first descent": (importlib.import_module("reparam.train.loop"), "validate"),
        "in the last solve": (gaussian_mixture, "_solve"),
    }[died]
    with monkeypatch.context() as patched, pytest.raises(Death):
        patched.setattr(*where, die)
        model = two_stage("deep")
        resume(tmp_path / "two", data=data(), model=model, epochs=LONG, progress=False)
    resume(tmp_path / "two", data=data(), model=two_stage("deep"), progress=False)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_resuming_a_finished_run_solves_and_trains_nothing(tmp_path, monkeypatch):
    fit(two_stage("deep"), data(), out=tmp_path, epochs=SHORT, **FIELDS)
    monkeypatch.setattr(gaussian_mixture, "_solve", lambda *a: pytest.fail("solved again"))
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *a: pytest.fail("trained"))
    files = {p.name for p in tmp_path.iterdir()}
    _, history = resume(tmp_path, data=data(), model=two_stage("deep"), progress=False)
    assert history.ended == "all epochs"
    assert {p.name for p in tmp_path.iterdir()} == files
    assert len([name for name in files if name.startswith("state-")]) == 2  # one each descent


def test_a_new_run_removes_the_ends_of_the_old(tmp_path):
    fit(two_stage("mixture"), data(), out=tmp_path, epochs=1, **FIELDS)
    assert list(tmp_path.glob("state-*"))
    pca = rp.build("pca", data().space, latent_dim=1)
    fit(pca, data(), out=tmp_path, force=True, progress=False)
    assert not list(tmp_path.glob("state-*"))
