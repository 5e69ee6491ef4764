"""Scores by column: errors by hand, and terms that are those of the whole row."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from conftest import COLUMNS, random_x, tiny_model
from holes import with_holes
from torch import Tensor

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.column_scores import by_column, table_columns
from reparam.evaluation.scores import wilson
from reparam.model import Codec
from reparam.space import Column, Space

NAN = math.nan
SPACE = Space((5,), "mixed", columns=COLUMNS)


class Answers(Codec):
    """A codec that reconstructs every row as the same values."""

    takes_missing = True

    def __init__(self, space: Space, answer: list[float]) -> None:
        super().__init__(space)
        self.answer = torch.tensor([answer])

    @property
    def code_space(self) -> Space:
        return Space((1,), "real")

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return x.new_zeros(len(x), 1)

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        return self.answer.expand(len(code), -1)

    def loss(self, x, c=None, player="model"):
        raise NotImplementedError


def data_of(train: Tensor, test: Tensor, space: Space = SPACE) -> Data:
    splits = (Split(train), Split(test), Split(test))
    names = tuple(c.name for c in space.columns or ()) or None
    return Data(*splits, space, "table", columns=names)


def test_errors_are_those_by_hand():
    columns = (
        Column("height", "real"),
        Column("rooms", "levels", 5, low=2),
        Column("city", "category", 3),
        Column("owned", "binary", low=1),
        Column("income", "log"),
    )
    space = Space((5,), "mixed", columns=columns)
    train = torch.tensor([[160.0, 2, 2, 1, 1], [180.0, 6, 2, 2, 3], [NAN, NAN, 0, 2, NAN]])
    test = torch.tensor([[173.0, 3, 0, 1, 5], [171.0, NAN, 1, 2, NAN], [NAN, NAN, 0, 2, NAN]])
    # A flag's answer is a probability above its lower value.
    found = by_column(Answers(space, [170.0, 4, 0, 1.4, 1]), data_of(train, test, space))
    assert [row.column.name for row in found] == ["height", "rooms", "city", "owned", "income"]
    errors = [row.error for row in found]
    assert [e.value for e in errors] == pytest.approx([5**0.5, 1, 2 / 3, 1 / 3, 4])
    assert [e.n for e in errors] == [2, 1, 3, 3, 1]
    assert [row.missing for row in found] == [1, 2, 0, 0, 2]
    # Squares 9 and 1, whose mean has a standard error of 4: that of the root is 4 / (2 √5).
    assert errors[0].stderr == pytest.approx(4 / (2 * 5**0.5))
    assert errors[1].stderr is None  # of one cell
    assert errors[2].interval == wilson(2 / 3, 3)
    constant = [row.constant.value for row in found]
    assert constant == pytest.approx([5**0.5, 1, 0, 2 / 3, 3])
    assert all(row.log_prob is None and row.given is None for row in found)


def test_a_column_without_cells_has_no_scores():
    x = random_x(SPACE, 8)
    hidden = x.clone()
    hidden[:, 2] = NAN
    city = by_column(tiny_model("vae", SPACE), data_of(x, hidden))[2]
    assert (city.log_prob, city.error, city.constant, city.missing) == (None, None, None, 8)


@pytest.mark.parametrize("name", ["vae", "made"])
def test_terms_are_those_of_the_whole_row(name):
    model, test = tiny_model(name, SPACE), with_holes(random_x(SPACE, 12, seed=3))
    data = data_of(random_x(SPACE, 30), test)
    found = by_column(model, data, seed=7)
    counts = (~test.isnan()).sum(0).tolist()
    assert [row.log_prob.n for row in found] == counts
    total = sum(n * row.log_prob.value for n, row in zip(counts, found, strict=True)) / len(test)
    scores = rp.evaluate(model, data, samples=1, seed=7)
    if name == "made":
        assert {row.given for row in found} == {"what is before"}
        assert total == pytest.approx(scores["log_likelihood"].value)
        assert all(row.error is None for row in found)
    else:  # with the z of the bound
        assert {row.given for row in found} == {"z"}
        assert total == pytest.approx(-scores["distortion"].value)
        assert all(row.error is not None for row in found)


def test_tables_of_one_kind_have_scores_by_column_too():
    space = Space((3,), "real")
    data = data_of(torch.randn(20, 3), torch.randn(9, 3), space)
    model = tiny_model("vae", space, torch.float32)
    found = by_column(model, data)
    assert [row.column for row in found] == [Column(f"x{i}", "real") for i in (1, 2, 3)]
    assert by_column(tiny_model("ae", space, torch.float32), data)[0].log_prob is None
    assert table_columns(Space((1,), "levels", 7), ["age"]) == (Column("age", "levels", 7),)


def test_images_have_no_columns():
    data = rp.load_data("digits")
    with pytest.raises(ValueError, match="^by_column: expected a table, got images"):
        by_column(rp.build("pca", data.space), data)


def test_names_may_be_counted_in_any_order():
    """The same data and model with names counted anew have the same scores."""
    columns = (Column("city", "category", 3), Column("height", "real"))
    x = torch.tensor([[0.0, 1.0], [1, 2], [2, 3], [0, NAN]])
    swapped = torch.where(torch.tensor([True, False]), (x + 1) % 3, x)
    space = Space((2,), "mixed", columns=columns)
    first = by_column(Answers(space, [0, 2]), data_of(x, x, space))
    second = by_column(Answers(space, [1, 2]), data_of(swapped, swapped, space))
    assert first == second
    assert first[0].error == replace(second[0].constant)
