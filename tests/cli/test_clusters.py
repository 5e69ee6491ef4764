"""Clusters as a user asks for them, and samples of several classes."""

import csv

import numpy as np
import pytest
from PIL import Image

import reparam as rp


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A small conditional run."""
    folder = tmp_path_factory.mktemp("conditional")
    digits = rp.load_data("digits")
    model = rp.build("cvae", digits.space, latent_dim=2, hidden=(16,))
    rp.fit(model, digits, epochs=1, out=folder / "cvae", progress=False)
    return folder / "cvae"


def test_a_table_says_the_cluster_of_each_example(reparam, runs, tmp_path):
    out = tmp_path / "c.csv"
    code, text, error = reparam("cluster", runs / "pca", "-k", 10, "-o", out)
    said = " ".join(text.split())
    assert code == 0 and "359 examples in 10 clusters" in said and "sizes: " in said, error
    assert "adjusted_rand" in said and "adjusted_mutual_information" in said
    with out.open() as file:
        header, *rows = csv.reader(file)
    assert header == ["cluster", "distance", "label", "row"] and len(rows) == 359
    expected = rp.cluster(rp.load(runs / "pca"), rp.load_data("digits"), 10)
    assert [int(row[0]) for row in rows] == expected.assigned.tolist()
    assert reparam("cluster", runs / "pca", "-k", 10, "-o", tmp_path / "c.npz")[0] == 0
    assert (np.load(tmp_path / "c.npz")["cluster"] == expected.assigned.numpy()).all()


def test_a_picture_has_a_row_for_each_cluster_and_a_folder_one_below_it(reparam, runs, tmp_path):
    words = ["cluster", runs / "vae", "-k", 3, "--method", "mixture"]
    assert reparam(*words, "-o", tmp_path / "c.png")[0] == 0
    width, height = Image.open(tmp_path / "c.png").size
    assert 3.5 < width / height < 4.5  # three rows of twelve
    assert reparam(*words, "--split", "valid", "-o", f"{tmp_path}/folder/")[0] == 0
    assert {path.name for path in (tmp_path / "folder").iterdir()} <= {"0", "1", "2"}
    count = len(rp.load_data("digits").valid)
    assert len(list((tmp_path / "folder").rglob("*.png"))) == count


def test_auto_takes_the_lowest_bic(reparam, runs, tmp_path):
    words = ("cluster", runs / "vae", "--method", "kmeans", "-o", tmp_path / "c.csv")
    code, text, error = reparam(*words)
    expected = rp.cluster(rp.load(runs / "vae"), rp.load_data("digits"), "auto", method="kmeans")
    assert len(expected.sizes) > 1
    assert code == 0 and f"{len(expected.sizes)} clusters" in " ".join(text.split()), error
    assert min(expected.bic.values()) == expected.bic[len(expected.sizes)]


@pytest.mark.parametrize(
    "name, words, message",
    [
        ("vae", ["-k", 0], "k: expected a positive whole number"),
        ("vae", ["-k", 99999], "k: expected at most the 1258 training examples, got 99999"),
        ("made", ["-k", 3], "Autoregressive has no codes"),
        ("vae", ["-k", "many"], "many"),
    ],
)
def test_what_cannot_be_clustered_is_refused(reparam, runs, tmp_path, name, words, message):
    out = tmp_path / "c.csv"
    code, _, error = reparam("cluster", runs / name, *words, "-o", out)
    assert code == 2 and message in " ".join(error.split()) and not out.exists()


def test_samples_of_several_classes_are_as_many_of_each(reparam, conditional, tmp_path):
    words = ["sample", conditional, "--label", "7", "--label", "2"]
    code, text, error = reparam(*words, "-n", 3, "-o", tmp_path / "s.npz")
    assert code == 0 and "6 samples" in text, error
    assert np.load(tmp_path / "s.npz")["label"].tolist() == ["7"] * 3 + ["2"] * 3
    assert reparam(*words, "-o", tmp_path / "s.png")[0] == 0
    width, height = Image.open(tmp_path / "s.png").size
    assert 3.5 < width / height < 4.5  # two rows of eight
    assert reparam(*words, "-n", 2, "-o", f"{tmp_path}/folder/")[0] == 0
    assert len(list((tmp_path / "folder").iterdir())) == 4
    assert reparam(*words[:4], "-n", 5, "-o", tmp_path / "one.npz")[0] == 0
    assert np.load(tmp_path / "one.npz")["label"].tolist() == ["7"] * 5
    code, _, error = reparam(*words, "--label", "x", "-o", tmp_path / "no.npz")
    assert code == 2 and "label: expected one of" in error and not (tmp_path / "no.npz").exists()
