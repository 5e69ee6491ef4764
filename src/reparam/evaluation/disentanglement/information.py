"""What single latents tell of single factors, by histograms: MIG and modularity."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Unpack, cast

import numpy as np
from msgspec import Meta

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.inputs import Coded, Reading, UndefinedError, read
from reparam.evaluation.disentanglement.resampling import factor_score, standard_error
from reparam.evaluation.scores import Score, ScoreTable
from reparam.limits import convert

Bins = Annotated[int, Meta(ge=2, le=10_000)] | Literal["levels"]
BINS, RESAMPLES = 20, 50
ROUNDING = 1e-12  # nats: information below it is that of a constant


def mig(
    codes: Any,
    factors: Any,
    bins: Bins = BINS,
    *,
    seed: int = 0,
    bootstrap: int = RESAMPLES,
    **reading: Unpack[Reading],
) -> Score:
    """Mutual information gap: (I₁ − I₂)/H(v) of each factor v, averaged over the factors.

    I₁ and I₂ are the largest two of I(z_j; v), found by a histogram of z_j with bins of equal width
    from its least to its largest value, so that one outlier may leave the others in one bin. Dead
    latents have I = 0 and change nothing while two others live; of a single latent I₂ is 0. Factors
    with more levels than bins cannot be told exactly: the identity code of 3, 6, 40, 32 and 32
    levels scores 0.902 with 20 bins. ``bins="levels"`` gives each factor as many bins as it has
    levels.

    Args:
        codes: (N, L).
        factors: (N, F), integers or floats.
        bins: of each histogram, or ``"levels"``.
        seed: of the bootstrap.
        bootstrap: resamples of rows for the standard error; 0: none.
        reading: ordered, names and rates, as ``disentanglement`` takes them.

    Returns:
        The score; its ``matrix`` is I(z_j; v)/H(v), (L, F).

    Reference: Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 6,
    https://arxiv.org/abs/1802.04942

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> round(mig(-1.0 * grid, grid, bootstrap=0).value, 9)
    1.0
    """
    return mig_of(read(codes, factors, **reading), bins, seed, bootstrap)


def modularity(
    codes: Any,
    factors: Any,
    bins: Bins = BINS,
    *,
    seed: int = 0,
    bootstrap: int = RESAMPLES,
    **reading: Unpack[Reading],
) -> ScoreTable:
    """How far each latent depends on one factor only: 1 − Σ_{v≠v*} I(z; v)²/(I(z; v*)² (F − 1)).

    v* is the factor of which z tells most. A dead latent counts 0 in ``modularity``, the mean over
    all latents, and is left out of ``modularity_live``. Latents of noise do not score 0 but about
    0.65: their information, all of it the bias of finite histograms, differs between factors.

    Args:
        codes, factors, bins, seed, bootstrap, reading: as of ``mig``.

    Returns:
        Both scores, with the matrix I(z_j; v) in nats, (L, F).

    Raises:
        ValueError: there is one factor only.

    Reference: Ridgeway & Mozer 2018, "Learning deep disentangled embeddings with the F-statistic
    loss", section 3, https://arxiv.org/abs/1802.05312

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> codes = np.c_[grid, np.zeros(144)]
    >>> [round(score.value, 3) for score in modularity(codes, grid, bootstrap=0).values()]
    [0.667, 1.0]
    """
    return modularity_of(read(codes, factors, **reading), bins, seed, bootstrap)


def mig_of(coded: Coded, bins: Bins, seed: int, bootstrap: int = RESAMPLES) -> Score:
    """``mig`` of what was read."""
    tables = Histograms(coded, bins)
    rows = np.arange(len(coded))
    error = standard_error(lambda r: gap(*tables.information(r)), [rows], bootstrap, seed)
    information, entropy = tables.information(rows)
    return factor_score(
        coded,
        gap(information, entropy),
        "of the factor's entropy",
        stderr=error,
        seed=seed,
        bins=tables.bins,
        matrix=information / entropy,
    )


def modularity_of(coded: Coded, bins: Bins, seed: int, bootstrap: int = RESAMPLES) -> ScoreTable:
    """``modularity`` of what was read."""
    if coded.factors < 2:
        raise UndefinedError("modularity: expected two factors or more, got one")
    tables = Histograms(coded, bins)
    rows, live = np.arange(len(coded)), ~coded.dead

    def both(rows: Array) -> tuple[float, float]:
        by_latent = modular(tables.information(rows)[0])
        return by_latent.mean(), by_latent[live].mean()

    errors = standard_error(both, [rows], bootstrap, seed)
    matrix = tables.information(rows)[0]
    return ScoreTable(
        {
            name: factor_score(
                coded,
                value,
                "",
                stderr=None if errors is None else errors[i],
                seed=seed,
                bins=tables.bins,
                matrix=matrix,
            )
            for i, (name, value) in enumerate(
                zip(("modularity", "modularity_live"), both(rows), strict=True)
            )
        }
    )


def gap(information: Array, entropy: Array) -> float:
    """(I₁ − I₂)/H averaged over factors, of I (L, F) and H (F,)."""
    ranked = np.sort(np.vstack([information, np.zeros(information.shape[1])]), axis=0)
    there = entropy > ROUNDING  # in a resample a factor may have one level left
    gaps = (ranked[-1] - ranked[-2])[there] / entropy[there]
    return float(gaps.mean()) if len(gaps) else 0.0


def modular(information: Array) -> Array:
    """Of each row of I (L, F), how far it has one entry only, (L,); 0 where all are 0."""
    largest = information.max(1)
    others = np.square(information).sum(1) - np.square(largest)
    below = np.square(largest) * (information.shape[1] - 1)
    return np.where(largest > 0, 1 - others / np.where(largest > 0, below, 1), 0.0)


class Histograms:
    """Which cell of the joint histogram of a latent and a factor each row is in."""

    def __init__(self, coded: Coded, bins: Bins) -> None:
        self.coded, self.bins = coded, check_bins(bins)

    @cached_property
    def cells(self) -> list[tuple[Array, tuple[int, int, int]]]:
        """Of each factor cells of all its tables (N, L), and how many they are, L × K × B."""
        found, binned = [], {}
        latents = np.arange(self.coded.latents, dtype=np.int64)
        for levels, count in zip(self.coded.levels.T, self.coded.counts, strict=True):
            bins = count if self.bins == "levels" else self.bins
            if bins not in binned:
                binned[bins] = in_bins(self.coded.z, bins)
            cell = (latents * count + levels[:, None]) * bins + binned[bins]
            found.append((cell, (self.coded.latents, count, bins)))
        return found

    def information(self, rows: Array) -> tuple[Array, Array]:
        """I(z_j; v) in nats over some of the rows, (L, F), and H(v), (F,)."""
        found = [_information(cell[rows], shape) for cell, shape in self.cells]
        information = np.stack([i for i, _ in found], 1)
        information[self.coded.dead] = 0
        return information, np.array([h for _, h in found])


def check_bins(bins: Bins) -> Bins:
    """The bins as they are; ValueError beyond their limits."""
    return cast(Bins, convert("bins", bins, Bins, text=False))


def in_bins(z: Array, bins: int) -> Array:
    """Which of so many bins of equal width each entry of z (N, L) is in, from 0.

    >>> in_bins(np.array([[0.0], [0.4], [1.0]]), 2).T
    array([[0, 0, 1]])
    """
    low = z.min(0)
    width = z.max(0) - low
    share = (z - low) / np.where(width > 0, width, 1)
    return np.minimum((share * bins).astype(np.int64), bins - 1)


def _information(cells: Array, shape: tuple[int, int, int]) -> tuple[Array, float]:
    """Of cells of tables L × K × B, I of the rows and columns of each (L,), and H of the rows."""
    joint = np.bincount(cells.ravel(), minlength=int(np.prod(shape))).reshape(shape) / len(cells)
    of_factor = _entropy(joint.sum(2)[0])
    found = _entropy(joint.sum(1)) + of_factor - _entropy(joint.reshape(shape[0], -1))
    return np.where(found > ROUNDING, found, 0.0), float(of_factor)


def _entropy(p: Array) -> Array:
    """−Σ p ln p over the last axis."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
