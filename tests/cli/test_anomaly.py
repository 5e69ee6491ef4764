"""reparam anomaly: files that it writes, classes that training left out, and what it refuses."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from commands import succeed
from PIL import Image

import reparam as rp
from reparam.data import load_foreign_rows


@pytest.fixture(scope="module")
def eightless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eightless")
    small = ["latent_dim=2", "hidden=16", "--epochs", 2]
    succeed("fit", "vae", "digits", "--without", 8, *small, "-o", folder / "vae")
    succeed("fit", "cvae", "digits", "--without", 8, *small, "-o", folder / "cvae")
    succeed("fit", "gan", "digits", "--epochs", 1, "-o", folder / "gan")
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """200 rows, of which every tenth has a weight that is far off; income is missing in two."""
    folder = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    with open(folder / "people.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["height", "weight", "income", "city", "kind"])
        for i in range(200):
            height, odd = random.normal(170, 9), i % 10 == 0
            weight = height - 100 + random.normal(0, 5) + 300 * odd
            income = "" if i in (20, 33) else round(np.exp(random.normal(10, 0.3)), 2)
            city, kind = ("Bern", "Chur")[i % 2], ("usual", "odd")[odd]
            writer.writerow([round(height, 1), round(weight, 1), income, city, kind])
    words = ["--label", "kind", "--without", "odd", "--epochs", 4, "latent_dim=2", "hidden=8"]
    succeed("fit", "vae", folder / "people.csv", *words, "-o", folder / "run")
    return folder


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_left_out_digits_are_ranked_with_one_line_for_each_score(eightless, tmp_path, reparam):
    words = ["anomaly", eightless / "vae", "digits", "--samples", 3, "-o"]
    code, out, err = reparam(*words, tmp_path / "r.csv", "--anomalous", 8)
    assert code == 0, err
    assert "359 examples, ranked by log_prob" in out
    assert "41 anomalous of 359 examples" in out
    assert "A likelihood alone can rank foreign data above" in " ".join(out.split())
    rows, classes = load_foreign_rows("digits", rp.load_data("digits", without="8"))
    odd = (rows.labels == classes.index("8")).numpy()
    found = table(tmp_path / "r.csv")
    assert [row["rank"] for row in found] == [str(i + 1) for i in range(359)]
    scores = [float(row["score"]) for row in found]
    assert scores == sorted(scores, reverse=True)
    order = np.array([int(row["row"]) for row in found])
    numbers = {int(number): i for i, number in enumerate(rows.numbers)}
    assert [row["label"] == "8" for row in found] == [odd[numbers[i]] for i in order]
    for name in ("score", "reconstruction", "rate", "typicality"):
        area = rp.auroc([float(row[name]) for row in found], [row["label"] == "8" for row in found])
        line = next(x for x in out.splitlines() if x.startswith(name.replace("score", "log_prob")))
        assert float(line.split()[1]) == pytest.approx(area.value, abs=6e-3)
    others = [str(i) for i in range(10) if i != 8]
    same = [word for name in others for word in ("--normal", name)]
    again = reparam(*words, tmp_path / "again.csv", *same)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "r.csv").read_text()
    assert "41 anomalous of 359" in again[1]


def test_pictures_archives_and_folders(eightless, tmp_path, reparam):
    words = ["anomaly", eightless / "vae", "--samples", 2, "-n", 20, "-o"]
    code, out, err = reparam(*words, tmp_path / "r.npz")
    assert code == 0, err
    assert "log_prob  reconstruction  rate" in out  # side by side
    with np.load(tmp_path / "r.npz") as found:
        assert found["x"].shape == (20, 1, 8, 8) and found["parts"].shape == (20, 1, 8, 8)
        assert (np.diff(found["score"]) <= 0).all()
        oddest = found["x"]
    assert reparam(*words, f"{tmp_path}/few/", "--top", 3)[0] == 0
    files = sorted((tmp_path / "few").iterdir())
    assert [file.name[:3] for file in files] == ["01-", "02-", "03-"]
    pixels = np.asarray(Image.open(files[0])).astype(float)
    assert np.abs(pixels / 255 - oddest[0, 0] / 16).max() < 1 / 255
    for by in ("log_prob", "reconstruction", "rate"):
        picture = tmp_path / f"{by}.png"
        assert reparam(*words, picture, "--by", by, "--top", 4)[0] == 0
        page = np.asarray(Image.open(picture))
        colored = (page.max(2).astype(int) - page.min(2) > 60).any()
        assert colored == (by != "rate")  # which has no parts, and so no heat
        assert (page[:5] == 255).all()
    assert reparam(*words[:4], "-n", 1, "-o", tmp_path / "one.png")[0] == 0


def test_a_table_names_columns_and_leaves_rows_of_training_out(people, tmp_path, reparam):
    words = ["anomaly", people / "run", people / "people.csv", "--label", "kind", "--samples", 5]
    code, out, err = reparam(*words, "--anomalous", "odd", "-o", tmp_path / "r.csv")
    assert code == 0, err
    found = table(tmp_path / "r.csv")
    data = rp.load_data(people / "people.csv", label="kind", without="odd")
    assert len(found) == 200 - len(data.train) - len(data.valid)
    assert f"Left out: {len(data.train) + len(data.valid)} of 200 rows" in out
    assert {row["label"] for row in found[:20]} == {"odd"}
    assert {row["most_1"] for row in found[:20]} == {"weight"}
    assert {row["label"] for row in found[20:]} == {"usual"}
    assert len({row["most_1"] for row in found[20:]}) > 1  # not income, by its large numbers alone
    assert "says nothing" in " ".join(out.split())  # an AUROC of 1 ± 0
    assert reparam("anomaly", people / "run", "-o", tmp_path / "own.csv")[0] == 0
    assert len(table(tmp_path / "own.csv")) == len(data.test)


@pytest.mark.parametrize(
    ("run", "words", "said"),
    [
        ("vae", ["--anomalous", 8], "training left out class '8'"),
        ("vae", ["digits", "--anomalous", "x"], "expected one of 0, 1"),
        ("vae", ["--anomalous", "x"], "anomalous: expected one of 0, 1"),
        ("vae", ["--anomalous", 1, "--normal", 2], "anomalous, normal: expected one of them"),
        ("vae", ["--normal", *"0 --normal 1 --normal 2 --normal 3 --normal 4 --normal 5".split(),
                 *"--normal 6 --normal 7 --normal 9".split()], "normal: all of the"),
        ("vae", ["--samples", 0], "samples: "),
        ("vae", ["--top", 0], "top: "),
        ("vae", ["-n", 0], "n: "),
        ("vae", ["--by", "odd"], "by"),
        ("gan", [], "by: GAN has neither log p(x) nor reconstructions"),
        ("cvae", ["digits"], "class '8' is none that the model is conditional on"),
        ("vae", ["digits", "--split", "train"], "split: is one of the run's own data"),
    ],
)  # fmt: skip
def test_what_cannot_be_ranked_is_refused(eightless, tmp_path, reparam, run, words, said):
    path = tmp_path / "r.csv"
    code, _, err = reparam("anomaly", eightless / run, *words, "-o", path)
    assert code == 2 and said in err, err
    assert len(err.strip().splitlines()) == 1 and not path.exists()


def test_given_examples_are_not_said_to_be_left_out(tmp_path, reparam):
    """Else the command would be advised that was just typed."""
    words = ["--only", 0, "latent_dim=2", "hidden=8", "--epochs", 1, "-o", tmp_path / "zeros"]
    succeed("fit", "vae", "digits", *words)
    words = ["anomaly", tmp_path / "zeros", "digits", "--anomalous"]
    code, _, err = reparam(*words, "x", "-o", tmp_path / "r.csv")
    assert code == 2 and "anomalous: expected one of 0, 1" in err
    assert reparam(*words, 3, "--samples", 2, "-o", tmp_path / "r.csv")[0] == 0


def test_without_labels_nothing_tells_what_is_anomalous(eightless, people, tmp_path, reparam):
    np.save(tmp_path / "x.npy", rp.load_data("digits").test.x[:4].numpy())
    words = ["anomaly", eightless / "vae", tmp_path / "x.npy", "-o", tmp_path / "r.csv"]
    assert reparam(*words, "--samples", 2)[0] == 0
    code, _, err = reparam(*words, "--anomalous", 8, "--force")
    assert code == 2 and "anomalous: the examples have no labels" in err
    code, _, err = reparam("anomaly", people / "run", "-o", tmp_path / "r.png")
    assert code == 2 and "these are not images" in err


def test_scores_that_need_training_rows_are_left_out_where_these_are_gone(
    people, tmp_path, reparam
):
    source, own = people / "people.csv", tmp_path / "own.csv"
    away = source.rename(tmp_path / "away.csv")
    try:
        own.write_bytes(away.read_bytes())
        words = ["anomaly", people / "run", own, "--samples", 2, "-o", tmp_path / "r.csv"]
        code, out, err = reparam(*words)
        assert code == 0, err
        assert "Not measured: reconstruction, typicality, of training rows." in " ".join(
            out.split()
        )
        assert {"score", "rate"} <= table(tmp_path / "r.csv")[0].keys()
        assert not {"reconstruction", "typicality"} & table(tmp_path / "r.csv")[0].keys()
        code, _, err = reparam(*words, "--by", "typicality", "--force")
        assert code == 2 and "its data are not at" in err
    finally:
        away.rename(source)


def test_a_picture_is_not_wider_than_anybody_can_see(eightless, tmp_path, reparam):
    words = ["anomaly", eightless / "vae", "--top", 101, "-o", tmp_path / "r.png"]
    code, _, err = reparam(*words)
    assert code == 2 and "top: expected at most 100 in a row of a picture" in err
    assert not (tmp_path / "r.png").exists()
