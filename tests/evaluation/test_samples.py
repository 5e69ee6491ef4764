"""Scores of samples against closed forms, brute force, scikit-learn and repetition."""

from __future__ import annotations

import gc
import itertools
import math
from functools import partial

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation import copies, reference_scores, too_few
from reparam.evaluation.classes import entropy, label_entropy
from reparam.evaluation.copies import near_copies, near_copies_error, nearest_distances
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
from reparam.evaluation.samples import TIMED_SAMPLES, Yardstick, sample_scores
from reparam.model import Generator, Space

IMAGES = {
    "frechet_distance",
    "kernel_distance",
    "sample_precision",
    "sample_recall",
    "sample_sharpness",
    "nearest_training",
    "near_copies",
}


class Draws(Generator):
    """Draws by a function of their number and of a generator; counts how many were drawn."""

    def __init__(self, space, draw):
        super().__init__(space)
        self.source, self.drawn = draw, 0

    def loss(self, x, c=None, player="model"):
        raise AssertionError("not trained")

    def draw(self, n, c, generator):
        self.drawn += n
        return self.source(n, generator)


def rows_of(x):
    """Draws of these rows without replacement; x has as many as are drawn at once, or more."""
    return lambda n, generator: x[torch.randperm(len(x), generator=generator)[:n]].float()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pairs(repetitions, n, features, shift=0.0, scale=1.0):
    """Two sets of independent normal features, again and again."""
    for seed in range(repetitions):
        x, y = normal(2, n, features, seed=seed)
        yield scale * x + shift, y


def spread(values):
    return torch.tensor(values, dtype=torch.float64).std().item()


def typical(errors):
    return torch.tensor(errors, dtype=torch.float64).square().mean().sqrt().item()


def data_of(train, test, space, labels=None, **kwargs):
    train, test = Split(train, labels), Split(test, labels)
    return Data(train, test, test, space, "made", **kwargs)


@pytest.fixture(scope="module")
def digits():
    return rp.load_data("digits")


@pytest.fixture(scope="module")
def training(digits):
    return reference_scores(digits)


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


# ------------------------------------------------------------------ nearest training rows


def test_distances_to_training_rows_are_those_of_scikit_learn(monkeypatch):
    space, train = Space((5,), "real"), Split(normal(70, 5, seed=1) + 1e6)
    points = normal(40, 5) + 1e6
    wanted = NearestNeighbors(n_neighbors=1).fit(train.x).kneighbors(points)[0][:, 0]
    for at_once in (4000, 9):
        monkeypatch.setattr(copies, "ROWS_AT_ONCE", at_once)
        found = nearest_distances(points, train, space, torch.ones(5).double())
        assert np.allclose(found, wanted, rtol=1e-9)
    assert not nearest_distances(train.x[:3], train, space, torch.ones(5).double()).any()


def test_copies_averages_and_unseen_rows_are_told_apart(digits, training):
    assert training["nearest_training"].value == 0 and training["near_copies"].value == 1
    x, labels = digits.train.x.float(), digits.train.labels
    means = torch.stack([x[labels == c].mean(0) for c in range(10)])
    averages = Draws(digits.space, lambda n, g: means[torch.randint(10, (n,), generator=g)])
    scores = sample_scores(averages, digits)
    # Nearer than unseen rows are, though no copy of any: so below 1 alone says little.
    assert scores["nearest_training"].value + 4 * scores["nearest_training"].stderr < 1
    assert scores["near_copies"].value == 0 and scores["near_copies"].stderr is None
    swapped = Data(digits.train, digits.test, digits.valid, digits.space, "digits")
    unseen = sample_scores(Draws(digits.space, rows_of(digits.test.x)), swapped)
    ratio = unseen["nearest_training"]
    assert abs(ratio.value - 1) < 4 * ratio.stderr
    assert unseen["near_copies"].value < 0.06  # of 180 rows, the share is 1 % with error 1.3 %


@pytest.mark.parametrize("n", [99, 100, 149, 200, 359])
@pytest.mark.parametrize("power", [1, 8])
def test_a_hundredth_of_draws_of_the_law_of_unseen_rows_are_near_copies(n, power):
    """Whatever n and the law of the distances. A share has a deviation of 1.4 % at n = 100 (half of
    its variance is the quantile's), so the mean of 2000 has one of .03 %."""
    drawn, real = torch.rand(2, 2000, n, generator=torch.Generator().manual_seed(n)) ** power
    assert near_copies(drawn, real).mean().item() == pytest.approx(0.01, abs=0.0013)


def test_the_error_of_the_share_of_copies_is_its_spread():
    """The quantile's own spread is half of it. 400 repetitions know it to 4 %; the bootstrap of an
    extreme quantile is a little too large."""
    sets = [(x.norm(dim=1) / 2, y.norm(dim=1)) for x, y in pairs(400, 359, 3)]
    wanted = spread([near_copies(x, y) for x, y in sets])
    found = typical([near_copies_error(x, y) for x, y in sets[:60]])
    assert 0.85 * wanted < found < 1.3 * wanted


def test_columns_count_alike_whatever_their_unit():
    """Distances of tables are in training deviations: units change no score but by rounding."""
    units = torch.tensor([1.0, 1e4, 1e-3], dtype=torch.float64)
    space, x = Space((3,), "real"), normal(400, 3)

    def of(unit):
        draws = Draws(space, lambda n, g: 0.8 * torch.randn(n, 3, generator=g).double() * unit)
        return sample_scores(draws, data_of(x[:200] * unit, x[200:] * unit, space))

    plain, other = of(torch.ones(3).double()), of(units)
    for name in ("nearest_training", "near_copies", "sample_precision", "sample_recall"):
        assert plain[name].value == pytest.approx(other[name].value, rel=1e-6)


# --------------------------------------------------------------------- sharpness and labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_sharpness_of_scaled_images_is_the_square_of_the_factor(factor):
    space, x = Space((1, 6, 7), "real"), normal(300, 1, 6, 7)
    draws = Draws(space, lambda n, generator: factor * x[:n])
    score = sample_scores(draws, data_of(x, x, space))["sample_sharpness"]
    assert score.value == pytest.approx(factor**2, rel=1e-10)
    assert score.stderr == pytest.approx(0, abs=1e-8)  # the same images on either side


def test_training_rows_have_about_the_entropy_of_the_labels(digits, training):
    known = entropy(digits.test.labels)[0]
    assert abs(training["label_entropy"].value - known) < 4 * training["label_entropy"].stderr
    one = digits.train.x[digits.train.labels == 3][:1].float()
    draws = Draws(digits.space, lambda n, generator: one.expand(n, -1, -1, -1))
    assert sample_scores(draws, digits)["label_entropy"].value == 0


def test_an_entropy_takes_five_rows_for_every_class():
    """Where the bias, (K − 1)/(2N), is below a tenth; said, where there are fewer."""
    labels, space = torch.arange(60) % 3, Space((2,), "real", classes=3)
    draws = Draws(space, lambda n, generator: torch.randn(n, 2, generator=generator))
    for n, known in ((14, False), (15, True)):
        train, test = Split(normal(60, 2), labels), Split(normal(n, 2, seed=1), labels[:n])
        data = Data(train, test, test, space, "made")
        assert ("label_entropy" in sample_scores(draws, data)) is known
        said = any("label_entropy, which needs 15 rows" in text for text in too_few(data))
        assert said is not known


def test_samples_of_one_class_have_no_error_of_their_entropy():
    score = label_entropy(torch.ones(40), torch.arange(40) % 2, "test", 0)
    assert score.value == 0 and score.stderr is None


@pytest.mark.parametrize("p", [[0.1] * 10, [0.7, 0.1, 0.1, 0.1]])
def test_the_error_of_an_entropy_is_its_spread(p):
    """1000 repetitions know it to 2 %; where classes are equal, the second order is all of it."""
    p, generator = torch.tensor(p, dtype=torch.float64), torch.Generator().manual_seed(0)
    found = [entropy(torch.multinomial(p, 200, True, generator=generator)) for _ in range(1000)]
    wanted, error = spread([v for v, _ in found]), typical([e for _, e in found])
    assert 0.85 * wanted < error < 1.3 * wanted
    # The plug-in estimate is low by (K − 1)/(2N), to first order.
    bias = np.mean([v for v, _ in found]) + (p * p.log()).sum().item()
    assert bias == pytest.approx(-(len(p) - 1) / 400, abs=4 * wanted / math.sqrt(1000) + 1e-3)


# ------------------------------------------------------------------------- all of them


def test_training_rows_score_what_real_data_do(training):
    """The floor at n = 359 of 64 features, and manifolds that even real data leave."""
    assert set(training) == IMAGES | {"label_entropy"}
    assert 1 < training["frechet_distance"].value < 2
    kernel = training["kernel_distance"]
    assert abs(kernel.value) < 4 * kernel.stderr
    for name in ("sample_precision", "sample_recall"):
        assert 0.85 < training[name].value < 0.96
    assert all((s.n, s.split, s.seed) == (359, "test", 0) for s in training.values())


def test_samples_are_drawn_once_and_the_same_seed_draws_the_same(digits):
    noise = Draws(digits.space, lambda n, g: torch.randint(17, (n, 1, 8, 8), generator=g).float())
    shares = []
    first = sample_scores(noise, digits, seed=3, watch=shares.append)
    assert noise.drawn == 359 and shares == [1.0]
    assert sample_scores(noise, digits, seed=3) == first
    assert sample_scores(noise, digits, seed=4) != first
    before = noise.drawn
    names = set(rp.evaluate(noise, digits))
    assert noise.drawn - before == 359 + 4 * TIMED_SAMPLES  # and those whose speed is measured
    assert names == IMAGES | {"label_entropy", "samples_per_second", "parameters"}


def test_training_rows_in_place_of_samples_are_as_many():
    """A floor at another n would be no floor."""
    space = Space((4,), "real")
    data = data_of(normal(150, 4), normal(400, 4, seed=1), space)
    draws = Draws(space, lambda n, generator: torch.randn(n, 4, generator=generator))
    model, floor = sample_scores(draws, data), reference_scores(data)
    assert model["frechet_distance"].n == floor["frechet_distance"].n == 150
    assert reference_scores(data, "train") == {}
    # Of training rows held against themselves nothing is a copy, and nothing unseen.
    assert "nearest_training" not in sample_scores(draws, data, "train")


def test_draws_that_are_not_finite_are_refused():
    space = Space((3,), "real")
    data = data_of(normal(7, 3).float(), normal(7, 3, seed=1).float(), space)
    nan = Draws(space, lambda n, generator: torch.full((n, 3), math.nan))
    with pytest.raises(ValueError, match="^samples: 7 of 7 are not finite.*smaller lr$"):
        rp.evaluate(nan, data)
    huge = Draws(space, lambda n, generator: torch.full((n, 3), 1e38).double() * 1e20)
    with pytest.raises(ValueError, match="^samples: 7 of 7 .* too large"):
        rp.evaluate(huge, data)


@pytest.mark.parametrize("n", [1, 2, 5, 19, 20, 99, 128])
@pytest.mark.parametrize("columns", [1, 3])
def test_few_rows_leave_out_what_they_do_not_determine(n, columns):
    space = Space((columns,), "real")
    data = data_of(normal(n, columns), normal(n, columns, seed=1), space)
    draws = Draws(space, lambda n, generator: torch.randn(n, columns, generator=generator))
    names = set(sample_scores(draws, data))
    wanted = {"nearest_training"}
    wanted |= {"kernel_distance", "sample_precision", "sample_recall"} if n >= 20 else set()
    wanted |= {"near_copies"} if n >= 99 else set()
    wanted |= {"frechet_distance"} if n >= 128 else set()
    assert names == wanted
    said = " ".join(too_few(data))
    spoken = IMAGES - {"sample_sharpness", "nearest_training"}
    assert all((name in said) != (name in names) for name in spoken)


def test_what_few_rows_leave_out_goes_by_the_features_of_the_extractor():
    space = Space((3,), "real")
    data = data_of(normal(18, 3), normal(18, 3, seed=1), space)
    draws = Draws(space, lambda n, generator: torch.randn(n, 3, generator=generator))
    for width, missing in ((1, False), (9, False), (10, True)):
        extractor = lambda x, width=width: x[:, :1].expand(-1, width)  # noqa: E731
        scores = sample_scores(draws, data, extractor=extractor)
        said = " ".join(too_few(data, features=width))
        assert ("frechet_distance" not in scores) is ("frechet_distance" in said) is missing
    assert "sample_precision and sample_recall, which need 20 rows" in said


def test_constant_columns_and_binary_tables():
    constant = torch.cat([normal(200, 1), torch.full((200, 1), 0.001)], 1)
    space = Space((2,), "real")
    draws = Draws(space, lambda n, g: torch.randn(n, 2, generator=g))
    found = sample_scores(draws, data_of(constant[:100], constant[100:], space))
    assert found["nearest_training"].value > 1  # the second column is never right
    same = torch.ones(200, 2)
    assert set(sample_scores(draws, data_of(same, same, space))) == {
        "frechet_distance",
        "kernel_distance",
    }
    bits = (normal(400, 3) > 0).to(torch.uint8)  # all eight rows occur in training: copies all
    coins = Draws(Space((3,), "binary"), lambda n, g: torch.rand(n, 3, generator=g).round())
    scores = sample_scores(coins, data_of(bits[:200], bits[200:], Space((3,), "binary")))
    assert scores["sample_precision"].value == scores["sample_recall"].value == 1
    assert not {"nearest_training", "near_copies"} & set(scores)


def test_features_of_ones_own_measure_labels_too(digits):
    flat = lambda x: x.flatten(1) / 16  # noqa: E731
    scores = reference_scores(digits, extractor=flat)
    assert scores["frechet_distance"].value < frechet_distance(
        flat(digits.train.x.flip(3)), flat(digits.test.x)
    )
    known = entropy(digits.test.labels)[0]
    assert scores["label_entropy"].value == pytest.approx(known, abs=0.02)


def test_a_yardstick_is_made_once_and_goes_with_its_data(monkeypatch):
    made = []
    real = Yardstick.__init__
    monkeypatch.setattr(
        Yardstick, "__init__", lambda self, *args: (made.append(1), real(self, *args))[1]
    )
    space = Space((2,), "real")
    data = data_of(normal(30, 2), normal(30, 2, seed=1), space)
    draws = Draws(space, lambda n, g: torch.randn(n, 2, generator=g))
    sample_scores(draws, data)
    sample_scores(draws, data)
    reference_scores(data)
    assert len(made) == 1
    sample_scores(draws, data, seed=1)
    assert len(made) == 2
    from reparam.evaluation import samples

    assert len(samples._last) == 1
    del data
    gc.collect()
    assert not samples._last


# ------------------------------------------------------------------------- random features


def test_features_of_large_values_and_of_parts_of_the_data():
    """Features do not depend on the origin of real data, nor on how many rows pass at a time."""
    space = Space((3,), "real")
    x = torch.randn(1500, 3, dtype=torch.float64)
    near, far = RandomFeatures(space, x)(x), RandomFeatures(space, x * 10 + 1.7e9)(x * 10 + 1.7e9)
    assert torch.allclose(near, far, atol=1e-3)


@pytest.mark.parametrize("shape", [(1,), (7,), (1, 3, 2), (3, 20, 28)])
def test_random_features_work_for_any_shape_and_are_fixed(shape):
    x = torch.rand(11, *shape, generator=torch.Generator().manual_seed(0))
    space = Space(shape, "real")
    features = RandomFeatures(space, x)
    first, again = features(x), RandomFeatures(space, x)(x)
    assert first.shape == (11, 64) and torch.equal(first, again)
    assert torch.equal(first, features.of_reference)
    assert first.mean(0).abs().max() < 1e-4  # standardized on the reference
