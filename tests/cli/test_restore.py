"""The command that restores examples of which something is left."""

import numpy as np
import pytest
from commands import succeed
from PIL import Image

import reparam as rp
from reparam.degradation import degradation


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A run that was trained on means of four pixels."""
    folder = tmp_path_factory.mktemp("given") / "small"
    words = ["latent_dim=2", "hidden=16", "given=downscale:2", "--epochs", 1]
    succeed("fit", "cvae", "digits", *words, "-o", folder)
    return folder


def images(folder, sizes, mode="L"):
    folder.mkdir()
    for i, size in enumerate(sizes):
        pixels = np.random.default_rng(i).integers(0, 256, size, np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"photo-{i}.png")
    return folder


def test_a_picture_has_original_given_draws_mean_and_deviation(reparam, small, tmp_path):
    out = tmp_path / "x.png"
    code, text, error = reparam("restore", small, "-n", 3, "--draws", 2, "-o", out)
    assert code == 0, error
    assert "3 x 2 restorations in" in text and "drawn by VAE, which was trained" in text
    assert "mean and deviation, which is" in text
    with Image.open(out) as picture:
        width, height = picture.size
    assert 1.8 < width / height < 2.6  # six columns by three rows, with wider gaps


def test_an_archive_has_what_it_says(reparam, small, tmp_path):
    words = ["restore", small, "-n", 3, "--draws", 4, "-o"]
    assert reparam(*words, tmp_path / "x.npz")[0] == 0
    found = np.load(tmp_path / "x.npz")
    assert found["x"].shape == (12, 1, 8, 8) and found["given"].shape == (3, 1, 4, 4)
    x = found["x"].reshape(3, 4, 1, 8, 8)
    assert np.allclose(found["mean"], x.mean(1)) and np.allclose(
        found["deviation"], x.std(1, ddof=1)
    )
    test = rp.load_data("digits").test.x[:3].float()
    assert (found["given"] == degradation("downscale:2", (1, 8, 8))(test).numpy()).all()
    assert found["draw"].tolist() == [1, 2, 3, 4] * 3
    # Fewer rows are the first of more: none depends on its company.
    assert reparam(*["restore", small, "-n", 1, "-o"], tmp_path / "y.npz")[0] == 0
    assert (np.load(tmp_path / "y.npz")["x"] == found["x"][:4]).all()


def test_a_folder_of_small_images_becomes_one_of_large_ones(reparam, small, tmp_path):
    source = images(tmp_path / "in", [(4, 4)] * 3)
    code, text, error = reparam("restore", small, source, "-o", f"{tmp_path}/large/")
    assert code == 0 and "3 x 1 restorations" in text, error
    names = [path.name for path in sorted((tmp_path / "large").iterdir())]
    assert names == ["photo-0.png", "photo-1.png", "photo-2.png"]
    with Image.open(tmp_path / "large" / "photo-1.png") as image:
        assert image.size == (8, 8)
    words = ["restore", small, source, "--draws", 2, "-o", f"{tmp_path}/two/"]
    assert reparam(*words)[0] == 0
    assert len([*(tmp_path / "two").iterdir()]) == 6
    code, _, error = reparam("restore", small, source, "--force", "-o", f"{source}/")
    assert code == 2 and "read as data" in error


def test_a_vae_that_was_not_trained_for_it_restores_by_chains(reparam, runs, tmp_path):
    words = ["restore", runs / "vae", "--degradation", "downscale:2", "--steps", 12, "-n", 2]
    code, text, error = reparam(*words, "-o", tmp_path / "x.npz")
    assert code == 0 and "by chains of 12 steps, of whose proposals by q(z|x)" in text, error
    found, given = np.load(tmp_path / "x.npz"), degradation("downscale:2", (1, 8, 8))
    left = given(rp.load_data("digits").test.x[:2].float())
    x = found["x"].reshape(2, 4, 1, 8, 8)
    assert all(
        (given(rp.load_rows(x[:, i], rp.load_data("digits")).x) == left).all() for i in (0, 3)
    )


def test_files_of_8_bits_say_the_same_as_arrays(reparam, runs, tmp_path):
    """Means of four of 17 levels lie farther apart than files round them."""
    left = degradation("downscale:2", (1, 8, 8))(rp.load_data("digits").test.x[:2].float())
    (tmp_path / "in").mkdir()
    for i, y in enumerate(left[:, 0]):
        Image.fromarray((y / 16 * 255).round().byte().numpy()).save(tmp_path / f"in/{i}.png")
    np.save(tmp_path / "y.npy", left.numpy())
    words = ["--degradation", "downscale:2", "--steps", 5, "--draws", 1, "-o"]
    for source, out in (("in", "a.npz"), ("y.npy", "b.npz")):
        code, _, error = reparam("restore", runs / "vae", tmp_path / source, *words, tmp_path / out)
        assert code == 0, error
    a, b = (np.load(tmp_path / name) for name in ("a.npz", "b.npz"))
    assert (a["x"] == b["x"]).all() and not (a["given"] == b["given"]).all()


def test_gray_files_become_colors(reparam, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 6, 6), np.uint8)
    np.save(tmp_path / "colors.npy", x)
    words = ["latent_dim=2", "hidden=8", "given=gray", "--epochs", 1, "-o", tmp_path / "run"]
    succeed("fit", "cvae", tmp_path / "colors.npy", *words)
    source = images(tmp_path / "in", [(6, 6), (6, 6)])
    code, _, error = reparam("restore", tmp_path / "run", source, "-o", f"{tmp_path}/out/")
    assert code == 0, error
    with Image.open(tmp_path / "out" / "photo-1.png") as image:
        assert image.mode == "RGB" and image.size == (6, 6)
    assert reparam("restore", tmp_path / "run", "-n", 2, "-o", tmp_path / "x.png")[0] == 0


def test_a_mask_of_a_file_is_a_completion(reparam, runs, tmp_path):
    mask = np.full((8, 8), 255, np.uint8)
    mask[4:] = 0
    Image.fromarray(mask).save(tmp_path / "top.png")
    words = ["restore", runs / "made", "--degradation", f"mask:{tmp_path}/top.png", "-n", 2]
    code, text, error = reparam(*words, "-o", tmp_path / "x.npz")
    assert code == 0 and "drawn exactly, by Autoregressive" in text, error
    test = rp.load_data("digits").test.x[:2].numpy()
    assert (
        np.load(tmp_path / "x.npz")["x"].reshape(2, 4, 1, 8, 8)[..., :4, :] == test[:, None, :, :4]
    ).all()


@pytest.mark.parametrize(
    "words, said",
    [
        (["vae"], "VAE was trained for none; say what left y, as downscale:2"),
        (["vae", "--degradation", "gray"], "one channel"),
        (["vae", "--degradation", "downscale:9"], "take a factor of at most 8"),
        (["vae", "--degradation", "blur:1"], "not known to be drawn exactly; use ddpm, or train"),
        (["vae", "--degradation", "downscale:2", "--sampling-steps", 3], "is no diffusion model"),
        (["vae", "--degradation", "downscale:2", "--label", "3"], "is not conditional"),
        (["made", "--degradation", "downscale:2"], "draws entry by entry"),
        (["made", "--degradation", "mask:half", "--steps", 3], "steps: of chains, by which"),
        (["ae", "--degradation", "downscale:2"], "Autoencoder does not restore downscale:2; use"),
        (["vae", "--degradation", "downscale:2", "--draws", 0], "draws"),
    ],
)
def test_what_cannot_restore_is_refused(reparam, runs, tmp_path, words, said):
    run, *others = words
    code, _, error = reparam("restore", runs / run, *others, "-o", tmp_path / "x.png")
    assert code == 2 and said in error and error.count("\n") == 1, error
    assert not (tmp_path / "x.png").exists()


def test_given_images_that_are_none_are_refused(reparam, small, tmp_path):
    mixed = images(tmp_path / "mixed", [(4, 4), (5, 6)])
    np.save(tmp_path / "wide.npy", np.zeros((2, 1, 4, 5)))
    np.save(tmp_path / "bright.npy", np.full((2, 1, 4, 4), 17.0))
    for source, said in (
        (mixed, "photo-1.png: expected 4 x 4 (height x width), as downscale:2 leaves of 8 x 8, g"),
        (tmp_path / "wide.npy", "of shape 1 x 4 x 4, got 1 x 4 x 5"),
        (tmp_path / "bright.npy", "range of the run's data, 0 to 16, got 17 to 17"),
        (tmp_path / "none.npy", "none.npy"),
    ):
        code, _, error = reparam("restore", small, source, "-o", tmp_path / "x.png")
        assert code == 2 and said in error and not (tmp_path / "x.png").exists(), error
    for words, said in (
        (["--degradation", "gray"], "one channel"),
        (["--degradation", "subsample:2"], "trained with given=downscale:2, not subsample:2"),
        (["--label", "3"], "label: the condition of this run is what is given; leave it out"),
        ([mixed / "photo-0.png", "--split", "train"], "split: is one of the run's own data"),
    ):
        code, _, error = reparam("restore", small, *words, "-o", tmp_path / "x.png")
        assert code == 2 and said in error, error


def test_other_commands_draw_or_refuse_in_a_sentence(reparam, small, tmp_path):
    for words in (["sample", small, "-n", 3], ["reconstruct", small, "-n", 3]):
        assert reparam(*words, "-o", tmp_path / f"{words[0]}.npz")[0] == 0
    assert np.load(tmp_path / "sample.npz")["given"].shape == (3, 1, 4, 4)
    assert reparam("encode", small, "-n", 2, "-o", tmp_path / "e.npz")[0] == 0
    for words, said in (
        (["complete", small], "which says what is given; use: reparam restore"),
        (["decode", small, tmp_path / "e.npz"], "decodes codes beside what is left of x"),
        (["sample", small, "--label", "3"], "label: the condition of this run is what is left of"),
        (["classify", small], "no density that is conditional on labels"),
        (["explore", small], "trained on what is left of x"),
    ):
        more = ["--page", tmp_path / "x.html"] if words[0] == "explore" else []
        more = more or ["-o", tmp_path / "x.npz"]
        code, _, error = reparam(*words, *more)
        assert code == 2 and said in error, (words, error)
