"""Columns that are no density, or none to speak of, are named at loading."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import reparam as rp
from reparam.data import load_data

RNG = np.random.default_rng(0)
N = 400
TABLE = pd.DataFrame({name: RNG.normal(size=N) for name in "abc"})


def notes(source, **options) -> str:
    return "\n".join(load_data(source, **options).notes)


def test_constant_columns_are_named():
    found = notes(TABLE.assign(one=0.001))
    assert (
        "Constant in training: 'one' (0.001). It is no part of densities and comes back as it is."
        in found
    )
    found = notes(TABLE.assign(**{f"k{i}": float(i) for i in range(9)}))
    assert "'k0' (0), 'k1' (1), 'k2' (2), 'k3' (3), 'k4' (4) and 4 more. They are" in found
    assert "Constant" not in notes(TABLE)


def test_a_column_that_is_constant_in_training_only_is_said_and_refused_for_densities(tmp_path):
    flag = np.zeros(N)
    flag[7] = 1
    data = load_data(TABLE.assign(flag=0.0), test=TABLE.assign(flag=flag), kind="real")
    sentence = "'flag' is 0 in every training row, but 1 in row 7 of test, which has probability 0"
    assert any(sentence in note and "(drop)" in note for note in data.notes)
    with pytest.raises(ValueError, match=f"{sentence}.*drop"):
        rp.compare(data, ["pca", "vae"], out=tmp_path / "runs", budget=1.0)
    model = rp.build("pca", data.space, latent_dim=1)
    rp.fit(model, data, progress=False)  # the rows that training reads are as they should be
    with pytest.raises(ValueError, match=sentence):
        rp.evaluate(model, data)
    assert rp.evaluate(model, data, split="valid")["log_likelihood"].value < 0
    # What is no density has nothing against it.
    coder = rp.build("ae", data.space, latent_dim=1, hidden=(2,))
    rp.fit(coder, data, progress=False, epochs=1)
    assert rp.evaluate(coder, data)["reconstruction_mse"].value > 0


def test_validation_rows_are_looked_at_before_training():
    train = torch.randn(40, 3)
    train[:, 1] = 2.0
    other = torch.randn(9, 3)
    splits = {"train": train.numpy(), "valid": other.numpy(), "test": train.numpy()}
    data = load_data(splits)
    with pytest.raises(ValueError, match=r"column 1 is 2 in every training row, .* row 0 of valid"):
        rp.fit(rp.build("vae", data.space, latent_dim=1, hidden=(2,)), data, progress=False)


@pytest.mark.parametrize("rows", [1, 4])
def test_training_rows_that_are_all_the_same_are_called_that(rows, tmp_path):
    """No single column is to blame, and to leave one out would help nothing."""
    other = RNG.normal(size=(3, 2))
    data = load_data({"train": np.repeat(other[:1], rows, 0), "valid": other[1:], "test": other})
    with pytest.raises(ValueError) as refused:
        rp.fit(rp.build("vae", data.space, latent_dim=1, hidden=(2,)), data, progress=False)
    said = "every training row is the same" + (" (there is only 1)," if rows == 1 else ",")
    assert said in str(refused.value) and "column" not in str(refused.value)


def test_columns_of_few_or_whole_values_are_named_with_the_remedy():
    few = {
        "flag": RNG.integers(0, 2, N),  # 0/1
        "rare": np.where(RNG.random(N) < 0.7, 0.0, RNG.normal(size=N)),  # 70 % zeros
        "age": RNG.integers(18, 90, N),
        "count": RNG.poisson(3, N),
    }
    found = notes(TABLE.assign(**few))
    assert "Few or only whole values: 'rare'. A density" in found  # the others have probabilities
    found = notes(TABLE.assign(**few), kind="real")
    assert "Few or only whole values: 'flag', 'rare', 'age', 'count'. A density" in found
    assert "Leave them out (drop), or make them attributes" in found
    assert "levels=K" not in found  # not all are whole
    assert "levels=K" in notes(pd.DataFrame({k: few[k] for k in ("age", "count")}), kind="real")
    assert "column 1" in notes(np.column_stack([RNG.normal(size=N), few["flag"]]))


def test_continuous_columns_are_not_named():
    """Neither ordinary ones, nor whole numbers that hardly repeat, nor few rows, nor constants."""
    fine = {
        "float": RNG.normal(size=N).astype(np.float32),
        "dollars": RNG.integers(0, 10**6, N),
        "far": 1.7e9 + RNG.uniform(-10, 10, N),
        "sorted": np.sort(RNG.normal(size=N)),
        "constant": 3.0,
    }
    assert "Few" not in notes(TABLE.assign(**fine))
    assert "Few" not in notes(TABLE[:5])


def test_images_of_few_values_get_a_sentence_of_their_own():
    gray = RNG.integers(0, 17, (60, 8, 8)) / 16
    found = notes(gray)
    assert "The images take only 17 different values" in found and "levels=K" in found
    assert "Few or only whole" not in found
    assert "different values" not in notes(RNG.random((60, 8, 8)))
    assert "different values" not in notes(RNG.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    gray[:, 0] = 0.0
    assert "Constant in training: 8 of 64 entries." in notes(gray)
