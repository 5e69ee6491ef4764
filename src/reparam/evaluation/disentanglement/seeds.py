"""How far models trained from several seeds found the same latents, without factors: UDR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.linear_model import Lasso

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.inputs import (
    UnmeasurableError,
    live_codes,
    numbers,
    refuse_few,
)
from reparam.evaluation.disentanglement.resampling import ROWS, standard_error
from reparam.evaluation.scores import Score

Similarity = Literal["lasso", "spearman"]
ALPHA = 0.1
RESAMPLES = 10
NAMES: dict[Similarity, str] = {
    "lasso": f"Lasso, α = {ALPHA}, on standardized codes",
    "spearman": "Spearman's rank correlation",
}


def udr(
    codes: Sequence[Any],
    rates: Sequence[Any] | None = None,
    similarity: Similarity = "lasso",
    *,
    seed: int = 0,
    bootstrap: int = RESAMPLES,
) -> Score:
    """Unsupervised disentanglement ranking: how far models share their latents, one by one.

    R_ab says how strongly latent a of one model goes with latent b of another, by the size of Lasso
    coefficients or rank correlations. Of a pair the score is
    [Σ_b max_a R_ab²/Σ_a R_ab + Σ_a max_b R_ab²/Σ_b R_ab]/(A + B), of a model the median over its
    partners, and of all the mean over models. Copies with permuted and flipped latents score
    1 − α = 0.9 by Lasso, not 1, and by rank correlations 1 less what chance correlates. Dead
    latents are left out; a pair in which a model has no other scores 0.

    Args:
        codes: (N, L) of each model, for the same rows in the same order; L may differ.
        rates: of each model the KL of its latents in nats, (L,) or (N, L).
        similarity: ``"lasso"`` (α = 0.1, standardized codes) or ``"spearman"``.
        seed: of the bootstrap.
        bootstrap: resamples of rows for the standard error; 0: none.

    Returns:
        The score; ``values`` are those of the models and ``matrix`` has those of pairs (M, M), the
        row predicting the column by Lasso, with NaN on its diagonal.

    Raises:
        ValueError: fewer than two models, other rows, or no live latent in any model.

    Reference: Duan et al. 2020, "Unsupervised model selection for variational disentangled
    representation learning", section 5, https://arxiv.org/abs/1905.12614

    >>> import numpy as np
    >>> z = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(udr([z, -z[:, [2, 0, 1]]], bootstrap=0).value, 9)
    0.9
    """
    if similarity not in NAMES:
        raise ValueError(f"similarity: expected one of {', '.join(NAMES)}, got {similarity!r}")
    live, notes = _live(codes, rates)

    def of_models(rows: Array) -> Array:
        return by_model(pairs([z[rows] for z in live], SIMILARITIES[similarity]))

    rows = np.arange(len(live[0]))
    error = standard_error(lambda r: of_models(r).mean(), [rows], bootstrap, seed)
    matrix = pairs(live, SIMILARITIES[similarity])
    found = by_model(matrix)
    return Score(
        float(found.mean()),
        f"mean of {len(live)} models",
        len(rows),
        ROWS,
        None if error is None else float(error),
        seed=seed,
        values=torch.from_numpy(found),
        predictor=NAMES[similarity],
        notes=notes,
        matrix=torch.from_numpy(matrix),
    )


def _live(codes: Sequence[Any], rates: Sequence[Any] | None) -> tuple[list[Array], tuple[str, ...]]:
    """The live latents of each model, (N, L'), and notes of the others."""
    if len(codes) < 2:
        raise ValueError(f"codes: expected those of two models or more, got {len(codes)}")
    if rates is not None and len(rates) != len(codes):
        raise ValueError(f"rates: expected {len(codes)}, one per model, got {len(rates)}")
    found, notes = [], []
    for i, given in enumerate(codes):
        z = numbers(f"codes of model {i}", given)
        z, dead, note = live_codes(z, None if rates is None else rates[i])
        found.append(z[:, ~dead])
        notes.append(f"Model {i}: {note[0]}")
    rows = [len(z) for z in found]
    if len(set(rows)) > 1:
        counts = ", ".join(map(str, rows))
        raise ValueError(f"codes: expected the same rows of every model, got {counts} of them")
    refuse_few(rows[0])
    if not any(z.shape[1] for z in found):
        raise UnmeasurableError("codes: all latents of all models are dead")
    return found, tuple(notes)


def pairs(codes: Sequence[Array], similarity: Callable[[Array, Array], Array]) -> Array:
    """The score of every ordered pair of models, (M, M), NaN on the diagonal."""
    count = len(codes)
    found = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(count):
            if i != j:
                found[i, j] = one_to_one(similarity(codes[i], codes[j]))
    return found


def by_model(matrix: Array) -> Array:
    """The median over partners of each model, (M,)."""
    count = len(matrix)
    return np.median(matrix[~np.eye(count, dtype=bool)].reshape(count, count - 1), axis=1)


def one_to_one(relation: Array) -> float:
    """How far the largest entries of rows and columns of R (A, B) stand alone, in [0, max R].

    >>> one_to_one(np.eye(3) * 0.5), one_to_one(np.ones((2, 2)))
    (0.5, 0.5)
    """
    total = 0.0
    for axis in (0, 1) if relation.size else ():
        sums = relation.sum(axis)
        total += float(
            np.where(sums > 0, np.square(relation.max(axis)) / np.where(sums > 0, sums, 1), 0).sum()
        )
    return total / max(sum(relation.shape), 1)


def _lasso(first: Array, second: Array) -> Array:
    """|coefficients| of the latents of one model for those of another, (A, B)."""
    if not first.shape[1] or not second.shape[1]:
        return np.zeros((first.shape[1], second.shape[1]))
    model = Lasso(ALPHA, fit_intercept=False, precompute=True)
    model.fit(_standardized(first), _standardized(second))
    return np.abs(np.atleast_2d(model.coef_)).T


def _spearman(first: Array, second: Array) -> Array:
    """|rank correlations| of the latents of two models, (A, B)."""
    a, b = (_standardized(rankdata(z, axis=0)) for z in (first, second))
    return np.abs(a.T @ b) / len(a)


def _standardized(z: Array) -> Array:
    centered = z - z.mean(0)
    deviation = centered.std(0)
    return centered / np.where(deviation > 0, deviation, 1)


SIMILARITIES: dict[Similarity, Callable[[Array, Array], Array]] = {
    "lasso": _lasso,
    "spearman": _spearman,
}
