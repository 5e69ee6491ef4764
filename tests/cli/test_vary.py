"""reparam vary: draws around q(z|x) of one example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.use.editing import redraw, variations


def test_variations_spread_as_asked_around_the_mean_code():
    data = rp.load_data("digits", binarize=0.5)
    torch.manual_seed(0)
    model = rp.build("vae", data.space, latent_dim=3, hidden=(16,)).eval()
    x = data.test.x[:1]
    generator = torch.Generator().manual_seed(0)
    still = variations(model, x, 4, None, 0.0, generator)
    torch.testing.assert_close(still, model.reconstruct(x).expand(4, -1, -1, -1))
    spreads = []
    for spread in (0.5, 1.0, 2.0):
        generator = torch.Generator().manual_seed(0)
        drawn = variations(model, x, 200, None, spread, generator)
        spreads.append(drawn.std(0).mean().item())
    assert 0 < spreads[0] < spreads[1] < spreads[2]
    q = model.posterior(x)
    one = variations(model, x, 1, None, 1.0, torch.Generator().manual_seed(5))
    z = q.sample(torch.Generator().manual_seed(5))
    torch.testing.assert_close(one, model.decode(z))
    with pytest.raises(ValueError, match="x: expected one example, got 2"):
        variations(model, data.test.x[:2], 3)


def test_draws_have_the_noise_of_the_likelihood_and_means_have_none():
    """Var x' − Var E[x'|z] = σ² for a normal p(x|z) of one σ, over many draws of one example."""
    space = rp.Space((6,), "real")
    torch.manual_seed(0)
    model = rp.build("vae", space, latent_dim=2, hidden=(8,), likelihood="normal").double().eval()
    x, n = torch.randn(1, 6).double(), 4000
    with torch.no_grad():
        sigma = model.likelihood(torch.zeros(1, 2).double()).variance.sqrt().flatten()
    means, draws = (
        variations(model, x, n, None, 1.0, torch.Generator().manual_seed(1), draw)
        for draw in (False, True)
    )
    others = redraw(model, x.expand(n, -1), None, torch.Generator().manual_seed(2))
    # A variance of n draws is off by √(2/n) of itself; of differences of two by twice that.
    allowed = 4 * 2 * (2 / n) ** 0.5 * draws.var(0)
    assert ((draws.var(0) - means.var(0) - sigma**2).abs() < allowed).all()
    assert ((others.var(0) - draws.var(0)).abs() < allowed).all()
    assert ((others.mean(0) - means.mean(0)).abs() < 4 * (2 * draws.var(0) / n).sqrt()).all()


def test_reconstruct_draws_where_asked_and_only_from_what_can(runs, tmp_path, reparam):
    words = ["reconstruct", runs / "vae", "-n", 4, "-o"]
    assert reparam(*words, tmp_path / "a.npz", "--draw", "--seed", 1)[0] == 0
    assert reparam(*words, tmp_path / "b.npz", "--draw", "--seed", 2)[0] == 0
    assert reparam(*words, tmp_path / "mean.npz")[0] == 0
    a, b, mean = (np.load(tmp_path / f"{name}.npz")["x"] for name in ("a", "b", "mean"))
    assert (a == a.round()).all() and not (mean == mean.round()).all()
    assert not (a == b).all()
    code, _, err = reparam("reconstruct", runs / "ae", "--draw", "-o", tmp_path / "c.npz")
    assert code == 2 and "draw: Autoencoder has no q(z|x)" in err
    assert not (tmp_path / "c.npz").exists()


def test_vary_writes_pictures_and_arrays(runs, tmp_path, reparam):
    code, out, err = reparam("vary", runs / "vae", "3", "-n", "8", "-o", tmp_path / "v.png")
    assert code == 0, err
    assert "8 variations of 3" in out
    assert min(Image.open(tmp_path / "v.png").size) > 3 * 8
    assert reparam("vary", runs / "vae", "-n", "5", "-o", tmp_path / "v.npz")[0] == 0
    with np.load(tmp_path / "v.npz") as arrays:
        assert arrays["x"].shape == (5, 1, 8, 8)
        assert arrays["x"].std(0).max() > 0


def test_vary_refuses_what_has_no_posterior(runs, tmp_path, reparam):
    code, _, err = reparam("vary", runs / "ae", "-o", tmp_path / "v.png")
    assert code == 2
    assert "no q(z|x) to draw from" in err
    assert not (tmp_path / "v.png").exists()


def test_a_class_is_asked_of_unlabeled_files(reparam, tmp_path):
    """Brackets in a file's name are no markup of the message."""
    run, pixel = tmp_path / "run", tmp_path / "one[b].png"
    words = ["latent_dim=2", "hidden=8", "-o", run, "--epochs", 1]
    assert reparam("fit", "cvae", "digits", *words)[0] == 0
    Image.new("L", (8, 8), 9).save(pixel)
    code, _, err = reparam("vary", run, pixel, "-o", tmp_path / "v.npz")
    assert code == 2 and "say with --label which class it is" in err
    code, out, err = reparam("vary", run, pixel, "--label", "3", "-o", tmp_path / "v[b].npz")
    assert code == 0, err
    assert "one[b].png" in out.replace("\n", "") and "v[b].npz" in out.replace("\n", "")


def test_pictures_that_leave_examples_out_say_so(runs, reparam, tmp_path):
    code, out, err = reparam("reconstruct", runs / "ae", "-o", tmp_path / "r.png")
    assert code == 0 and "The first 16 of 359; -n says how many." in out + err
    code, out, err = reparam("reconstruct", runs / "ae", "-o", tmp_path / "r.npz")
    assert code == 0 and "first" not in out + err
