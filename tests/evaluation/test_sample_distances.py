"""Distances and manifolds of samples against closed forms, brute force and repetition."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
import scipy.linalg
import torch
from known_samples import Draws, data_of, normal, pairs, rows_of, spread, typical
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from reparam.evaluation.discrepancy import (
    _u_statistic_error,
    discrepancy_scores,
    frechet_distance,
    frechet_error,
    kernel_distance,
)
from reparam.evaluation.manifolds import (
    covered,
    manifold_scores,
    precision_and_recall,
    precision_and_recall_errors,
)
from reparam.evaluation.random_features import RandomFeatures
from reparam.evaluation.samples import sample_scores
from reparam.model import Space

# ----------------------------------------------------------------------- Fréchet distance


def test_frechet_distance_against_the_matrix_square_root_of_scipy():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)) + 1
    b = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s_a @ s_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a + s_b - 2 * root)
    got = frechet_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert got == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_a_single_feature_is_that_of_two_normals():
    x, y = normal(2, 50, 1)
    expected = (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected.item(), rel=1e-12)


def test_the_floor_of_the_frechet_distance_is_what_the_refusal_is_argued_with():
    """(F² + 5F)/(2N) for equal laws; 100 repetitions, whose mean has an error of 3 %."""
    found = [frechet_distance(x, y) for x, y in pairs(100, 400, 8)]
    assert np.mean(found) == pytest.approx((64 + 40) / 800, rel=0.1)


@pytest.mark.parametrize("shift, most", [(0.5, 1.15), (0.0, 1.6)])
def test_the_error_of_the_frechet_distance_is_its_spread_over_repetitions(shift, most):
    """300 repetitions know a spread to 4 %, and 40 jackknifes of a sixth each their root mean
    square to 3 %; where both laws are equal the jackknife is about √2 too large."""
    sets = list(pairs(300, 100, 8, shift))
    wanted = spread([frechet_distance(x, y) for x, y in sets])
    found = typical([frechet_error(x, y) for x, y in sets[:40]])
    assert 0.85 * wanted < found < most * wanted


def test_too_few_rows_have_no_frechet_distance():
    x, y = normal(2, 128, 64)
    assert "frechet_distance" in discrepancy_scores(x, y, "test", 0)
    assert set(discrepancy_scores(x[1:], y[1:], "test", 0)) == {"kernel_distance"}
    assert "frechet_distance" in discrepancy_scores(x[:4, :2], y[:4, :2], "test", 0)
    assert not discrepancy_scores(x[:19], y[:19], "test", 0)


def test_distances_tell_good_samples_from_bad_ones(digits):
    x = digits.train.x
    found = [
        sample_scores(Draws(digits.space, rows_of(draws)), digits)
        for draws in (x, x.flip(3), torch.randint_like(x, 0, 17))
    ]
    # Real images beat mirrored ones, which beat noise.
    for name in ("frechet_distance", "kernel_distance"):
        values = [scores[name].value for scores in found]
        assert values == sorted(values)
    precisions = [scores["sample_precision"].value for scores in found]
    assert precisions == sorted(precisions, reverse=True)


def test_rows_are_read_at_random_and_not_the_first(monkeypatch):
    """Data stored side by side: the first rows are of one side only, and so far from draws."""
    monkeypatch.setattr("reparam.evaluation.samples.MOST_SAMPLES", 500)
    monkeypatch.setattr("reparam.evaluation.samples.MOST_NEAREST", 100)

    def sides(n, generator):
        side = torch.rand(n, 1, generator=generator).round() * 40
        return side + torch.randn(n, 2, generator=generator)

    space, generator = Space((2,), "real"), torch.Generator().manual_seed(0)
    train, test = (x[x[:, 0].argsort()] for x in (sides(1000, generator), sides(1000, generator)))
    scores = sample_scores(Draws(space, sides), data_of(train, test, space))
    distance = scores["frechet_distance"]
    assert distance.n == 500 and distance.samples is None  # that field means draws per example
    # Half of all features' variance 64 is between the sides, and more: one side is that far away.
    assert distance.value < 5
    # Those whose neighbors are sought are of both sides, too: 100 each, of about the same distance.
    assert scores["nearest_training"].n == 100
    assert scores["nearest_training"].value == pytest.approx(1, abs=0.5)
    half = data_of(train, test[:500], space)
    assert sample_scores(Draws(space, sides), half)["frechet_distance"].value > 30


# ------------------------------------------------------------------------ kernel distance


def test_the_kernel_distance_is_the_mean_over_distinct_rows():
    x, y = normal(2, 37, 5) + 0.3
    kernel = partial(polynomial_kernel, degree=3, gamma=1 / 5, coef0=1)
    h = kernel(x, x) + kernel(y, y) - kernel(x, y) - kernel(y, x)
    expected = h[~np.eye(37, dtype=bool)].mean()
    assert kernel_distance(x, y)[0] == pytest.approx(expected, rel=1e-10)


def test_the_kernel_distance_is_unbiased():
    """Of one feature it is Σ (3 choose d) (difference of the d-th moments)²; at equal laws 0."""
    found = [kernel_distance(x, y)[0] for x, y in pairs(600, 30, 1, shift=0.5)]
    # Moments of N(½, 1): ½, 5/4, 13/8, against 0, 1, 0.
    expected = 3 * 0.5**2 + 3 * 0.25**2 + 1.625**2
    assert abs(np.mean(found) - expected) < 4 * spread(found) / math.sqrt(600)
    equal = [kernel_distance(x, y)[0] for x, y in pairs(600, 30, 4)]
    assert abs(np.mean(equal)) < 4 * spread(equal) / math.sqrt(600)
    assert min(equal) < 0 < max(equal)


@pytest.mark.parametrize("shift, most", [(0.5, 1.1), (0.0, 1.4)])
def test_the_error_of_the_kernel_distance_is_its_spread_over_repetitions(shift, most):
    """Both are known to 4 %; at equal laws an estimate of ζ₁ below 0 counts as 0, which adds."""
    found = torch.tensor([kernel_distance(x, y) for x, y in pairs(600, 60, 4, shift)])
    wanted, error = found[:, 0].std(), found[:, 1].square().mean().sqrt()
    assert 0.9 * wanted < error < most * wanted


def of_pairs(h):
    """Mean and standard error of the U-statistic of h(i, j), i ≠ j."""
    h = h * ~torch.eye(len(h), dtype=torch.bool)
    n = len(h)
    return h.sum().item() / (n * (n - 1)), _u_statistic_error(h.sum(1), h.square().sum().item())


def test_the_error_of_a_sum_of_two_is_that_of_their_mean():
    """h(i, j) = aᵢ + aⱼ: twice the mean of a, with the error 2s/√n of the textbook."""
    a = normal(7)
    value, error = of_pairs(a[:, None] + a)
    assert value == pytest.approx(2 * a.mean().item(), rel=1e-12)
    assert error == pytest.approx(2 * a.std().item() / math.sqrt(7), rel=1e-10)


def test_the_variance_of_a_u_statistic_is_estimated_without_bias():
    """Over all 3⁵ samples of a law on three points the squared errors have the mean Var U.

    With h = a + b + ab/2, a and b ≥ 0, no estimate of ζ₁ or ζ₂ is cut off at 0.
    """
    found = []
    for values in itertools.product([0.0, 1.0, 3.0], repeat=5):
        a = torch.tensor(values, dtype=torch.float64)
        found.append(of_pairs(a[:, None] + a + a[:, None] * a / 2))
    value, error = np.array(found).T
    assert (error**2).mean() == pytest.approx(value.var(), rel=1e-10)


def test_chunks_change_nothing(monkeypatch):
    x, y = normal(2, 60, 5)
    wanted = kernel_distance(x, y), precision_and_recall(x, y)
    monkeypatch.setattr("reparam.evaluation.discrepancy.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("reparam.evaluation.manifolds.ROWS_AT_ONCE", 7)
    assert kernel_distance(x, y) == pytest.approx(wanted[0], rel=1e-12)
    assert torch.equal(precision_and_recall(x, y), wanted[1])


# -------------------------------------------------------------------- precision and recall


def test_the_manifold_is_that_of_balls_around_all_rows():
    rows, points = normal(80, 3, seed=1) + 1e5, 1.5 * normal(90, 3, seed=2) + 1e5
    neighbors = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(rows)
    radius = neighbors.kneighbors()[0][:, 2]
    expected = (np.linalg.norm(points[:, None] - rows[None], axis=2) <= radius).any(1)
    assert 0 < expected.sum() < 90
    assert np.array_equal(covered(points, rows).numpy(), expected)


def test_known_precision_and_recall(digits):
    x, y = normal(2, 359, 64)
    assert precision_and_recall(x, x).tolist() == [1, 1]
    # Sixty-four independent normals: about .65 of either, never 1.
    assert all(0.5 < share < 0.8 for share in precision_and_recall(x, y).tolist())
    assert precision_and_recall(x[:1].expand(359, 64), y)[1] == 0
    far = torch.cat([y[:180], y[180:] + 100])  # half of the draws are nowhere near
    precision, recall = precision_and_recall(far, y).tolist()
    assert precision == pytest.approx(0.5, abs=0.01) and recall < 1


def test_equal_rows_are_within_balls_of_no_size():
    """Rows that occur four times have neighbors at distance 0, but for the rounding of features."""
    rows = normal(30, 8).repeat(4, 1)
    again = rows + 1e-6 * normal(120, 8, seed=1)
    assert precision_and_recall(again, rows).tolist() == [1, 1]
    others = normal(30, 8, seed=2).repeat(4, 1)
    assert precision_and_recall(others, rows).tolist() == [0, 0]


def test_rows_that_are_all_the_same_have_no_manifold():
    assert manifold_scores(normal(50, 4), torch.ones(50, 4).double(), "test", 0) == {}
    assert manifold_scores(normal(19, 4), normal(19, 4, seed=1), "test", 0) == {}


@pytest.mark.parametrize("n, features, shift", [(200, 2, 1.0), (100, 8, 0.5)])
def test_the_errors_of_precision_and_recall_are_their_spread(n, features, shift):
    """In two dimensions that is over twice the error of a proportion. 150 repetitions know it to
    6 %, 30 estimates of a quarter each to 5 %; the parts have fewer rows and denser manifolds."""
    sets = list(pairs(150, n, features, shift))
    shares = torch.stack([precision_and_recall(x, y) for x, y in sets])
    errors = torch.stack([precision_and_recall_errors(x, y) for x, y in sets[:30]])
    ratio = errors.square().mean(0).sqrt() / shares.std(0)
    assert ((ratio > 0.7) & (ratio < 1.4)).all()


def test_a_class_left_out_lowers_recall_and_not_precision(digits):
    """The fives, 11 % of the test rows, of which some lie within the manifold of the others.

    Means over six draws of 359 training rows: of differences with deviations of .025 and .022.
    """
    features, keep = RandomFeatures(digits.space, digits.train.x), digits.train.labels != 5
    train, test = (features(split.x).double() for split in (digits.train, digits.test))
    shares = {"all": [], "without": []}
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        for name, rows in (("all", train), ("without", train[keep])):
            drawn = rows[torch.randperm(len(rows), generator=generator)[: len(test)]]
            shares[name].append(precision_and_recall(drawn, test))
    precision, recall = (torch.stack(shares["without"]) - torch.stack(shares["all"])).mean(0)
    assert recall < -0.04 and abs(precision) < 0.04
    kept = Draws(digits.space, rows_of(digits.train.x[keep]))
    found = sample_scores(kept, digits)["label_entropy"].value
    assert found == pytest.approx(math.log(9), abs=0.03)  # the nine others are about as frequent
