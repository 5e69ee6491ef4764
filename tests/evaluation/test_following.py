"""Which latent follows which factor, and codes by level, where all of it is known."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import reparam as rp
from reparam.evaluation.disentanglement.following import FOLLOWS, FactorInformation, gaps
from reparam.evaluation.disentanglement.inputs import read
from reparam.evaluation.disentanglement.of_models import factor_information, factor_scores

GRID = np.array(list(product(range(2), range(4), range(8)))).repeat(20, 0)  # 1280 rows
NAMES = ("shape", "size", "x")


def told(z, rates=None, **known):
    coded = read(np.asarray(z, float), GRID, known.pop("kinds", None), NAMES, rates)
    return FactorInformation.of(coded, rates, **known)


def noise(seed, *size):
    size = size or (len(GRID),)
    return np.random.default_rng(seed).normal(size=size)


def test_shares_are_those_of_counting_and_gaps_are_the_mig():
    """z0 is the half of x: I = ln 2 of ln 8. z1 is size, and z2 the shape of every other size."""
    shape, size, x = GRID.T
    z = np.stack([x >= 4, size, shape * (size % 2)], 1)
    found = told(z)
    expected = np.zeros((3, 3))
    expected[0, 2] = 1 / 3
    expected[1, 1] = 1
    # P(z2 = 1) = 1/4: H(z2) = ln 4 − ¾ ln 3; given shape 0 it is certain, given 1 a fair coin.
    entropy = np.log(4) - 0.75 * np.log(3)
    expected[2, 0] = (entropy - np.log(2) / 2) / np.log(2)
    expected[2, 1] = (entropy - np.log(2) / 2) / np.log(4)
    np.testing.assert_allclose(found.share, expected, atol=1e-12)
    assert found.winners.tolist() == [2, 1, 0]
    np.testing.assert_allclose(gaps(found.share), [expected[2, 0], 1 - expected[2, 1], 1 / 3])
    assert gaps(found.share).mean() == pytest.approx(rp.mig(z, GRID, bootstrap=0).value)
    # Of independent rows (bins in use − 1)(levels − 1)/2N nats, 3 · 7/2560 at most on average.
    assert (found.chance >= 0).all() and (found.chance < 3 * 0.0083).all()


def test_a_latent_follows_what_it_tells_most_of_if_no_other_tells_more():
    """z0 tells most of size and, though less, more of x than of it; z3 tells too little."""
    shape, size, x = GRID.T
    both = np.where(noise(2) > 0.5, noise(3), x + 0.4 * noise(4)) + 0.3 * size
    z = np.stack([both, x, noise(0), shape + 1.2 * noise(1)], 1)
    found = told(z)
    assert found.share[0].argmax() == 2 and found.winners.tolist() == [3, 0, 1]
    assert found.share[3, 0] - found.chance[0] < FOLLOWS
    assert found.follows == {1: 2}
    clearer = z.copy()
    clearer[:, 3] = shape + 0.2 * noise(1)
    assert told(clearer).follows == {1: 2, 3: 0}


def test_chance_is_no_follower_where_rows_are_few():
    """Of 64 rows noise tells more than a fifth of eight levels' entropy, as shuffled rows do."""
    rows = np.arange(0, len(GRID), 20)
    coded = read(noise(0, 64, 3), GRID[rows], names=NAMES)
    found = FactorInformation.of(coded)
    assert found.share[:, 2].min() > FOLLOWS and found.chance[2] > FOLLOWS
    assert found.follows == {}


def test_dead_latents_come_last_and_tell_nothing():
    z = np.stack([GRID[:, 2], noise(0), 3 * GRID[:, 1], GRID[:, 0]], 1)
    found = told(z, rates=np.array([0.5, 0.001, 1.5, 0.02]))
    assert found.order == [2, 0, 3, 1] and found.rated
    assert (found.share[1] == 0).all() and 1 not in found.follows
    assert told(z).order == [2, 0, 1, 3]  # by deviation: 3.4, 2.3, 1.0 and 0.5


def test_codes_by_level():
    """The mean is a fold of x, the deviation that of two codes one to either side."""
    shape, size, x = GRID.T
    fold = np.abs(x - 3.0) * 10
    z = np.stack([fold + np.where(shape == 1, 1.0, -1.0), size * 1.0], 1)
    found = told(z, level_names={"size": ("S", "M", "L", "XL"), "shape": ("round",)})
    at_x = found.level_means(2)
    np.testing.assert_allclose(at_x.mean, [30, 20, 10, 0, 10, 20, 30, 40])
    np.testing.assert_allclose(at_x.deviation, 1)
    assert at_x.labels == tuple("01234567") and not at_x.named
    assert found.level_means(1).labels == ("S", "M", "L", "XL") and found.level_means(1).named
    assert found.level_means(0).labels == ("0", "1")  # of whose second level there is no name
    assert not found.level_means(0).named


def test_numbers_stand_at_their_values_and_levels_side_by_side():
    factors = np.array([1.5, 2.0, 7.0])[GRID[:, :1]]
    z = GRID[:, :1] + 0.0
    for kind, at in (("numbers", [1.5, 2.0]), ("names", [0, 1])):
        found = FactorInformation.of(read(z, factors, {"a": kind}, ["a"])).level_means(0)
        np.testing.assert_allclose(found.at, at)
        assert found.labels == ("1.5", "2")


def test_of_a_model_as_evaluate_measures_it():
    """The same rows, so that the mean gap is the MIG; what turns is known of the data."""
    data = rp.sprites(shapes=("heart", "square"), scales=2, orientations=4, positions=3, side=16)
    model = rp.build("vae", data.space, latent_dim=3, hidden=(8,), network="mlp", seed=0)
    found = factor_information(model, data, "train")
    assert gaps(found.share).mean() == pytest.approx(
        factor_scores(model, data, "train")["mig"].value
    )
    assert found.coded.kinds == ("names", "numbers", "circular", "numbers", "numbers")
    assert found.level_names["shape"] == ("heart", "square")
    assert (
        factor_information(model, replace(data, train=replace(data.train, factors=None)), "train")
        is None
    )


def test_rates_of_rows_are_averaged_and_dead_latents_win_nothing():
    """The second latent is dead by its rate; the first, alive, tells nothing of the factor."""
    rng = np.random.default_rng(0)
    z, factor = rng.normal(size=(400, 2)), np.repeat([[0], [1]], 200, 0)
    z[:, 1] = factor[:, 0]
    rates = np.tile([1.0, 0.0], (400, 1))
    found = FactorInformation.of(read(z, factor, rates=rates), rates)
    assert found.weight.tolist() == [1.0, 0.0] and found.order == [0, 1]
    assert found.winners.tolist() == [0]
