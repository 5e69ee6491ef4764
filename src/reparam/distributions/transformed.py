"""A distribution pushed through a bijection."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reparam.bijections.base import Bijection, Frozen
from reparam.distribution import Visit
from reparam.model import Distribution, Kind


@dataclass(frozen=True)
class Transformed(Distribution):
    """x = f⁻¹(y) with y ~ base: log p(x) = log p_base(f(x)) + ladj.

    ``log_prob_terms`` are (B, D), a column for each entry, where f maps every entry alone and the
    base has a column for each; otherwise no factor is left and they are (B, 1). Its kind is the
    base's.

    >>> from reparam.bijections.elementwise import Standardize
    >>> from reparam.distributions.densities import StandardNormalDensity
    >>> from reparam.model import Space
    >>> bijection = Standardize(Space((2,), "real"))
    >>> _ = bijection.scale.fill_(10.0)  # x = 10 y, whose density is lower by ln 10 per entry
    >>> base = StandardNormalDensity(torch.zeros(1, 2))
    >>> x = torch.zeros(1, 2)
    >>> difference = base.log_prob(x) - Transformed(base, bijection).log_prob(x)
    >>> round(difference.item(), 3)  # 2 ln 10
    4.605
    """

    base: Distribution
    bijection: Bijection  # x → y
    context: Tensor | None = None  # of the bijection, a row for each of the base's

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return self.base.kind

    @property
    def rows(self) -> int:
        return self.base.rows

    @property
    def center(self) -> Tensor:
        return self.bijection.inverse(self.base.center, self.context)[0]

    @property
    def variance(self) -> Tensor | None:
        variance, slope = self.base.variance, self.bijection.slope
        return None if variance is None or slope is None else variance * slope.square().to(variance)

    @property
    def by_entry(self) -> Transformed | None:
        base = self.base.by_entry
        if base is None or not self.bijection.entrywise:
            return None
        return self if base is self.base else replace(self, base=base)

    @property
    def undivided(self) -> bool:
        return self.base.undivided and self.bijection.entrywise and not self._counts

    def walk(self, visit: Visit) -> Tensor:
        """One visit, of the base in its units, where entries are moved alone and by shifts.

        Elsewhere they have densities, in units of x, which are known where entries are independent.
        """
        if self._counts:
            return self.bijection.inverse(visit(self.base, slice(None)), self.context)[0]
        if not self.bijection.entrywise:
            raise ValueError(
                "a flow's draws have no one-dimensional conditionals that could be coded"
            )
        law = self.by_entry
        if law is None or not law.undivided:
            raise ValueError(
                f"{type(self.base).__name__}: its conditionals are densities in standardized units;"
                " real entries that depend on each other are not walked through in units of x"
            )
        return super().walk(visit)

    def part(self, x: Tensor, sites: slice) -> Tensor:
        return self.bijection(x, self.context)[0] if self._counts else x

    def rounded(self, bits: int) -> Transformed:
        return replace(self, base=self.base.rounded(bits))

    @property
    def _counts(self) -> bool:
        """Whether x are whole numbers that count from other ones, so that no Jacobian is due."""
        slope = self.bijection.slope
        return slope is not None and bool((slope == 1).all())

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.bijection.inverse(self.base.rsample(generator), self.context)[0]

    def rsample_rest(
        self, x: Tensor, given: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        if not self.bijection.entrywise:
            return super().rsample_rest(x, given, generator)
        y = self.base.rsample_rest(self.bijection(x, self.context)[0], given, generator)
        return torch.where(given, x, self.bijection.inverse(y, self.context)[0])

    def rsample_with_log_prob_terms(
        self, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        y, log_prob = self.base.rsample_with_log_prob_terms(generator)
        x, ladj = self.bijection.inverse(y, self.context)
        return x, self._columns(log_prob, x, -ladj)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        y, ladj = self.bijection(x, self.context)
        return self._columns(self.base.log_prob_terms(y), x, ladj)

    def _columns(self, log_prob: Tensor, x: Tensor, ladj: Tensor) -> Tensor:
        if log_prob.shape[1] == x[0].numel():
            factors = self.bijection.factors(log_prob.view(-1, *x.shape[1:]), x)
            if factors is not None:
                return factors.flatten(1)
        varies = self.bijection.varies
        assert varies is None or log_prob.shape[1] == 1
        return (log_prob.sum(1) + ladj).unsqueeze(1)

    def log_prob(self, x: Tensor) -> Tensor:
        if self.bijection.varies is not None:
            return super().log_prob(x)
        y, ladj = self.bijection(x, self.context)
        total = self.base.log_prob(y)
        return total + ladj.repeat_interleave(total.shape[0] // x.shape[0])

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        return self.base.statistics(self.bijection(x, self.context)[0])

    def repeat(self, k: int) -> Transformed:
        context = None if self.context is None else self.context.repeat_interleave(k, 0)
        return Transformed(self.base.repeat(k), self.bijection, context)

    def detach(self) -> Transformed:
        context = None if self.context is None else self.context.detach()
        return Transformed(self.base.detach(), Frozen(self.bijection), context)
