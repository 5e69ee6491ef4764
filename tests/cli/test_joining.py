"""What is written can be joined to what it was made of: splits, classes, files and rows."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.data import load_rows

RNG = np.random.default_rng(0)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def photos(tmp_path):
    """Three folders of four photos each, told apart by their first pixel."""
    for number in range(12):
        folder = tmp_path / "photos" / ["cat", "dog", "emu"][number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (4, 4), np.uint8)
        pixels[0, 0] = number
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_codes_can_be_joined_to_photos(reparam, photos, tmp_path):
    run = tmp_path / "run"
    assert reparam("fit", "pca", photos, "latent_dim=1", "-o", run)[0] == 0
    paths = []
    for split in ("train", "valid", "test"):
        code, _, err = reparam("encode", run, "--split", split, "-o", tmp_path / f"{split}.csv")
        assert code == 0, err
        for row in read(tmp_path / f"{split}.csv"):
            assert row["path"].split("/")[0] == row["label"] and "row" not in row
            alone = load_rows(photos / row["path"], rp.load_data(photos))
            code = rp.load(run).encode(alone.x)
            assert float(row["z0"]) == pytest.approx(code.item(), rel=1e-4, abs=1e-4)
            paths.append(row["path"])
    assert sorted(paths) == sorted(str(p.relative_to(photos)) for p in photos.rglob("*.png"))
    assert reparam("reconstruct", run, "-o", tmp_path / "r.npz")[0] == 0
    with np.load(tmp_path / "r.npz") as arrays:
        assert set(arrays["path"]) == {row["path"] for row in read(tmp_path / "test.csv")}
    code, _, err = reparam("encode", run, photos, "--split", "train", "-o", tmp_path / "x.csv")
    assert code == 2 and "split: is one of the run's own data" in err


def test_codes_can_be_joined_to_rows_of_a_table(reparam, tmp_path):
    x = RNG.random((40, 2))
    rows = [f"{a},{b},{'uvw'[i % 3]}" for i, (a, b) in enumerate(x)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *rows]))
    words = ["--label", "y", "--without", "v", "latent_dim=1", "-o", tmp_path / "run"]
    assert reparam("fit", "pca", tmp_path / "t.csv", *words)[0] == 0
    seen = []
    for split in ("train", "valid", "test"):
        out = tmp_path / f"{split}.csv"
        assert reparam("encode", tmp_path / "run", "--split", split, "-o", out)[0] == 0
        numbers = [int(row["row"]) for row in read(out)]
        codes = rp.load(tmp_path / "run").encode(torch.tensor(x[numbers])).flatten().tolist()
        assert [float(row["z0"]) for row in read(out)] == pytest.approx(codes, abs=1e-4)
        assert [row["label"] for row in read(out)] == ["uvw"[number % 3] for number in numbers]
        seen += numbers
    kept = [i for i in range(40) if i % 3 != 1]
    assert sorted(seen) == kept
    out = tmp_path / "all.csv"
    code, said, _ = reparam(
        "encode", tmp_path / "run", tmp_path / "t.csv", "--label", "y", "-o", out
    )
    assert code == 0 and [int(row["row"]) for row in read(out)] == kept
    assert "13 of 40 rows, of classes that training left out: v" in " ".join(said.split())


@pytest.mark.parametrize(
    "run, words",
    [
        ("ae", ["reconstruct", "-n", 3]),
        ("ae", ["denoise", "--noise", "masking", "-n", 3]),
        ("made", ["complete", "-n", 3, "--draws", 1]),
        ("ae", ["encode", "-n", 3]),
    ],
)
def test_every_command_takes_a_split(reparam, runs, run, words, tmp_path):
    out = tmp_path / "o.csv"
    code, _, err = reparam(words[0], runs / run, *words[1:], "--split", "train", "-o", out)
    train = rp.load_data("digits").train
    assert code == 0, err
    assert [int(row["row"]) for row in read(out)] == [0, 1, 2]
    assert [int(row["label"]) for row in read(out)] == train.labels[:3].tolist()


@pytest.mark.parametrize("words", [["interpolate", 3, 4], ["traverse", 3], ["vary", 3]])
def test_numbers_of_examples_are_those_of_a_split(reparam, runs, words, tmp_path):
    name, *numbers = words
    shown = {}
    for split in ("train", "test"):
        out = tmp_path / f"{split}.npz"
        code, _, err = reparam(name, runs / "vae", *numbers, "--split", split, "-o", out)
        assert code == 0, err
        shown[split] = np.load(out)["x"]
    assert not np.allclose(shown["train"], shown["test"])


def test_data_describes_a_table_by_column(reparam, tmp_path):
    rows = "".join(f"{i % 5},{i / 2},{-i}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("a,b,[c]\n" + rows)
    code, out, err = reparam("data", tmp_path / "t.csv", "--attribute", "[c]")
    data = rp.load_data(tmp_path / "t.csv", attributes="[c]")
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    b, c = data.train.x[:, 1].double(), data.train.attributes[:, 0].double()
    for name, what, values in (("b", "real", b), ("[c]", "attribute", c)):
        numbers = (values.min(), values.mean(), values.std(correction=0), values.max())
        assert lines[name] == [name, what, *(f"{v:.4g}" for v in numbers), str(len(values))], err
    assert lines["a"][-1] == "5" and code == 0
    (tmp_path / "wide.csv").write_text(
        "\n".join(
            [
                ",".join(f"c{i}" for i in range(3000)),
                *(",".join(map(str, r)) for r in RNG.random((4, 3000))),
            ]
        )
    )
    _, out, _ = reparam("data", tmp_path / "wide.csv")
    assert len(out.splitlines()) < 90 and "2950 more" in out


def test_cells_of_text_are_no_formulas(reparam, tmp_path):
    """A spreadsheet would run them; numbers stay numbers, and reading gives the names again."""
    names = ["=cmd|'/c calc'!A1", "+1+1", "@sum", "-5", "-a"]
    rows = "".join(f'{i / 7},{-i},"{names[i % 5]}"\n' for i in range(60))
    (tmp_path / "t.csv").write_text("=x,-log10(p),y\n" + rows)
    words = [tmp_path / "t.csv", "--label", "y", "latent_dim=1", "-o", tmp_path / "run"]
    assert reparam("fit", "pca", *words)[0] == 0
    assert reparam("encode", tmp_path / "run", "--split", "train", "-o", tmp_path / "z.csv")[0] == 0
    labels = {row["label"] for row in read(tmp_path / "z.csv")}
    assert labels == {"'=cmd|'/c calc'!A1", "'+1+1", "'@sum", "-5", "'-a"}
    out = tmp_path / "s.csv"
    assert reparam("reconstruct", tmp_path / "run", "--split", "train", "-o", out)[0] == 0
    header, *written = list(csv.reader(out.open(newline="")))
    assert header[:2] == ["'=x", "'-log10(p)"]
    assert all(float(cell) <= 1 for _, cell, *_ in written)  # -3 is not text
    again = rp.load_data(out, label="label", drop="row")
    assert again.columns == ("=x", "-log10(p)") and set(again.class_names) == set(names)
    assert len(load_rows(out, rp.load_data(tmp_path / "t.csv", label="y"))) == len(written)
