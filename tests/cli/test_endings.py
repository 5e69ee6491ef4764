"""How commands end: interrupted, out of memory, with warnings, unable to write their files."""

import csv
import io
import os
import sys
import warnings

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reparam import train
from reparam.cli.messages import is_out_of_memory
from reparam.cli.options import DataOptions
from reparam.cli.tables import comparison_table
from reparam.evaluation import Score

FIT = ["fit", "vae", "digits", "latent_dim=2", "hidden=8"]


def spent(error):
    def fit(*arguments, **options):
        raise error

    return fit


def test_an_interrupt_before_anything_was_saved(reparam, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "fit", spent(KeyboardInterrupt()))
    code, _, err = reparam(*FIT, "-o", tmp_path / "run")
    assert code == 130 and err.strip() == "interrupted"


def test_an_interrupted_resume_says_how_to_go_on(reparam, runs, monkeypatch):
    monkeypatch.setattr(train, "resume", spent(KeyboardInterrupt()))
    code, _, err = reparam("resume", runs / "vae")
    assert code == 130 and f"reparam resume {runs / 'vae'}" in err


def test_another_command_is_just_interrupted(reparam, runs, monkeypatch):
    monkeypatch.setattr("reparam.evaluation.evaluate", spent(KeyboardInterrupt()))
    code, _, err = reparam("evaluate", runs / "vae")
    assert code == 130 and err.strip().endswith("interrupted")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 TiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_out_of_memory_is_one_message_with_the_remedy(reparam, monkeypatch, tmp_path, error):
    monkeypatch.setattr(train, "fit", spent(error))
    code, _, err = reparam(*FIT, "-o", tmp_path / "run")
    assert code == 2 and err.startswith("error: out of memory;") and err.count("\n") == 1
    assert all(word in err for word in ("hidden", "--batch-size", "--size"))


def test_what_torch_says_when_it_cannot_allocate():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_another_runtime_error_is_not_hidden(monkeypatch, tmp_path):
    from reparam.cli.main import main

    monkeypatch.setattr(train, "fit", spent(RuntimeError("a mistake of ours")))
    monkeypatch.setattr(sys, "argv", ["reparam", *FIT, "-o", str(tmp_path / "run")])
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        main()


def test_warnings_are_one_line_without_a_place_in_the_source(reparam, monkeypatch, tmp_path):
    def fit(*arguments, **options):
        warnings.warn("the validation loss\nwas not finite [x]", RuntimeWarning, stacklevel=2)
        raise ValueError("enough")

    monkeypatch.setattr(train, "fit", fit)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # pytest makes them errors
        warnings.simplefilter("ignore", ResourceWarning)  # of what earlier tests left to collect
        code, _, err = reparam(*FIT, "-o", tmp_path / "run")
    assert code == 2
    assert err == "warning: the validation loss was not finite [x]\nerror: enough\n"


@pytest.mark.parametrize("place", ["a folder", "below a file"])
def test_json_that_cannot_be_written_is_refused_before_measuring(
    reparam, runs, tmp_path, monkeypatch, place
):
    (tmp_path / "file").write_text("")
    path = tmp_path if place == "a folder" else tmp_path / "file" / "s.json"
    monkeypatch.setattr("reparam.evaluation.evaluate", spent(AssertionError("measured")))
    code, _, err = reparam("evaluate", runs / "pca", "--json", path)
    assert code == 2 and str(path) in err and "tmp_" not in err.replace(str(tmp_path), "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_json_in_a_folder_that_is_not_ours(reparam, runs, tmp_path):
    tmp_path.chmod(0o500)
    code, _, err = reparam("evaluate", runs / "pca", "--json", tmp_path / "s.json")
    tmp_path.chmod(0o700)
    assert code == 2 and "does not allow it" in err


def test_scores_are_shown_before_they_are_written(reparam, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.checkpoint.write_json", spent(ValueError("the disk is full")))
    code, out, err = reparam("evaluate", runs / "pca", "--json", tmp_path / "deep" / "s.txt")
    assert code == 2 and "the disk is full" in err and "log_likelihood" in out


def test_an_output_that_is_a_folder_is_refused(reparam, runs, tmp_path):
    (tmp_path / "a.npz").mkdir()
    code, _, err = reparam("sample", runs / "vae", "-o", tmp_path / "a.npz", "--force")
    assert code == 2 and "is a folder" in err


@pytest.mark.parametrize(
    "words, name, value",
    [
        (["--patience", "none"], "patience", None),
        (["--patience", "7"], "patience", 7),
        (["--epochs", "None"], "epochs", None),
        (["--budget", "none"], "budget", None),
        (["--budget", "1.5m"], "budget", 90.0),
        (["--clip", "1e-1"], "clip", 0.1),
        (["--compile"], "compile", True),
        (["--schedule", "cosine"], "schedule", "cosine"),
        (["--seed", "9223372036854775807"], "seed", 2**63 - 1),
    ],
)
def test_fields_of_the_config_arrive(reparam, monkeypatch, tmp_path, words, name, value):
    given = {}

    def fit(*arguments, **options):
        given.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(train, "fit", fit)
    reparam(*FIT, "-o", tmp_path / "run", *words)
    assert given[name] == value and type(given[name]) is type(value)
    assert set(given) == {"out", "force", name}


def test_options_that_were_not_given_are_not_passed_on():
    assert DataOptions().load("digits").source == {"source": "digits"}
    with pytest.raises(ValueError, match="levels: expected a whole number of at least 2"):
        DataOptions(levels=0).load("digits")


LABELS = ("vae latent_dim=2", "vae latent_dim=16", "vae latent_dim=16 hidden=512,256 network=conv")


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_labels_in_the_comparison_are_whole(width):
    scores = {
        "log_likelihood": Score(-88.71, "nats", 9, "test", stderr=0.25, kind="lower bound"),
        "reconstruction_mse": Score(0.01234, "", 9, "test", stderr=0.00012),
        "linear_probe_accuracy": Score(0.931, "accuracy", 9, "test", stderr=0.013),
        "frechet_distance": Score(1.234, "", 9, "test", stderr=0.05),
        "train_seconds": Score(12345.0, "s", 9, "train"),
    }
    text = io.StringIO()
    table = comparison_table(dict.fromkeys(LABELS, scores), width)
    Console(file=text, width=width).print(table)
    printed = text.getvalue()
    assert "…" not in printed and all(len(line) <= width for line in printed.splitlines())
    for label in LABELS:
        assert all(word in printed for word in label.split())
    assert printed.count("latent_dim=16") == 2
    for number in ("≥ -88.71", "± 0.25", "± 0.00012", "12,345", "0.931", "(0.613–", "0.991)"):
        assert printed.count(number) == len(LABELS)


def test_fit_prints_the_value_of_the_weights_it_kept(reparam, tmp_path):
    """So fast that it overshoots: the last validation is not the best."""
    words = [*FIT, "-o", tmp_path / "run", "--epochs", 40, "--lr", 0.1]
    code, out, _ = reparam(*words)
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = [(float(row["valid/bound"]), row["epoch"]) for row in csv.DictReader(file)]
    best, epoch = max(rows)
    assert code == 0 and f"{rows[-1][0]:.2f}" != f"{best:.2f}"
    assert f"kept the best, of epoch {float(epoch):g}: valid/bound {best:.2f}" in " ".join(
        out.split()
    )


def test_fit_says_where_the_last_are_kept(reparam, tmp_path):
    words = ["fit", "l-vae", "digits", "latent_dim=1", "hidden=4", "steps=9", "--epochs", 3]
    code, out, _ = reparam(*words, "-o", tmp_path / "run")
    assert code == 0 and "kept the last, of epoch 3: valid/bound -" in " ".join(out.split())
    code, _, err = reparam(*words, "-o", tmp_path / "other", "--patience", 3)
    assert code == 2 and "patience: expected None for l-vae, which keeps its last" in err


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_a_budget_that_ends_before_the_first_step(reparam, tmp_path):
    run = tmp_path / "run"
    code, out, err = reparam(*FIT, "-o", run, "--budget", "0.000000001s")
    assert code == 0 and "diverged" not in err
    assert "used up before the first step" in err
    assert "kept the best, of epoch 0: valid/bound -" in " ".join(out.split())
    weights = load_file(run / "model.safetensors")
    code, out, err = reparam("resume", run)
    assert code == 0 and same(weights, load_file(run / "model.safetensors"))
    said = "nothing to do; its budget is used up; to train on, give a larger --budget (0 s used)"
    assert said in " ".join(out.split()) and "budget used up; 0.0 s in all" in out
    code, out, _ = reparam("resume", run, "--budget", "60s", "--epochs", 1)
    assert code == 0 and "nothing to do" not in out and "all epochs;" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["vae", "digits", "latent_dim=1", "hidden=4", "--epochs", 2],
            "all epochs are done; to train on, give a larger --epochs (now 2)",
        ),
        (["pca", "digits"], "solved for, not trained"),
    ],
)
def test_resuming_a_finished_run_says_that_there_is_nothing_to_do(reparam, tmp_path, words, said):
    assert reparam("fit", *words, "-o", tmp_path / "run")[0] == 0
    weights = load_file(tmp_path / "run" / "model.safetensors")
    code, out, _ = reparam("resume", tmp_path / "run")
    assert code == 0 and "nothing to do; " in out and said in " ".join(out.split())
    assert same(weights, load_file(tmp_path / "run" / "model.safetensors"))


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("width", [30, 200])
def test_errors_over_seeds_stand_in_brackets_that_a_legend_explains(width):
    over_seeds = Score(-88.71, "nats", 9, "test", stderr=0.25, seed=[0, 1], seed_stderr=0.031)
    single = Score(-88.71, "nats", 9, "test", stderr=0.25, seed=0)
    printed = []
    for score in (over_seeds, single):
        text = io.StringIO()
        table = comparison_table({"vae": {"log_likelihood": score}}, width)
        Console(file=text, width=width).print(table)
        printed.append(" ".join(text.getvalue().split()))
    assert "± 0.25 (±0.031)" in printed[0] and "(±) over the seeds" in printed[0]
    assert "± 0.25" in printed[1] and "(±" not in printed[1]


def test_intervals_of_accuracies_stand_in_brackets_that_a_legend_explains():
    score = Score(1.0, "accuracy", 30, "test", stderr=0.0)
    for name, said in (
        ("linear_probe_accuracy", "accuracies: 95 % interval in brackets"),
        ("psnr", ""),
    ):
        found = {name: score if said else Score(1.0, "dB", 30, "test")}
        assert (comparison_table({"vae": found}, 200).caption or "") == said
