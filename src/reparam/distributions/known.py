"""A distribution of which some entries are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.distribution import Visit
from reparam.model import Distribution, Kind


@dataclass(frozen=True)
class Known(Distribution):
    """p(x) of entries some of which are what they are said to be.

    The factors of these are 1, and an x that differs in one of them has probability 0. Others are
    distributed as they are given all entries before them, whether these are known or not.

    Args:
        base: p(x), with a column for every entry.
        known: bool (*shape), which entries are known.
        value: (B, *shape), what they are.

    >>> from reparam.distributions.masses import BernoulliMass
    >>> base, known = BernoulliMass(torch.zeros(1, 2)), torch.tensor([True, False])
    >>> Known(base, known, torch.ones(1, 2)).log_prob(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).exp()
    tensor([0.5000, 0.0000])
    """

    base: Distribution
    known: Tensor
    value: Tensor

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return self.base.kind

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        return self.base.continuous

    @property
    def rows(self) -> int:
        return self.base.rows

    @property
    def center(self) -> Tensor:
        return self._known(self.base.center)

    @property
    def variance(self) -> Tensor | None:
        variance = self.base.variance
        return None if variance is None else torch.where(self.known, 0.0, variance)

    @property
    def by_entry(self) -> Known | None:
        base = self.base.by_entry
        return None if base is None else self if base is self.base else replace(self, base=base)

    @property
    def undivided(self) -> bool:
        return self.base.undivided

    def walk(self, visit: Visit) -> Tensor:
        """As the base is walked, without visits of parts that are known altogether."""

        def known(p: Distribution, sites: Any) -> Tensor:
            mask, value = self.base.part(self.known[None], sites)[0], self.part(self.value, sites)
            return value if bool(mask.all()) else visit(Known(p, mask, value), sites)

        return self.base.walk(known)

    def part(self, x: Tensor, sites: Any) -> Tensor:
        return self.base.part(x, sites)

    def rounded(self, bits: int) -> Known:
        return replace(self, base=self.base.rounded(bits))

    def table(self) -> Tensor | None:
        table = self.base.table()
        if table is None:
            return None
        said = F.one_hot(self.value.flatten(1).long(), table.shape[-1]).to(table)
        return torch.where(self.known.flatten()[:, None], said, table)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        known = self.known.expand_as(self.value)
        return self._known(self.base.rsample_rest(self.value, known, generator))

    def log_prob_terms(self, x: Tensor) -> Tensor:
        terms, known = self.base.log_prob_terms(x), self.known.flatten()
        assert terms.shape[1] == len(known)
        agrees = (x == self.value.to(x)).flatten(1)
        return torch.where(known, torch.where(agrees, 0.0, -torch.inf).to(terms), terms)

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        return self.base.statistics(x)

    def repeat(self, k: int) -> Known:
        return replace(self, base=self.base.repeat(k), value=self.value.repeat_interleave(k, 0))

    def detach(self) -> Known:
        return replace(self, base=self.base.detach(), value=self.value.detach())

    def _known(self, x: Tensor) -> Tensor:
        return torch.where(self.known, self.value.to(x), x)
