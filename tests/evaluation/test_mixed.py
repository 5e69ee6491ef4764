"""Scores of mixed data: distances by hand, no score that is NaN, and nothing of missing cells."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from allocations import largest_tensor
from conftest import CLASSES, COLUMNS, random_x, tiny_model
from holes import with_holes

import reparam as rp
from reparam.bijections.standardization import standardization
from reparam.data import Data, Split
from reparam.evaluation.absent import BITS, why_absent
from reparam.evaluation.denoising import repair
from reparam.evaluation.random_features import RandomFeatures
from reparam.evaluation.reconstruction import error_score, reconstruction_scores
from reparam.evaluation.samples import Yardstick, reference_scores, sample_scores
from reparam.evaluation.vectors import Vectors
from reparam.model import Codec, Density, Generator
from reparam.objectives.corruptions import MaskedCells, noise_of
from reparam.report.columns import Columns
from reparam.space import Column, Space

NAN = math.nan
SPACE = Space((5,), "mixed", columns=COLUMNS, classes=CLASSES)
BY_HAND = (
    Column("height", "real"),
    Column("rooms", "levels", 5, low=2),
    Column("city", "category", 3),
    Column("owned", "binary", low=1),
    Column("income", "log"),
)
# Means and deviations: 170 ± 10, 4 ± 2, ln 1 … e² is 1 ± 1; the most frequent are city 2, owned 2.
TRAIN = torch.tensor(
    [
        [160.0, 2, 2, 1, 1],
        [180.0, 6, 2, 2, math.e**2],
        [NAN, NAN, 0, 2, NAN],
    ]
).double()
X = torch.tensor([[190.0, 2, 0, 1, math.e], [NAN, NAN, NAN, NAN, NAN]]).double()


@pytest.fixture
def vectors():
    return Vectors(Space((5,), "mixed", columns=BY_HAND), TRAIN)


def test_vectors_of_mixed_data_are_those_by_hand(vectors):
    assert vectors.width == 7
    found, half = vectors(X), 0.5**0.5
    # Height, rooms, owned and income, then the cities.
    assert found[0].tolist() == pytest.approx([19, 1, 0, 1, half, 0, 0])
    assert found[1].tolist() == pytest.approx([17, 2, 1, 1, 0, 0, half])
    city, owned = X[:1].clone(), X[:1].clone()
    city[0, 2], owned[0, 3] = 1, 2
    for other in (city, owned):  # another name is as far as another flag
        assert torch.cdist(vectors(X[:1]), vectors(other)).item() == pytest.approx(1)


def test_errors_are_those_of_the_cells_that_are_there(vectors):
    other = torch.tensor([[170.0, 4, 1, 1.5, 1], [1, 2, 0, 1, 1]]).double()
    total, count = vectors.errors(other, X)
    assert total.tolist() == pytest.approx([4 + 1 + 1 + 0.25 + 1, 0])
    assert count.tolist() == [5, 0]
    total, _ = vectors.errors(torch.full((1, 5), NAN), X[:1])  # of x̃: means and modes stand in
    assert total.item() == pytest.approx(4 + 1 + 1 + 1 + 0)


def test_a_mean_error_is_one_over_cells():
    score = error_score([(torch.tensor([6.0, 0]), torch.tensor([4.0, 0]))], "u", "test")
    assert score.value == 1.5 and score.values.mean().item() == pytest.approx(1.5)
    whole = error_score([(torch.tensor([6.0, 2]), torch.tensor([2.0, 2]))], "u", "test")
    assert whole.value == 2 and whole.values.tolist() == [3, 1]


def test_a_draw_of_zero_has_a_logarithm(vectors):
    assert vectors(torch.zeros(1, 5)).isfinite().all()


def data_of(space, holes):
    x = [random_x(space, n, seed) for seed, n in enumerate((60, 20, 40))]
    x = [with_holes(part) for part in x] if holes else x
    labels = [torch.arange(len(part)) % CLASSES for part in x]
    names = tuple(column.name for column in space.columns)
    splits = [Split(*pair) for pair in zip(x, labels, strict=True)]
    return Data(*splits, space, "mixed", columns=names)


TAKEN = [name for name, p in rp.PRESETS.items() if p.accepts.refusal(SPACE) is None]


@pytest.mark.parametrize("name, holes", [("vae", False), *((name, True) for name in TAKEN)])
def test_every_preset_is_evaluated_on_mixed_data(name, holes):
    data = data_of(SPACE, holes)
    accepts = rp.PRESETS[name].accepts
    told = accepts.condition or accepts.labels
    plain = data.space if told else replace(data.space, classes=None)
    model = tiny_model(name, plain)
    if holes and not model.takes_missing:
        with pytest.raises(ValueError, match="the cell is missing"):
            rp.evaluate(model, data, samples=2)
        return
    scores = rp.evaluate(model, data, samples=2)  # which refuses what is NaN
    assert not any("per_dim" in score for score in scores)
    if isinstance(model, Density):
        assert why_absent(model, "bits_per_dim") == BITS
    if isinstance(model, Codec):
        assert scores["reconstruction_mse"].unit.startswith("per cell that is there")
        assert scores["reconstruction_mse"].n == 40
    if isinstance(model, Generator):
        assert {"kernel_distance", "sample_precision", "nearest_training"} <= scores.keys()


def test_what_is_hidden_costs_what_means_and_modes_do(vectors):
    """x̃ has the cells that stay as they are, whole numbers above 0 among them."""
    noise = noise_of(MaskedCells(0.4), standardization(vectors.space))
    seen = noise.corrupt(X[:1], 0.4)
    hidden = seen.isnan()
    assert hidden.sum() == 2
    assert seen[~hidden].tolist() == pytest.approx(X[:1][~hidden].tolist())
    each = torch.tensor([[4.0, 1, 1, 1, 0]]).double()
    assert vectors.errors(seen, X[:1])[0].item() == pytest.approx(each[hidden].sum().item())


def test_denoising_is_measured_where_cells_are_missing():
    data = data_of(SPACE, holes=True)
    model = tiny_model("denoising-ae", replace(SPACE, classes=None))
    found = repair(model, model.noise, data.test, data.train, 0.5)
    assert math.isfinite(found.repaired.value)
    whole = repair(model, model.noise, data.test, data.train, 0.0)
    assert whole.corrupted.value == 0
    assert whole.repaired.value == pytest.approx(
        reconstruction_scores(model, data.test, data.train)["reconstruction_mse"].value
    )


def test_rows_of_data_may_have_holes_and_draws_may_not(monkeypatch):
    data = data_of(SPACE, holes=True)
    yardstick = Yardstick(data)
    assert yardstick.real.features.isfinite().all() and yardstick.real.nearest.isfinite().all()
    assert reference_scores(data)["nearest_training"].value == 0
    model = tiny_model("fvbn", replace(SPACE, classes=None))
    monkeypatch.setattr(model, "draw", lambda n, c, generator: random_x(SPACE, n).log())
    with pytest.raises(ValueError, match="^samples: .* are not finite"):
        sample_scores(model, data)


def test_features_do_not_see_how_names_are_counted():
    """Names in another order are the same features but for the random weights of their inputs."""
    column = (Column("city", "category", 3), Column("height", "real"))
    x = torch.tensor([[0.0, 1.0], [1, 2], [2, 3], [0, 4]])
    features = RandomFeatures(Space((2,), "mixed", columns=column), x)
    assert features(x).shape == (4, 64) and features.shift.shape == (1, 4)
    assert (features.scale == 1).all()  # a rare name weighs no more than a frequent one


def test_one_row_whose_marginal_is_an_estimate_makes_the_mean_one():
    columns = (rp.Column("a", "category", 3), rp.Column("b", "binary"))
    space = rp.Space((2,), "mixed", columns=columns)
    rows = torch.tensor([[0.0, 1.0]] * 600)
    rows[-1, 0] = torch.nan
    model = rp.build("made", space, hidden=(3,), seed=0)
    for x in (rows, rows.flip(0)):
        data = rp.Data(rp.Split(rows), rp.Split(rows), rp.Split(x), space, "rows")
        assert rp.evaluate(model, data)["log_likelihood"].kind == "estimate"


def test_columns_that_are_constant_keep_their_unit():
    """Their sums round, so that their deviation is not 0 by itself: 0.3 a thousand times."""
    x = torch.randn(1000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[:, 0] = 0.3
    columns = tuple(Column(name, "real") for name in "abc")
    for space in (Space((3,), "real"), Space((3,), "mixed", columns=columns)):
        vectors = Vectors(space, x)
        assert vectors.scale[0] == 1
        squares, _ = vectors.errors(x[:1] + torch.tensor([[0.1, 0, 0]]).double(), x[:1])
        assert squares.item() == pytest.approx(0.01)


def test_scales_are_learned_without_a_copy_of_the_training_rows():
    """Of 500 rows at a time, in float64: 240 kB, of 5 MB."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 60, generator=generator)
    columns = tuple(Column(str(i), "real") for i in range(60))
    for space in (Space((60,), "real"), Space((60,), "mixed", columns=columns)):
        assert largest_tensor(lambda space=space: Vectors(space, x)) < x.nbytes / 8
    data = rp.Data(rp.Split(x), rp.Split(x[:9]), rp.Split(x[:9]), Space((60,), "real"), "x")
    assert largest_tensor(lambda: Columns.of(data)) < x.nbytes / 8
    np.testing.assert_allclose(Columns.of(data).deviation, x.double().numpy().std(0), rtol=1e-12)


def test_a_flag_beyond_its_values_is_the_nearest_one():
    space = Space((1,), "mixed", columns=(Column("owned", "binary", low=1),))
    vectors = Vectors(space, torch.tensor([[1.0], [2.0]]))
    assert vectors.inverse(torch.tensor([[-0.6], [1.7]]).double()).tolist() == [[1], [2]]
