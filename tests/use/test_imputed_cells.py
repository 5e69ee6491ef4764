"""Errors of filled cells: known answers of known fillers, and dependences that are found."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from conftest import COLUMNS, random_x, tiny_model
from holes import with_holes

from reparam.data import Data, Split
from reparam.evaluation.vectors import Vectors
from reparam.model import Space
from reparam.space import Column
from reparam.use import imputed_cells
from reparam.use.imputation import Imputation
from reparam.use.imputed_cells import (
    constant_answers,
    drawn_answers,
    fills,
    hide,
    imputation_errors,
    iterative_answers,
)

NAN = math.nan
SPACE = Space((5,), "mixed", columns=COLUMNS)


def data_of(train, test, space=SPACE):
    names = tuple(column.name for column in space.columns)
    return Data(Split(train), Split(test), Split(test), space, "table", columns=names)


@pytest.fixture
def data():
    return data_of(random_x(SPACE, 60), with_holes(random_x(SPACE, 40, seed=1)))


def test_hidden_cells_are_some_that_are_there(data):
    cells = hide(data, share=0.3, seed=3)
    missing = data.test.x.isnan()
    assert not (cells.hidden & missing).any()
    assert cells.seen.x.isnan().equal(cells.hidden | missing)
    kept = ~cells.seen.x.isnan()
    assert cells.seen.x[kept].equal(data.test.x[kept])
    share = cells.hidden.sum() / (~missing).sum()
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 150) ** 0.5
    assert hide(data, share=0.3, seed=3).hidden.equal(cells.hidden)
    assert len(hide(data, rows=7).x) == 7


def test_errors_are_over_the_hidden_cells_alone():
    columns = (Column("height", "real"), Column("city", "category", 3))
    space = Space((2,), "mixed", columns=columns)
    x = torch.tensor([[170.0, 0], [180, 1], [NAN, 2]]).double()
    cells = hide(data_of(x, x, space), share=0.0)
    hidden = torch.tensor([[True, False], [True, True], [False, False]])
    cells = replace(cells, hidden=hidden)
    answers = torch.tensor([[173.0, 2], [176, 1], [0, 0]]).double()
    height, city = imputation_errors(cells, answers)
    assert (height.value, height.n) == (pytest.approx(12.5**0.5), 2)
    assert (city.value, city.n) == (1, 1)
    assert imputation_errors(replace(cells, hidden=hidden & False), answers) == [None, None]


def test_draws_are_averaged_and_names_and_flags_voted_for(data, monkeypatch):
    drawn = torch.tensor([[1.0, 2, 0, 1, 4], [2, 2, 2, 0, 4], [6, 5, 2, 1, 7]])

    def impute(model, x, c, **options):
        return Imputation(drawn.expand(len(x), 3, 5))

    monkeypatch.setattr(imputed_cells, "impute", impute)
    found = drawn_answers(tiny_model("vae", SPACE), hide(data))
    assert found[0].tolist() == [3, 3, 2, 1, 5]


def test_constants_are_training_means_and_most_frequent_values(data):
    row = constant_answers(data, hide(data))[0]
    assert row[0].item() == pytest.approx(data.train.x[:, 0].mean().item())
    assert row[2].item() == data.train.x[:, 2].mode().values.item()


def test_who_fills_which_patterns(data):
    cells = hide(data)
    assert fills(tiny_model("vae", SPACE), cells)
    assert not fills(tiny_model("made", SPACE), cells)  # what is given comes after what is not
    assert not fills(tiny_model("ae", SPACE), cells)


def test_the_iterative_imputer_finds_what_depends():
    """A number that is a function of a name and of another number, and a name of a flag."""
    generator = torch.Generator().manual_seed(0)
    city = torch.randint(3, (300,), generator=generator).double()
    age = torch.randint(20, 60, (300,), generator=generator).double()
    rent = (2 + city + age / 20).exp()  # linear on the logarithm, in one-hot names
    x = torch.stack([city, age, rent, (city == 1).double()], 1)
    columns = (
        Column("city", "category", 3),
        Column("age", "levels", 40, low=20),
        Column("rent", "log"),
        Column("alps", "binary"),
    )
    data = data_of(x[:200], x[200:], Space((4,), "mixed", columns=columns))
    cells = hide(data, share=0.15)
    constant = imputation_errors(cells, constant_answers(data, cells))
    errors = imputation_errors(cells, iterative_answers(data, cells))
    assert errors[2].value < 0.5 * constant[2].value
    assert errors[3].value > 0.9 > constant[3].value
    assert errors[0].seed == 0 and errors[2].unit.startswith("root mean square")


def test_the_iterative_imputer_is_left_out_where_it_would_take_minutes(data, monkeypatch):
    monkeypatch.setattr(imputed_cells, "MOST_NUMBERS", 6)
    assert iterative_answers(data, hide(data)) is None


def test_vectors_and_their_inverse():
    x = random_x(SPACE, 30)
    vectors = Vectors(SPACE, x)
    assert vectors.inverse(vectors(x)).numpy() == pytest.approx(x.numpy())
    assert vectors.entries.tolist() == [0, 1, 3, 4, 2, 2, 2] and vectors.width == 7
