"""Folders of images on the command line: how they are read, and a user's own picture in a run."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng(0)


@pytest.fixture
def photos(tmp_path):
    """Gray photos, and a table of ages and hair."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "photos").mkdir()
    lines = ["file,age,hair"]
    for i in range(12):
        pixels = RNG.integers(0, 256, (6, 6), np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.png")
        lines.append(f"{i}.png,{20 + i},{('red', 'gray')[i % 2]}")
    (folder / "people.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def deep(tmp_path):
    """Stacks of 12-bit frames with something transparent beside them."""
    (tmp_path / "deep").mkdir()
    for name in "abc":
        frames = [RNG.integers(0, 4096, (4, 4)).astype(np.uint16) for _ in range(5)]
        first, *others = map(Image.fromarray, frames)
        first.save(tmp_path / "deep" / f"{name}.tif", save_all=True, append_images=others)
    icon = Image.new("LA", (4, 4), (0, 0))
    icon.save(tmp_path / "deep" / "icon.png")
    return tmp_path / "deep"


def test_how_images_are_read_is_asked_for_and_told(reparam, deep):
    code, _, err = reparam("data", deep)
    assert code == 2 and "a.tif has more than 8 bits" in err and "--range 0,65535" in err
    words = ["--range", "0,4095", "--frames", "all", "--background", "black"]
    code, out, err = reparam("data", deep, *words)
    out = " ".join(out.split())
    assert code == 0, err
    assert "values 0 to 4095 became 0 to 255" in out and "became black (background)" in out
    assert "train 11, valid 2, test 3" in out and "left out" not in out
    code, out, err = reparam("data", deep / "a.tif")
    assert code == 0 and "train 3, valid 1, test 1" in out, err
    code, out, err = reparam("data", deep, "--range", "-9,4095")
    assert code == 0 and "values -9 to 4095 became" in " ".join(out.split()), err
    for wrong, message in (("5", "expected two numbers, as 0,65535"), ("9,x", "got 'x'")):
        code, _, err = reparam("data", deep, "--range", wrong)
        assert code == 2 and message in " ".join(err.split())


def test_pictures_of_frames_have_their_numbers(reparam, deep, tmp_path):
    words = ["fit", "pca", deep / "a.tif", "latent_dim=1", "-o", tmp_path / "run"]
    assert reparam(*words)[0] == 0
    words = ["reconstruct", tmp_path / "run", deep / "a.tif", "-o", tmp_path / "out"]
    code, out, err = reparam(*words)
    assert code == 0, err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"a-{i}.png" for i in range(5)]
    assert "(as in the other data)" in " ".join(out.split())


def test_a_users_own_picture(reparam, photos, tmp_path):
    run = tmp_path / "run"
    words = ["fit", "pca", photos / "photos", "latent_dim=2", "-o", run]
    assert reparam(*words)[0] == 0
    Image.new("RGBA", (30, 20), (200, 10, 10, 128)).save(tmp_path / "me.png")
    code, out, err = reparam("reconstruct", run, tmp_path / "me.png", "-o", tmp_path / "r.png")
    assert code == 0, err
    out = " ".join(out.split())
    assert "1 image resized to 6 × 6 (crop)." in out
    assert "1 image in color became gray, as the other data are." in out
    assert "what is transparent became white" in out


def test_photos_are_conditioned_on_a_table(reparam, photos, tmp_path):
    run = tmp_path / "run"
    table = ["--attribute-table", photos / "people.csv"]
    small = ["latent_dim=2", "hidden=4", "--epochs", 1]
    code, _, err = reparam("fit", "cvae", photos / "photos", *table, *small, "-o", run)
    assert code == 0, err
    words = ["sample", run, "-n", 2, "--attribute", "age=30", "--attribute"]
    code, _, err = reparam(*words, "hair=red", "-o", tmp_path / "a.npz", "--seed", 1)
    assert code == 0, err
    long = ["hair:red=1", "--attribute", "hair:gray=0"]
    assert reparam(*words, *long, "-o", tmp_path / "b.npz", "--seed", 1)[0] == 0
    assert np.array_equal(np.load(tmp_path / "a.npz")["x"], np.load(tmp_path / "b.npz")["x"])
    code, _, err = reparam(*words, "hair=blue", "-o", tmp_path / "c.npz")
    assert code == 2 and "expected hair as one of gray, red, got 'blue'" in " ".join(err.split())
    assert reparam("reconstruct", run, "-o", tmp_path / "r.png")[0] == 0
    photo = photos / "photos" / "0.png"
    code, _, err = reparam("reconstruct", run, photo, "-o", tmp_path / "s.png")
    assert code == 2 and "conditional on attributes (age, hair:gray, hair:red); give an .npz" in (
        " ".join(err.split())
    )
    (tmp_path / "moved").mkdir()
    for part in ("photos", "people.csv"):
        (photos / part).rename(tmp_path / "moved" / part)
    code, _, err = reparam("evaluate", run, "--data", tmp_path / "moved" / "photos", "--samples", 2)
    assert code == 0, err


def test_odd_sides_are_refused_with_a_remedy_that_works(reparam, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (13, 10), dtype=np.uint8)).save(
            folder / f"{number}.png"
        )
    words = ["fit", "glow", folder, "layers=1", "channels=4", "--epochs", 1]
    code, _, error = reparam(*words, "-o", tmp_path / "r")
    assert code == 2 and "expected even sides, got 13 × 10" in error
    size = re.search(r"--size (\S+)", error)
    assert size is not None
    assert reparam(*words, "-o", tmp_path / "r", "--size", size[1])[0] == 0
