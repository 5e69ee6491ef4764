"""Few labels as a user asks for them: in training, and in a probe."""

import json

import pytest

import reparam as rp
from reparam.cli.probe import parse_labels


def test_a_probe_prints_a_table_and_writes_what_it_says(reparam, runs, tmp_path):
    out = tmp_path / "probe.json"
    words = ("probe", runs / "ae", "digits", "--labels", "10,40", "--seeds", 2)
    code, text, error = reparam(*words, "-o", out)
    said = " ".join(text.split())
    assert code == 0 and "labels whole code raw entries majority class" in said, error
    assert "With 10 labels none is held out" in said
    found = json.loads(out.read_text())
    expected = rp.probe(rp.load(runs / "ae"), rp.load_data("digits"), (10, 40), 2)
    again = json.loads(json.dumps(expected.to_json()))
    assert found == {"run": str(runs / "ae"), **again}
    for probe in expected.probes:
        assert f"{100 * probe.mean:.1f} ± {100 * probe.spread:.1f}" in said
    code, _, error = reparam(*words, "-o", out)
    assert code == 2 and "exists already" in error
    assert reparam(*words, "-o", out, "--force")[0] == 0


def test_a_run_is_trained_and_probed_with_few_labels(reparam, tmp_path):
    run = tmp_path / "few"
    words = ("fit", "pca", "digits", "latent_dim=2", "--labels", 50, "--labels-seed", 3, "-o", run)
    code, text, error = reparam(*words)
    assert code == 0 and "50 labels of 1258, drawn with seed 3" in " ".join(text.split()), error
    assert reparam("resume", run)[0] == 0  # finds the same data again
    code, text, error = reparam("probe", run, "--labels", "10", "--seeds", 1)
    assert code == 0, error  # of all labels, of which the run had few
    assert "Percent of 359 test examples; of one draw" in " ".join(text.split())
    digits = rp.load_data("digits")
    expected = rp.probe(rp.load(run), digits, [10], 1)[10, "whole code"]
    assert f"{100 * expected.mean:.1f}" in text


@pytest.mark.parametrize(
    ("run", "words", "message"),
    [
        ("ae", ["--labels", "5"], "labels: expected at least 10, one for each class, got 5"),
        ("ae", ["--labels", "2000"], "labels: expected at most 1258"),
        ("ae", ["--labels", "ten"], "labels: expected numbers or all, as 10,100,all, got 'ten'"),
        ("ae", ["--seeds", "0"], "seeds: expected a positive whole number"),
        ("made", ["--labels", "10"], "has no codes; take one that has, as ae, vae or mae"),
    ],
)
def test_what_cannot_be_probed(run, words, message, reparam, runs, tmp_path):
    out = tmp_path / "p.json"
    code, _, error = reparam("probe", runs / run, *words, "-o", out)
    assert code == 2 and message in " ".join(error.split()) and not out.exists()


def test_accuracies_are_written_as_json_alone(reparam, runs, tmp_path):
    code, _, error = reparam("probe", runs / "ae", "--labels", "10", "-o", tmp_path / "p.png")
    assert code == 2 and "out: expected the name of a .json" in error
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("source", "message"), [("pinwheel", "data: expected"), ("5", "neither")])
def test_other_data(source, message, reparam, runs):
    code, _, error = reparam("probe", runs / "ae", source)
    assert code == 2 and message in " ".join(error.split())


def test_training_with_too_few(reparam, tmp_path):
    code, _, error = reparam("fit", "pca", "digits", "--labels", 5, "-o", tmp_path / "run")
    assert code == 2 and "labels: expected at least 10" in error and not (tmp_path / "run").exists()


def test_numbers_of_labels():
    assert parse_labels("10, 100,all") == (10, 100, "all")
    with pytest.raises(ValueError, match="labels: expected numbers or all"):
        parse_labels("10,")


def test_a_transfer_prints_a_table_and_goes_on(reparam, tmp_path):
    out = tmp_path / "transfer"
    words = ("transfer", "digits", "--model", "pca", "--labels", "10", "--seeds", 2, "-o", out)
    code, text, error = reparam(*words)
    said = " ".join(text.split())
    assert code == 0 and "raw pixels raw entries" in said, error
    first = {path: path.stat().st_mtime_ns for path in (out / "points").glob("*.json")}
    assert len(first) == 2 and (out / "report.html").is_file()
    code, again, _ = reparam(*words)
    assert code == 0 and again == text
    assert {path: path.stat().st_mtime_ns for path in first} == first
    content = json.loads((out / "transfer.json").read_text())
    pca = content["models"]["pca"]["accuracies"][0]
    assert f"{100 * pca['mean']:.1f} ± {100 * pca['spread']:.1f}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nothing"], "nothing"),
        (["--model", "made"], "has no codes; take one that has"),
        (["--labels", "5"], "labels: expected at least 10"),
    ],
)
def test_transfers_that_cannot_be(words, message, reparam, tmp_path):
    words = words if "--model" in words else [*words, "--model", "pca"]
    code, _, error = reparam("transfer", "digits", *words, "-o", tmp_path / "t")
    assert code == 2 and message in " ".join(error.split()) and not (tmp_path / "t").exists()
