"""Rows to try the estimator on, and options with which it trains in no time."""

from __future__ import annotations

import numpy as np
import pandas as pd

SMALL = {"epochs": 2, "random_state": 0}
SMALL_VAE = {"latent_dim": 2, "parameters": {"hidden": (8,)}, **SMALL}


def rows(n=60, d=4, seed=0):
    """Correlated columns in different units."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return x * 10.0 ** np.arange(-1, d - 1) + 5


def frame(**options):
    return pd.DataFrame(rows(**options), columns=list("abcd"))


def labeled():
    y = np.array(["cat", "dog"])[np.arange(60) % 2]
    x = rows()
    x[y == "dog"] += 1000
    return x, y
