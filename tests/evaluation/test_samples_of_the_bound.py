"""How many importance samples are taken where none are asked for, and news of progress."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import tiny_model

import reparam as rp
from reparam.data import Split
from reparam.evaluation.likelihood import bound_terms, default_samples, log_likelihood
from reparam.model import LatentVariable, LogProb, Space


@pytest.mark.parametrize(
    ("shape", "rows", "samples"),
    [
        ((1, 8, 8), 359, 1000),  # digits
        ((1, 28, 28), 10_000, 1000),  # MNIST
        ((4,), 60, 1000),
        ((3, 32, 32), 1, 300),  # one image has the bound that a thousand have
        ((3, 32, 32), 1000, 300),
        ((3, 32, 32), 10_000, 30),
        ((3, 64, 64), 30, 80),
        ((3, 64, 64), 5000, 10),
        ((12_288,), 30, 800),  # no image: fully connected
    ],
)
def test_samples_follow_from_sizes(shape, rows, samples):
    assert default_samples(Space(shape, "real"), rows) == samples


class Counted(LatentVariable):
    """Knows how many rows and samples were asked for at a time; every likelihood is 0."""

    def __init__(self, space):
        super().__init__(space)
        self.asked = []

    code_space = posterior = prior = likelihood = loss = None

    def density(self, x, c, samples, generator):
        self.asked.append((len(x), samples))
        return LogProb(torch.zeros(len(x)), "lower bound", samples)


Counted.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("shape", "rows", "samples", "most"),
    [
        ((3, 64, 64), 30, 80, 3),  # 30 photos: ten times news instead of six
        ((3, 64, 64), 30, 1000, 1),
        ((1, 28, 28), 200, 1000, 31),
        ((1, 8, 8), 359, 1000, 31),
    ],
)
def test_news_come_while_few_rows_are_measured(shape, rows, samples, most):
    model, news = Counted(Space(shape, "real")), []
    log_likelihood(model, Split(torch.zeros(rows, *shape)), samples=samples, watch=news.append)
    assert max(count for count, _ in model.asked) == most
    assert sum(count for count, _ in model.asked) == rows
    assert len(news) == -(-rows // most) and news == sorted(news) and news[-1] == 1


def test_evaluate_and_compare_take_as_many_and_say_so(tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (40, 1, 33, 33)).astype(np.uint8)
    data = rp.load_data(x)
    few = default_samples(data.space, len(data.test))
    assert few == 900
    model = "vae latent_dim=1 hidden=2 network=mlp"
    (entry,) = rp.compare(data, [model], out=tmp_path, epochs=1).entries
    assert entry.scores["log_likelihood"].samples == few
    assert rp.evaluate(entry.model, data)["log_likelihood"].samples == few
    assert rp.evaluate(entry.model, data, samples=3)["log_likelihood"].samples == 3


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("vae", {}),
        ("vae", {"posterior": "iaf"}),
        ("vae", {"posterior": "categorical"}),
        ("iwae", {"k": 3}),
        ("factor-vae", {}),
        ("hierarchical-vae", {}),
    ],
)
def test_the_draws_of_a_row_are_by_its_index_and_of_no_other_row(preset, options):
    """Rows of a shorter split, other numbers of rows at once: the same; equal rows: other draws."""
    space = Space((9,), "binary")
    model = tiny_model(preset, space, **options).eval()
    x = (torch.rand(7, 9) > 0.5).double()
    x[3] = x[0]
    whole, start = Split(x), Split(x[:4])

    def found(split):
        terms = bound_terms(model, split, seed=1)
        bound = -terms["distortion"] - terms["rate"].flatten(1).sum(1)
        return torch.stack([bound, log_likelihood(model, split, samples=130, seed=1).values])

    every = found(whole)
    # Products over other numbers of rows sum in another order: some roundings of 2e-16 apart.
    torch.testing.assert_close(found(start), every[:, :4], rtol=1e-12, atol=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reparam.evaluation.rows.rows_at_once", lambda space: 2)
        patch.setattr("reparam.evaluation.likelihood.rows_at_once", lambda space: 3)
        torch.testing.assert_close(found(whole), every, rtol=1e-12, atol=1e-12)
    assert (every[:, 0] != every[:, 3]).all()
