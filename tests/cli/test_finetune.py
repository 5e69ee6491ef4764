"""A run is fine-tuned as a user types it, classifies files, and is refused in one line."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

import reparam as rp


@pytest.fixture(scope="module")
def tuned(runs, tmp_path_factory):
    from commands import succeed

    out = tmp_path_factory.mktemp("tuned") / "tuned"
    words = ["--labels", "20,100", "--seeds", 2, "--epochs", 3, "--tune", "linear"]
    succeed("finetune", runs / "ae", *words, "-o", out)
    return out


def test_it_trains_says_and_continues(runs, tuned, reparam):
    content = json.loads((tuned / "finetuning.json").read_text())
    assert [(one["labels"], one["seed"]) for one in content["runs"]] == [
        *((20, seed) for seed in range(2)),
        *((100, seed) for seed in range(2)),
    ]
    before = (tuned / "labels=20_seed=1" / "run.json").read_bytes()
    words = ["--labels", "20,100", "--seeds", 2, "--epochs", 3, "--tune", "linear", "-o", tuned]
    code, said, err = reparam("finetune", runs / "ae", *words)
    assert code == 0, err
    assert "labels" in said and "± standard deviation over 2 draws" in said
    assert (tuned / "labels=20_seed=1" / "run.json").read_bytes() == before


def test_a_folder_classifies_by_the_most_labels(tuned, reparam, tmp_path):
    photos, data = tmp_path / "photos", rp.load_data("digits")
    photos.mkdir()
    for i, x in enumerate(data.test.x[:3]):
        Image.fromarray(np.uint8(x[0] / 16 * 255)).save(photos / f"{i}.png")
    code, said, err = reparam("classify", tuned, photos, "-o", tmp_path / "c.csv")
    assert code == 0, err
    assert "100 labels, seed 0: labels=100_seed=0." in said
    with (tmp_path / "c.csv").open() as file:
        header, *rows = csv.reader(file)
    model = rp.load(tuned / "labels=100_seed=0")
    wanted = rp.classify(model, data.test.x[:3])
    found = np.array(rows)[:, :10].astype(float)
    # 8 bits of 17 levels: the nearest level is the one that was written.
    assert np.allclose(found, wanted, atol=1e-4) and header[10] == "class"


def test_evaluate_says_how_many_labels_are_told(tuned, reparam):
    code, said, err = reparam("evaluate", tuned / "labels=100_seed=0")
    assert code == 0, err
    assert "accuracy" in said and "label_cross_entropy" in said and "probe" not in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["explore"], "Classifier makes no x that one could look at; explore a vae or ae"),
        (["reconstruct", "-o", "a.png"], "Classifier has codes, but makes no x of them; use mae"),
        (["sample", "-o", "a.png"], "Classifier does not generate; use a density or a VAE"),
        (["anomaly", "-o", "a.png"], "by: Classifier has neither log p(x) nor reconstructions"),
    ],
)
def test_what_a_classifier_cannot_do_is_said_in_a_line(words, why, tuned, reparam, monkeypatch):
    monkeypatch.chdir(tuned.parent)
    code, _, err = reparam(words[0], tuned / "labels=20_seed=0", *words[1:])
    assert code == 2 and why in err, err
    assert not (tuned.parent / "a.png").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["made", "--labels", "20"], "made: expected a model with codes, got made, which has none"),
        (["ae", "--labels", "5"], "labels: expected at least 10, one for each class, got 5"),
        (["ae", "checkerboard"], "data: expected Space"),
        (["ae", "--labels", "some"], "labels: expected numbers or all, as 10,100,all, got 'some'"),
        (["ae", "--seeds", "0"], "seeds: expected a positive whole number, got 0"),
        (["ae", "--seed", "3"], "seed: fine-tunings have seeds 0, 1"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(words, why, runs, reparam, tmp_path):
    out = tmp_path / "out"
    code, _, err = reparam("finetune", runs / words[0], *words[1:], "-o", out)
    assert code == 2 and why in err, err
    assert err.count("\n") <= 3 and not out.exists()
