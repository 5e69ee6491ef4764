"""Samples of which the scores are known, and what is known of errors from repetition."""

from __future__ import annotations

import torch

from reparam.data import Data, Split
from reparam.model import Generator


class Draws(Generator):
    """Draws by a function of their number and of a generator; counts how many were drawn."""

    def __init__(self, space, draw):
        super().__init__(space)
        self.source, self.drawn = draw, 0

    def loss(self, x, c=None, player="model"):
        raise AssertionError("not trained")

    def draw(self, n, c, generator):
        self.drawn += n
        return self.source(n, generator)


def rows_of(x):
    """Draws of these rows without replacement; x has as many as are drawn at once, or more."""
    return lambda n, generator: x[torch.randperm(len(x), generator=generator)[:n]].float()


def data_of(train, test, space, labels=None, **kwargs):
    train, test = Split(train, labels), Split(test, labels)
    return Data(train, test, test, space, "made", **kwargs)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pairs(repetitions, n, features, shift=0.0, scale=1.0):
    """Two sets of independent normal features, again and again."""
    for seed in range(repetitions):
        x, y = normal(2, n, features, seed=seed)
        yield scale * x + shift, y


def spread(values):
    return torch.tensor(values, dtype=torch.float64).std().item()


def typical(errors):
    return torch.tensor(errors, dtype=torch.float64).square().mean().sqrt().item()
