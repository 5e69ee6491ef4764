"""How many importance samples are taken where none are asked for, and news of progress."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.data import Split
from reparam.evaluation.likelihood import default_samples, log_likelihood
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
