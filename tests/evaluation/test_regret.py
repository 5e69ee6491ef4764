"""The regret, mean log p* − log p, where the density that drew the data is known."""

import dataclasses
import math

import pytest
import torch

import reparam as rp
from reparam.cli.tables import score_table as cli_table
from reparam.data.toys import draw, log_density
from reparam.evaluation.scores import mark
from reparam.measures import SCORES
from reparam.model import Density, LogProb
from reparam.report.table import score_table
from reparam.report.trained import TrainedModel
from reparam.train.history import History

NAME = "mixture-1d"


class Guess(Density):
    """The truth, a constant and a multiple of x more than log p, said to be of some kind."""

    less, slope, said = 0.0, 0.0, "exact"

    def draw(self, n, c, generator):
        return torch.zeros(n, *self.space.shape)

    def density(self, x, c, samples, generator):
        truth = log_density(NAME, x)
        return LogProb(truth - self.less - self.slope * x[:, 0].double(), self.said)


@pytest.fixture(scope="module")
def data():
    split = rp.Split(torch.from_numpy(draw(NAME, 200)[0]))
    truth = rp.load_data(NAME).true_log_density
    return rp.Data(split, split, split, rp.Space((1,), "real"), NAME, true_log_density=truth)


def guess(data, **changes):
    model = Guess(data.space)
    for name, value in changes.items():
        setattr(model, name, value)
    return model


def test_of_the_truth_it_is_zero_without_an_error(data):
    found = rp.evaluate(guess(data), data)
    assert found["regret"].value == pytest.approx(0, abs=1e-6)
    assert found["regret"].stderr == pytest.approx(0, abs=1e-6)
    assert found["log_likelihood"].stderr > 0.03  # which the pairs take out


def test_its_error_is_that_of_the_pairs(data):
    found = rp.evaluate(guess(data, less=0.25, slope=0.1), data)["regret"]
    x = data.test.x[:, 0].double()
    assert found.value == pytest.approx(0.25 + 0.1 * x.mean().item(), abs=1e-6)
    assert found.stderr == pytest.approx(0.1 * x.std().item() / math.sqrt(len(x)), rel=1e-4)
    assert (found.unit, found.n, found.split) == ("nats", 200, "test")
    assert len(found.values) == 200  # for differences of two models


@pytest.mark.parametrize(
    ("said", "kind", "sign"),
    [
        ("exact", "exact", "="),
        ("lower bound", "upper bound", "≤"),
        ("estimate", "estimate", "≈"),
    ],
)
def test_its_kind_follows_from_that_of_the_likelihood(data, said, kind, sign):
    found = rp.evaluate(guess(data, said=said), data)["regret"]
    assert found.kind == kind and mark(found, "regret") == sign
    assert "upper" in SCORES["regret"].definition and SCORES["regret"].better == "lower"


def test_draws_are_named_where_there_are_any(data):
    model = rp.build("vae", data.space, latent_dim=1, hidden=(4,))
    scores = rp.evaluate(model, data, samples=3)
    found, likelihood = scores["regret"], scores["log_likelihood"]
    assert (found.samples, found.seed, found.kind) == (3, 0, "upper bound")
    mean = data.true_log_probs("test").mean().item()
    assert found.value == pytest.approx(mean - likelihood.value)


def test_without_a_true_density_or_without_a_likelihood_there_is_none(data):
    unknown = dataclasses.replace(data, true_log_density=None)
    assert "regret" not in rp.evaluate(guess(unknown), unknown)
    assert "regret" not in rp.evaluate(rp.build("ae", data.space, hidden=(4,)), data)


def test_it_stands_in_every_table(data):
    scores = rp.evaluate(guess(data, said="lower bound"), data)
    names = [str(cell) for cell in cli_table(scores).columns[0].cells]
    assert names[:3] == ["log_likelihood", "bits_per_dim", "regret"]
    table = score_table([TrainedModel("guess", guess(data), scores, History())])
    at = [head.name for head in table.headers].index("regret")
    assert table.headers[at].title == "Regret" and table.headers[at].unit == "nats"
    assert table.rows[0][at].mark == "≤"
