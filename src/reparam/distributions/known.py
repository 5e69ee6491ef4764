"""A distribution of which some entries are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.model import Distribution, Kind


@dataclass(frozen=True)
class Known(Distribution):
    """p(x) of independent entries, some of which are what they are said to be.

    These have probability 1, and an x that differs in one of them has probability 0.

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
        return None if base is None else replace(self, base=base)

    def rounded(self, bits: int) -> Known:
        return replace(self, base=self.base.rounded(bits))

    def table(self) -> Tensor | None:
        table = self.base.table()
        if table is None:
            return None
        said = F.one_hot(self.value.flatten(1).long(), table.shape[-1]).to(table)
        return torch.where(self.known.flatten()[:, None], said, table)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self._known(self.base.rsample(generator))

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
