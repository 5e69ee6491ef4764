"""Sharpness and neighborhoods against known answers, SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.neighbors import NearestNeighbors

import reparam as rp
from reparam.data import Split
from reparam.evaluation.reconstruction import laplacian_variance, sharpness
from reparam.evaluation.representation import nearest, neighbor_overlap
from reparam.evaluation.scores import ratio_score
from reparam.model import Codec, Space


class Through(Codec):
    """Encodes by one function of x and reconstructs by another."""

    def __init__(self, space, encode=lambda x: x.flatten(1), restore=lambda x: x):
        super().__init__(space)
        self.functions = encode, restore

    code_space = Space((2,), "real")

    def loss(self, x, c=None, player="model"):
        raise AssertionError("not trained")

    def encode(self, x, c=None):
        return self.functions[0](self.prepare(x, c)[0])

    def decode(self, code, c=None):
        raise AssertionError("not asked for")

    def reconstruct(self, x, c=None):
        return self.functions[1](self.prepare(x, c)[0])


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(rows=30, channels=3):
    return Split(torch.rand(rows, channels, 9, 12, generator=torch.Generator().manual_seed(0)))


def test_the_laplacian_is_that_of_scipy():
    x = noise(4, 2, 7, 5)
    inner = [[ndimage.laplace(c)[1:-1, 1:-1].var() for c in row] for row in x.numpy()]
    found = laplacian_variance(x).numpy()
    np.testing.assert_allclose(found, np.mean(inner, 1), rtol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 0.5, 3.0])
def test_sharpness_of_a_scaled_picture_is_the_square_of_its_factor(factor):
    space = Space((3, 9, 12), "real")
    model = Through(space, restore=lambda x: factor * x + 7).double()
    score = sharpness(model, images())
    assert score.value == pytest.approx(factor**2, rel=1e-10)
    assert score.stderr == pytest.approx(0, abs=1e-9)


def test_blur_lowers_sharpness_and_noise_raises_it():
    space, split = Space((3, 9, 12), "real"), images()

    def blurred(sigma):
        def restore(x):
            return torch.from_numpy(ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma)))

        return sharpness(Through(space, restore=restore), split).value

    assert 1 > blurred(0.4) > blurred(0.8) > blurred(1.6) > 0
    noisy = sharpness(Through(space, restore=lambda x: x + noise(*x.shape, seed=1).to(x)), split)
    assert noisy.value > 1


def test_sharpness_does_not_depend_on_units():
    levels = images().x.mul(255).round()
    half = lambda x: x / 2 + x.mean() / 2  # noqa: E731
    one = sharpness(Through(Space((3, 9, 12), "levels", 256), restore=half), Split(levels))
    other = sharpness(Through(Space((3, 9, 12), "real"), restore=half), Split(levels / 255))
    assert one.value == pytest.approx(other.value, rel=1e-5) == pytest.approx(0.25, rel=1e-5)


def test_what_has_no_edges_has_no_sharpness():
    flat = Split(torch.ones(5, 1, 4, 4))
    assert sharpness(Through(Space((1, 4, 4), "real")), flat) is None
    narrow = Split(torch.rand(5, 1, 2, 9))
    assert sharpness(Through(Space((1, 2, 9), "real")), narrow) is None
    assert sharpness(Through(Space((4,), "real")), Split(torch.rand(5, 4))) is None


def test_the_standard_error_of_a_ratio_is_its_spread_over_repetitions():
    """4000 repetitions measure a deviation to 1/√8000 = 1.1 %; the linearization errs by 1/n."""
    below = 5 + noise(4000, 300, seed=2)
    above = 0.5 * below + 0.3 * noise(4000, 300, seed=3)
    spread = (above.mean(1) / below.mean(1)).std().item()
    errors = [
        ratio_score(a, b, "", "test").stderr for a, b in zip(above[:50], below[:50], strict=True)
    ]
    assert np.mean(errors) == pytest.approx(spread, rel=0.05)


def test_nearest_neighbors_are_those_of_scikit_learn():
    x = noise(60, 4) + 1e4
    wanted = (
        NearestNeighbors(n_neighbors=5, algorithm="brute").fit(x).kneighbors(return_distance=False)
    )
    assert np.array_equal(np.sort(nearest(x, 5), 1), np.sort(wanted, 1))


def overlap(encode, rows=400, x=None):
    x = noise(rows, 6) if x is None else x
    return neighbor_overlap(Through(Space((6,), "real"), encode).double(), Split(x), Split(x))


def test_codes_that_keep_distances_keep_all_neighbors():
    turn = torch.linalg.qr(noise(6, 6, seed=1)).Q
    score = overlap(lambda x: 0.01 * (x / x.std(0, correction=0)) @ turn + 3)
    assert score.value == 1.0 and score.n == 400 and score.seed is None


def test_codes_at_random_keep_what_chance_keeps():
    found = [overlap(lambda x, s=s: noise(len(x), 2, seed=s)) for s in range(5, 9)]
    assert found[0].unit == "of 10, 2.5% by chance"
    # Four times 400 rows of 10 neighbors: a binomial deviation of 0.0012, of rows that are coupled
    # through common neighbors: within 0.008 of 10/399.
    assert np.mean([score.value for score in found]) == pytest.approx(10 / 399, abs=0.008)


def test_columns_of_tables_count_alike_whatever_their_unit():
    x = noise(400, 6)
    metres = x * torch.tensor([1, 1e3, 1e-3, 1, 1, 1e6], dtype=torch.float64)
    standard = x / x.std(0, correction=0)
    assert overlap(lambda _: standard, x=metres).value > 0.999
    assert overlap(lambda m: m, x=metres).value < 0.3


def test_few_rows_have_no_neighborhoods_and_many_are_drawn(monkeypatch):
    assert overlap(lambda x: x, rows=19) is None
    monkeypatch.setattr("reparam.evaluation.representation.MOST_ROWS", 100)
    x = noise(400, 6)
    score = overlap(lambda x: x, x=x / x.std(0, correction=0))
    assert (score.n, score.seed, score.value) == (100, 0, 1.0)


def test_evaluate_has_both():
    data = rp.load_data("digits")
    model = rp.build("pca", data.space, latent_dim=20)
    rp.fit(model, data, progress=False)
    scores = rp.evaluate(model, data)
    assert 0.5 < scores["sharpness"].value < 1
    assert 0.3 < scores["neighbor_overlap"].value < 1
