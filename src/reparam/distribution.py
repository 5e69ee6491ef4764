"""Distribution: what every density of x or z is asked, whichever family it is of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from reparam import numerics

Kind = Literal["exact", "lower bound", "estimate"]
# From p(part | parts before) and which sites these are to their values.
Visit = Callable[["Distribution", Any], Tensor]


def weakest(kinds: Iterable[Kind]) -> Kind:
    """What a mean of several is: an estimate if one is, else a bound if one is.

    >>> weakest(["exact", "lower bound"])
    'lower bound'
    """
    return max(kinds, key=get_args(Kind).index)


class Distribution(ABC):
    """A batch of distributions, row i for example i; an unconditional one has a single row.

    ``log_prob`` is the log-density, (B,); ``log_prob_terms`` are the columns (B, G) that it is the
    sum of, one for each factor.
    """

    kind: Kind = "exact"
    continuous: bool = True  # whether log p has a gradient in x

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Families are dataclasses, which would print every number."""
        super().__init_subclass__(**arguments)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Distribution.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        """Its name, its rows, and the shapes of its parameters."""
        shown = [
            f"{name} {tuple(part.shape) if isinstance(part, Tensor) else part}"
            for name, part in vars(self).items()
            if isinstance(part, Tensor | Distribution)
        ]
        return f"{type(self).__name__} of {self.rows} rows ({', '.join(shown)})"

    @property
    @abstractmethod
    def rows(self) -> int: ...

    @property
    @abstractmethod
    def center(self) -> Tensor:
        """The mean, or the base's mean pushed through."""

    @abstractmethod
    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw per row, differentiable in the parameters where the family allows it."""

    @abstractmethod
    def log_prob_terms(self, x: Tensor) -> Tensor: ...

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (B,), the sum of the columns of ``log_prob_terms``; cheaper in some families.

        Of fewer rows x than the distribution has, each is that of as many consecutive rows as
        ``repeat`` makes of one.
        """
        times = max(1, self.rows // x.shape[0])
        return self.log_prob_terms(x if times == 1 else x.repeat_interleave(times, 0)).sum(1)

    @abstractmethod
    def repeat(self, k: int) -> Distribution:
        """Every row k times in a row: (B, …) becomes (B·k, …)."""

    @abstractmethod
    def detach(self) -> Distribution: ...

    @property
    def bounds(self) -> bool:
        """Whether log p is exact, or on average at most the true one: not an estimate's."""
        return self.kind != "estimate"

    @property
    def variance(self) -> Tensor | None:
        """Of each entry of a draw, where a closed form exists."""
        return None

    @property
    def by_entry(self) -> Distribution | None:
        """What draws are distributed by, where their entries are known as independent; else None.

        Its ``log_prob_terms`` have a column for each entry of x, and its log-density is that of the
        draws, not a bound on it.
        """
        return None

    @property
    def undivided(self) -> bool:
        """Whether ``walk`` has one visit, of all: its entries are independent and of one kind."""
        return self.by_entry is self

    def walk(self, visit: Visit) -> Tensor:
        """A row of x for each row, part by part, each as ``visit`` chooses it.

        The product of the parts' distributions, each given the parts before, is this one. A part
        is ``undivided``, or its distribution has a walk of its own. Where ``log_prob`` is a bound
        on the mass of draws, the product is that mass.

        Args:
            visit: from p(part | parts before) and the sites of the part to its values, in the shape
                that ``part`` finds them in.

        Raises:
            ValueError: no such product is known.
        """
        p = self.by_entry
        if p is None:
            raise ValueError(
                f"{type(self).__name__}: is not known as a product of conditionals of its entries"
            )
        return visit(p, slice(None))

    def part(self, x: Tensor, sites: Any) -> Tensor:
        """The values of x (B, …) that a visit of these sites chooses."""
        return x

    def rounded(self, bits: int) -> Distribution:
        """With every parameter that is a number at the nearest multiple of 2^−bits."""
        return self

    def table(self) -> Tensor | None:
        """Probabilities of all levels, (B, entries, K), where discrete entries are independent."""
        return None

    def log_table(self) -> Tensor | None:
        """Their logarithms, which do not underflow where a family has them by themselves."""
        table = self.table()
        return None if table is None else table.log()

    def rsample_rest(
        self, x: Tensor, given: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """x where the mask ``given`` is, elsewhere drawn as these entries allow."""
        return torch.where(given, x, self.rsample(generator))

    def kl(self, other: Distribution) -> Tensor | None:
        """KL(self ‖ other) by factor, (B, G), where a closed form exists."""
        return None

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        """Detached sums over rows that ``after_step`` of its module needs."""
        return {}

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        with torch.no_grad():
            return self.rsample(generator)

    def rsample_with_log_prob_terms(
        self, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """(z, log q(z)): a family whose draw already costs its density overrides this."""
        z = self.rsample(generator)
        return z, self.log_prob_terms(z)

    def rsample_with_rate(
        self, prior: Distribution, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """(z, rates (B, G)): KL(self ‖ prior) where it is known, log q(z) − log p(z) otherwise."""
        rate = self.kl(prior)
        if rate is not None:
            return self.rsample(generator), rate
        z, log_q = self.rsample_with_log_prob_terms(generator)
        return z, numerics.rate_columns(log_q, prior.log_prob_terms(z))
