"""Runs whose data have moved, changed or gone, and runs that are damaged or have no model yet."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.checkpoint import load

RNG = np.random.default_rng(0)


def write_table(path, rows=60, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, 2))
    lines = [f"{a:.3f},{b:.3f},{'fm'[int(a > 0)]}" for a, b in x]
    path.write_text("\n".join(["height,weight,sex", *lines]))


@pytest.fixture
def table_run(reparam, tmp_path):
    """A run on a table, and the table."""
    table, run = tmp_path / "t.csv", tmp_path / "run"
    write_table(table)
    words = ["latent_dim=1", "hidden=8", "--label", "sex", "--epochs", 2, "-o", run]
    code, _, err = reparam("fit", "vae", table, *words)
    assert code == 0, err
    return run, table


@pytest.mark.parametrize("command", ["evaluate", "encode", "reconstruct", "resume"])
def test_other_data_at_the_same_place_are_refused(reparam, table_run, tmp_path, command):
    run, table = table_run
    write_table(table, seed=1)
    out = [] if command in ("evaluate", "resume") else ["-o", tmp_path / "out.csv"]
    code, _, err = reparam(command, run, *out)
    assert code == 2 and "has changed" in err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("command", ["evaluate", "encode", "reconstruct", "resume"])
def test_data_that_moved_are_found_where_it_is_said(reparam, table_run, tmp_path, command):
    run, table = table_run
    moved = table.rename(tmp_path / "moved.csv")
    out = [] if command in ("evaluate", "resume") else ["-o", tmp_path / "out.csv"]
    code, _, err = reparam(command, run, *out)
    assert code == 2 and str(table) in err and "--data" in err
    write_table(tmp_path / "other.csv", seed=1)
    code, _, err = reparam(command, run, "--data", tmp_path / "other.csv", *out)
    assert code == 2 and "has changed" in err
    code, _, err = reparam(command, run, "--data", moved, *out)
    assert code == 0, err


def test_a_separate_test_file_moves_along(reparam, tmp_path):
    write_table(tmp_path / "train.csv")
    write_table(tmp_path / "test.csv", rows=9, seed=1)
    words = ["--test", tmp_path / "test.csv", "--label", "sex", "-o", tmp_path / "run"]
    assert reparam("fit", "pca", tmp_path / "train.csv", "latent_dim=1", *words)[0] == 0
    new = tmp_path / "new"
    new.mkdir()
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).rename(new / name)
    code, _, err = reparam("evaluate", tmp_path / "run")
    assert code == 2 and "--data" in err
    code, _, err = reparam("evaluate", tmp_path / "run", "--data", new / "train.csv")
    assert code == 0, err


def test_new_rows_and_samples_need_no_training_data(reparam, table_run, tmp_path):
    run, table = table_run
    codes, out = tmp_path / "before.npz", tmp_path / "after.npz"
    write_table(tmp_path / "new.csv", rows=3, seed=2)
    words = [run, tmp_path / "new.csv", "--label", "sex"]
    assert reparam("encode", *words, "-o", codes)[0] == 0
    table.unlink()
    code, _, err = reparam("encode", *words, "-o", out)
    assert code == 0, err
    assert np.array_equal(np.load(codes)["z"], np.load(out)["z"])
    assert set(np.load(out)["label"]) <= {"f", "m"} and np.load(out)["row"].tolist() == [0, 1, 2]
    assert reparam("reconstruct", *words, "-o", tmp_path / "r.csv")[0] == 0
    code, _, err = reparam("sample", run, "-n", 3, "-o", tmp_path / "s.csv")
    assert code == 0, err
    assert (tmp_path / "s.csv").read_text().startswith("height,weight\n")
    code, _, err = reparam("encode", *words, "--data", table, "-o", tmp_path / "x.npz")
    assert code == 2 and "examples" in err


def test_real_images_are_shown_in_the_brightness_of_their_data(reparam, tmp_path):
    np.save(tmp_path / "x.npy", RNG.normal(size=(40, 4, 4)).astype(np.float32))
    words = ["latent_dim=1", "-o", tmp_path / "run"]
    assert reparam("fit", "pca", tmp_path / "x.npy", *words)[0] == 0
    (tmp_path / "x.npy").unlink()
    code, _, err = reparam("sample", tmp_path / "run", "-n", 4, "-o", tmp_path / "s.png")
    assert code == 0, err
    gray = np.asarray(Image.open(tmp_path / "s.png"))
    assert len(np.unique(gray)) > 10


def test_a_run_on_data_from_memory(reparam, tmp_path):
    import reparam as rp

    x = RNG.normal(size=(40, 3)).astype(np.float32)
    data = rp.load_data(x)
    rp.fit(rp.build("pca", data.space, latent_dim=1), data, out=tmp_path / "run", progress=False)
    assert reparam("sample", tmp_path / "run", "-o", tmp_path / "s.csv")[0] == 0
    code, _, err = reparam("evaluate", tmp_path / "run")
    assert code == 2 and "memory" in err and "--data" in err
    np.save(tmp_path / "x.npy", x)
    assert reparam("evaluate", tmp_path / "run", "--data", tmp_path / "x.npy")[0] == 0


DAMAGE = {
    "unknown argument": lambda run: run["data"]["source"].update(color="red"),
    "no fingerprint": lambda run: run["data"].pop("fingerprint"),
    "no source": lambda run: run["data"].pop("source"),
    "no source in source": lambda run: run["data"]["source"].pop("source"),
    "source of another type": lambda run: run["data"]["source"].update(source=3),
    "no preset": lambda run: run["model"].pop("preset"),
    "no parameters": lambda run: run["model"].pop("parameters"),
    "no space": lambda run: run["model"].pop("space"),
    "model is a list": lambda run: run.update(model=[]),
    "no config": lambda run: run.pop("config"),
}


@pytest.mark.parametrize("command", ["evaluate", "resume", "sample", "encode", "reconstruct"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_named(reparam, runs, tmp_path, command, damage):
    shutil.copytree(runs / "pca", tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    DAMAGE[damage](content)
    file.write_text(json.dumps(content))
    code, _, err = reparam(command, tmp_path / "run")
    assert code == 2 and "run.json: damaged" in err


@pytest.mark.parametrize("command", ["evaluate", "sample", "encode", "reconstruct"])
def test_a_run_without_a_model_yet_says_so(reparam, runs, tmp_path, command):
    shutil.copytree(runs / "vae", tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    code, _, err = reparam(command, tmp_path / "run")
    assert code == 2 and "no model yet" in err and f"reparam resume {tmp_path / 'run'}" in err


@pytest.mark.parametrize("command", ["evaluate", "sample", "encode", "reconstruct"])
def test_device_is_chosen(reparam, runs, tmp_path, command):
    out = [] if command == "evaluate" else ["-o", tmp_path / "out.npz"]
    code, _, err = reparam(command, runs / "pca", "--device", "tpu9", *out)
    assert code == 2 and "device" in err and "tpu9" in err
    code, _, err = reparam(command, runs / "pca", "--device", "cpu", *out)
    assert code == 0, err


def test_a_run_on_dynamic_data_is_resumed_and_measured(reparam, tmp_path):
    """Resumed to the same weights as in one piece; its scores say which data they are of."""
    words = ["latent_dim=2", "hidden=8", "--binarize", "dynamic"]
    for name, epochs in (("one", 12), ("two", 6)):
        code, _, err = reparam(
            "fit", "vae", "digits", *words, "--epochs", epochs, "-o", tmp_path / name
        )
        assert code == 0, err
    code, _, err = reparam("resume", tmp_path / "two", "--epochs", 12)
    assert code == 0, err
    ours, theirs = (load(tmp_path / name).state_dict() for name in ("one", "two"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    code, out, err = reparam(
        "evaluate", tmp_path / "one", "--samples", 2, "--json", tmp_path / "scores.json"
    )
    assert code == 0, err
    about = json.loads((tmp_path / "scores.json").read_text())["data"]
    assert about["name"] == "digits, dynamically binarized" and about["kind"] == "binary"
    code, out, _ = reparam("data", "digits", "--binarize", "dynamic")
    assert code == 0 and "afresh" in out


def test_attributes_from_the_columns_to_the_samples(reparam, tmp_path):
    """y = 10 a, and a is a condition: samples given a follow it, whatever the units."""
    rng, run = np.random.default_rng(0), tmp_path / "run"
    a = 1000 + 5 * rng.normal(size=400)
    rows = [f"{u},{10 * (u - 1000) + v},{v}" for u, v in zip(a, rng.normal(size=400), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y,noise", *rows]))
    words = ["latent_dim=1", "hidden=()", "--attribute", "a", "--epochs", 60, "--lr", 0.02]
    code, out, err = reparam("fit", "cvae", tmp_path / "t.csv", *words, "-o", run)
    assert code == 0 and "Attributes, to be conditions: a." in out, err
    means = {}
    for value in (995, 1010):
        file = tmp_path / f"{value}.csv"
        code, _, err = reparam(
            "sample", run, "-n", 500, "--attribute", f"a={value}", "-o", file, "--seed", 1
        )
        assert code == 0, err
        means[value] = np.loadtxt(file, delimiter=",", skiprows=1)[:, 0].mean()
    # The deviation of a sample of y is near 1, of a mean of 500 near 0.05; the fit adds its own.
    assert means[995] == pytest.approx(-50, abs=3) and means[1010] == pytest.approx(100, abs=3)
    for words, message in (
        (["--attribute", "b=1"], "attribute: expected one of each of a, got b"),
        (["--attribute", "a"], "expected key=value"),
        (["--attribute", "a=x"], "a: expected a number, got 'x'"),
        (["--label", "x"], "label: the model is conditional on attributes; give --attribute"),
    ):
        code, _, err = reparam("sample", run, *words, "-o", tmp_path / "no.csv")
        assert code == 2 and message in err, err
    assert not (tmp_path / "no.csv").exists()
    for command, file in (("encode", "codes.csv"), ("reconstruct", "x.csv")):
        code, _, err = reparam(command, run, tmp_path / "t.csv", "-o", tmp_path / file)
        assert code == 0, err
    code, out, err = reparam("evaluate", run, "--samples", 2)
    assert code == 0 and "conditional_log" in out, err
    code, out, _ = reparam("data", tmp_path / "t.csv", "--attribute", "a")
    assert code == 0 and "attributes" in out


def test_examples_without_the_condition_of_the_model_are_refused(reparam, tmp_path):
    write_table(tmp_path / "t.csv")
    words = ["latent_dim=1", "hidden=8", "--label", "sex", "--epochs", 1, "-o", tmp_path / "run"]
    assert reparam("fit", "cvae", tmp_path / "t.csv", *words)[0] == 0
    code, _, err = reparam(
        "encode", tmp_path / "run", tmp_path / "t.csv", "-o", tmp_path / "codes.csv"
    )
    assert code == 2 and "expected labels for a conditional model, got none" in err
    assert not (tmp_path / "codes.csv").exists()
