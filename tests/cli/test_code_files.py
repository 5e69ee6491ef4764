"""Codes in files: indices by grid and real ones are written, read back, decoded and refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from commands import succeed
from PIL import Image

import reparam as rp
from reparam.train import RunFolder

SIDES, ROWS, CODES = (16, 17), 40, 5
SMALL = ["channels=8", "blocks=1", "generator.width=4", "generator.layers=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of two grids with a conditional prior, one of real codes given labels, one of FSQ."""
    folder = tmp_path_factory.mktemp("codes")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (ROWS, *SIDES)), np.arange(ROWS) % 2
    np.savez(folder / "data.npz", x=x, y=np.array(["cat", "dog"])[y])
    (folder / "pictures").mkdir()
    for i in range(10):
        pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"p{i}.png")
    data, prior = folder / "data.npz", ["second_stage=pixel-cnn", "conditional=true"]
    coder = [f"codes={CODES}", "code_dim=3"]
    for words in (
        ["vq-vae-2", data, *coder, *SMALL, *prior, "-o", folder / "grids"],
        ["cvae", data, "latent_dim=2", "hidden=8", "-o", folder / "real"],
        ["fsq-vae", folder / "pictures", "sizes=20,20", *SMALL[:2], "-o", folder / "fsq"],
    ):
        succeed("fit", *words, "--epochs", 1)
    return folder


def line(text):
    return " ".join(text.split())


def test_indices_of_each_grid_are_written_in_its_shape_and_decoded(folder, tmp_path, reparam):
    run, model = folder / "grids", RunFolder(folder / "grids").model()
    for suffix in ("npz", "csv"):
        assert reparam("encode", run, "-o", tmp_path / f"z.{suffix}")[0] == 0
        code, _, err = reparam(
            "decode", run, tmp_path / f"z.{suffix}", "-o", tmp_path / f"{suffix}.npz"
        )
        assert code == 0, err
    assert reparam("reconstruct", run, "-o", tmp_path / "x.npz")[0] == 0
    codes = np.load(tmp_path / "z.npz")
    rows = len(codes["row"])
    assert codes["z_1"].shape == (rows, *model.grids[0]) and codes["z_1"].dtype == np.uint8
    assert codes["z_2"].shape == (rows, *model.grids[1]) and set(codes.files) == {
        "z_1", "z_2", "label", "row"
    }  # fmt: skip
    wanted = np.load(tmp_path / "x.npz")
    for suffix in ("npz", "csv"):
        found = np.load(tmp_path / f"{suffix}.npz")
        for name in ("x", "label"):
            np.testing.assert_array_equal(found[name], wanted[name])
    with (tmp_path / "z.csv").open() as file:
        first = dict(list(zip(*list(csv.reader(file))[:2], strict=True)))
    flat = np.concatenate([codes[name][0].ravel() for name in ("z_1", "z_2")])
    assert [int(first[f"z{i}"]) for i in range(len(flat))] == flat.tolist()


def test_from_python_codes_are_decoded_as_they_were_read(folder, tmp_path, reparam):
    model = RunFolder(folder / "fsq").model()
    assert reparam("encode", folder / "fsq", "-o", tmp_path / "z.npz")[0] == 0
    z = np.load(tmp_path / "z.npz")["z"]
    assert z.dtype == np.uint16  # K − 1 = 399
    data = rp.load_data(folder / "pictures")
    assert model.decode(z).equal(model.reconstruct(data.test.x))


def test_pictures_are_called_as_the_files_that_codes_are_of(folder, tmp_path, reparam):
    assert reparam("encode", folder / "fsq", "-o", tmp_path / "z.npz")[0] == 0
    assert reparam("decode", folder / "fsq", tmp_path / "z.npz", "-o", tmp_path / "p/")[0] == 0
    paths = np.load(tmp_path / "z.npz")["path"]
    assert sorted(file.name for file in (tmp_path / "p").iterdir()) == sorted(paths)
    assert Image.open(tmp_path / "p" / paths[0]).size == (7, 5)


def test_codes_given_labels_are_decoded_under_them(folder, tmp_path, reparam):
    run, codes = folder / "real", tmp_path / "z.csv"
    assert reparam("encode", run, "-o", codes)[0] == 0
    assert reparam("decode", run, codes, "-o", tmp_path / "a.npz")[0] == 0
    assert reparam("decode", run, codes, "--label", "dog", "-o", tmp_path / "b.npz")[0] == 0
    assert reparam("reconstruct", run, "-o", tmp_path / "x.npz")[0] == 0
    found, dogs, wanted = (np.load(tmp_path / f"{name}.npz") for name in "abx")
    np.testing.assert_allclose(found["x"], wanted["x"], rtol=1e-5, atol=1e-6)
    dog = wanted["label"] == "dog"
    np.testing.assert_array_equal(dogs["x"][dog], found["x"][dog])
    assert (dogs["x"][~dog] != found["x"][~dog]).any()
    codes.write_text("z0,z1\n0,1\n")
    code, _, err = reparam("decode", run, codes, "-o", tmp_path / "c.npz")
    assert code == 2 and "label" in err


TOP, BOTTOM = (1, 4, 5), (1, 8, 9)
GOOD = {"z_1": np.zeros((2, *TOP), int), "z_2": np.zeros((2, *BOTTOM), int)}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"z_1": np.full((2, *TOP), CODES)}, "expected integers 0 … 4 (levels), got 5 in 2 of"),
        ({"z_1": np.full((2, *TOP), -1)}, "expected integers 0 … 4 (levels), got -1"),
        ({"z_1": np.full((2, *TOP), 0.5)}, "expected integers 0 … 4 (levels), got 0.5"),
        ({"z_1": np.full((2, *TOP), np.nan)}, "expected integers 0 … 4 (levels), got NaN"),
        ({"z_2": np.zeros((2, 1, 9, 8), int)}, "z_2 of shape (N, 1, 8, 9), as encode writes"),
        ({"z_2": None}, "z_2 of shape (N, 1, 8, 9), as encode writes them, got none"),
        ({"z_2": np.zeros((3, *BOTTOM), int)}, "expected codes with a row for each, got [2, 3]"),
        ({"z_1": np.array([{}, {}])}, "z_1 holds Python objects (pickled), which are not read"),
        ({"z_1": np.full((2, 20), "a")}, "expected codes z_1 of numbers, got <U1"),
        ({"path": np.array(["a.png", "../b.png"])}, "expected paths below a folder, got '../b.p"),
    ],
)
def test_other_codes_are_refused_in_a_line(folder, tmp_path, reparam, changed, said):
    model = RunFolder(folder / "grids").model()
    assert model.grids == (TOP, BOTTOM)
    arrays = {name: value for name, value in (GOOD | changed).items() if value is not None}
    np.savez(tmp_path / "z.npz", **arrays)
    code, _, err = reparam("decode", folder / "grids", tmp_path / "z.npz", "-o", tmp_path / "p/")
    assert code == 2 and said in line(err) and not (tmp_path / "p").exists(), err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("z.csv", b"z0,z1\n0,1\n", "got (1, 2)"),
        ("z.csv", b"z0,z1\n0,a\n", "line 2, column z1: expected a number, got 'a'"),
        ("z.csv", b"z0,z1\n0\n", "line 2: expected 2 cells, got 1"),
        ("z.csv", b"", "cannot be read as a table"),
        ("z.csv", b"\xff\xfe\x00", "cannot be read as a table"),
        ("z.npz", b"\x80\x04N.", "(pickled), which are not read"),
        ("z.txt", b"1", "expected codes as encode writes them, .npz or .csv"),
        ("z.npz", None, "no such file"),
    ],
)
def test_files_without_codes_are_refused_in_a_line(folder, tmp_path, reparam, name, text, said):
    if text is not None:
        (tmp_path / name).write_bytes(text)
    code, _, err = reparam("decode", folder / "grids", tmp_path / name, "-o", tmp_path / "x.npz")
    assert code == 2 and said in line(err), err


def test_a_conditional_prior_is_sampled_by_class_and_completes(folder, tmp_path, reparam):
    code, _, err = reparam(
        "sample", folder / "grids", "-n", 3, "--label", "dog", "-o", tmp_path / "s.npz"
    )
    assert code == 0 and set(np.load(tmp_path / "s.npz")["label"]) == {"dog"}, err
    words = ["-n", 2, "--draws", 2, "-o", tmp_path / "c.npz"]
    code, _, err = reparam("complete", folder / "grids", *words)
    assert code == 0, err
    found = np.load(tmp_path / "c.npz")["x"].reshape(2, 2, *SIDES)
    assert (found[:, 0, :8] == found[:, 1, :8]).all()
    code, _, err = reparam("complete", folder / "fsq", "-o", tmp_path / "d.npz")
    assert code == 2 and "second_stage=pixel-cnn" in line(err), err
    code, _, err = reparam("sample", folder / "fsq", "--label", "dog", "-o", tmp_path / "e.npz")
    assert code == 2 and "label: the model is not conditional" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vq-vae", "prior=pixel-cnn"], "prior: no parameter of vq-vae (did you mean second_stag"),
        (["fsq-vae", "codes=9"], "codes: no parameter of fsq-vae (did you mean sizes?)"),
        (["VQVAE"], "VQVAE: no such model (did you mean vq-vae?)"),
        (["vq"], "vq: no such model (did you mean vq-vae?)"),
        (["rqvae"], "rqvae: no such model (did you mean rq-vae?)"),
        (["vqvae2"], "vqvae2: no such model (did you mean vq-vae-2?)"),
        (["vq-vae", "codes=1"], "codes: expected a whole number of at least 2, got '1'"),
        (["vq-vae", "codes=9999"], "codes: expected at most the"),
        (["vq-vae", "--size", 3], "space: expected images of 4 x 4 or more, got 3 x 3"),
        (["vq-vae-2"], "vq-vae-2: expected images of 16 x 16 or more, got 5 x 7"),
        (["two-stage-vae", "generator.components=99"], "components: expected at most the"),
    ],
)
def test_what_cannot_be_trained_is_refused_before(folder, tmp_path, reparam, words, said):
    model, *others = words
    code, _, err = reparam("fit", model, folder / "pictures", *others, "-o", tmp_path / "run")
    assert code == 2 and said in line(err) and not (tmp_path / "run").exists(), err
