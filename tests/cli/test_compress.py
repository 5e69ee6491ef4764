"""Examples in files as short as a model finds them probable, and back, value for value."""

from __future__ import annotations

import dataclasses
import re
import struct
import sys

import numpy as np
import pytest
import torch
from commands import succeed
from PIL import Image

import reparam as rp
from reparam.coding import file as rpz
from reparam.coding import leaves

ROWS = 40
ARCHIVES = {"vae": "bits-back coding", "made": "direct coding"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of photos in class folders, of a table, and conditional ones, with their data."""
    folder = tmp_path_factory.mktemp("compressed")
    rng = np.random.default_rng(0)
    for i in range(20):
        path = folder / "photos" / ("cats" if i % 2 else "dogs") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(path)
    towns, ages = rng.choice(["Bern", "Chur", "Wil"], 60), rng.integers(30, 40, 60)
    lines = [f"{town},{age}" for town, age in zip(towns, ages, strict=True)]
    (folder / "people.csv").write_text("\n".join(["town,age", *lines]) + "\n")
    np.save(folder / "real.npy", rng.normal(size=(40, 3)))
    for name, preset, source, *words in (
        ("photos", "vae", "photos", "latent_dim=2", "hidden=8"),
        ("table", "made", "people.csv", "hidden=8"),
        ("real", "pca", "real.npy"),
        ("classes", "cvae", "digits", "latent_dim=2", "hidden=8"),
        ("static", "made", "digits", "hidden=8", "--binarize", "0.5"),
    ):
        source = source if source == "digits" else folder / source
        epochs = [] if preset == "pca" else ["--epochs", 1]
        succeed("fit", preset, source, *words, "-o", folder / name, *epochs)
    return folder


def written(reparam, run, *words):
    code, said, errors = reparam("compress", run, *words)
    assert code == 0, errors
    return " ".join(said.split())


def back(reparam, run, file, out, *words):
    code, said, errors = reparam("decompress", run, file, "-o", out, *words)
    assert code == 0, errors
    return " ".join(said.split())


def refused(reparam, *words):
    code, _, errors = reparam(*words)
    assert code == 2
    assert errors.startswith("error:") and errors.count("\n") == 1
    return errors


def bits(said, row):
    return int(re.search(rf"{re.escape(row)}(?: \([a-z ]*\))? ([\d,]+) ", said)[1].replace(",", ""))


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_split_comes_back_and_its_file_is_as_long_as_the_model_says(
    runs, tmp_path, reparam, name
):
    test = rp.load_data("digits").test
    out = tmp_path / "digits.rpz"
    said = written(reparam, runs / name, "-n", ROWS, "-o", out)
    assert ARCHIVES[name] in said and "all equal" in said
    file, model = bits(said, "file"), bits(said, "−ELBO" if name == "vae" else "−log₂ p")
    payload, header = bits(said, "its payload"), bits(said, "its header")
    assert file == 8 * out.stat().st_size == payload + header
    with torch.no_grad():
        found = rp.load(runs / name).log_prob(test.x[:ROWS].double())
    if name == "made":
        assert abs(model + float(found.value.sum()) / np.log(2)) < 1
        assert 0 <= payload - model <= 64 + 0.0005 * model
        assert "Without its header the file is" in said and "within 0.5%" in said
        assert "bits back" not in said
    else:  # of 40 rows the draws of z differ by some bits each
        assert abs(payload / model - 1) < 0.05
        assert "went without bits back" in said and "Dirty bits" in said
    assert all(name in said for name in ("raw", "gzip", "bz2", "xz", "PNG", "WebP"))
    back(reparam, runs / name, out, tmp_path / "digits.npz")
    arrays = np.load(tmp_path / "digits.npz")
    assert np.array_equal(arrays["x"], test.x[:ROWS].numpy())
    assert arrays["label"].tolist() == [str(int(label)) for label in test.labels[:ROWS]]
    back(reparam, runs / name, out, tmp_path / "digits.csv")
    cells = np.loadtxt(tmp_path / "digits.csv", delimiter=",", skiprows=1)
    assert np.array_equal(cells[:, :64], test.x[:ROWS].reshape(ROWS, 64).numpy())


def test_a_folder_comes_back_under_its_names_pixel_by_pixel(made, tmp_path, reparam):
    for i, name in enumerate(["cats/a.png", "dogs/a.bmp", "dogs/b.webp"]):
        path = tmp_path / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 6, 3), 50 * i, np.uint8)
        pixels[1, 2] = 255, 0, 7
        Image.fromarray(pixels).save(path, lossless=True)
    written(reparam, made / "photos", tmp_path / "given", "-o", tmp_path / "a.rpz")
    back(reparam, made / "photos", tmp_path / "a.rpz", f"{tmp_path / 'back'}/")
    found = sorted(path for path in (tmp_path / "back").rglob("*") if path.is_file())
    names = [str(path.relative_to(tmp_path / "back")) for path in found]
    assert names == ["cats/a.png", "dogs/a.png", "dogs/b.png"]
    for path, name in zip(found, ["cats/a.png", "dogs/a.bmp", "dogs/b.webp"], strict=True):
        given = np.asarray(Image.open(tmp_path / "given" / name))
        assert np.array_equal(np.asarray(Image.open(path)), given)


def test_levels_come_back_from_the_png_files_they_are_written_as(runs, tmp_path, reparam):
    """17 levels are stretched to 256; other grays than these are refused, and so is one file."""
    written(reparam, runs / "made", "-n", 6, "-o", tmp_path / "a.rpz")
    said = back(reparam, runs / "made", tmp_path / "a.rpz", tmp_path / "png")
    assert "Levels 0 to 16 are written as 0 to 255" in said and "labels are left out" in said
    files = sorted((tmp_path / "png").iterdir())
    assert [file.name for file in files] == [f"{i}.png" for i in range(6)]
    written(reparam, runs / "made", *files, "-o", tmp_path / "b.rpz", "--no-check")
    back(reparam, runs / "made", tmp_path / "b.rpz", tmp_path / "b.npz")
    arrays = np.load(tmp_path / "b.npz")
    assert np.array_equal(arrays["x"], rp.load_data("digits").test.x[:6].numpy())
    assert arrays["path"].tolist() == [file.name for file in files]
    pixels = np.asarray(Image.open(files[3])).copy()
    pixels[2, 3] = 100  # between levels 6 and 7, which are 96 and 112
    Image.fromarray(pixels).save(files[3])
    errors = refused(reparam, "compress", runs / "made", tmp_path / "png", "-o", tmp_path / "c.rpz")
    assert f"{files[3]}: expected levels 0 to 16" in errors and "got 100" in errors
    assert not (tmp_path / "c.rpz").exists()


def odd_images():
    """What makes a folder of 8 x 8 gray images one that is not coded, and what is said of it."""
    gray = np.zeros((8, 8), np.uint8)
    return {
        "size": (Image.fromarray(gray[:7]), "expected 8 x 8 pixels (height x width)"),
        "color": (Image.fromarray(np.full((8, 8, 3), (0, 16, 0), np.uint8)), "one in color"),
        "depth": (Image.fromarray(gray.astype(np.uint16)), "8 bits"),
        "damage": (b"\x89PNG\r\n\x1a\n", "cannot be read as an image"),
    }


@pytest.mark.parametrize("name", odd_images())
def test_one_odd_image_is_named_and_nothing_is_written(runs, tmp_path, reparam, name):
    odd, said = odd_images()[name]
    folder = tmp_path / "given"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / f"{i}.png")
    if isinstance(odd, bytes):
        (folder / "odd.png").write_bytes(odd)
    else:
        odd.save(folder / "odd.png")
    errors = refused(reparam, "compress", runs / "made", folder, "-o", tmp_path / "a.rpz")
    assert "odd.png" in errors and said in errors
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_tables_come_back_by_value_with_their_names(made, tmp_path, reparam):
    said = written(reparam, made / "table", made / "people.csv", "-o", tmp_path / "a.rpz")
    assert "the text of the table is not" in said and "PNG" not in said
    back(reparam, made / "table", tmp_path / "a.rpz", tmp_path / "people.csv")
    assert (tmp_path / "people.csv").read_text() == (made / "people.csv").read_text()
    errors = refused(
        reparam, "decompress", made / "table", tmp_path / "a.rpz", "-o", tmp_path / "x/"
    )
    assert "these are not images" in errors
    (tmp_path / "holes.csv").write_text("town,age\nBern,31\nWil,\n")
    errors = refused(
        reparam, "compress", made / "table", tmp_path / "holes.csv", "-o", tmp_path / "b.rpz"
    )
    assert "column 'age', row 1: the cell is missing" in errors


def test_conditions_are_in_the_file_or_given_again(made, tmp_path, reparam):
    test = rp.load_data("digits").test
    ones = test.x[test.labels == 1][:5]
    np.savez(tmp_path / "ones.npz", x=ones.numpy(), y=np.full(5, "1"))
    run, given = made / "classes", tmp_path / "ones.npz"
    written(reparam, run, given, "-o", tmp_path / "a.rpz")
    back(reparam, run, tmp_path / "a.rpz", tmp_path / "a.npz")
    arrays = np.load(tmp_path / "a.npz")
    assert np.array_equal(arrays["x"], ones.numpy()) and arrays["label"].tolist() == ["1"] * 5
    said = written(reparam, run, given, "-o", tmp_path / "b.rpz", "--bare")
    assert "The conditions are left out too" in said
    assert (tmp_path / "b.rpz").stat().st_size < (tmp_path / "a.rpz").stat().st_size
    errors = refused(reparam, "decompress", run, tmp_path / "b.rpz", "-o", tmp_path / "b.npz")
    assert "without its conditions" in errors
    told = ("-o", tmp_path / "b.npz", "--label", 2)
    errors = refused(reparam, "decompress", run, tmp_path / "b.rpz", *told)
    assert "coded with other conditions than those given" in errors
    back(reparam, run, tmp_path / "b.rpz", tmp_path / "b.npz", "--label", 1)
    assert np.array_equal(np.load(tmp_path / "b.npz")["x"], ones.numpy())


def test_what_reading_changes_is_said_once(made, tmp_path, reparam):
    said = written(reparam, made / "static", "-n", 4, "-o", tmp_path / "a.rpz")
    assert said.count("binarized (0.5)") == 1 and "The sources keep more" in said
    back(reparam, made / "static", tmp_path / "a.rpz", tmp_path / "a.npz")
    x = rp.load_data("digits", binarize=0.5).test.x[:4]
    assert np.array_equal(np.load(tmp_path / "a.npz")["x"], x.numpy())


def test_estimates_need_no_coder_and_files_do(runs, tmp_path, reparam, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    leaves.coder.cache_clear()
    said = written(reparam, runs / "made", "--estimate", "-n", ROWS)
    with torch.no_grad():
        value = rp.load(runs / "made").log_prob(rp.load_data("digits").test.x[:ROWS]).value
    assert abs(bits(said, "−log₂ p") + float(value.sum()) / np.log(2)) < 2
    assert "nothing was written" in said and " file " not in said.partition("would take")[0]
    for words in (["compress", runs / "made"], ["decompress", runs / "made", tmp_path / "a.rpz"]):
        assert "reparam[compress]" in refused(reparam, *words, "-o", tmp_path / "a.rpz")
    leaves.coder.cache_clear()


@pytest.fixture(scope="module")
def blocks(runs, tmp_path_factory):
    """A file of two blocks."""
    path = tmp_path_factory.mktemp("blocks") / "two.rpz"
    succeed("compress", runs / "made", "-n", ROWS, "--block", 20, "-o", path)
    return path


def with_names(path, names, out):
    found = rpz.read(path.read_bytes())
    out.write_bytes(rpz.write(dataclasses.replace(found, names=names)))
    return out


def test_a_damaged_block_is_told_and_the_others_are_written(runs, blocks, tmp_path, reparam):
    content = bytearray(blocks.read_bytes())
    content[-1] ^= 1
    (tmp_path / "hurt.rpz").write_bytes(content)
    words = ["decompress", runs / "made", tmp_path / "hurt.rpz", "-o"]
    errors = refused(reparam, *words, tmp_path / "left.npz")
    assert "rows 20 to 39 do not come back" in errors and "the other 20 rows of 40 are in" in errors
    arrays = np.load(tmp_path / "left.npz")
    assert np.array_equal(arrays["x"], rp.load_data("digits").test.x[:20].numpy())
    assert arrays["row"].tolist() == list(range(20))
    refused(reparam, *words, tmp_path / "left")
    assert sorted(path.name for path in (tmp_path / "left").iterdir()) == [
        f"{i:02d}.png" for i in range(20)
    ]


def test_no_name_leads_out_of_the_folder(runs, blocks, tmp_path, reparam):
    for i, name in enumerate(("../x.png", str(tmp_path / "x.png"), "a/../../x.png", "")):
        names = [f"{row}.png" for row in range(ROWS - 1)] + [name]
        path = with_names(blocks, names, tmp_path / f"{i}.rpz")
        errors = refused(reparam, "decompress", runs / "made", path, "-o", tmp_path / "in" / "out")
        assert "expected paths below a folder" in errors
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    names = [f"link/{row}.png" for row in range(ROWS)]
    path = with_names(blocks, names, tmp_path / "link.rpz")
    errors = refused(reparam, "decompress", runs / "made", path, "-o", tmp_path / "out")
    assert "leads out of" in errors
    assert not list(tmp_path.rglob("*.png"))


def test_names_that_are_there_twice_are_numbered(runs, blocks, tmp_path, reparam):
    names = ["a.png", "a.jpg", "A.png", "a.png/b.png", "a-2.png"]
    names += [f"{row}.png" for row in range(len(names), ROWS)]
    path = with_names(blocks, names, tmp_path / "a.rpz")
    back(reparam, runs / "made", path, tmp_path / "out")
    found = [path for path in (tmp_path / "out").rglob("*.png") if path.is_file()]
    assert len(found) == ROWS
    x = rp.load_data("digits").test.x[:ROWS].numpy()
    pixels = np.asarray(Image.open(tmp_path / "out/a.png/b.png"))
    assert np.array_equal(np.rint(pixels * (16 / 255)), x[3, 0])


def test_files_that_cannot_be_read_are_refused_in_one_line(runs, blocks, tmp_path, reparam):
    content = blocks.read_bytes()
    newer = content[:4] + struct.pack("<H", 9) + content[6:]
    for name, data, said in (
        ("no", b"PK\3\4 something else", "is no .rpz file"),
        ("short", content[:-5], "truncated"),
        ("newer", newer, "newer reparam (format 9"),
        ("empty", b"", "is no .rpz file"),
    ):
        path = tmp_path / f"{name}.rpz"
        path.write_bytes(data)
        words = ["decompress", runs / "made", path, "-o", tmp_path / "out.npz"]
        errors = refused(reparam, *words)
        assert f"{path}: " in errors and said in errors
    for run, said in (("vae", "was made with other weights"), ("ae", "")):
        words = ["decompress", runs / run, blocks, "-o", tmp_path / "out.npz"]
        assert said in refused(reparam, *words)
    words = ["decompress", runs / "made", "missing.rpz", "-o", tmp_path / "out.npz"]
    assert "missing.rpz: no such file" in refused(reparam, *words)
    words = ["decompress", runs / "made", blocks, "-o", tmp_path / "out.png"]
    assert "write a folder" in refused(reparam, *words)
    assert not (tmp_path / "out.npz").exists()


def test_what_lies_there_stays_without_force(runs, blocks, tmp_path, reparam):
    for out, words in (
        (tmp_path / "a.rpz", ["compress", runs / "made", "-n", 2]),
        (tmp_path / "a.npz", ["decompress", runs / "made", blocks]),
        (tmp_path / "out", ["decompress", runs / "made", blocks]),
    ):
        if out.suffix:
            out.write_text("mine")
        else:
            out.mkdir()
            (out / "07.png").write_text("mine")
        assert "--force" in refused(reparam, *words, "-o", out)
        assert (out if out.suffix else out / "07.png").read_text() == "mine"
        code, _, errors = reparam(*words, "-o", out, "--force")
        assert code == 0, errors
    assert np.asarray(Image.open(tmp_path / "out" / "07.png")).shape == (8, 8)


@pytest.mark.parametrize(
    ("run", "words", "said"),
    [
        ("made", [], "-o images.rpz, or --estimate"),
        ("made", ["-o", "a.zip"], "expected a name ending in .rpz"),
        ("made", ["-o", "a.rpz", "--estimate"], "--estimate writes no file"),
        ("made", ["-o", "a.rpz", "--rows", 0], "rows: expected"),
        ("made", ["-o", "a.rpz", "--block", 0], "block: expected"),
        ("made", ["-o", "a.rpz", "--grid", 17], "grid: expected a number of bits from 0 to 16"),
        ("ae", ["-o", "a.rpz"], "has no likelihood"),
        ("ae", ["--estimate"], "has no likelihood"),
        ("real", ["-o", "a.rpz"], "a density has no code length; give --levels"),
        ("real", ["--estimate"], "a density has no code length; give --levels"),
    ],
)
def test_what_cannot_be_compressed_is_refused(
    runs, made, tmp_path, reparam, monkeypatch, run, words, said
):
    monkeypatch.chdir(tmp_path)
    folder = made if run == "real" else runs
    assert said in refused(reparam, "compress", folder / run, *words)
    assert not list(tmp_path.iterdir())


def test_what_does_not_come_back_is_never_written(runs, tmp_path, reparam, monkeypatch):
    """As where networks do not compute the same twice."""
    right = rp.coding.decode

    def wrong(*words):
        found = right(*words)
        found.x[0] = 0
        return found

    monkeypatch.setattr("reparam.coding.decode", wrong)
    errors = refused(reparam, "compress", runs / "made", "-n", 3, "-o", tmp_path / "a.rpz")
    assert "did not come back, so nothing was written" in errors
    assert not list(tmp_path.iterdir())
