"""Metrics of single latents and factors on codes with known answers, and against enumeration."""

import json
import math
import sys
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier

import reparam as rp
from reparam.evaluation.disentanglement.information import modular
from reparam.evaluation.disentanglement.inputs import read
from reparam.evaluation.disentanglement.predictors import area_under_roc
from reparam.evaluation.disentanglement.resampling import halves, standard_error
from reparam.evaluation.disentanglement.trees import disentangled, installed

LEVELS = (3, 4, 5, 4, 6)
GRID = np.array(list(product(*map(range, LEVELS))))  # 1440 rows
TINY = np.array(list(product(range(2), range(3)))).repeat(20, 0)  # 120 rows of 2 × 3 levels
RNG = np.random.default_rng(0)
SAMPLE = np.stack([RNG.integers(0, k, 10_000) for k in (3, 6, 40, 32, 32)], 1)
NOISE = RNG.normal(size=(10_000, 10))
TURN = np.array([[1, 1], [-1, 1]]) / math.sqrt(2)


def turned(codes):
    """The first two latents, standardized, turned by 45°."""
    z = (codes - codes.mean(0)) / codes.std(0)
    z[:, :2] = z[:, :2] @ TURN
    return z


# What single rows count to, by Python's own dictionaries.
def tally(pairs):
    found = {}
    for pair in pairs:
        found[pair] = found.get(pair, 0) + 1
    return found


def entropy(values):
    values = list(values)
    return -sum(c / len(values) * math.log(c / len(values)) for c in tally(values).values())


def shared(a, b):
    pairs = list(zip(a, b, strict=True))
    return entropy(a) + entropy(b) - entropy(pairs)


def in_bins(column, bins):
    low, high = min(column), max(column)
    edges = [low + (high - low) * i / bins for i in range(1, bins)]
    return [sum(value >= edge for edge in edges) for value in column]


@pytest.fixture(scope="module")
def tiny_codes():
    """Two latents that mix both factors of the tiny grid and some noise."""
    noise = np.random.default_rng(3).normal(size=TINY.shape)
    return np.stack([TINY[:, 0] + 0.4 * TINY[:, 1], TINY[:, 1] - 0.3 * TINY[:, 0]], 1) + 0.5 * noise


@pytest.mark.parametrize("bins", [4, 20, "levels"])
def test_mig_and_modularity_are_those_of_counting(tiny_codes, bins):
    table = np.array(
        [
            [
                shared(in_bins(z.tolist(), k if bins == "levels" else bins), v.tolist())
                for v, k in zip(TINY.T, (2, 3), strict=True)
            ]
            for z in tiny_codes.T
        ]
    )
    first, second = np.sort(table, axis=0)[::-1]
    h = np.array([entropy(v.tolist()) for v in TINY.T])
    found = rp.mig(tiny_codes, TINY, bins, bootstrap=0)
    assert found.value == pytest.approx(((first - second) / h).mean(), abs=1e-12)
    np.testing.assert_allclose(found.matrix.numpy(), table / h, atol=1e-12)
    assert (found.n, found.bins, found.stderr) == (120, bins, None)
    by_latent = [1 - min(row) ** 2 / max(row) ** 2 for row in table]
    scores = rp.modularity(tiny_codes, TINY, bins, bootstrap=0)
    assert scores["modularity"].value == pytest.approx(np.mean(by_latent), abs=1e-12)
    np.testing.assert_allclose(scores["modularity"].matrix.numpy(), table, atol=1e-12)


@pytest.mark.parametrize("codes", [GRID, -GRID[:, ::-1], np.c_[3.5 * GRID, np.zeros(len(GRID))]])
def test_codes_that_are_the_factors_have_mig_1(codes):
    assert rp.mig(codes, GRID, bootstrap=0).value == pytest.approx(1, abs=1e-12)
    assert rp.modularity(codes, GRID, bootstrap=0)["modularity_live"].value == pytest.approx(1)


def test_mig_of_independent_and_of_doubled_codes():
    found = rp.mig(NOISE, SAMPLE, bootstrap=5)
    assert found.value < 0.002 and 0 < found.stderr < 0.002 and found.seed == 0
    assert rp.mig(np.c_[GRID, GRID], GRID, bootstrap=0).value == 0
    doubled = rp.modularity(np.c_[GRID, GRID], GRID, bootstrap=0)
    assert doubled["modularity"].value == pytest.approx(1, abs=1e-12)


def test_levels_that_share_bins_lower_mig_of_the_identity():
    """Of the whole grid 3 × 6 × 40 × 32 × 32, each factor alone says what all together do."""
    grid = np.array(list(product(range(3), range(6), range(0, 40), range(32)))).astype(np.int16)
    one = [rp.mig(grid, grid, bootstrap=0, bins=b).matrix.diagonal() for b in (20, 40, "levels")]
    expected = [1 - sum(2 / k * math.log(2) for _ in range(k - 20)) / math.log(k) for k in (40, 32)]
    np.testing.assert_allclose(one[0][2:], expected, atol=1e-9)
    assert (one[0].sum() + one[0][3]).item() / 5 == pytest.approx(0.902, abs=5e-4)
    for exact in one[1:]:
        np.testing.assert_allclose(exact, 1, atol=1e-12)
    sampled = [rp.mig(1.0 * SAMPLE, SAMPLE, b, bootstrap=0).value for b in (20, 40, "levels")]
    np.testing.assert_allclose(sampled, [0.896, 0.988, 0.99], atol=2e-3)


def test_one_latent_has_no_second():
    found = rp.mig(GRID[:, :1], GRID, bootstrap=0)
    assert found.value == pytest.approx(1 / 5) and found.matrix.shape == (1, 5)


def test_dead_latents_count_0_in_modularity_and_are_left_out_of_the_other():
    constants = np.random.default_rng(1).normal(size=5) * np.ones((len(GRID), 5))
    for dead in (constants, 1e-9 * np.random.default_rng(1).normal(size=(len(GRID), 5))):
        scores = rp.modularity(np.c_[GRID, dead], GRID, bootstrap=0)
        values = [scores[name].value for name in ("modularity", "modularity_live")]
        assert values == pytest.approx([0.5, 1.0], abs=1e-12)
        assert scores["modularity"].notes[0] == "5 of 10 latents dead: z5, z6, z7, z8, z9."
    assert modular(np.array([[1.0, 0.5], [0.0, 0.0]])).tolist() == [0.75, 0.0]


def test_modularity_of_noise_is_not_0():
    found = rp.modularity(NOISE, SAMPLE, bootstrap=5)["modularity"]
    assert 0.6 < found.value < 0.7 and found.stderr < 0.02


def test_explicitness_of_the_factors_and_of_noise():
    found = rp.explicitness(1.0 * GRID, GRID, bootstrap=2)
    assert found.value > 0.999 and found.stderr < 1e-3
    rows = slice(0, 4000)
    noise = rp.explicitness(NOISE[rows, :4], SAMPLE[rows, :3], bootstrap=0)
    assert noise.value == pytest.approx(0.5, abs=0.01)
    assert noise.predictor == "multinomial logistic regression"


def test_a_level_that_one_half_lacks_is_left_out(tiny_codes):
    rare = TINY.copy()
    rare[:2, 1] = 7  # two rows: by some seed both are in one half
    values = [rp.explicitness(tiny_codes, rare, seed=seed, bootstrap=0).value for seed in range(6)]
    assert all(0.5 < value <= 1 for value in values)


def test_area_under_the_roc_is_a_share_of_pairs():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 6, 40), rng.random(40) < 0.4
    wins = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    assert area_under_roc(score, positive) == pytest.approx(np.mean(wins))


def test_sap_of_ordered_factors_is_the_gap_of_squared_correlations(tiny_codes):
    assert rp.sap(-GRID, GRID, ordered=range(5), bootstrap=0).value == pytest.approx(1)
    squares = np.array([[np.corrcoef(z, v)[0, 1] ** 2 for v in TINY.T] for z in tiny_codes.T])
    found = rp.sap(tiny_codes, TINY, ordered=["a", "b"], names=["a", "b"])
    np.testing.assert_allclose(found.matrix, squares, atol=1e-12)
    assert found.value == pytest.approx(abs(squares[0] - squares[1]).mean())
    assert 0 < found.stderr < 0.2 and "squared correlation" in found.predictor


def test_sap_of_a_circle_is_that_of_cosine_and_sine():
    angle = np.arange(400)[:, None] % 8
    turn = 2 * np.pi * angle[:, 0] / 8
    rng = np.random.default_rng(0)
    z = np.stack([np.cos(turn + 0.4) + 0.3 * rng.normal(size=400), rng.normal(size=400)], 1)
    found = rp.sap(z, angle, ordered={0: "circular"}, bootstrap=0).matrix[:, 0]
    design = np.stack([np.ones(400), np.cos(turn), np.sin(turn)], 1)
    for column, value in zip(z.T, found, strict=True):
        left = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
        assert value == pytest.approx(1 - left.var() / column.var())
    assert found[0] > 0.8 > 0.1 > found[1]


@pytest.mark.parametrize("scale", [1.0, np.pi / 4])
def test_sap_of_a_circle_whose_levels_lack_is_by_the_angles_of_the_others(scale):
    """A code of the cosine is explained whole, which it is not by even angles."""
    level = np.array([0, 1, 2, 5, 7])[np.arange(400) % 5]
    z = np.cos(2 * np.pi * level / 8)[:, None]
    found = rp.sap(z, scale * level[:, None], ordered={0: "circular"}, bootstrap=0).matrix
    assert found.item() == pytest.approx(1, abs=1e-9)
    even = 2 * np.pi * np.unique(level, return_inverse=True)[1] / 5
    assert np.corrcoef(np.cos(even), z[:, 0])[0, 1] ** 2 < 0.9


def test_circular_values_that_are_no_grid_stand_evenly():
    values = np.array([0.0, 0.1, 0.75, 1.9])[np.arange(200) % 4]
    coded = read(values[:, None], values[:, None], ordered={0: "circular"})
    assert coded.turns(0).tolist() == [0, 0.25, 0.5, 0.75]


def test_sap_of_names_is_balanced_accuracy_of_the_nearest_mean(tiny_codes):
    found = rp.sap(tiny_codes, TINY, seed=4, bootstrap=0)
    train, test = halves(len(TINY), 4)
    for i, j in product(range(2), range(2)):
        z, v = tiny_codes[:, i], TINY[:, j]
        means = {level: z[train][v[train] == level].mean() for level in set(v)}
        said = np.array([min(means, key=lambda k: abs(x - means[k])) for x in z[test]])
        by_level = [(said[v[test] == level] == level).mean() for level in set(v)]
        assert found.matrix[i, j].item() == pytest.approx(np.mean(by_level))
    constant = rp.sap(np.c_[tiny_codes, np.ones(120)], TINY, bootstrap=0).matrix[2]
    np.testing.assert_allclose(constant, [1 / 2, 1 / 3])


def test_sap_as_published_is_another_number(tiny_codes):
    from sklearn.svm import LinearSVC

    found = rp.sap(tiny_codes, TINY, "reference")
    train, test = halves(len(TINY), 0)
    for i, j in product(range(2), range(2)):
        z, v = tiny_codes[:, i : i + 1], TINY[:, j]
        svm = LinearSVC(C=0.01, class_weight="balanced", random_state=0).fit(z[train], v[train])
        assert found.matrix[i, j].item() == pytest.approx(svm.score(z[test], v[test]))
    assert "LinearSVC" in found.predictor and found.stderr is None


def test_dci_of_known_importances():
    assert [disentangled(m) for m in (np.eye(5), np.ones((5, 5)))] == pytest.approx([1, 0])
    two_of_ten = np.repeat(np.eye(5), 2, axis=0) / 2
    assert disentangled(two_of_ten) == pytest.approx(1)
    assert disentangled(two_of_ten.T) == pytest.approx(1 - math.log(2) / math.log(10))
    uneven = np.array([[0.9, 0.3], [0.1, 0.7]])
    by_row = [1 - entropy_of(row / row.sum()) / math.log(2) for row in uneven]
    expected = (by_row[0] * 1.2 + by_row[1] * 0.8) / 2  # rows weigh what they have
    assert disentangled(uneven) == pytest.approx(expected)
    assert disentangled(np.vstack([uneven, np.zeros(2)])) == pytest.approx(expected)
    assert disentangled(np.zeros((2, 2))) == 0


def entropy_of(p):
    return -sum(x * math.log(x) for x in p if x > 0)


def test_dci_of_turned_codes_is_smaller():
    few = np.array(list(product(range(2), range(2)))).repeat(40, 0)
    straight = few + 0.2 * np.random.default_rng(0).normal(size=few.shape)
    found = [
        rp.dci(codes, few, "gradient boosting", bootstrap=10)
        for codes in (np.c_[straight, np.zeros(160)], turned(straight))
    ]
    for name in ("dci_disentanglement", "dci_completeness"):
        assert found[0][name].value > found[1][name].value + 0.1
        assert found[0][name].stderr is None
    right = found[0]["dci_informativeness"]
    assert right.value > 0.95 and 0 <= right.stderr < 0.05 and "scikit-learn" in right.predictor
    importance = found[0]["dci_disentanglement"].matrix.numpy()
    assert importance[2].tolist() == [0, 0]
    codes, (train, _) = np.c_[straight, np.zeros(160)], halves(160, 0)
    for j, v in enumerate(few.T):  # the same trees, fitted here
        trees = GradientBoostingClassifier(random_state=0).fit(codes[train], v[train])
        np.testing.assert_allclose(importance[:, j], trees.feature_importances_)
    by_factor = [1 - entropy_of(column) / math.log(3) for column in importance.T]
    assert found[0]["dci_completeness"].value == pytest.approx(np.mean(by_factor))
    by_latent = [1 - entropy_of(row / row.sum()) / math.log(2) for row in importance[:2]]
    expected = np.average(by_latent, weights=importance[:2].sum(1))
    assert found[0]["dci_disentanglement"].value == pytest.approx(expected)


def test_dci_by_lightgbm_and_by_gradient_boosting_agree_on_what_is_plain():
    if not installed():
        pytest.skip("LightGBM is an extra")
    few = np.array(list(product(range(3), range(3)))).repeat(30, 0)
    scores = rp.dci(-1.0 * few, few, bootstrap=0)
    assert "LightGBM" in scores["dci_completeness"].predictor
    assert [score.value for score in scores.values()] == pytest.approx([1, 1, 1])
    mixed = turned(few + 0.2 * np.random.default_rng(0).normal(size=few.shape))
    assert rp.dci(mixed, few)["dci_disentanglement"].value < 0.8


def test_dci_by_lightgbm_of_few_rows_is_near_that_by_gradient_boosting():
    """Leaves of at least 20 rows, LightGBM's default, would split none of 30 and give 0, 0."""
    if not installed():
        pytest.skip("LightGBM is an extra")
    rng, apart = np.random.default_rng(0), []
    for _ in range(3):
        v = np.stack([rng.integers(0, k, 60) for k in (2, 3)], 1)
        z = turned(1.0 * v) + 0.2 * rng.normal(size=v.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few rows
            two = [rp.dci(z, v, by, bootstrap=0) for by in ("lightgbm", "gradient boosting")]
        apart.append([two[0][name].value - two[1][name].value for name in two[0]])
        assert two[0]["dci_informativeness"].value > 0.6
    assert np.abs(np.mean(apart, 0)).max() < 0.1


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1e4), (2.0**-120, 0.0)])
def test_dci_does_not_hang_on_units(scale, shift):
    """LightGBM takes what is below 1e-35 for 0, and has a bin of its own around 0."""
    if not installed():
        pytest.skip("LightGBM is an extra")
    few = np.array(list(product(range(3), range(3)))).repeat(30, 0)
    codes = turned(few + 0.2 * np.random.default_rng(0).normal(size=few.shape))
    codes = np.round(codes * 2**20) / 2**20  # so that a shift rounds nothing
    plain, moved = (rp.dci(z, few, bootstrap=0) for z in (codes, scale * codes + shift))
    for name, score in plain.items():
        assert moved[name].value == pytest.approx(score.value, abs=0.01)


def test_without_lightgbm_it_warns_of_the_time(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # what Python makes an ImportError of
    few = np.array(list(product(range(2), range(2)))).repeat(30, 0)
    with pytest.warns(UserWarning, match="ten times as long.*reparam.disentangle"):
        scores = rp.dci(few, few, bootstrap=0)
    assert "scikit-learn" in scores["dci_informativeness"].predictor
    with pytest.raises(ValueError, match="predictor: LightGBM is not installed; .*pip install"):
        rp.dci(few, few, "lightgbm")


def test_all_together_say_what_is_not_defined():
    column = np.arange(200)[:, None] % 2
    codes = np.c_[column, np.random.default_rng(0).normal(size=200)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = rp.disentanglement(codes, column, bootstrap=0)
    absent = {"modularity", "modularity_live", "dci_disentanglement"}
    assert absent | {"beta_vae_metric", "factor_vae_metric"} == set(EVERY) - scores.keys()
    assert any("modularity: expected two factors" in n for n in scores["dead_latents"].notes)
    with pytest.raises(ValueError, match="modularity: expected two factors"):
        rp.disentanglement(codes, column, ["modularity"])


EVERY = (
    "dead_latents mig modularity modularity_live sap irs factor_vae_metric beta_vae_metric "
    "explicitness dci_disentanglement dci_completeness dci_informativeness"
).split()


def test_scores_carry_their_protocol_into_json():
    score = rp.mig(torch.tensor(GRID), GRID, np.int64(7), seed=3, bootstrap=3)
    content = score.to_json()
    assert (
        json.loads(json.dumps(content))["bins"] == 7
        and content["seed"] == 3
        and content["stderr"] == score.stderr
    )
    assert content["notes"] == ("0 of 5 latents dead.",) and "matrix" not in content
    assert "bins" not in rp.Score(1.0, "nats", 1, "test").to_json()


def test_resamples_stay_within_their_half():
    train, test = halves(101, seed=2)
    assert sorted([*train, *test]) == list(range(101)) and len(train) == 50

    def share(*rows):
        assert all(set(drawn) <= set(part) for drawn, part in zip(rows, (train, test), strict=True))
        return len(set(rows[1])) / len(test)

    assert standard_error(share, (train, test), 20, seed=0) > 0
    assert standard_error(share, (train, test), 1, seed=0) is None


@pytest.mark.parametrize("metric", [rp.mig, rp.sap, rp.irs])
def test_errors_are_those_of_repetition(metric):
    """Of many samples of one law the scores deviate as the bootstrap of one says."""
    rng = np.random.default_rng(0)
    found, errors = [], []
    for repetition in range(25):
        v = np.stack([rng.integers(0, k, 600) for k in (3, 4)], 1)
        z = v + 0.7 * rng.normal(size=v.shape)
        score = metric(z, v, bootstrap=20 if repetition < 4 else 0)
        found.append(score.value)
        errors += [score.stderr] if score.stderr else []
    ratio = np.mean(errors) / np.std(found, ddof=1)
    assert 0.55 < ratio < 1.8
