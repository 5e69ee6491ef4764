"""Folders of images: an 8-bit file for each example, with the name and the size of its source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.data import load_rows

SIZES = {"a/one.png": (5, 9), "a/two.jpg": (12, 7), "b/one.png": (8, 8), "b/three.bmp": (3, 11)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of odd sizes in class folders."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(200, 256, (height, width), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def fitted(photos):
    """Runs on these images by the way in which they were brought to one size."""
    for fit in ("crop", "pad"):
        data = rp.load_data(photos / "photos", size=6, fit_size=fit)
        model = rp.build("vae", data.space, latent_dim=2, hidden=(4,), seed=0)
        rp.fit(model, data, out=photos / fit, epochs=1, progress=False)
    return photos


def opened(folder):
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): np.asarray(Image.open(path)) for path in found}


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_each_image_has_the_name_and_the_size_of_its_source(reparam, fitted, tmp_path, fit):
    words = [fitted / fit, fitted / "photos", "-o", f"{tmp_path / 'out'}/"]
    code, out, err = reparam("reconstruct", *words)
    assert code == 0, err
    images = opened(tmp_path / "out")
    expected = {name.rsplit(".", 1)[0] + ".png": size for name, size in SIZES.items()}
    assert {name: image.shape for name, image in images.items()} == expected
    assert all(image.dtype == np.uint8 for image in images.values())
    assert ("cropped before the model" in out) == (fit == "crop")
    # What the model has seen of the tall one is all of it, or 7 × 7 in the middle of 12 × 7.
    seen = images["a/two.png"][2:9] if fit == "crop" else images["a/two.png"]
    assert (seen > 0).all()
    if fit == "crop":
        assert (images["a/two.png"][:2] == 0).all() and (images["a/two.png"][9:] == 0).all()


def test_a_source_of_the_models_size_gives_the_reconstruction_itself(reparam, fitted, tmp_path):
    """No resizing, and 8 bits of what the library gives."""
    x = torch.randint(0, 256, (1, 6, 6), dtype=torch.uint8)
    Image.fromarray(x[0].numpy()).save(tmp_path / "new.png")
    words = [fitted / "crop", tmp_path / "new.png", "-o", tmp_path / "out"]
    code, _, err = reparam("reconstruct", *words)
    assert code == 0, err
    model = rp.load(fitted / "crop")
    expected = model.reconstruct(x[None].float()).detach().round()[0, 0]
    images = opened(tmp_path / "out")
    assert list(images) == ["new.png"]
    np.testing.assert_allclose(images["new.png"], expected, atol=1)


def test_bars_that_were_added_are_cut_off():
    """Before the rest is enlarged, so that none of their black gets into it."""
    from reparam.cli.folders import restored

    padded = Image.new("L", (6, 6))
    padded.paste(255, (0, 1, 6, 5))  # of 9 × 6 (width × height) by ImageOps.pad: 6 × 4, bars of 1
    assert (np.asarray(restored(padded, (9, 6), "pad")) == 255).all()


def test_files_that_exist_are_kept_unless_forced(reparam, fitted, tmp_path):
    words = ["reconstruct", fitted / "pad", fitted / "photos", "-o", tmp_path]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.png").write_text("mine")
    code, _, err = reparam(*words)
    assert code == 2 and "b/one.png exist" in err and "--force" in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "b" / "one.png"]
    code, _, err = reparam(*words, "--force")
    assert code == 0, err
    assert len(opened(tmp_path)) == 4


def test_images_that_are_read_are_never_written_over(reparam, fitted, tmp_path):
    """Neither the run's own, by whatever command, nor those that are given; no force changes it."""
    photos, given = fitted / "photos", tmp_path / "given"
    given.mkdir()
    Image.new("L", (6, 6), 9).save(given / "00.png")
    files = [path for folder in (photos, given) for path in folder.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    for words in (
        ["reconstruct", fitted / "pad", "-o", f"{photos}/"],
        ["sample", fitted / "pad", "-n", 2, "-o", photos / "a"],
        ["sample", fitted / "pad", "-o", photos / "a" / "one.png"],
        ["reconstruct", fitted / "pad", given, "-o", given],
        ["reconstruct", fitted / "pad", given, "-o", given / "00.png"],
        ["reconstruct", fitted / "pad", given / "00.png", "-o", given / "00.png"],
        ["vary", fitted / "pad", given / "00.png", "-o", given / "00.png"],
    ):
        code, _, err = reparam(*words, "--force")
        assert code == 2 and "read as data" in err, words
    found = [path for folder in (photos, given) for path in folder.rglob("*") if path.is_file()]
    assert {path: path.read_bytes() for path in found} == before


def test_tables_that_are_read_are_never_written_over(reparam, tmp_path):
    """Neither the run's own nor one that is given."""
    rows = np.random.default_rng(0).normal(size=(20, 3))
    for name in ("x", "new"):
        np.savetxt(tmp_path / f"{name}.csv", rows, delimiter=",", header="a,b,c", comments="")
    run, before = tmp_path / "run", (tmp_path / "x.csv").read_bytes()
    assert reparam("fit", "pca", tmp_path / "x.csv", "latent_dim=1", "-o", run)[0] == 0
    for words in (
        ["sample", run, "-o", tmp_path / "x.csv"],
        ["encode", run, tmp_path / "new.csv", "-o", tmp_path / "new.csv"],
        ["reconstruct", run, tmp_path / "new.csv", "-o", tmp_path / "x.csv"],
    ):
        code, _, err = reparam(*words, "--force")
        assert code == 2 and "is read as data; choose another name" in err, words
    assert (tmp_path / "x.csv").read_bytes() == (tmp_path / "new.csv").read_bytes() == before
    code, _, err = reparam("encode", run, tmp_path / "new.csv", "-o", tmp_path / "codes.csv")
    assert code == 0, err


def test_a_folder_with_a_dot_in_its_name_and_an_empty_name(reparam, fitted, tmp_path):
    (tmp_path / "out.v2").mkdir()
    for out, wanted in ((tmp_path / "out.v2", 0), ("", 2)):
        code, _, err = reparam("sample", fitted / "pad", "-n", 2, "-o", out)
        assert code == wanted, err
    assert len(opened(tmp_path / "out.v2")) == 2


def test_colliding_names_are_refused_before_anything_is_written(reparam, fitted, tmp_path):
    for suffix in (".png", ".bmp"):
        Image.new("L", (6, 6)).save(tmp_path / f"x{suffix}")
    words = [fitted / "crop", tmp_path, "-o", tmp_path / "out"]
    code, _, err = reparam("reconstruct", *words, "--force")
    assert code == 2 and all(name in err for name in ("x.png", "x.bmp", "rename"))
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_gone_leaves_the_size_of_the_model(tmp_path):
    from reparam.cli.folders import Place, write_folder
    from reparam.data import DataRecord

    space = rp.Space((1, 6, 6), "levels", 256)
    record = DataRecord(space, "", None, None, None, {"source": "x"}, 0.0, 255.0)
    (note,) = write_folder(
        tmp_path, torch.zeros(1, 1, 6, 6), [Place("a.png", tmp_path / "gone.png")], record
    )
    assert "1 have the size that the model gives" in note
    assert opened(tmp_path)["a.png"].shape == (6, 6)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["sample", "-n", 11], [f"{i:02d}.png" for i in range(11)]),
        (["interpolate", "0", "0", "--steps", 3], ["0.png", "1.png", "2.png"]),
        (["vary", "PHOTO", "-n", 2], ["one-0.png", "one-1.png"]),
        (
            ["traverse", "PHOTO", "--dimension", 1, "--steps", 2],
            ["one-z1-0.png", "one-z1-1.png"],
        ),
        (["denoise", "PHOTO", "--noise", "gaussian"], ["one.png"]),
    ],
)
def test_every_command_that_writes_images_writes_folders(reparam, fitted, tmp_path, words, names):
    command, *rest = [fitted / "photos/a/one.png" if word == "PHOTO" else word for word in words]
    code, _, err = reparam(command, fitted / "pad", *rest, "-o", tmp_path / "out")
    assert code == 0, err
    images = opened(tmp_path / "out")
    assert list(images) == names
    size = SIZES["a/one.png"] if "PHOTO" in words else (6, 6)
    assert {image.shape for image in images.values()} == {size}


def test_completions_and_classes_go_to_folders_too(reparam, runs, tmp_path):
    words = ["complete", runs / "made", "-n", 2, "--draws", 2, "-o", tmp_path / "completed"]
    assert reparam(*words)[0] == 0
    assert list(opened(tmp_path / "completed")) == ["0-0.png", "0-1.png", "1-0.png", "1-1.png"]
    fit = ["fit", "cvae", "digits", "latent_dim=2", "hidden=8", "--epochs", 1]
    assert reparam(*fit, "-o", tmp_path / "cvae")[0] == 0
    words = ["classify", tmp_path / "cvae", "-n", 12, "--samples", 2, "-o", tmp_path / "classes"]
    assert reparam(*words)[0] == 0
    found = list(opened(tmp_path / "classes"))
    assert sorted(name.split("/")[1] for name in found) == [f"{i:02d}.png" for i in range(12)]
    assert {name.split("/")[0] for name in found} <= {str(digit) for digit in range(10)}


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_what_is_no_image_goes_to_no_folder(reparam, runs, tmp_path, command, request):
    run = runs / "vae"
    if command == "reconstruct":
        np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 3)))
        run = tmp_path / "run"
        assert reparam("fit", "pca", tmp_path / "x.npy", "latent_dim=1", "-o", run)[0] == 0
    code, _, err = reparam(command, run, "-o", f"{tmp_path / 'out'}/")
    assert code == 2 and "not images; write .npz or .csv" in err
    assert not (tmp_path / "out").exists()


def test_rows_keep_their_files_through_splits_and_selections(photos):
    """Each row is the image that its file holds, however the splits were carved."""
    data = rp.load_data(photos / "photos", size=6)
    seen = []
    for split in data.splits.values():
        chosen = split.take(torch.arange(len(split) - 1, -1, -1))
        for x, path in zip(chosen.x, chosen.files.paths, strict=True):
            assert load_rows(path, data).x[0].equal(x)
            seen.append(str(path.relative_to(photos / "photos")))
    assert sorted(seen) == sorted(SIZES)
