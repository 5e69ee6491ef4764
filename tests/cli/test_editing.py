"""Interpolate, traverse, classify and denoise as a user types them."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Small runs: conditional, denoising, on a table, and on a folder of colored images."""
    folder = tmp_path_factory.mktemp("made")
    digits = rp.load_data("digits")
    model = rp.build("cvae", digits.space, latent_dim=2, hidden=(16,))
    rp.fit(model, digits, epochs=3, out=folder / "cvae", progress=False)
    model = rp.build("denoising-ae", digits.space, latent_dim=8, hidden=(32,), amount=0.4)
    rp.fit(model, digits, epochs=60, out=folder / "denoising", progress=False)
    rng = np.random.default_rng(0)
    rows = [f"{a:.4f},{1000 * b:.1f}" for a, b in rng.normal(size=(60, 2))]
    (folder / "t.csv").write_text("\n".join(["height,weight", *rows]))
    table = rp.load_data(folder / "t.csv")
    rp.fit(rp.build("pca", table.space, latent_dim=1), table, out=folder / "table", progress=False)
    (folder / "photos").mkdir()
    for i in range(12):
        pixels = rng.integers(0, 256, (9, 7 + i % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{i:02}.png")
    photos = rp.load_data(folder / "photos", size=(6, 5))
    model = rp.build("pca", photos.space, latent_dim=3)
    rp.fit(model, photos, out=folder / "rgb", progress=False)
    return folder


def read_csv(path):
    with path.open() as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_interpolations_begin_and_end_at_reconstructions(reparam, made, tmp_path, path):
    out = tmp_path / "i.npz"
    words = ["interpolate", made / "table", 0, 3, "--steps", 4, "--path", path, "-o", out]
    code, said, err = reparam(*words)
    assert code == 0 and "4 steps" in said, err
    stored = np.load(out)
    model, data = rp.load(made / "table"), rp.load_data(made / "t.csv")
    ends = model.reconstruct(data.test.x[[0, 3]]).numpy()
    assert stored["t"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert np.allclose(stored["x"][[0, -1]], ends, rtol=1e-5)
    assert reparam(*words[:-1], tmp_path / "i.csv")[0] == 0
    header, rows = read_csv(tmp_path / "i.csv")
    assert header == ["height", "weight", "t"]
    assert np.allclose(rows[:, :2].astype(float), stored["x"], rtol=1e-5)


def test_interpolation_between_two_image_files(reparam, made, tmp_path):
    first, second = (made / "photos" / name for name in ("00.png", "01.png"))
    code, _, err = reparam("interpolate", made / "rgb", first, second, "-o", tmp_path / "i.png")
    assert code == 0, err
    picture = Image.open(tmp_path / "i.png")
    assert picture.width / picture.height > 9  # eleven tiles in a row
    code, _, err = reparam(
        "interpolate", made / "rgb", first, made / "photos", "-o", tmp_path / "j.png"
    )
    assert code == 2 and "expected one example, got 12" in err
    (tmp_path / "bad.png").write_bytes(b"no image")
    code, _, err = reparam(
        "interpolate", made / "rgb", first, tmp_path / "bad.png", "-o", tmp_path / "j.png"
    )
    assert code == 2 and "bad.png" in err and "no image" in err


def test_a_single_image_file_is_an_example(reparam, made, tmp_path):
    words = [made / "rgb", made / "photos" / "03.png"]
    assert reparam("encode", *words, "-o", tmp_path / "one.npz")[0] == 0
    assert reparam("encode", made / "rgb", made / "photos", "-o", tmp_path / "all.npz")[0] == 0
    one, every = np.load(tmp_path / "one.npz")["z"], np.load(tmp_path / "all.npz")["z"]
    assert np.allclose(one[0], every[3], rtol=1e-5)


def test_a_plane_has_the_second_entry_upwards(reparam, made, tmp_path):
    out = tmp_path / "p.npz"
    words = ["traverse", made / "rgb", 1, "--plane", "2,0", "--steps", 3, "--reach", 1]
    code, text, err = reparam(*words, "-o", out)
    assert code == 0 and "dimensions 2, 0 of 1, 3 x 3 steps" in " ".join(text.split()), err
    stored = np.load(out)
    data, model = rp.load_data(made / "photos", size=(6, 5)), rp.load(made / "rgb")
    code_of = model.encode(data.test.x[1:2])
    assert (np.diff(stored["z0"].reshape(3, 3)[:, 0]) < 0).all()  # the largest in the top row
    assert (np.diff(stored["z2"].reshape(3, 3)[0]) > 0).all()
    for at in range(9):
        moved = code_of.clone()
        moved[0, 2], moved[0, 0] = float(stored["z2"][at]), float(stored["z0"][at])
        expected = model.decode(moved)[0].numpy()
        assert np.allclose(stored["x"][at], expected, atol=1e-3)
    assert reparam(*words, "-o", tmp_path / "p.png")[0] == 0
    width, height = Image.open(tmp_path / "p.png").size
    assert 0.6 < width / height < 1  # 3 x 3 images of 6 x 5 pixels
    assert reparam(*words, "-o", f"{tmp_path}/folder/")[0] == 0
    assert len(list((tmp_path / "folder").rglob("*z2-z0*.png"))) == 9
    assert reparam("traverse", made / "table", "--plane", "0,1", "-o", tmp_path / "t.csv")[0] == 2


@pytest.mark.parametrize(
    "words, message",
    [
        (["--plane", "1,1"], "plane: expected two entries of the code, as 0,1, got '1,1'"),
        (["--plane", "1"], "plane: expected two entries"),
        (["--plane", "0,7"], "plane: expected 0 to 2, got 7"),
        (["--plane", "0,1", "--dimension", 1], "plane, dimension: expected one of them"),
    ],
)
def test_planes_that_there_are_not_are_refused(reparam, made, tmp_path, words, message):
    code, _, error = reparam("traverse", made / "rgb", *words, "-o", tmp_path / "p.png")
    assert code == 2 and message in error and not (tmp_path / "p.png").exists()


def test_traversals_go_as_far_as_the_codes_spread(reparam, made, tmp_path):
    out = tmp_path / "t.npz"
    words = ["traverse", made / "cvae", 5, "--dimension", 1, "--steps", 5, "--reach", 2]
    code, _, err = reparam(*words, "-o", out)
    assert code == 0, err
    stored = np.load(out)
    data, model = rp.load_data("digits"), rp.load(made / "cvae")
    codes = model.encode(data.test.x, data.test.labels)[:, 1]
    center, spread = codes.mean().item(), codes.std(correction=0).item()
    assert stored["value"] == pytest.approx(center + spread * np.linspace(-2, 2, 5), rel=1e-4)
    expected = rp.traverse(
        model, data.test.x[5:6], 1, torch.from_numpy(stored["value"]), data.test.labels[5:6]
    )
    assert np.allclose(stored["x"], expected[0].numpy(), atol=1e-4)
    assert reparam("traverse", made / "cvae", "-o", tmp_path / "t.png")[0] == 0
    for dimension in (2, 99):
        code, _, err = reparam(*words[:3], "--dimension", dimension, "-o", tmp_path / "u.npz")
        assert code == 2 and "0 to 1" in err


def test_classes_are_written_by_name_with_their_accuracy(reparam, made, tmp_path):
    out = tmp_path / "c.csv"
    code, said, err = reparam("classify", made / "cvae", "-n", 50, "--samples", 5, "-o", out)
    assert code == 0, err
    header, rows = read_csv(out)
    assert header == [*(f"log p({i})" for i in range(10)), "class", "label", "row"]
    log_p = rows[:, :10].astype(float)
    assert np.allclose(np.exp(log_p).sum(1), 1)
    assert (rows[:, 10] == log_p.argmax(1).astype(str)).all()
    assert (rows[:, 11] == rp.load_data("digits").test.labels[:50].numpy().astype(str)).all()
    assert f"{np.mean(rows[:, 10] == rows[:, 11]):.3}" in said
    again = tmp_path / "again.npz"
    assert reparam("classify", made / "cvae", "-n", 50, "--samples", 5, "-o", again)[0] == 0
    assert (np.load(again)["class"] == rows[:, 10]).all()
    assert reparam("classify", made / "cvae", "-n", 20, "-o", tmp_path / "c.png")[0] == 0


@pytest.mark.parametrize("run", ["denoising", "table"])
def test_only_class_conditional_densities_classify(reparam, made, tmp_path, run):
    code, _, err = reparam("classify", made / run, "-o", tmp_path / "c.csv")
    assert code == 2 and "conditional on labels" in err and not (tmp_path / "c.csv").exists()


def test_denoising_brings_corrupted_digits_nearer(reparam, made, tmp_path):
    code, said, err = reparam("denoise", made / "denoising", "-n", 200, "-o", tmp_path / "d.npz")
    assert code == 0, err
    errors = [
        float(line.split("error")[1].split()[0]) for line in said.splitlines() if " error " in line
    ]
    assert len(errors) == 2 and errors[1] < 0.7 * errors[0]
    assert reparam("denoise", made / "denoising", "-o", tmp_path / "d.png")[0] == 0
    words = ["denoise", made / "denoising", "--noise", "gaussian", "--amount", 0.1]
    assert reparam(*words, "-o", tmp_path / "e.csv")[0] == 0


def test_noisy_examples_are_repaired_as_they_are(reparam, made, tmp_path):
    noisy = np.random.default_rng(1).integers(0, 17, (3, 8, 8))
    np.save(tmp_path / "noisy.npy", noisy)
    code, said, err = reparam(
        "denoise", made / "denoising", tmp_path / "noisy.npy", "-o", tmp_path / "d.npz"
    )
    assert code == 0 and "error" not in said, err
    expected = rp.load(made / "denoising").reconstruct(torch.from_numpy(noisy)[:, None])
    assert np.allclose(np.load(tmp_path / "d.npz")["x"], expected.detach().numpy(), atol=1e-5)


def test_columns_of_a_table_get_noise_in_their_own_deviations(reparam, made, tmp_path):
    words = ["denoise", made / "table", "--noise", "gaussian", "--amount", 1, "-o"]
    code, said, err = reparam(*words, tmp_path / "d.csv")
    assert code == 0 and read_csv(tmp_path / "d.csv")[0] == ["height", "weight", "row"], err
    corrupted = next(line for line in said.splitlines() if "corrupted error" in line)
    # ε² of twelve rows of two columns has mean 1 and standard error √(2/24) < 0.3.
    assert abs(float(corrupted.split("error")[1].split()[0]) - 1) < 1.2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["denoise", "table", "-o", "d.csv"], "--noise"),
        (["denoise", "denoising", "--amount", 1.5, "-o", "d.csv"], "at most 1.0"),
        (["denoise", "denoising", "--noise", "masking", "--amount", 1.5, "-o", "d.csv"], "share"),
        (["interpolate", "table", 0, 999, "-o", "i.csv"], "0 to 11"),
        (["interpolate", "table", 0, 1, "--label", "x", "-o", "i.csv"], "not conditional"),
        (["interpolate", "cvae", 0, 1, "--label", "x", "-o", "i.csv"], "expected one of 0, 1"),
        (["interpolate", "table", 0, "nowhere.csv", "-o", "i.csv"], "nowhere.csv"),
        (["traverse", "table", 0, "-o", "t.png"], "not images"),
    ],
)
def test_mistakes_are_named(reparam, made, tmp_path, words, named):
    command, run, *rest = words
    code, _, err = reparam(command, made / run, *rest[:-1], tmp_path / rest[-1])
    assert code == 2 and named in err and not list(tmp_path.iterdir()), err


@pytest.fixture(scope="session")
def gans(tmp_path_factory):
    """Small generators, of which one takes labels."""
    folder, digits = tmp_path_factory.mktemp("gans"), rp.load_data("digits")
    for name, conditional in (("gan", False), ("by-class", True)):
        options = {"latent_dim": 4, "hidden": (8,), "conditional": conditional}
        model = rp.build("gan", digits.space, **options)
        rp.fit(model, digits, epochs=1, out=folder / name, progress=False)
    return folder


def test_interpolations_lead_between_draws_where_images_have_no_codes(reparam, gans, tmp_path):
    words, out = ["interpolate", gans / "gan", "--steps", 4, "--seed", 5], tmp_path / "i.npz"
    code, said, err = reparam(*words, "-o", out)
    assert code == 0 and "from one draw of z to another" in said, err
    model, generator = rp.load(gans / "gan"), torch.Generator().manual_seed(5)
    z = torch.randn(2, 4, generator=generator)
    expected = rp.interpolate(model, z[:1], z[1:], steps=4, path="spherical")[0]
    assert np.allclose(np.load(out)["x"], expected.numpy(), rtol=1e-5)
    assert reparam(*words, "-o", tmp_path / "i.png")[0] == 0
    assert 3 < np.divide(*Image.open(tmp_path / "i.png").size) < 5  # four in a row, no others
    assert reparam(*words, "-o", f"{tmp_path}/steps/")[0] == 0
    assert len(list((tmp_path / "steps").iterdir())) == 4


def test_draws_of_z_have_a_class(reparam, gans, tmp_path):
    out = tmp_path / "i.npz"
    words = [gans / "by-class", "--label", 7, "--steps", 3]
    assert reparam("interpolate", *words, "-o", out)[0] == 0
    model, z = (
        rp.load(gans / "by-class"),
        torch.randn(2, 4, generator=torch.Generator().manual_seed(0)),
    )
    found = np.load(out)["x"]
    assert np.allclose(found[0], model.decode(z[:1], torch.tensor([7]))[0].detach(), rtol=1e-5)
    assert reparam("traverse", *words, "-o", tmp_path / "t.png")[0] == 0
    assert reparam("interpolate", *words[:1], "-o", tmp_path / "j.png")[0] == 0
    code, _, err = reparam("interpolate", gans / "gan", "--label", 7, "-o", tmp_path / "k.png")
    assert code == 2 and "not conditional" in err


def test_traversals_move_a_draw_where_images_have_no_codes(reparam, gans, tmp_path):
    out = tmp_path / "t.npz"
    words = ["traverse", gans / "gan", "--steps", 3, "--reach", 2, "--seed", 5, "-o", out]
    code, said, err = reparam(*words, "--dimension", 2)
    assert code == 0 and "of a draw of z" in said, err
    stored, model = np.load(out), rp.load(gans / "gan")
    assert stored["value"].tolist() == [-2, 0, 2]
    z = torch.randn(1, 4, generator=torch.Generator().manual_seed(5))
    expected = rp.traverse(model, z, 2, torch.tensor([-2.0, 0, 2]))[0]
    assert np.allclose(stored["x"], expected.numpy(), rtol=1e-5)
    assert reparam(*words, "--force")[0] == 0
    assert sorted(set(np.load(out)["dimension"].tolist())) == [0, 1, 2, 3]
    code, _, err = reparam(*words, "--dimension", 4, "--force")
    assert code == 2 and "expected 0 to 3, got 4" in err


def test_numbers_of_images_are_refused_where_images_have_no_codes(reparam, gans, made, tmp_path):
    out = ["-o", tmp_path / "o.png"]
    for words in (["interpolate", gans / "gan", 3, 17], ["traverse", gans / "gan", 3]):
        code, _, err = reparam(*words, *out)
        assert code == 2 and len(err.strip().splitlines()) <= 2
        assert "GAN has no codes of given examples; name none" in " ".join(err.split())
    code, _, err = reparam("reconstruct", gans / "gan", *out)
    assert code == 2 and "has no codes of given examples; use an autoencoder" in err
    code, _, err = reparam("interpolate", made / "cvae", 3, *out)
    assert code == 2 and "expected two examples" in err
