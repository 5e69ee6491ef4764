"""Scores do not depend on where the origin of a column is, nor on columns that never vary."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import reparam as rp

RNG = np.random.default_rng(0)
NEAR = RNG.normal(size=(300, 4)) @ RNG.normal(size=(4, 4)) * 5
NEAR = np.round(NEAR * 2**20) / 2**20  # an offset is added without rounding


def scores_of(x: np.ndarray, name: str, **parameters) -> dict[str, float]:
    data = rp.load_data(x)
    torch.manual_seed(0)
    model = rp.build(name, data.space, **parameters)
    rp.fit(model, data, progress=False, epochs=1)
    scores = rp.evaluate(model, data, samples=5)
    return {k: s.value for k, s in scores.items() if "second" not in k}


@pytest.mark.parametrize(
    "name, parameters",
    [("pca", {}), ("pca", {"standardize": True}), ("vae", {"hidden": (4,)}), ("made", {})],
)
def test_scores_of_data_far_from_zero_are_those_of_data_near_it(name, parameters):
    """1.7e9 ± 10 in a float32 model: means round at 2e-7 there, networks take z as float32."""
    near, far = (scores_of(offset + NEAR, name, **parameters) for offset in (0, 1.7e9))
    assert far == pytest.approx(near, rel=1e-4)


@pytest.mark.parametrize("standardize", [False, True])
def test_a_constant_column_changes_no_likelihood_and_no_bits(standardize):
    x = np.column_stack([NEAR[:, :2], np.full(300, 0.001), NEAR[:, 2:]])
    without, beside = (scores_of(v, "pca", standardize=standardize) for v in (NEAR, x))
    for score in ("log_likelihood", "bits_per_dim"):
        assert beside[score] == pytest.approx(without[score], rel=1e-12)
    assert beside["bits_per_dim"] == pytest.approx(
        -beside["log_likelihood"] / (4 * math.log(2)), rel=1e-12
    )


def test_what_is_known_of_constants_is_no_parameter():
    """PCA takes D + Dq + q + 1 numbers from the data: mean, components, eigenvalues and σ²."""
    assert scores_of(NEAR, "pca", latent_dim=2)["parameters"] == 4 + 8 + 2 + 1
