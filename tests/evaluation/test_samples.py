"""Scores of samples against closed forms, brute force, scikit-learn and repetition."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest
import torch
from known_samples import Draws, data_of, normal, pairs, rows_of, spread, typical
from sklearn.neighbors import NearestNeighbors

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation import copies, reference_scores, too_few
from reparam.evaluation.classes import entropy, label_entropy
from reparam.evaluation.copies import near_copies, near_copies_error, nearest_distances
from reparam.evaluation.discrepancy import (
    frechet_distance,
)
from reparam.evaluation.random_features import RandomFeatures
from reparam.evaluation.samples import TIMED_SAMPLES, Yardstick, sample_scores
from reparam.evaluation.vectors import Vectors
from reparam.model import Space

IMAGES = {
    "frechet_distance",
    "kernel_distance",
    "sample_precision",
    "sample_recall",
    "sample_sharpness",
    "nearest_training",
    "near_copies",
}


# ------------------------------------------------------------------ nearest training rows


def test_distances_to_training_rows_are_those_of_scikit_learn(monkeypatch):
    space, train = Space((5,), "real"), Split(normal(70, 5, seed=1) + 1e6)
    vectors = Vectors(space, train.x)
    points, known = vectors(normal(40, 5) + 1e6), vectors(train.x)
    wanted = NearestNeighbors(n_neighbors=1).fit(known).kneighbors(points)[0][:, 0]
    for at_once in (4000, 9):
        monkeypatch.setattr(copies, "ROWS_AT_ONCE", at_once)
        found = nearest_distances(points, train, vectors)
        assert np.allclose(found, wanted, rtol=1e-9)
    assert not nearest_distances(known[:3], train, vectors).any()


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
    with pytest.raises(
        ValueError, match=r"^samples: 7 of 7 \(100 %\) are .*frechet_distance.*smaller lr$"
    ):
        rp.evaluate(nan, data)
    one = Draws(
        space,
        lambda n, generator: torch.cat([torch.ones(n - 1, 3), torch.tensor([[1, 2, math.inf]])]),
    )
    with pytest.raises(ValueError, match=r"^samples: 1 of 7 \(14.3 %\) are not finite"):
        rp.evaluate(one, data)
    huge = Draws(space, lambda n, generator: torch.full((n, 3), 1e38).double() * 1e20)
    with pytest.raises(ValueError, match=r"^samples: 7 of 7 .* too large"):
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
