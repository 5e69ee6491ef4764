"""What changes in codes while one factor is held fixed: FactorVAE's and BetaVAE's scores, IRS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Unpack

import numpy as np
from sklearn.linear_model import LogisticRegression

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.inputs import (
    Coded,
    Reading,
    UndefinedError,
    UnmeasurableError,
    read,
)
from reparam.evaluation.disentanglement.resampling import factor_score, halves, standard_error
from reparam.evaluation.scores import Score
from reparam.wording import counted

BATCH = 64  # rows, or pairs, that tell of one factor
POINTS = 5000  # batches drawn from each half
AT_ONCE = 250  # of them in memory
LEAST_DEVIATION = 0.05  # of a latent that votes
REDRAWN, RESAMPLES = 10, 20  # resamples of scores of batches, and of IRS
QUANTILE = 0.99


def factor_vae_metric(
    codes: Any,
    factors: Any,
    *,
    seed: int = 0,
    bootstrap: int = REDRAWN,
    **reading: Unpack[Reading],
) -> Score:
    """How often the latent that varies least tells which factor was held fixed.

    A batch of 64 rows shares one level of one factor; the latent whose variance in it is least,
    divided by that over all rows, votes. Each latent stands for the factor for which it voted most
    among 5000 batches of one half of the rows; the score is how often that is right among 5000
    of the other half, 1/F by chance. Latents whose deviation is under 0.05 do not vote, dead ones
    neither; where none is left the score is 0.

    Args:
        codes: (N, L), in the units in which the prior has variance 1.
        factors: (N, F), integers or floats; rows are taken as a sample of their grid.
        seed: of the halves, the batches and the bootstrap.
        bootstrap: resamples of each half, with batches drawn anew.
        reading: ordered, names and rates, as ``disentanglement`` takes them.

    Returns:
        The score; its ``matrix`` counts the votes of the training half, (L, F).

    Raises:
        ValueError: a level of a factor has one row only, or there is one factor only.

    Reference: Kim & Mnih 2018, "Disentangling by factorizing", section 4,
    https://arxiv.org/abs/1802.05983

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> factor_vae_metric(-1.0 * grid, grid, bootstrap=0).value
    1.0
    """
    return factor_vae_of(read(codes, factors, **reading), seed, bootstrap)


def beta_vae_metric(
    codes: Any,
    factors: Any,
    *,
    seed: int = 0,
    bootstrap: int = REDRAWN,
    **reading: Unpack[Reading],
) -> Score:
    """How well a linear classifier tells which factor the rows of pairs have in common.

    Of 64 pairs the two rows of each share a level of one factor, other pairs another level; the
    classifier, multinomial logistic regression, sees the mean absolute difference of each latent.
    It is fitted on 5000 such means of one half of the rows and tested on 5000 of the other; chance
    is 1/F. Since all differences are seen together, rotated codes may score 1 as well. Dead latents
    never differ and change nothing.

    Args:
        codes, factors, seed, bootstrap, reading: as of ``factor_vae_metric``.

    Raises:
        ValueError: a level of a factor has one row only, or there is one factor only.

    Reference: Higgins et al. 2017, "beta-VAE: Learning basic visual concepts with a constrained
    variational framework", section 3, https://openreview.net/forum?id=Sy2fzU9gl

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> beta_vae_metric(-1.0 * grid, grid, bootstrap=0).value > 0.99
    True
    """
    return beta_vae_of(read(codes, factors, **reading), seed, bootstrap)


def irs(
    codes: Any,
    factors: Any,
    *,
    seed: int = 0,
    bootstrap: int = RESAMPLES,
    **reading: Unpack[Reading],
) -> Score:
    """Interventional robustness: how little each latent moves while one factor is held fixed.

    Of rows with one level of a factor the deviation of a latent from its mean there, at the 99 %
    quantile, averaged over levels and divided by its largest deviation over all rows, is taken from
    1; of each latent the best factor counts, latents weighted by their largest deviation. It has no
    zero: independent normal codes score about 0.37 in 10 000 rows. Dead latents are left out.

    Args:
        codes: (N, L).
        factors: (N, F), integers or floats.
        seed: of the bootstrap.
        bootstrap: resamples of rows for the standard error; 0: none.
        reading: ordered, names and rates, as ``disentanglement`` takes them.

    Returns:
        The score; its ``matrix`` (L, F) has 0 for dead latents.

    Reference: Suter et al. 2019, "Robustly disentangled causal mechanisms", section 4,
    https://arxiv.org/abs/1811.00007

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> irs(-1.0 * grid, grid, bootstrap=0).value
    1.0
    """
    return irs_of(read(codes, factors, **reading), seed, bootstrap)


class Fixed:
    """Rows of one half, by the level that a factor has in them.

    A level with a single row of the half has no pair there and is never drawn, unless all are such,
    as in a resample they may be.
    """

    def __init__(self, coded: Coded, rows: Array) -> None:
        self.z, levels = coded.z[rows], coded.levels[rows]
        self.order = [np.argsort(column, kind="stable") for column in levels.T]
        self.start, self.many, self.drawn = [], [], []
        for j, (column, order) in enumerate(zip(levels.T, self.order, strict=True)):
            many = np.bincount(column, minlength=coded.counts[j])
            start = np.cumsum(many) - many
            sorted_levels = column[order]
            self.many.append(many[sorted_levels])
            self.start.append(start[sorted_levels])
            paired = np.flatnonzero(many[sorted_levels] > 1)
            self.drawn.append(paired if len(paired) else np.arange(len(rows)))

    def batches(self, factor: int, count: int, rng: np.random.Generator) -> Array:
        """Rows (count, 64) that share a level in each batch, drawn with replacement."""
        at = rng.choice(self.drawn[factor], count)
        many, start = self.many[factor][at], self.start[factor][at]
        within = (rng.random((count, BATCH)) * many[:, None]).astype(np.int64)
        return self.order[factor][start[:, None] + within]

    def pairs(self, factor: int, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Two different rows of one level, (count, 64) each."""
        at = rng.choice(self.drawn[factor], (count, BATCH))
        many, start = self.many[factor][at], self.start[factor][at]
        further = 1 + (rng.random(at.shape) * (many - 1)).astype(np.int64)
        order = self.order[factor]
        return order[at], order[start + (at - start + further) % many]


def factor_vae_of(coded: Coded, seed: int, bootstrap: int = REDRAWN) -> Score:
    """``factor_vae_metric`` of what was read."""
    refuse_single_rows(coded)
    if coded.factors < 2:
        raise UndefinedError("factor_vae_metric: expected two factors or more, got one")
    deviation = coded.z.std(0)
    voting = deviation >= LEAST_DEVIATION
    scale = np.where(voting, deviation, np.inf)  # of all rows: both halves vote by one rule
    rng = np.random.default_rng([seed, 2])  # resamples draw on, so that errors count the draws'

    def right(train: Array, test: Array) -> tuple[float, Array]:
        if not voting.any():
            return 0.0, np.zeros((coded.latents, coded.factors))
        fitted, tested = (_votes(coded, rows, scale, rng) for rows in (train, test))
        return tested[np.arange(len(fitted)), fitted.argmax(1)].sum() / tested.sum(), fitted

    parts = halves(len(coded), seed)
    refuse_unpaired(coded, parts)
    value, matrix = right(*parts)
    error = standard_error(lambda *rows: right(*rows)[0], parts, bootstrap, seed)
    return factor_score(
        coded,
        value,
        f"share right, {1 / coded.factors:.2g} by chance",
        stderr=error,
        seed=seed,
        predictor=f"majority vote, {voting.sum()} of {coded.latents} latents vote",
        matrix=matrix,
    )


def _votes(coded: Coded, rows: Array, scale: Array, rng: np.random.Generator) -> Array:
    """How often each latent, over its scale, varied least while each factor was fixed, (L, F)."""
    fixed = Fixed(coded, rows)
    found = np.zeros((coded.latents, coded.factors))
    for factor, count in _in_parts(coded.factors, rng):
        variances = (fixed.z / scale)[fixed.batches(factor, count, rng)].var(1)
        least = np.where(np.isfinite(scale), variances, np.inf).argmin(1)
        found[:, factor] += np.bincount(least, minlength=coded.latents)
    return found


def beta_vae_of(coded: Coded, seed: int, bootstrap: int = REDRAWN) -> Score:
    """``beta_vae_metric`` of what was read."""
    refuse_single_rows(coded)
    if coded.factors < 2:
        raise UndefinedError("beta_vae_metric: expected two factors or more, got one")
    rng = np.random.default_rng([seed, 3])  # resamples draw on, so that errors count the draws'

    def right(train: Array, test: Array) -> float:
        (x, factor), tested = (_differences(coded, rows, rng) for rows in (train, test))
        center, deviation = x.mean(0), x.std(0)
        scale = np.where(deviation > 0, deviation, np.inf)
        model = LogisticRegression(max_iter=300).fit((x - center) / scale, factor)
        return float(model.score((tested[0] - center) / scale, tested[1]))

    parts = halves(len(coded), seed)
    refuse_unpaired(coded, parts)
    return factor_score(
        coded,
        right(*parts),
        f"share right, {1 / coded.factors:.2g} by chance",
        stderr=standard_error(right, parts, bootstrap, seed),
        seed=seed,
        predictor="multinomial logistic regression",
    )


def _differences(coded: Coded, rows: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mean absolute differences of pairs that share a factor (5000, L), and which it is."""
    fixed, found, which = Fixed(coded, rows), [], []
    for factor, count in _in_parts(coded.factors, rng):
        first, second = fixed.pairs(factor, count, rng)
        found.append(np.abs(fixed.z[first] - fixed.z[second]).mean(1))
        which.append(np.full(count, factor))
    return np.concatenate(found), np.concatenate(which)


def _in_parts(factors: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Which factor is fixed in how many batches, a few hundred at a time."""
    for factor, count in enumerate(rng.multinomial(POINTS, np.full(factors, 1 / factors))):
        for start in range(0, count, AT_ONCE):
            yield factor, min(AT_ONCE, count - start)


def refuse_single_rows(coded: Coded) -> None:
    """ValueError where a level has a single row: such rows are no sample of a grid."""
    for name, levels in zip(coded.names, coded.levels.T, strict=True):
        rows = np.bincount(levels)
        if rows.min() < 2:
            raise UnmeasurableError(
                f"factors: {name} has {counted((rows < 2).sum(), 'level')} with fewer than 2 rows; "
                "give more rows, or leave it out"
            )


def refuse_unpaired(coded: Coded, parts: Sequence[Array]) -> None:
    """ValueError where batches of a half could hold a factor at one level only."""
    for rows in parts:
        for name, levels in zip(coded.names, coded.levels[rows].T, strict=True):
            if (np.bincount(levels) > 1).sum() < 2:
                raise UnmeasurableError(
                    f"factors: expected two levels of {name} with at least 2 rows in each half; "
                    "give more rows, or leave it out"
                )


def irs_of(coded: Coded, seed: int, bootstrap: int = RESAMPLES) -> Score:
    """``irs`` of what was read."""
    live = ~coded.dead
    rows = np.arange(len(coded))

    def weighted(rows: Array) -> tuple[float, Array]:
        z = coded.z[rows][:, live]
        largest = np.abs(z - z.mean(0)).max(0)
        moved = np.stack([deviations(z, levels[rows]) for levels in coded.levels.T], 1)
        matrix = 1 - moved / np.where(largest > 0, largest, 1)[:, None]
        return float((matrix.max(1) * largest).sum() / (largest.sum() or 1)), matrix

    value, of_live = weighted(rows)
    matrix = np.zeros((coded.latents, coded.factors))
    matrix[live] = of_live
    error = standard_error(lambda r: weighted(r)[0], [rows], bootstrap, seed)
    return factor_score(coded, value, "no zero", stderr=error, seed=seed, matrix=matrix)


def deviations(z: Array, levels: Array) -> Array:
    """The 99 % quantile of |z − its mean| in the rows of each level, averaged over levels, (L,).

    >>> deviations(np.array([[0.0], [2.0], [5.0], [5.0]]), np.array([0, 0, 1, 1]))
    array([0.5])
    """
    order = np.argsort(levels, kind="stable")
    ends = np.flatnonzero(np.diff(levels[order])) + 1
    groups = np.split(z[order], ends)
    return np.mean([np.quantile(np.abs(g - g.mean(0)), QUANTILE, axis=0) for g in groups], axis=0)
