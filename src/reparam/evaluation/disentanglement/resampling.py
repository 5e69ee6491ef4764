"""Halves of the rows, standard errors by bootstrap, and scores that carry both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.inputs import Coded
from reparam.evaluation.scores import Score

ROWS = "rows"  # in place of the name of a split: arrays were given


def halves(n: int, seed: int) -> tuple[Array, Array]:
    """Rows 0 … n−1 shuffled, the first half to train on and the second to test on."""
    order = np.random.default_rng(seed).permutation(n)
    return order[: n // 2], order[n // 2 :]


def standard_error(
    statistic: Callable[..., Any], parts: Sequence[Array], resamples: int, seed: int
) -> Any:
    """The deviation of a statistic over resamples of each part's rows; None for fewer than two.

    Args:
        statistic: of the rows of each part; a number, or several, (K,).
        parts: rows, each resampled from itself alone, so that none of one gets into another.
        resamples: how many.
        seed: of the draws.

    >>> rows = np.arange(100)
    >>> found = standard_error(lambda r: (r % 2).mean(), [rows], 400, seed=0)
    >>> bool(abs(found - 0.05) < 0.005)
    True
    """
    if resamples < 2:
        return None
    rng = np.random.default_rng([seed, 1])
    found = [
        statistic(*(part[rng.integers(len(part), size=len(part))] for part in parts))
        for _ in range(resamples)
    ]
    return np.std(found, axis=0, ddof=1)


def factor_score(coded: Coded, value: float, unit: str, **protocol: Any) -> Score:
    """A score of these rows, with what was decided of them; errors and matrices may be NumPy's."""
    stderr, matrix = protocol.pop("stderr", None), protocol.pop("matrix", None)
    return Score(
        float(value),
        unit,
        len(coded),
        ROWS,
        None if stderr is None else float(stderr),
        notes=coded.notes,
        matrix=None if matrix is None else torch.from_numpy(np.ascontiguousarray(matrix)),
        **protocol,
    )
