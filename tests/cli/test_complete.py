"""The command that completes examples of which the top is given."""

import numpy as np
from PIL import Image


def test_completions_keep_the_given_rows_of_the_test_images(reparam, runs, tmp_path):
    import reparam as rp

    out = tmp_path / "x.npz"
    words = ["complete", runs / "made", "-n", 3, "--draws", 2, "--keep", 0.5, "-o"]
    code, text, error = reparam(*words, out)
    assert code == 0 and "3 x 2 completions" in text, error
    x = np.load(out)["x"].reshape(3, 2, 8, 8)
    test = rp.load_data("digits").test.x[:3].numpy()
    assert (x[:, :, :4] == test[:, :, :4]).all()
    assert not (x[:, :, 4:] == test[:, :, 4:]).all()
    assert not (x[:, 0] == x[:, 1]).all()  # two draws
    assert ((x >= 0) & (x <= 16)).all()
    code, _, _ = reparam(*words, tmp_path / "again.npz", "--seed", 0)
    assert (np.load(tmp_path / "again.npz")["x"].reshape(x.shape) == x).all()


def test_a_picture_shows_original_given_part_and_draws_in_a_row(reparam, runs, tmp_path):
    out = tmp_path / "x.png"
    code, _, error = reparam("complete", runs / "made", "-n", 2, "--draws", 3, "-o", out)
    assert code == 0, error
    width, height = Image.open(out).size
    assert 2 < width / height < 3  # five images in a row, two rows


def test_models_that_do_not_complete_are_refused(reparam, runs, tmp_path):
    code, _, error = reparam("complete", runs / "vae", "-o", tmp_path / "x.png")
    assert code == 2 and "VAE does not complete; use an autoregressive model" in error
    code, _, _ = reparam("complete", runs / "made", "--keep", 1.5, "-o", tmp_path / "x.png")
    assert code == 2 and not (tmp_path / "x.png").exists()
