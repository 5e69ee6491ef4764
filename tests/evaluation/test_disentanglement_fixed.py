"""Scores of fixed factors and of several seeds: known answers, and formulas written again here."""

import math
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import reparam as rp
from reparam.evaluation.disentanglement import ceilings, seeds
from reparam.evaluation.disentanglement.inputs import read
from reparam.evaluation.disentanglement.interventions import BATCH, Fixed
from reparam.evaluation.disentanglement.resampling import halves

GRID = np.array(list(product(*map(range, (3, 4, 5, 4, 6)))))
STANDARD = (GRID - GRID.mean(0)) / GRID.std(0)
TURNED = STANDARD.copy()
TURNED[:, :2] = STANDARD[:, :2] @ np.array([[1, 1], [-1, 1]]) / math.sqrt(2)
RNG = np.random.default_rng(0)
SAMPLE = np.stack([RNG.integers(0, k, 10_000) for k in (3, 6, 40, 32, 32)], 1)
NOISE = RNG.normal(size=(10_000, 10))


def test_factor_vae_metric_of_known_codes():
    assert rp.factor_vae_metric(-GRID[:, ::-1], GRID, bootstrap=0).value == 1
    noise = rp.factor_vae_metric(NOISE, SAMPLE, bootstrap=0)
    assert noise.value == pytest.approx(0.2, abs=0.02)
    assert noise.matrix.sum().item() == pytest.approx(5000)
    turned = rp.factor_vae_metric(TURNED, GRID, bootstrap=2)
    assert turned.value == pytest.approx(0.8, abs=0.02) and 0 < turned.stderr < 0.05
    assert "5 of 5 latents vote" in turned.predictor


def test_latents_that_hardly_vary_do_not_vote():
    small = 0.04 * STANDARD
    assert rp.factor_vae_metric(small, GRID, bootstrap=0).value == 0
    beside = rp.factor_vae_metric(np.c_[small[:, :3], STANDARD], GRID, bootstrap=0)
    assert beside.value == 1 and beside.matrix[:3].sum() == 0


def test_variances_are_divided_by_those_of_all_rows():
    """Both halves then vote by one rule, also of a latent that one row alone makes vary."""
    spiked = np.c_[STANDARD, np.zeros(len(GRID))] + 0.1 * NOISE[: len(GRID), :6]
    spiked[halves(len(GRID), 0)[1][0], 5] = 1e4  # of a row that only tests
    votes = rp.factor_vae_metric(spiked, GRID, bootstrap=0).matrix
    assert votes[5].sum() == votes.sum()


def test_a_resample_may_lack_what_each_half_has():
    """Of 3 rows of a level in each half every other resample draws fewer than two of some."""
    rare = (np.arange(200) % 2)[:, None].repeat(2, 1)
    rare[:, 1] = 0
    rare[np.concatenate([half[:3] for half in halves(200, 0)]), 1] = 1
    codes = rare + 0.2 * NOISE[:200, :2]
    for metric in (rp.factor_vae_metric, rp.beta_vae_metric):
        assert metric(codes, rare, bootstrap=6).stderr >= 0
    rare[halves(200, 0)[1][:2], 1] = 0
    with pytest.raises(ValueError, match="expected two levels of 1 with at least 2 rows in each"):
        rp.beta_vae_metric(codes, rare)
    pairs = np.arange(100)[:, None] // 2
    alone = Fixed(read(1.0 * pairs, pairs), np.arange(0, 100, 2))  # no row of it has a partner
    assert np.array_equal(*alone.pairs(0, 5, np.random.default_rng(0)))


def test_beta_vae_metric_of_known_codes():
    assert rp.beta_vae_metric(-GRID, GRID, bootstrap=0).value > 0.99
    noise = rp.beta_vae_metric(NOISE, SAMPLE, bootstrap=0)
    assert noise.value == pytest.approx(0.2, abs=0.02) and "logistic" in noise.predictor
    dead = rp.beta_vae_metric(np.c_[GRID, np.ones(len(GRID))], GRID, bootstrap=0)
    assert dead.value > 0.99


def test_draws_hold_one_factor_and_no_other():
    coded = read(GRID, GRID)
    rows = np.random.default_rng(1).permutation(len(GRID))[: len(GRID) // 2]
    fixed, rng = Fixed(coded, rows), np.random.default_rng(0)
    for factor in range(5):
        batch = GRID[rows][fixed.batches(factor, 300, rng)]
        assert batch.shape == (300, BATCH, 5)
        varied = (batch != batch[:, :1]).any((0, 1))
        assert varied.tolist() == [j != factor for j in range(5)]
        first, second = fixed.pairs(factor, 200, rng)
        assert (first != second).all()
        assert (GRID[rows][first][..., factor] == GRID[rows][second][..., factor]).all()
        assert len(np.unique(GRID[rows][first][0, :, factor])) > 1  # pairs differ in the level
        shares = np.bincount(batch[:, 0, factor]) / 300  # rows are a sample: levels as frequent
        np.testing.assert_allclose(shares, 1 / len(shares), atol=0.12)
        drawn = np.bincount(second.ravel(), minlength=len(rows))
        assert (drawn > 0).mean() > 0.99  # no partner is out of reach


def irs_by_hand(codes, factors):
    """As the paper has it: 1 − mean over levels of the 99 % quantile over the largest."""
    best, largest = [], []
    for z in codes.T:
        whole = max(abs(z - z.mean()))
        of_factor = []
        for v in factors.T:
            moved = []
            for level in sorted(set(v)):
                away = np.sort(abs(z[v == level] - z[v == level].mean()))
                at = 0.99 * (len(away) - 1)
                low, high = math.floor(at), math.ceil(at)
                moved.append(away[low] + (at - low) * (away[high] - away[low]))
            of_factor.append(1 - np.mean(moved) / whole)
        best.append(max(of_factor))
        largest.append(whole)
    return np.average(best, weights=largest)


def test_irs_of_known_codes():
    assert rp.irs(-GRID, GRID, bootstrap=0).value == pytest.approx(1)
    noise = rp.irs(NOISE, SAMPLE, bootstrap=2)
    assert noise.value == pytest.approx(0.37, abs=0.02) and noise.stderr > 0
    turned = rp.irs(TURNED, GRID, bootstrap=0)
    assert turned.value == pytest.approx(irs_by_hand(TURNED, GRID)) and 0.7 < turned.value < 0.85
    tiny = np.array(list(product(range(2), range(3)))).repeat(20, 0)
    codes = tiny @ np.array([[1.0, 0.5], [-0.2, 2]]) + RNG.normal(size=tiny.shape)
    constant = np.c_[codes, np.full(len(codes), 7.0)]
    found = rp.irs(constant, tiny, bootstrap=0)
    assert found.value == pytest.approx(irs_by_hand(codes, tiny))
    assert found.matrix.shape == (3, 2) and found.matrix[2].tolist() == [0, 0]


def relative_strength(r):
    """Duan et al., eq. 2, with every latent informative."""
    a, b = r.shape
    total = sum(max(r[:, j]) ** 2 / sum(r[:, j]) for j in range(b) if sum(r[:, j]) > 0)
    total += sum(max(r[i]) ** 2 / sum(r[i]) for i in range(a) if sum(r[i]) > 0)
    return total / (a + b)


def test_udr_of_copies_and_of_strangers():
    z = NOISE[:, :5]
    copies = [z, -2 * z[:, [3, 1, 4, 0, 2]], 1 + z[:, ::-1]]
    assert rp.udr(copies, bootstrap=2).value == pytest.approx(0.9, abs=1e-12)
    ranks = rp.udr(copies[:2], similarity="spearman", bootstrap=0)
    assert ranks.value == pytest.approx(0.97, abs=0.01)
    strangers = [z, NOISE[:, 5:]]
    assert rp.udr(strangers, bootstrap=0).value == 0
    assert rp.udr(strangers, similarity="spearman", bootstrap=0).value < 0.01


def test_udr_is_that_of_the_paper():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(200, 3))
    codes = [base @ rng.normal(size=(3, k)) + rng.normal(size=(200, k)) for k in (2, 3, 2)]
    scores = [
        [
            relative_strength(np.array([[abs(spearmanr(x, y)[0]) for y in b.T] for x in a.T]))
            for b in codes
        ]
        for a in codes
    ]
    expected = [np.median([scores[i][j] for j in range(3) if j != i]) for i in range(3)]
    found = rp.udr(codes, similarity="spearman", bootstrap=3)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert found.value == pytest.approx(np.mean(expected)) and found.stderr > 0
    lasso = seeds.SIMILARITIES["lasso"](codes[0], codes[1])
    x, y = ((z - z.mean(0)) / z.std(0) for z in codes[:2])
    for b in range(3):  # the minimum of ½ mean square + α |w|, by its conditions
        w = np.abs(lasso[:, b]) * np.sign(x.T @ y[:, b])
        gradient = x.T @ (x @ w - y[:, b]) / len(x)
        assert (np.abs(gradient) < 0.1 + 1e-4).all()
        np.testing.assert_allclose(gradient[w != 0], -0.1 * np.sign(w[w != 0]), atol=2e-4)
    np.testing.assert_allclose(
        rp.udr(codes, bootstrap=0).matrix[0, 1], relative_strength(lasso), atol=1e-12
    )


def test_udr_leaves_out_what_is_dead():
    z = NOISE[:500, :3]
    idle = np.c_[z, 0.5 * NOISE[:500, 5:7]]
    rates = [np.array([1, 2, 3, 0.001, 0.002]), np.array([3.0, 2, 1])]
    found = rp.udr([idle, -z], rates, bootstrap=0)
    assert found.value == pytest.approx(0.9)
    assert found.notes[0] == "Model 0: 2 of 5 latents dead: z3, z4."
    collapsed = rp.udr([z, 0 * z, -z], bootstrap=0)
    assert collapsed.values.tolist() == pytest.approx([0.45, 0, 0.45])


def test_what_images_do_not_show_bounds_mig():
    """A square that is turned by a quarter is the same: of 8 orientations it shows 2."""
    shape, turn = np.meshgrid(range(2), range(8), indexing="ij")
    factors = np.stack([shape.ravel(), turn.ravel()], 1).repeat(10, 0)
    seen = np.where(factors[:, 0] == 0, factors[:, 1] % 2, factors[:, 1])
    images = np.stack([factors[:, 0], seen], 1)
    # H(turn | image): a square leaves four equally likely, the other shape none.
    expected = (1 + (1 - 0.5 * math.log(4) / math.log(8))) / 2
    found = rp.mig_ceiling(images, factors, names=["shape", "turn"])
    assert found.value == pytest.approx(expected) and "10 distinct" in found.unit
    assert rp.mig(images, factors, "levels", bootstrap=0).value <= found.value
    assert ceilings.numbered(images).max() == 9


CODES, FACTORS = np.random.default_rng(0).normal(size=(120, 2)), np.arange(240).reshape(120, 2) % 3
NAN = np.where(np.arange(240).reshape(120, 2) == 7, np.nan, CODES)


@pytest.mark.parametrize(
    ("codes", "factors", "options", "message"),
    [
        (CODES, FACTORS[:-1], {}, "factors: expected 120 rows, one per code, got 119"),
        (CODES[:, 0], FACTORS, {}, r"codes: expected rows and columns, got shape \(120,\); for"),
        (CODES, FACTORS[:, 0], {}, r"factors: expected rows and columns, .*values\[:, None\]"),
        (NAN, FACTORS, {}, "codes: expected finite numbers, got nan in row 3, column 1"),
        (CODES, NAN, {}, "factors: expected finite numbers, got nan"),
        (CODES + 1j, FACTORS, {}, "codes: expected real numbers, got complex128"),
        (CODES * 1e200, FACTORS, {}, "codes: expected numbers of at most 1e\\+150"),
        (CODES, FACTORS.astype(str), {}, "factors: expected real numbers, got <U"),
        (CODES, np.arange(120)[:, None], {}, "factors: 0 has 120 levels in 120 rows, as a number"),
        (CODES, 1.0 * np.arange(120)[:, None], {}, "has 120 levels in 120 rows"),
        (CODES[:19], FACTORS[:19], {}, "rows: expected at least 20, got 19"),
        (0 * CODES + 0.1, FACTORS, {}, "codes: all latents are dead"),
        (CODES, FACTORS, {"rates": [0.001, 0.002]}, "codes: all latents are dead"),
        (CODES, FACTORS, {"rates": [1.0]}, r"rates: expected a finite number for each of 2 lat"),
        (CODES, 0 * FACTORS, {}, "factors: expected one with two levels or more, got none"),
        (CODES, FACTORS, {"names": ["a"]}, "names: expected 2 different ones, one per factor"),
        (CODES, FACTORS, {"ordered": ["b"]}, "ordered: expected one of 0, 1, got 'b'"),
        (CODES, FACTORS, {"ordered": {0: "round"}}, "ordered: expected one of names, numbers, ci"),
        (CODES, FACTORS, {"metrics": ["migg"]}, r"metrics: .*got 'migg' \(did you mean mig\?\)"),
        (CODES, FACTORS, {"bins": 1}, "bins: expected a whole number of at least 2 and"),
        (CODES, FACTORS, {"bins": "many"}, "bins: expected a whole number of at least 2 and"),
        (CODES, FACTORS, {"form": "svm"}, 'form: expected "own" or "reference"'),
        (CODES, FACTORS, {"predictor": "forest"}, "predictor: expected one of lightgbm, gradient"),
    ],
)
def test_what_cannot_be_scored_is_refused(codes, factors, options, message):
    with pytest.raises(ValueError, match=message):
        rp.disentanglement(codes, factors, bootstrap=0, **options)


def test_few_rows_are_scored_with_a_warning():
    with pytest.warns(UserWarning, match="rows: 50 are few"):
        assert 0 <= rp.mig(CODES[:50], FACTORS[:50], bootstrap=0).value < 0.3


def test_levels_of_one_row_have_no_pairs():
    single = FACTORS.copy()
    single[5, 1] = 9
    for metric in (rp.factor_vae_metric, rp.beta_vae_metric):
        with pytest.raises(ValueError, match="1 has 1 level with fewer than 2 rows"):
            metric(CODES, single)
        with pytest.raises(ValueError, match="expected two factors or more, got one"):
            metric(CODES, FACTORS[:, :1])


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        ([CODES], {}, "codes: expected those of two models or more, got 1"),
        ([CODES, CODES[:-1]], {}, "codes: expected the same rows of every model, got 120, 119"),
        ([CODES, CODES[:, 0]], {}, "codes of model 1: expected rows and columns"),
        ([CODES, CODES], {"rates": [[1, 1]]}, "rates: expected 2, one per model, got 1"),
        ([CODES, CODES], {"similarity": "pearson"}, "similarity: expected one of lasso, spearman"),
        ([0 * CODES, 0 * CODES], {}, "codes: all latents of all models are dead"),
    ],
)
def test_udr_refuses_what_it_cannot_compare(codes, options, message):
    with pytest.raises(ValueError, match=message):
        rp.udr(codes, **options)


def test_how_factors_are_read_is_said():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    factors = np.stack([np.arange(300) % 3, np.arange(300) % 4 / 2, x, np.ones(300)], 1)
    coded = read(np.c_[x, x], factors, names=["shape", "scale", "time", "color"])
    assert coded.names == ("shape", "scale", "time")
    assert coded.kinds == ("names", "numbers", "numbers") and coded.counts == (3, 4, 20)
    assert np.bincount(coded.levels[:, 2]).tolist() == [15] * 20
    assert coded.notes[1:] == (
        "Left out for having one level only: color.",
        "time has 300 values: taken as 20 levels of as many rows.",
    )
    assert rp.mig(np.c_[x, x], factors, bootstrap=0).notes == read(np.c_[x, x], factors).notes


@pytest.mark.parametrize(("rows", "levels"), [(20, 4), (80, 16), (120, 20)])
def test_floats_that_are_no_levels_are_binned_however_few_they_are(rows, levels):
    x = np.random.default_rng(0).normal(size=(rows, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few rows
        coded = read(x, x)
        with pytest.raises(ValueError, match=f"has {rows} levels in {rows} rows"):
            read(x, np.argsort(x, axis=0))  # whole numbers that tell every row apart
    assert coded.counts == (levels,) and np.bincount(coded.levels[:, 0]).min() >= 5
    assert f"{rows} values: taken as {levels} levels" in coded.notes[1]


def test_codes_of_half_the_precision_are_taken():
    codes = torch.tensor(GRID).bfloat16()
    assert rp.mig(codes, GRID, rates=torch.ones(5).bfloat16(), bootstrap=0).value == 1
