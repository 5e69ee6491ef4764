"""Every file of a run says which run it is of; those of another one are refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import reparam as rp
from reparam import atomic, checkpoint
from reparam.train import RunFolder

MODEL = "ae latent_dim=2 hidden=4"


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """Pictures take longer than all else here, and are no part of it."""
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)


def table() -> rp.Data:
    return rp.load_data(np.random.default_rng(0).normal(size=(60, 4)))


def fitted(folder: Path, seed: int) -> rp.Data:
    data = table()
    model = rp.build("ae", data.space, latent_dim=2, hidden=(4,))
    rp.fit(model, data, out=folder, epochs=1, seed=seed, progress=False)
    return data


def swapped(folder: Path, name: str) -> rp.Data:
    """A run with a file of another run: the same model, the same shapes, other weights."""
    data = fitted(folder / "mine", 1)
    fitted(folder / "other", 2)
    shutil.copy(folder / "other" / name, folder / "mine" / name)
    return data


def test_a_state_of_another_run_is_refused(tmp_path):
    data = swapped(tmp_path, "state.safetensors")
    for use in (
        lambda: rp.resume(tmp_path / "mine", data=data, epochs=2, progress=False),
        lambda: RunFolder(tmp_path / "mine").history(),
    ):
        with pytest.raises(ValueError, match=r"mine/state.safetensors: is of another run"):
            use()
    rp.resume(tmp_path / "other", data=data, epochs=2, progress=False)


def test_a_model_of_another_run_is_refused(tmp_path, reparam):
    swapped(tmp_path, "model.safetensors")
    with pytest.raises(ValueError, match=r"mine/model.safetensors: is of another run"):
        rp.load(tmp_path / "mine")
    for words in (["evaluate", tmp_path / "mine"], ["sample", tmp_path / "mine", "-o", "x.csv"]):
        code, _, err = reparam(*words)
        assert code == 2 and err.count("\n") == 1 and "is of another run" in err
    rp.load(tmp_path / "other")
    shutil.move(tmp_path / "mine" / "model.safetensors", tmp_path / "model.safetensors")
    rp.load(tmp_path)  # beside no run, it is a model as any other


def test_an_overwritten_run_takes_no_file_of_the_old_one(tmp_path):
    """What two processes without a lock would leave: run.json of one, the state of the other."""
    data = fitted(tmp_path, 1)
    state = (tmp_path / "state.safetensors").read_bytes()
    model = rp.build("ae", data.space, latent_dim=2, hidden=(4,))
    rp.fit(model, data, out=tmp_path, epochs=1, seed=1, force=True, progress=False)
    (tmp_path / "state.safetensors").write_bytes(state)
    with pytest.raises(ValueError, match="is of another run"):
        rp.resume(tmp_path, data=data, progress=False)


def test_a_run_keeps_its_id_and_every_run_has_its_own(tmp_path):
    data = swapped(tmp_path, "history.csv")
    ids = [checkpoint.read_run(tmp_path / name)["id"] for name in ("mine", "other")]
    rp.resume(tmp_path / "mine", data=data, epochs=2, lr=0.1, progress=False)
    assert checkpoint.read_run(tmp_path / "mine")["id"] == ids[0] != ids[1]
    for name in ("state.safetensors", "model.safetensors"):
        assert checkpoint.read_tensors(tmp_path / "mine" / name)[1]["run"] == ids[0]
    with pytest.raises(ValueError, match="holds a run"):  # whose model is that of its training
        rp.save(rp.load(tmp_path / "other"), tmp_path / "mine", force=True)
    rp.save(rp.load(tmp_path / "other"), tmp_path / "saved")
    assert "run" not in checkpoint.read_tensors(tmp_path / "saved" / "model.safetensors")[1]
    rp.load(tmp_path / "saved")


@pytest.mark.parametrize(
    "number, said",
    [(None, "an older reparam .format 1.; this"), (2, "an older"), (99, "a newer reparam")],
)
def test_runs_of_another_format_are_refused_in_one_line(tmp_path, reparam, number, said):
    data = fitted(tmp_path / "run", 1)
    file = tmp_path / "run" / "run.json"
    content = {k: v for k, v in json.loads(file.read_text()).items() if k != "format"}
    file.write_text(json.dumps(content if number is None else content | {"format": number}))
    for words in (["evaluate", tmp_path / "run"], ["resume", tmp_path / "run"]):
        code, _, err = reparam(*words)
        assert code == 2 and err.count("\n") == 1 and re.search(said, err)
    with pytest.raises(ValueError, match=said):
        rp.resume(tmp_path / "run", data=data)


def test_models_and_states_of_an_older_format_are_refused_in_one_line(tmp_path):
    """The names of weights may have changed since: they are not to be taken for others."""
    data = fitted(tmp_path / "run", 1)
    run, saved = tmp_path / "run", tmp_path / "saved"
    rp.save(rp.load(run), saved)
    for file in (saved / "model.safetensors", run / "state.safetensors"):
        tensors, header = checkpoint.read_tensors(file)
        checkpoint.write_tensors(file, tensors, header | {"format": checkpoint.FORMAT - 1})
    for file, read in (
        ("model", lambda: rp.load(saved)),
        ("state", lambda: rp.resume(run, data=data)),
    ):
        said = rf"{file}.safetensors: written by an older reparam \(format 2\).* fit it again$"
        with pytest.raises(ValueError, match=said):
            read()


def test_a_comparison_takes_neither_scores_nor_models_of_another_run(tmp_path):
    data = table()
    for name, lr in (("a", 0.001), ("b", 0.01)):
        rp.compare(data, [MODEL], out=tmp_path / name, epochs=1, samples=2, lr=lr)
    a, b = (tmp_path / name / "ae_latent_dim=2_hidden=4" for name in "ab")
    right = json.loads((a / "scores.json").read_text())["models"]
    shutil.copy(b / "scores.json", a / "scores.json")
    again = rp.compare(data, [MODEL], out=tmp_path / "a", epochs=1, samples=2, lr=0.001)
    assert not again.found
    measured = json.loads((a / "scores.json").read_text())["models"]
    names = right[MODEL].keys() - {"train_seconds"}
    assert "reconstruction_mse" in names and measured[MODEL].keys() == right[MODEL].keys()
    for name in names:
        assert measured[MODEL][name] == right[MODEL][name]
    shutil.copy(b / "model.safetensors", a / "model.safetensors")
    with pytest.raises(ValueError, match="model.safetensors: is of another run"):
        rp.compare(data, [MODEL, "pca"], out=tmp_path / "a", epochs=1, samples=2, lr=0.001)
    assert not (tmp_path / "a" / "pca").exists()  # before all else is trained


def test_a_comparison_takes_no_scores_of_other_weights_of_the_same_run(tmp_path):
    data, asked = table(), {"epochs": 1, "samples": 2}
    run = tmp_path / "ae_latent_dim=2_hidden=4"
    first = rp.compare(data, [MODEL], out=tmp_path, **asked).entries[0]
    rp.resume(run, data=data, epochs=9, progress=False)
    rp.resume(run, data=data, epochs=1, progress=False)  # the config is what it was
    assert checkpoint.checksum(rp.load(run)) != checkpoint.checksum(first.model)
    again = rp.compare(data, [MODEL], out=tmp_path, **asked)
    assert not again.found
    measured = rp.evaluate(rp.load(run), data, samples=2)["reconstruction_mse"]
    assert again.entries[0].scores["reconstruction_mse"] == measured
    assert measured.value != first.scores["reconstruction_mse"].value
    rp.resume(run, data=data, progress=False)  # makes no step
    assert rp.compare(data, [MODEL], out=tmp_path, **asked).found == (run,)


def test_force_clears_comparisons_of_an_older_format(tmp_path):
    data = table()
    rp.compare(data, [MODEL, "pca"], out=tmp_path, epochs=1, samples=2)
    for file in tmp_path.glob("*/run.json"):
        content = json.loads(file.read_text())
        content["format"] = checkpoint.FORMAT - 1
        file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not empty.* another version; choose another"):
        rp.compare(data, [MODEL, "pca"], out=tmp_path, epochs=1, samples=2)
    rp.compare(data, [MODEL], out=tmp_path, force=True, epochs=1, samples=2)
    assert not (tmp_path / "pca").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_nothing_is_left_of_a_write_that_was_killed(tmp_path):
    """safetensors writes a ``.tmpXXXXXX`` of its own beside the file that it is told."""
    fitted(tmp_path, 1)
    before = sorted(path.name for path in tmp_path.iterdir())

    def die(temporary: str) -> None:
        Path(temporary).with_name(".tmpAbCdEf").write_text("half")
        os._exit(9)

    child = os.fork()
    if child == 0:
        atomic.write_atomically(tmp_path / "state.safetensors", die)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(list(tmp_path.iterdir())) == len(before) + 1, "else nothing is tested"
    RunFolder(tmp_path).sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
