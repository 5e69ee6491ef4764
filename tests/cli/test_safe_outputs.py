"""What commands write: beside data and runs, under odd names, in large numbers, row by row."""

from __future__ import annotations

import csv
import os

import numpy as np
import pytest
from PIL import Image

import reparam as rp
from reparam.train import RunFolder

BAD = os.fsdecode(b"b\xff")  # no UTF-8


def images(folder, names, side=4):
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8))
        with open(folder / name, "wb") as file:
            image.save(file, "PNG")
    return folder


def cells(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A run on a table with attributes that are called as what commands write beside them."""
    folder = tmp_path_factory.mktemp("conditional")
    rows = np.random.default_rng(0).normal(size=(60, 4)).round(3)
    table = folder / "t.csv"
    table.write_text("\n".join(["a,b,x,x_", *(",".join(map(str, row)) for row in rows)]))
    return folder, rows


def test_an_attribute_called_x_leaves_the_samples_alone(reparam, conditional):
    folder, rows = conditional
    words = ["--attribute", "x", "--attribute", "x_", "latent_dim=1", "hidden=4", "--epochs", 1]
    assert reparam("fit", "cvae", folder / "t.csv", *words, "-o", folder / "r")[0] == 0
    assert reparam("sample", folder / "r", "-n", 5, "-o", folder / "s.npz")[0] == 0
    with np.load(folder / "s.npz") as found:
        assert found.files == ["x", "x__", "x_"] and found["x"].shape == (5, 2)
        assert set(found["x__"].tolist()) <= set(rows[:, 2].astype(np.float32).tolist())
        assert set(found["x_"].tolist()) <= set(rows[:, 3].astype(np.float32).tolist())
    assert reparam("sample", folder / "r", "-n", 5, "-o", folder / "s.csv")[0] == 0
    header, *found = cells(folder / "s.csv")
    assert header == ["a", "b", "x__", "x_"] and len(found) == 5


def test_names_that_are_not_utf8_are_refused_by_name_or_written_as_text(reparam, tmp_path):
    try:
        os.mkdir(tmp_path / BAD)
    except OSError:
        pytest.skip("this file system takes no such names")
    classes = images(tmp_path / "classes", [f"{c}/{i}.png" for c in ("a", BAD) for i in range(9)])
    code, _, error = reparam("fit", "pca", classes, "-o", tmp_path / "r")
    assert code == 2 and r"class folders that are not UTF-8: b\udcff; rename" in error
    root = images(tmp_path / BAD, [f"{i}.png" for i in range(9)])
    code, _, error = reparam("fit", "pca", root, "-o", tmp_path / "r")
    assert code == 2 and r"cannot hold the name b\udcff, which is not UTF-8; rename" in error
    assert not (tmp_path / "r").exists()
    files = images(tmp_path / "files", [f"{i}{BAD}.png" for i in range(9)])
    assert reparam("fit", "pca", files, "latent_dim=1", "-o", tmp_path / "r")[0] == 0
    assert reparam("encode", tmp_path / "r", "-o", tmp_path / "z.csv")[0] == 0
    assert all(row[-1].endswith(r"b\udcff.png") for row in cells(tmp_path / "z.csv")[1:])


def test_weights_with_names_that_could_not_be_read_again_are_refused(tmp_path):
    model = rp.build("cvae", rp.Space((3,), "real", classes=2), latent_dim=1, hidden=(2,))
    model.class_names = ("a", BAD)
    with pytest.raises(ValueError, match=r"cannot hold the name b.udcff, which is not UTF-8"):
        rp.save(model, tmp_path / "m")
    model.class_names = ("a", "naïve 💀")
    assert rp.load(rp.save(model, tmp_path / "m").parent).class_names == model.class_names


def test_a_damaged_run_is_not_called_removed(tmp_path):
    folder, data = RunFolder(tmp_path / "r"), rp.load_data("digits")
    model = rp.build("pca", data.space, latent_dim=2)
    folder.begin(model, data, rp.TrainConfig(), False)
    (tmp_path / "r" / "run.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        folder.save_model(model, model.state_dict())


def test_tables_hold_no_controls_of_terminals(reparam, tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 2)).round(3)
    lines = (f"{a},{b},k\x1b[2J{i % 2}" for i, (a, b) in enumerate(rows))
    (tmp_path / "t.csv").write_text("\n".join(['"dr\x1b[31mift","two\nlines",y', *lines]))
    words = ["--label", "y", "latent_dim=1", "-o", tmp_path / "r"]
    assert reparam("fit", "pca", tmp_path / "t.csv", *words)[0] == 0
    for command in ("reconstruct", "encode"):
        assert reparam(command, tmp_path / "r", "-o", tmp_path / f"{command}.csv")[0] == 0
    header = cells(tmp_path / "reconstruct.csv")[0]
    assert header[:2] == [r"dr\x1b[31mift", "two\nlines"]
    text = (tmp_path / "encode.csv").read_text()
    assert r"k\x1b[2J1" in text and "\x1b" not in text


def test_no_picture_goes_among_images_that_are_read(reparam, tmp_path):
    photos = images(tmp_path / "photos", [f"{i}.png" for i in range(9)])
    others = images(tmp_path / "others", ["0.png"])
    assert reparam("fit", "pca", photos, "latent_dim=1", "-o", tmp_path / "r")[0] == 0
    for words in (
        ["sample", tmp_path / "r", "-o", photos / "s.png"],
        ["reconstruct", tmp_path / "r", others, "-o", others / "s.png"],
    ):
        code, _, error = reparam(*words)
        assert code == 2 and "whose images are read as data" in error
    assert reparam("encode", tmp_path / "r", "-o", photos / "z.csv")[0] == 0
    assert reparam("evaluate", tmp_path / "r")[0] == 0


def test_nothing_is_written_over_a_run(reparam, runs, tmp_path):
    before = sorted(path.name for path in (runs / "vae").iterdir())
    for out in (f"{runs / 'vae'}/", runs / "vae" / "history.csv"):
        code, _, error = reparam("sample", runs / "vae", "-n", 2, "-o", out, "--force")
        assert code == 2 and "is of the run in" in error
    assert sorted(path.name for path in (runs / "vae").iterdir()) == before


def test_samples_are_not_mixed_with_others_that_are_numbered_otherwise(reparam, runs, tmp_path):
    words = ["sample", runs / "vae", "-o", f"{tmp_path}/s/", "-n"]
    assert reparam(*words, 11)[0] == 0
    code, _, error = reparam(*words, 5, "--force")
    assert code == 2 and "00.png would stay among the new images with 10 others" in error
    assert len(list((tmp_path / "s").iterdir())) == 11
    words_of_two = ["sample", runs / "vae", "-o", f"{tmp_path}/two/", "-n", 2]
    assert reparam(*words_of_two)[0] == 0
    code, _, error = reparam(*words_of_two)
    assert code == 2 and "0.png and 1 other exist already" in error
    assert reparam(*words, 11, "--force")[0] == 0


def test_a_picture_of_too_many_is_refused_before_they_are_drawn(reparam, runs, tmp_path):
    code, _, error = reparam("sample", runs / "vae", "-n", 50_000, "-o", tmp_path / "b.png")
    assert code == 2 and "at most 10000 images in one picture, got 50000; write .npz" in error


def test_samples_say_how_far_they_are(reparam, runs, tmp_path, monkeypatch):
    from reparam import batching, progress

    news, bar = [], progress.bar
    monkeypatch.setattr(batching, "draws_at_once", lambda space, device=None: 2)

    def recorded(name):
        shown = bar(name)
        enter = type(shown).__enter__
        monkeypatch.setattr(
            type(shown), "__enter__", lambda self: (enter(self), lambda *told: news.append(told))[1]
        )
        return shown

    monkeypatch.setattr(progress, "bar", recorded)
    assert reparam("sample", runs / "vae", "-n", 4, "-o", f"{tmp_path}/s/")[0] == 0
    assert news == [("samples", 0.0), ("samples", 0.5)]


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    """Tiny binary images, small enough for a likelihood that is drawn pixel by pixel."""
    x = np.random.default_rng(0).integers(0, 2, (40, 1, 3, 5)).astype(np.uint8)
    path = tmp_path_factory.mktemp("pixels") / "x.npz"
    np.savez(path, x=x, y=np.arange(40) % 2)
    return path


@pytest.mark.parametrize(
    "model, command, options, name",
    [
        ("vae", "reconstruct", ["--draw"], "x"),
        ("pixel-vae", "reconstruct", ["--draw"], "x"),
        ("denoising-ae", "denoise", ["--noise", "gaussian"], "x"),
        ("cvae", "classify", ["--samples", 3], "log_p"),
    ],
)
def test_a_row_is_drawn_alike_whichever_stand_beside_it(
    reparam, pixels, tmp_path, model, command, options, name
):
    small = ["latent_dim=2", *(["hidden=4"] if model != "pixel-vae" else [])]
    words = ["fit", model, pixels, *small, "--epochs", 1, "-o", tmp_path / "r"]
    code, _, error = reparam(*words)
    assert code == 0, error
    found = []
    for n in (3, 17):
        out = tmp_path / f"{n}.npz"
        words = [command, tmp_path / "r", *options, "--split", "train", "-n", n, "-o", out]
        code, _, error = reparam(*words)
        assert code == 0, error
        with np.load(out) as archive:
            found.append(archive[name])
    assert np.allclose(found[0], found[1][:3], atol=1e-5)
    assert len(np.unique(found[1].reshape(17, -1), axis=0)) > 1
