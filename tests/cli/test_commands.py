"""Every command as a user types it: what it leaves, what it prints, how it refuses."""

import csv
import dataclasses
import inspect
import json
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

import reparam as rp
from reparam.cli import commands
from reparam.cli.commands import GROUPS, flowing, summary
from reparam.cli.complete import complete


def pages_of(names, then):
    """What a new process prints: help pages by the names of their commands, and what follows."""
    script = (
        f"import sys\nfrom reparam.cli.main import main\nfor name in {names!r}:\n"
        "    sys.argv = ['reparam', *name.split(), '--help']\n"
        "    try:\n        main()\n    except SystemExit as ended:\n        assert not ended.code\n"
    )
    done = subprocess.run([sys.executable, "-c", script + then], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_the_commands_without_loading_what_they_need():
    """The page of the program, and that of every command that it lists."""
    names = ["", *(c.partition(":")[2] for group in GROUPS.values() for c in group)]
    late = {"torch", "numpy", "matplotlib", "PIL", "rich.progress", "multiprocessing"}
    said = pages_of(names, f"assert not {late} & sys.modules.keys()")
    first, *pages = said.split("Usage: reparam ")[1:]
    commands = (
        "models data fit resume evaluate compare disentangle sample reconstruct encode decode"
    )
    more = "denoise complete anomaly interpolate traverse edit vary classify cluster explore"
    more += " compress decompress"
    for name in [*commands.split(), *more.split()]:
        assert name in first and any(page.startswith(f"{name} ") for page in pages)


def test_a_list_of_commands_imports_none_of_them():
    """Nor what they share: options, data, limits."""
    said = pages_of([""], "print(*(m for m in sys.modules if m.startswith('reparam.')))")
    inside = {"cli", "cli.commands", "cli.main", "cli.messages", "interrupt", "terminal"}
    assert set(said.splitlines()[-1].split()) == {f"reparam.{name}" for name in inside}


@pytest.mark.parametrize("command", [c for group in GROUPS.values() for c in group])
def test_the_list_says_what_the_command_says_of_itself(command):
    module, _, name = command.partition(":")
    function = getattr(import_module(f"reparam.cli.{module}"), name)
    assert summary(command) == flowing(function).partition("\n\n")[0]
    assert summary(command).endswith(".")


def test_the_list_is_the_same_where_there_are_no_sources(monkeypatch, tmp_path):
    wanted = summary("look:models")
    monkeypatch.setattr(commands, "__file__", str(tmp_path / "commands.pyc"))
    assert summary("look:models") == wanted


def test_help_is_wrapped_by_the_terminal_alone(reparam, monkeypatch):
    """And not where the source happens to break its lines."""
    monkeypatch.setenv("COLUMNS", "400")
    code, out, _ = reparam("complete", "--help")
    paragraphs = inspect.cleandoc(complete.__doc__).split("\n\n")
    assert code == 0 and len(paragraphs) == 2
    lines = {line.strip() for line in out.splitlines()}
    assert {" ".join(paragraph.split()) for paragraph in paragraphs} <= lines


def test_help_of_training_comes_from_the_fields_of_the_config(reparam):
    """With what may be given and what is taken, though the fields are written down once."""
    code, out, _ = reparam("fit", "--help")
    words = " ".join(out.replace("│", " ").split())
    assert code == 0 and "MODEL DATA [KEY=VALUE ...] --out PATH [OPTIONS]" in words
    for field in dataclasses.fields(rp.TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in words
    assert "--patience INT|NONE Validations without a better value" in words
    of_its_own = "Learning rate of Adam; many presets have one of their own."
    assert f"--lr FLOAT {of_its_own} [default: 0.001]" in words


def test_no_command_is_the_help_and_a_mistake(reparam):
    code, out, err = reparam()
    assert (code, err) == (2, "") and "Train and measure" in out


def test_the_version_and_the_module(reparam):
    assert reparam("--version")[:2] == (0, f"reparam {rp.__version__}\n")
    done = subprocess.run(
        [sys.executable, "-m", "reparam", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"reparam {rp.__version__}\n"


@pytest.mark.parametrize(
    ("command", "run", "words"),
    [
        ("sample", "vae", ["-n", 0]),
        ("reconstruct", "vae", ["-n", -2]),
        ("evaluate", "vae", ["--samples", 0]),
        ("interpolate", "vae", [0, 1, "--steps", 1]),
        ("vary", "vae", ["--spread", -1]),
        ("traverse", "vae", ["--reach", -1]),
        ("traverse", "vae", ["--reach", "inf"]),
        ("traverse", "vae", ["--steps", 0]),
        ("traverse", "vae", ["--dimension", -1]),
        ("denoise", "vae", ["--noise", "masking", "--amount", -1]),
        ("complete", "made", ["--keep", 1.5]),
        ("complete", "made", ["--draws", 0]),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(
    reparam, runs, tmp_path, command, run, words
):
    out = [] if command == "evaluate" else ["-o", tmp_path / "out"]
    code, _, err = reparam(command, runs / run, *words, *out)
    name = words[-2].lstrip("-")
    assert code == 2 and err.startswith(f"error: {name}: expected"), err
    assert str(words[-1]) in err and not (tmp_path / "out").exists()


def test_models_lists_and_describes(reparam):
    code, out, _ = reparam("models")
    assert code == 0 and all(name in out for name in ("pca", "ae", "vae"))
    code, out, _ = reparam("models", "vae")
    assert code == 0 and "latent_dim" in out and "Kingma" in out
    table = out[out.index("likelihood by default") :].splitlines()
    assert table[1].split()[:2] == ["binary", "bernoulli"]


def test_data_lists_and_describes(reparam):
    code, out, _ = reparam("data")
    assert code == 0 and "binarized-mnist" in out
    code, out, _ = reparam("data", "digits")
    assert code == 0 and "levels 17" in out and "train 1258" in out
    code, out, _ = reparam("data", "checkerboard")
    assert code == 0 and "train 50000" in out and "mean -3.4657 in train" in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["fit", "vea", "digits", "-o", "OUT"], ["vea", "did you mean vae"]),
        (["fit", "vae", "digts", "-o", "OUT"], ["digts", "did you mean"]),
        (["fit", "vae", "digits", "latentdim=2", "-o", "OUT"], ["latentdim", "did you mean"]),
        (["fit", "vae", "digits", "latent_dim=two", "-o", "OUT"], ["latent_dim", "a whole", "two"]),
        (["fit", "vae", "digits", "latent_dim", "-o", "OUT"], ["key=value"]),
        (["fit", "vae", "digits", "network=cnn", "-o", "OUT"], ["network", "mlp"]),
        (["fit", "pca", "digits", "latent_dim=64", "-o", "OUT"], ["latent_dim", "64"]),
        (["fit", "vae", "digits", "-o", "OUT", "--lr", "-1"], ["lr"]),
        (["fit", "vae", "digits", "-o", "OUT", "--seed", "9" * 20], ["seed", "9" * 20]),
        (["fit", "vae", "digits", "seed=3", "-o", "OUT"], ["seed", "no parameter of vae"]),
        (["fit", "vae", "digits", "-o", "OUT", "--patience", "x"], ["patience", "or none"]),
        (["fit", "vae", "digits", "-o", "OUT", "--budget", "x"], ["budget", "60s", "none"]),
        (["fit", "vae", "digits", "-o", "OUT", "--levels", "0"], ["levels", "2"]),
        (["sample", "OUT", "--seed", "9" * 20], ["seed", "9" * 20]),
        (["sample", "OUT", "--seed", "-1"], ["seed", "-1"]),
        (["compare", "digits", "--model", "vae 'x", "-o", "OUT"], ["quot"]),
        (["fit", "vae", "digits", "-o", "OUT", "--device", "tpu9"], ["device", "tpu9"]),
        (["compare", "digits", "--model", "vea", "-o", "OUT"], ["vea"]),
        (["compare", "digits", "--model", "ae", "--model", "ae", "-o", "OUT"], ["twice"]),
        (["compare", "digits", "--model", "", "-o", "OUT"], ["model"]),
        (["compare", "digits", "--seeds", "0", "-o", "OUT"], ["seeds"]),
        (["fti", "vae"], ["fti", "did you mean", "fit"]),
        (["fit", "vae"], ["data", "reparam fit --help"]),
        (["fit", "vae", "digits"], ["--out", "reparam fit --help"]),
        (["fit", "vae", "digits", "-o"], ["-o", "argument"]),
        (["fit", "vae", "digits", "-o", "OUT", "--epoch", "3"], ["--epoch", "mean --epochs?"]),
        (["fit", "vae", "digits", "-o", "OUT", "--schedule", "cos"], ["cos", "mean", "cosine"]),
        (["fit", "vae", "digits", "-o", "OUT", "--epochs", "2", "--epochs", "3"], ["--epochs"]),
        (["fit", "vae", "digits", "-o", "OUT", "--levels", "x"], ["--levels", "x", "int"]),
        (["fit", "vae", "digits", "-o", "OUT", "--size", "4by5"], ["size", "48x64", "4by5"]),
        (["fit", "vae", "digits", "-o", "OUT", "--binarize", "x"], ["binarize", "static"]),
        (["sample", "a", "b", "c"], ["b", "c", "reparam sample --help"]),
        (["evaluate", "OUT"], ["OUT", "no run"]),
        (["resume", "OUT"], ["OUT", "no run"]),
        (["sample", "OUT"], ["OUT", "no run"]),
    ],
)
def test_mistakes_end_with_one_message_and_code_2(reparam, tmp_path, words, named):
    words = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    code, _, err = reparam(*words)
    assert code == 2
    assert "Traceback" not in err and err[err.index("error:") :].count("\n") == 1
    message = err[err.index("error:") :].lower()
    assert all(part.lower().replace("out", "") in message for part in named), message
    assert not (tmp_path / "out").exists()  # nothing is left behind


def test_evaluate_prints_and_writes_every_score(reparam, runs, tmp_path):
    code, out, _ = reparam("evaluate", runs / "vae", "--samples", 5, "--json", tmp_path / "s.json")
    assert code == 0 and "log_likelihood" in out and "≥" in out
    content = json.loads((tmp_path / "s.json").read_text())
    (label,) = content["models"]
    assert label == "vae latent_dim=2 hidden=16"
    score = content["models"][label]["log_likelihood"]
    protocol = {"unit", "kind", "n", "samples", "split", "seed"}
    assert set(score) == {"value", "stderr", "seed_stderr", *protocol}
    assert (score["kind"], score["samples"], score["split"]) == ("lower bound", 5, "test")
    floor, found = content["reference"], content["models"][label]
    assert floor["frechet_distance"]["value"] < 2 < found["frechet_distance"]["value"]
    (line,) = (line for line in out.splitlines() if line.strip().startswith("frechet_distance"))
    assert f"{floor['frechet_distance']['value']:.3g} " in line  # beside the model's


def test_sample_is_reproducible_and_refuses_to_overwrite(reparam, runs, tmp_path):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    assert reparam("sample", runs / "vae", "-n", 5, "-o", first)[0] == 0
    assert reparam("sample", runs / "vae", "-n", 5, "-o", second)[0] == 0
    x = np.load(first)["x"]
    assert x.shape == (5, 1, 8, 8) and np.array_equal(x, np.load(second)["x"])
    assert set(np.unique(x)) <= set(range(17))
    code, _, err = reparam("sample", runs / "vae", "-n", 5, "-o", first)
    assert code == 2 and "exists already" in err


def test_sample_from_what_does_not_generate_is_refused(reparam, runs, tmp_path):
    code, _, err = reparam("sample", runs / "ae", "-o", tmp_path / "a.png")
    assert code == 2 and "does not generate" in err


def test_reconstruct_puts_originals_above_reconstructions(reparam, runs, tmp_path):
    code, _, _ = reparam("reconstruct", runs / "pca", "-n", 4, "-o", tmp_path / "r.png")
    assert code == 0
    picture = np.asarray(Image.open(tmp_path / "r.png"))
    assert picture.shape[1] > picture.shape[0]  # 4 columns, 2 rows
    # the first tile is the first test image, enlarged by a whole factor
    import reparam as rp

    first = rp.load_data("digits").test.x[0, 0].numpy()
    side = 64 // 8
    gray = picture[..., 0] if picture.ndim == 3 else picture
    tile = gray[side // 2 : 64 : side, side // 2 : 64 : side]
    assert np.abs(tile / 255 - first / 16).max() < 1 / 255


def test_encode_writes_codes_and_labels(reparam, runs, tmp_path):
    import reparam as rp

    code, _, _ = reparam("encode", runs / "ae", "-o", tmp_path / "codes.csv")
    assert code == 0
    rows = list(csv.DictReader((tmp_path / "codes.csv").open()))
    data, model = rp.load_data("digits"), rp.load(runs / "ae")
    assert [int(row["label"]) for row in rows] == data.test.labels.tolist()
    codes = np.array([[float(row["z0"]), float(row["z1"])] for row in rows])
    np.testing.assert_allclose(codes, model.encode(data.test.x).detach().numpy(), rtol=1e-5)


def test_resume_trains_on(reparam, runs):
    code, out, _ = reparam("resume", runs / "vae", "--epochs", 5)
    assert code == 0 and "all epochs" in out
    last = (runs / "vae" / "history.csv").read_text().splitlines()[-1]
    assert float(last.split(",")[0]) == 5


def test_fit_refuses_a_folder_in_use(reparam, runs):
    code, _, err = reparam("fit", "pca", "digits", "-o", runs / "pca")
    assert code == 2 and "holds a run already" in err
    assert (runs / "pca" / "model.safetensors").exists()


def test_own_table_from_fit_to_codes_of_new_rows(reparam, tmp_path):
    rng = np.random.default_rng(0)
    table, new = tmp_path / "t.csv", tmp_path / "new.csv"
    header = "height,weight,sex\n"
    rows = [
        f"{h:.2f},{w:.1f},{s}"
        for h, w, s in zip(
            rng.normal(170, 9, 60), rng.normal(70, 12, 60), rng.choice(["f", "m"], 60), strict=True
        )
    ]
    table.write_text(header + "\n".join(rows))
    new.write_text(header + "\n".join(rows[:3]))
    words = ["latent_dim=1", "hidden=8", "--label", "sex", "--epochs", 2, "-o", tmp_path / "run"]
    assert reparam("fit", "vae", table, *words)[0] == 0
    out = tmp_path / "codes.npz"
    code, _, err = reparam("encode", tmp_path / "run", new, "--label", "sex", "-o", out)
    assert code == 0, err
    assert np.load(out)["z"].shape == (3, 1)
    code, _, err = reparam("sample", tmp_path / "run", "-n", 3, "-o", tmp_path / "new_rows.csv")
    assert code == 0, err
    assert (tmp_path / "new_rows.csv").read_text().startswith("height,weight\n")


def test_compare_leaves_report_scores_and_runs(reparam, tmp_path):
    out = tmp_path / "cmp"
    code, printed, err = reparam(
        "compare", "digits", "--model", "pca", "--model", "vae hidden=8 latent_dim=2",
        "--epochs", 2, "--samples", 3, "--seeds", 2, "-o", out,
    )  # fmt: skip
    assert code == 0, err
    content = json.loads((out / "scores.json").read_text())
    assert set(content["models"]) == {"pca", "vae hidden=8 latent_dim=2"}
    vae = content["models"]["vae hidden=8 latent_dim=2"]
    single = [
        json.loads(path.read_text())["models"]["vae hidden=8 latent_dim=2"]["elbo"]["value"]
        for path in sorted(out.glob("vae*/scores.json"))
    ]
    assert len(single) == 2 and single[0] != single[1]
    assert vae["elbo"]["value"] == pytest.approx(np.mean(single))
    assert vae["elbo"]["seed_stderr"] == pytest.approx(np.std(single, ddof=1) / np.sqrt(2))
    assert vae["elbo"]["seed"] == [0, 1]
    assert "elbo" not in content["models"]["pca"]
    floor = content["reference"]["frechet_distance"]["value"]
    (row,) = (line for line in printed.splitlines() if line.strip().startswith("training data"))
    assert f"{floor:.2f}" in row
    report = (out / "report.html").read_text("utf-8")
    assert len(report) > 10_000 and "in place of samples" in report
    code, _, err = reparam("compare", "digits", "--model", "pca", "-o", out)
    assert code == 2 and "not empty" in err


def test_brackets_in_the_name_of_a_run_are_no_markup(reparam, tmp_path):
    """The run is named as it is, and what comes next can be copied."""
    run = tmp_path / "r[b]"
    code, out, err = reparam("fit", "pca", "digits", "-o", run)
    assert code == 0, err
    assert "".join(out.split()).endswith(f"reparamevaluate'{run}'")
    code, _, err = reparam("fit", "pca", "digits", "-o", tmp_path / "x[/b]")
    assert code == 0, err
