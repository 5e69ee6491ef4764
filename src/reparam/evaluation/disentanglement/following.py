"""Which latent tells most of each factor, which follow one, and how codes go with its levels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.information import BINS, Bins, mig_of
from reparam.evaluation.disentanglement.inputs import Coded, mean_rates

# Of a factor's entropy, beyond chance: a latent that tells less does not follow it. Of two equally
# frequent levels a fifth is what guessing right in 76 of 100 rows tells; of 16 levels in order what
# a correlation of 0.82 does, and less than telling the upper half from the lower, a quarter.
FOLLOWS = 0.2


class LevelMeans(NamedTuple):
    """Codes of a latent by the level of a factor.

    Args:
        at: (K,), where each level stands: its value if it is a number, its share of a turn if it is
            circular, else how many are before it.
        labels: what each level is called.
        mean, deviation: of the codes of its rows, (K,).
        named: whether labels are names, so that nothing lies between levels.
    """

    at: Array
    labels: tuple[str, ...]
    mean: Array
    deviation: Array
    named: bool


@dataclass(frozen=True)
class FactorInformation:
    """What each latent tells of each factor, I(z; v)/H(v).

    Args:
        coded: codes and factors of the same rows.
        share: (L, F).
        chance: (F,), what latents tell of it by chance: the mean after rows were shuffled.
        weight: (L,), the mean rate of each latent, or else the deviation of its codes.
        rated: whether it is the rate.
        level_names: of factors whose levels, counted from 0, have names.
    """

    coded: Coded
    share: Array
    chance: Array
    weight: Array
    rated: bool
    level_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        coded: Coded,
        rates: Any = None,
        bins: Bins = BINS,
        level_names: Mapping[str, tuple[str, ...]] | None = None,
        seed: int = 0,
    ) -> FactorInformation:
        """Measured as by ``mig``; rates are the KL of each latent, (L,) or (N, L).

        >>> from reparam.evaluation.disentanglement.inputs import read
        >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
        >>> found = FactorInformation.of(read(grid[:, ::-1], grid, names=("x", "y")))
        >>> found.winners.tolist(), found.follows
        ([1, 0], {1: 0, 0: 1})
        """
        rows = np.random.default_rng(seed).permutation(len(coded))
        shuffled = dataclasses.replace(coded, levels=coded.levels[rows])
        share, by_chance = (
            np.asarray(mig_of(each, bins, seed, bootstrap=0).matrix) for each in (coded, shuffled)
        )
        rated = rates is not None
        weight = mean_rates(rates, coded.latents) if rated else coded.z.std(0)
        chance = by_chance[~coded.dead].mean(0)
        return cls(coded, share, chance, weight, rated, level_names or {})

    @cached_property
    def winners(self) -> Array:
        """Of each factor the live latent that tells most of it, (F,)."""
        return self.best(self.share)

    def best(self, matrix: Array) -> Array:
        """Of each column of (L, F) the live latent with the largest entry, of equals the first."""
        return np.where(self.coded.dead[:, None], -1.0, matrix).argmax(0)

    @cached_property
    def order(self) -> list[int]:
        """Latents by what they carry, the dead ones last."""
        return np.lexsort((-self.weight, self.coded.dead)).tolist()

    @cached_property
    def follows(self) -> dict[int, int]:
        """Latents that follow a factor: the one that they tell most of, if no other tells more.

        What they tell of it must exceed chance by a fifth of its entropy.
        """
        found = {}
        for factor, latent in enumerate(self.winners.tolist()):
            beyond = self.share[latent, factor] - self.chance[factor]
            if self.share[latent].argmax() == factor and beyond >= FOLLOWS:
                found[latent] = factor
        return found

    def level_means(self, factor: int) -> LevelMeans:
        """Codes of the factor's winner by its level."""
        coded, z = self.coded, self.coded.z[:, self.winners[factor]]
        rows = [coded.levels[:, factor] == level for level in range(coded.counts[factor])]
        values = coded.level_values(factor)
        names = self.level_names.get(coded.names[factor], ())
        known = bool(names) and set(values.tolist()) <= set(range(len(names)))
        labels = [names[int(value)] if known else f"{value:.4g}" for value in values]
        at = values if coded.kinds[factor] == "numbers" else np.arange(len(values))
        at = coded.turns(factor) if coded.kinds[factor] == "circular" else at
        mean, deviation = (np.array([f(z[of]) for of in rows]) for f in (np.mean, np.std))
        return LevelMeans(at, tuple(labels), mean, deviation, known)


def gaps(share: Array) -> Array:
    """By how much the largest entry of each column of (L, F) exceeds the next one, or else 0, (F,).

    Those of I(z; v)/H(v) have the MIG as their mean.

    >>> gaps(np.array([[0.5, 0.25], [0.25, 1.0]]))
    array([0.25, 0.75])
    """
    ranked = np.sort(np.vstack([share, np.zeros(share.shape[1])]), axis=0)
    found: Array = ranked[-1] - ranked[-2]
    return found
