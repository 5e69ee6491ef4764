"""Commands that hide a part of examples and repair it, and files with entries that are missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from commands import succeed
from PIL import Image

import reparam as rp

SMALL = ["width=8", "layers=1", "heads=2", "decoder_width=8", "--epochs", 1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    succeed("fit", "mae", "digits", *SMALL, "-o", folder / "mae")
    succeed("fit", "pca", "digits", "-o", folder / "pca")
    return folder


def test_what_is_hidden_is_repaired_and_the_rest_is_as_it_was(made, tmp_path, reparam):
    out = tmp_path / "masked.npz"
    words = ["reconstruct", made / "mae", "--hide", 0.75, "-n", 6, "-o", out]
    code, said, errors = reparam(*words)
    assert not code, errors
    assert "12 of 16 patches hidden" in " ".join(said.split())
    assert all(row in said for row in ("mean of training data", "linear regression", "repaired"))
    found = np.load(out)
    test = rp.load_data("digits").test
    x, visible, repaired = found["x"], found["visible"], found["repaired"]
    assert (x == test.x[:6].numpy()).all()
    hidden = np.isnan(visible)
    assert (hidden.reshape(6, -1).sum(1) == 48).all()
    assert (repaired[~hidden] == x[~hidden]).all()
    assert (repaired[hidden] == found["predicted"][hidden]).all()
    with torch.no_grad():
        wanted = rp.load(made / "mae").eval().reconstruct(torch.from_numpy(visible))
    np.testing.assert_allclose(found["predicted"], wanted.numpy(), rtol=1e-5, atol=1e-5)
    assert not np.array_equal(x[~hidden], found["predicted"][~hidden])  # its own, everywhere


def test_seeds_hide_other_patches(made, tmp_path, reparam):
    masks = []
    for seed, name in ((0, "a.npz"), (0, "b.npz"), (1, "c.npz")):
        words = ["reconstruct", made / "mae", "--hide", 0.5, "-n", 4, "--seed", seed]
        assert not reparam(*words, "-o", tmp_path / name)[0]
        masks.append(np.isnan(np.load(tmp_path / name)["visible"]))
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


def test_pictures_hatch_what_is_hidden(made, tmp_path, reparam):
    """Tiles of 64 pixels in three rows; striped grays, no color of the digits' black and white."""
    out = tmp_path / "masked.png"
    assert not reparam("reconstruct", made / "mae", "--hide", 0.95, "-n", 2, "-o", out)[0]
    image = np.asarray(Image.open(out).convert("L"))
    rows = [image[1 + i * 70 : 65 + i * 70, 1:65] for i in range(3)]
    striped = [np.isin(row, (104, 152)).mean() for row in rows]
    assert striped[1] > 0.9 > 0.2 > striped[0]


def test_shares_of_hidden_patches_rise_one_under_another(made, tmp_path, reparam):
    out = tmp_path / "ratios.png"
    code, said, _ = reparam("denoise", made / "mae", "-n", 3, "-o", out)
    assert not code
    assert "at 0.75, 0.85, 0.9375" in said  # one of 16 patches stays
    assert Image.open(out).size == (3 * 70 - 4, 7 * 70 - 4)
    assert not reparam(
        "denoise", made / "mae", "-n", 2, "--amount", "0.5,0.75", "-o", tmp_path / "a.npz"
    )[0]
    found = np.load(tmp_path / "a.npz")
    assert found["level"].tolist() == [0.5, 0.75] * 2
    assert len(found["x"]) == len(found["row"]) == 4


def test_several_levels_of_other_noise_too(made, tmp_path, reparam):
    words = ["denoise", made / "pca", "--noise", "gaussian", "--amount", "0.1,0.5", "-n", 2]
    code, said, _ = reparam(*words, "-o", tmp_path / "out")
    assert not code
    assert "corrupted error at 0.5" in said
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "0-0.png",
        "0-1.png",
        "1-0.png",
        "1-1.png",
    ]


def test_files_may_have_missing_entries_where_the_model_takes_them(made, tmp_path, reparam):
    x = rp.load_data("digits").test.x[:3].numpy().astype(np.float32)
    x[1, 0, 2:4, 5] = np.nan
    np.save(tmp_path / "holes.npy", x)
    words = [tmp_path / "holes.npy", "-o", tmp_path / "repaired.npz"]
    assert not reparam("reconstruct", made / "mae", *words)[0]
    found = np.load(tmp_path / "repaired.npz")
    assert np.array_equal(found["visible"], x, equal_nan=True)
    assert np.isfinite(found["repaired"]).all()
    assert (found["repaired"][~np.isnan(x)] == x[~np.isnan(x)]).all()
    code, _, errors = reparam("reconstruct", made / "pca", *words, "--force")
    assert code == 2
    assert "row 1, channel 0, pixel (2, 5) is nan (and 1 more)" in errors
    assert "as mae" in " ".join(errors.split())


@pytest.mark.parametrize(
    ("run", "words", "said"),
    [
        ("mae", ["--hide", 0.99], "16 patches at least and leave one visible, a share of 0.0625"),
        ("mae", ["--hide", 0.01], "which hides 0"),
        ("mae", ["--hide", 0.5, "--draw"], "draw: of what is hidden there are means alone"),
        ("pca", ["--hide", 0.5], "hide: PCA did not learn to predict what is hidden; use mae or"),
    ],
)
def test_what_cannot_be_hidden_is_refused(made, tmp_path, reparam, run, words, said):
    out = tmp_path / "no.png"
    code, _, errors = reparam("reconstruct", made / run, *words, "-o", out)
    assert code == 2
    assert said in " ".join(errors.split())
    assert not out.exists()


def test_shares_that_hide_as_many_patches_are_repaired_once(tmp_path, reparam):
    np.save(tmp_path / "five.npy", np.random.default_rng(0).normal(size=(60, 5)))
    succeed("fit", "mae", tmp_path / "five.npy", *SMALL, "-o", tmp_path / "run")
    code, said, errors = reparam("denoise", tmp_path / "run", "-o", tmp_path / "out.npz")
    assert not code, errors
    assert "variances, per entry" in " ".join(said.split())
    rows = np.load(tmp_path / "out.npz")["row"]  # 75, 85 and 95 % of five patches are four of them
    assert len(set(rows)) == len(rows) == 12
