"""AUROC and average precision: known answers, brute force, another library, a bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

import reparam as rp
from reparam.evaluation.scores import difference


def ranked(n: int, share: float, distance: float, ties: bool, seed: int = 0):
    generator = np.random.default_rng(seed)
    odd = generator.random(n) < share
    score = generator.normal(size=n) + distance * odd
    return (score.round(0) if ties else score), odd


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0])
def test_two_normals_apart_have_the_known_area(distance):
    """P(a > b) = Φ(d/√2) of a ~ N(d, 1), b ~ N(0, 1), within four standard errors."""
    found = rp.auroc(*ranked(4000, 0.3, distance, ties=False))
    known = 0.5 * (1 + math.erf(distance / 2))
    assert 0 < found.stderr < 0.02
    assert abs(found.value - known) < 4 * found.stderr


@pytest.mark.parametrize("ties", [False, True])
def test_both_agree_with_another_library_and_with_double_sums(ties):
    score, odd = ranked(120, 0.25, 1.0, ties)
    area, precision = rp.auroc(score, odd), rp.average_precision(score, odd)
    assert area.value == pytest.approx(roc_auc_score(odd, score), abs=1e-12)
    assert precision.value == pytest.approx(average_precision_score(odd, score), abs=1e-12)
    psi = np.sign(score[odd][:, None] - score[~odd][None]) / 2 + 0.5
    m, n = psi.shape
    variance = psi.mean(1).var(ddof=1) / m + psi.mean(0).var(ddof=1) / n
    assert area.stderr == pytest.approx(math.sqrt(variance), rel=1e-12)
    for found in (area, precision):
        assert found.values.mean().item() == pytest.approx(found.value, abs=1e-12)
        assert found.n == 120 and found.split == "test"


def test_the_slope_of_average_precision_is_that_of_its_weighted_form():
    """Against finite differences of AP by the weight of each example, centered in each class."""
    score, odd = ranked(40, 0.4, 1.0, ties=True)
    step, slopes = 1e-6, np.empty(40)
    for k in range(40):
        weights = np.ones((2, 40))
        weights[0, k], weights[1, k] = 1 + step, 1 - step
        up, down = (average_precision_score(odd, score, sample_weight=w) for w in weights)
        slopes[k] = (up - down) / (2 * step)
    m, n = odd.sum(), (~odd).sum()
    # Of squares of centered slopes, Var = Σ_class k/(k−1) Σ u²; differences err by about step².
    variance = m * slopes[odd].var(ddof=1) + n * slopes[~odd].var(ddof=1)
    found = rp.average_precision(score, odd)
    assert found.stderr == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_errors_agree_with_a_bootstrap_within_each_class():
    score, odd = ranked(400, 0.25, 1.0, ties=False, seed=1)
    generator, drawn = np.random.default_rng(2), []
    classes = np.flatnonzero(odd), np.flatnonzero(~odd)
    for _ in range(400):
        rows = np.concatenate([generator.choice(of, len(of)) for of in classes])
        found = (
            roc_auc_score(odd[rows], score[rows]),
            average_precision_score(odd[rows], score[rows]),
        )
        drawn.append(found)
    errors = np.std(drawn, axis=0)
    # A deviation of 400 draws is off by 1/√800 = 3.5 % of itself; the methods differ by O(1/m).
    assert rp.auroc(score, odd).stderr == pytest.approx(errors[0], rel=0.15)
    assert rp.average_precision(score, odd).stderr == pytest.approx(errors[1], rel=0.15)


def test_two_scores_of_the_same_examples_differ_with_a_smaller_error():
    """What makes an example hard for both scores cancels; the same score differs by 0 ± 0."""
    score, odd = ranked(300, 0.3, 1.0, ties=False)
    first = rp.auroc(score, odd)
    noisy = score + 0.1 * np.random.default_rng(3).normal(size=300)
    apart = difference(first, rp.auroc(noisy, odd))
    assert apart.pairs == 300 and 0 < apart.stderr < first.stderr / 2
    same = difference(first, first)
    assert (same.value, same.stderr) == (0.0, 0.0)


def test_a_difference_of_areas_has_the_error_of_delong():
    """Var = var(A − A')/m + var(B − B')/n, of 4 anomalous examples too."""
    random, odd = np.random.default_rng(4), np.arange(60) < 4
    first, second = random.normal(size=(2, 60)) + odd
    psi = [np.sign(s[odd][:, None] - s[~odd][None]) / 2 + 0.5 for s in (first, second)]
    apart = psi[0] - psi[1]
    variance = apart.mean(1).var(ddof=1) / 4 + apart.mean(0).var(ddof=1) / 56
    found = difference(rp.auroc(first, odd), rp.auroc(second, odd))
    assert found.value == pytest.approx(apart.mean(), abs=1e-12)
    assert found.stderr == pytest.approx(math.sqrt(variance), rel=1e-12)


@pytest.mark.parametrize("measure", [rp.auroc, rp.average_precision])
def test_of_few_anomalous_examples_differences_have_the_error_of_scores(measure):
    """Of 3 of 200, n/(n−1) of the small class counts: values by example have the same error."""
    odd = np.arange(200) < 3
    found = measure(np.random.default_rng(0).normal(size=200), odd)
    assert found.values.std().item() / math.sqrt(200) == pytest.approx(found.stderr, rel=1e-12)
    flat = measure(np.zeros(200), odd)  # 0.5, or the share, of every sample
    assert difference(found, flat).stderr == pytest.approx(found.stderr, rel=1e-9)
    one = measure(np.arange(200.0), np.arange(200) == 7)
    assert one.stderr is None and difference(one, one).stderr is None


def test_infinite_scores_are_ranked_and_the_ends_are_marked():
    score = torch.tensor([0.0, 1.0, math.inf, math.inf])
    found = rp.auroc(score, torch.tensor([False, False, True, True]))
    assert (found.value, found.stderr) == (1.0, 0.0)
    assert "says nothing" in found.notes[0]
    reversed_ = rp.auroc(-score, [False, False, True, True])
    assert (reversed_.value, reversed_.stderr) == (0.0, 0.0) and "below" in reversed_.notes[0]
    few = rp.auroc([0.0, 1.0, 2.0], [False, True, False])
    assert (few.value, few.stderr) == (0.5, None)  # of one anomalous example no spread is known
    assert rp.average_precision([0.0, 1.0, 2.0], [False, True, False]).value == 0.5


@pytest.mark.parametrize("measure", [rp.auroc, rp.average_precision])
@pytest.mark.parametrize(
    ("score", "odd", "said"),
    [
        ([1.0, 2.0], [1, 1], "is_anomalous: expected normal and anomalous .* 2 anomalous ones"),
        ([1.0, 2.0], [0, 0], "is_anomalous: .* got 2 normal ones only"),
        ([1.0, 2.0], [0, 2], "is_anomalous: expected true and false"),
        ([1.0, 2.0], [0, 1, 1], "is_anomalous: expected one for each score"),
        ([1.0, math.nan], [0, 1], "score: expected numbers, got 1 of 2 that are NaN"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(measure, score, odd, said):
    with pytest.raises(ValueError, match=said):
        measure(score, odd)
