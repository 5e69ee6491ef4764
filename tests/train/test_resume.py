"""A resumed run is the uninterrupted one, bit for bit, however it was ended."""

from __future__ import annotations

import importlib
import os
import signal
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam import checkpoint
from reparam.data import Data, Split
from reparam.model import Space
from reparam.train import fit, resume

loop = importlib.import_module("reparam.train.loop")

# Everything that a state can hold: 9 steps an epoch, a row of the curves every 18.
STEPS_PER_ROW = "reparam.train.state.STEPS_PER_ROW", 10
CONFIG: dict[str, Any] = dict(
    epochs=8,
    batch_size=32,
    lr=3e-3,
    warmup=20,
    schedule="cosine",
    weight_decay=1e-3,
    clip=1.0,
    ema=0.95,
    seed=7,
    save_every=1e9,
)
TOTAL = 8 * 9


def data(kind: str = "binary") -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=generator) @ torch.randn(3, 12, generator=generator)
    if kind == "gray":
        levels = ((torch.tanh(x) + 1) * 127.5).to(torch.uint8)
        return rp.load_data(
            dict(zip(("train", "valid", "test"), levels.split([300, 60, 40]), strict=True)),
            binarize="dynamic",
        )
    x = (x > 0).to(torch.uint8) if kind == "binary" else x * 3 + 5
    splits = [Split(part) for part in x.split([300, 60, 40])]
    return Data(*splits, Space((12,), kind), "made up")


def fresh(made: Data) -> Any:
    torch.manual_seed(123)  # not the seed of the config: the weights come from the caller
    return rp.build("vae", made.space, latent_dim=2, hidden=(8,), batch_norm=True)


def interrupt_at(step: int) -> Any:
    """A watcher that presses Ctrl-C when a step is done."""

    def watch(news: loop.News) -> None:
        if news.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return watch


@pytest.fixture(autouse=True)
def every_step(monkeypatch) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)
    monkeypatch.setattr(*STEPS_PER_ROW)


def without_seconds(header: dict[str, Any]) -> dict[str, Any]:
    history = header["history"]
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history["rows"]]
    return header | {"run": None, "history": history | {"rows": rows, "seconds": None}}


def state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, header = checkpoint.read_tensors(folder / "state.safetensors")
    return tensors, without_seconds(header)


def assert_same_state(one: Path, two: Path) -> None:
    (ours, our_header), (theirs, their_header) = state(one), state(two)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    assert our_header == their_header


def uninterrupted(folder: Path, made: Data, stop_at: int | None = None, **changes: Any) -> Any:
    """The run in one piece, to its end or to a step at which it is looked at."""
    model = fresh(made)
    watch = interrupt_at(stop_at) if stop_at is not None else None
    if stop_at is None:
        fit(model, made, progress=False, out=folder, **(CONFIG | changes))
    else:
        with pytest.raises(KeyboardInterrupt):
            fit(model, made, progress=False, out=folder, watch=watch, **(CONFIG | changes))
    return model


def in_pieces(folder: Path, made: Data, stops: list[int], **changes: Any) -> None:
    """The same run, interrupted at every stop and resumed in between."""
    with pytest.raises(KeyboardInterrupt):
        watch = interrupt_at(stops[0])
        fit(fresh(made), made, progress=False, out=folder, watch=watch, **(CONFIG | changes))
    assert state(folder)[1]["step"] == stops[0]
    for stop in stops[1:]:
        torch.manual_seed(stop)  # whatever happens between two sessions
        with pytest.raises(KeyboardInterrupt):
            resume(folder, data=made, progress=False, watch=interrupt_at(stop))
        assert state(folder)[1]["step"] == stop


@pytest.mark.parametrize("kind", ["binary", "real", "gray"])
def test_state_after_a_resume_is_the_uninterrupted_one(tmp_path, kind):
    """Weights, averages, best weights, Adam's moments, generators, tallies, curves: everything that
    is saved at step 50 (mid-epoch, mid-row), with interruptions at 25 and 40 and without."""
    made = data(kind)
    uninterrupted(tmp_path / "one", made, stop_at=50)
    in_pieces(tmp_path / "two", made, [25, 40, 50])
    assert_same_state(tmp_path / "one", tmp_path / "two")
    tensors, header = state(tmp_path / "one")
    kinds = {name.split("/")[0] for name in tensors}
    assert kinds == {"model", "best", "average", "rng", "tally", "optimizer"}
    assert len(header["history"]["rows"]) == 2
    assert len(tensors["tally/model"]) == 50 - 36


@pytest.mark.parametrize("stop", [1, 17, 18, 19, TOTAL - 1])
def test_the_finished_run_is_the_uninterrupted_one(tmp_path, stop):
    """Interrupted after the first step, around the end of a row, and before the last."""
    made = data()
    model = uninterrupted(tmp_path / "one", made)
    in_pieces(tmp_path / "two", made, [stop])
    back, history = resume(tmp_path / "two", data=made, progress=False)
    assert_same_state(tmp_path / "one", tmp_path / "two")
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    assert not back.training
    assert history.ended == "all epochs"
    ours, theirs = (rp.load(tmp_path / name).state_dict() for name in ("one", "two"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("preset", ["rbm", "ebm"])
def test_chains_go_on_where_they_were(tmp_path, monkeypatch, preset):
    """They are no part of a model, so that a run has to save them; and each process its own."""
    made = data()
    small = {"partition": "annealed", "runs": 4, "temperatures": 5, "chains": 6, "sweeps": 2}
    small |= {"hidden": 4}

    def fresh_chains(made: Data) -> Any:
        return rp.build(preset, made.space, seed=3, **small)

    monkeypatch.setitem(globals(), "fresh", fresh_chains)
    model = uninterrupted(tmp_path / "one", made, epochs=4)
    in_pieces(tmp_path / "two", made, [5, 20], epochs=4)
    back, _ = resume(tmp_path / "two", data=made, progress=False)
    assert_same_state(tmp_path / "one", tmp_path / "two")
    tensors, _ = state(tmp_path / "one")
    assert torch.equal(tensors["chains/0/states"], model.states)
    assert torch.equal(back.states, model.states)
    assert not torch.equal(model.states, fresh_chains(made).states), "they have moved"
    assert not any("states" in name for name in model.state_dict())


def test_resuming_without_ema_clip_and_schedule(tmp_path):
    made, plain = data(), dict(ema=None, clip=None, warmup=0, schedule="constant", epochs=8)
    uninterrupted(tmp_path / "one", made, **plain)
    in_pieces(tmp_path / "two", made, [31], **plain)
    resume(tmp_path / "two", data=made, progress=False)
    assert_same_state(tmp_path / "one", tmp_path / "two")


def test_patience_goes_on_counting(tmp_path):
    made = data()
    config = dict(lr=0.03, patience=2, epochs=2000, schedule="constant", ema=None)
    uninterrupted(tmp_path / "one", made, **config)
    steps = state(tmp_path / "one")[1]["step"]
    in_pieces(tmp_path / "two", made, [steps - 20], **config)
    _, history = resume(tmp_path / "two", data=made, progress=False)
    assert history.ended == "no further improvement"
    assert_same_state(tmp_path / "one", tmp_path / "two")


def test_skipped_steps_are_remembered(tmp_path):
    """A row interrupted between a spoiled step and its report still reports it."""
    made = data("real")
    made.train.x[3, 0] = float("nan")  # after they were looked at

    config = dict(epochs=12, batch_size=100)
    found = []
    for stops in ([], [10]):
        folder = tmp_path / str(len(stops))
        model = fresh(made)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            # The statistics would be NaN; here only the loss is to be.
            patch.setattr(type(model.standardize), "stages", property(lambda self: ()))
            fields: dict[str, Any] = dict(progress=False, out=folder, **(CONFIG | config))
            if not stops:
                history = fit(model, made, **fields)
            else:
                with pytest.raises(KeyboardInterrupt):
                    fit(model, made, watch=interrupt_at(10), **fields)
                _, history = resume(folder, data=made, progress=False)
        found.append((history.warnings, without_seconds({"history": history.to_json()})))
    assert found[0] == found[1]
    assert "in 4 steps" in found[0][0][0]  # once an epoch


# ------------------------------------------------------------------------- sudden death


class Death(BaseException):
    """Ends a run without any of its own cleaning up being asked for."""


def dies_at(step: int) -> Any:
    def watch(news: loop.News) -> None:
        if news.step == step:
            raise Death

    return watch


@pytest.mark.parametrize("save_every", [1e9, 0.0])
def test_death_before_and_after_the_first_checkpoint(tmp_path, save_every):
    """The weights a run starts from are the caller's, not the seed's: they must survive too."""
    made = data()
    uninterrupted(tmp_path / "one", made)
    with pytest.raises(Death):
        config = CONFIG | {"save_every": save_every}
        fit(fresh(made), made, progress=False, out=tmp_path / "two", watch=dies_at(20), **config)
    resume(tmp_path / "two", data=made, progress=False)
    assert_same_state(tmp_path / "one", tmp_path / "two")


def test_two_interrupts_act_at_once(tmp_path):
    """The first Ctrl-C waits for the end of the step; the second is Python's own."""
    made, handler = data(), signal.default_int_handler
    before = signal.signal(signal.SIGINT, handler)  # shells' background jobs ignore it

    def watch(news: loop.News) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second did not act")

    with pytest.raises(KeyboardInterrupt):
        fit(fresh(made), made, progress=False, watch=watch, **CONFIG)
    assert signal.signal(signal.SIGINT, before) is handler


def test_sigterm_saves_as_well(tmp_path):
    made = data()

    def watch(news: loop.News) -> None:
        if news.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(made), made, progress=False, out=tmp_path, watch=watch, **CONFIG)
    assert state(tmp_path)[1]["step"] == 5
    assert signal.getsignal(signal.SIGTERM) is handler


def test_an_interrupt_while_solving_is_not_lost(tmp_path, monkeypatch):
    """What is solved is kept, and the run ends there; resumed, it is not solved again."""
    made = data("real")
    solves = []
    solve = type(fresh(made).standardize)._solve

    def slow(self: Any, *args: Any) -> None:
        solves.append(1)
        os.kill(os.getpid(), signal.SIGINT)
        solve(self, *args)

    uninterrupted(tmp_path / "one", made, epochs=2)
    monkeypatch.setattr(type(fresh(made).standardize), "_solve", slow)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(made), made, progress=False, out=tmp_path / "two", **(CONFIG | {"epochs": 2}))
    assert state(tmp_path / "two")[1]["step"] == 1
    resume(tmp_path / "two", data=made, progress=False)
    assert len(solves) == 1
    assert_same_state(tmp_path / "one", tmp_path / "two")


def test_an_interrupted_closed_form_is_interrupted(monkeypatch):
    """Else Ctrl-C in a comparison would only skip to the next model."""
    made = data("real")
    model = rp.build("pca", made.space, latent_dim=2)
    eigh = torch.linalg.eigh

    def slow(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return eigh(*args)

    monkeypatch.setattr(torch.linalg, "eigh", slow)
    with pytest.raises(KeyboardInterrupt):
        fit(model, made, progress=False)


# --------------------------------------------------------------------------- more epochs


def test_a_finished_run_can_be_given_more_epochs(tmp_path):
    """With a constant rate the longer run is the shorter one, continued."""
    made = data()
    plain = dict(schedule="constant")
    uninterrupted(tmp_path / "one", made, **plain, epochs=4)
    uninterrupted(tmp_path / "two", made, **plain, epochs=2)
    _, history = resume(tmp_path / "two", data=made, progress=False, epochs=4)
    assert history.ended == "all epochs"
    assert_same_state(tmp_path / "one", tmp_path / "two")


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    made = data()
    model = uninterrupted(tmp_path, made, epochs=2)
    before = state(tmp_path)
    back, history = resume(tmp_path, data=made, progress=False)
    after = state(tmp_path)
    assert before[1] == after[1]
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value)
    assert history.ended == "all epochs"


# -------------------------------------------------------------------------------- refusals


def test_changed_data_are_refused(tmp_path):
    made = data()
    in_pieces(tmp_path, made, [5])
    x = made.train.x.clone()
    x[0, 0] = 1 - x[0, 0]
    with pytest.raises(ValueError, match="is not what the run was trained on: it has changed"):
        resume(tmp_path, data=replace(made, train=Split(x)), progress=False)
    with pytest.raises(ValueError, match="its data came from memory; give them as data="):
        resume(tmp_path, progress=False)


def test_an_existing_run_is_refused_without_force(tmp_path):
    made = data()
    uninterrupted(tmp_path, made, epochs=1)
    kept = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="holds a run already.*force"):
        fit(fresh(made), made, progress=False, out=tmp_path, **CONFIG)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == kept
    (tmp_path / "scores.json").write_text("{}")
    fit(fresh(made), made, progress=False, out=tmp_path, force=True, **(CONFIG | {"epochs": 2}))
    assert state(tmp_path)[1]["step"] == 18
    assert not (tmp_path / "scores.json").exists(), "scores of the model that was overwritten"


def test_a_folder_that_holds_no_run(tmp_path):
    with pytest.raises(ValueError, match="holds no run; expected a folder that fit wrote"):
        resume(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="file: is a file, expected a folder"):
        fit(fresh(data()), data(), progress=False, out=tmp_path / "file", **CONFIG)


def test_what_cannot_change_may_be_said_again(tmp_path):
    images = rp.load_data(np.random.default_rng(0).integers(0, 2, (40, 4, 4)).astype(np.uint8))
    model = rp.build("vae", images.space, latent_dim=1, hidden=(2,), seed=0)
    fit(model, images, out=tmp_path, epochs=1, augment=["flip"], seed=3, progress=False)
    same = {"augment": ["flip"], "seed": np.int64(3), "precision": "float32", "batch_size": None}
    resumed, history = resume(tmp_path, data=images, progress=False, epochs=2, **same)
    assert history.rows[-1]["epoch"] == 2
    for name, other in {"augment": ["shift"], "seed": 4, "batch_size": 8}.items():
        with pytest.raises(ValueError, match=f"{name}: cannot change in a run that is resumed"):
            resume(tmp_path, data=images, progress=False, **(same | {name: other}))
