"""Distributions of index codes: all of the mass on one, and the same for all."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reparam import numerics
from reparam.chain_rule import ChainRule
from reparam.distribution import Visit
from reparam.distributions.masses import CategoricalMass
from reparam.model import Completer, Density, Distribution, Kind


@dataclass(frozen=True, repr=False)
class PointMass(Distribution):
    """All mass on one code: a draw is that code, and its log-probability 0.

    Args:
        code: (B, *shape).
        factors: how many columns its log-probabilities have, one for each layer of the code.

    >>> PointMass(torch.tensor([[3, 1]])).log_prob(torch.tensor([[3, 2]]))
    tensor([-inf])
    """

    code: Tensor
    factors: int = 1
    continuous = False

    @property
    def rows(self) -> int:
        return len(self.code)

    @property
    def center(self) -> Tensor:
        return self.code

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.code

    def log_prob_terms(self, x: Tensor) -> Tensor:
        same = (x == self.code).flatten(1).all(1, keepdim=True)
        return torch.where(same, 0.0, -torch.inf).expand(-1, self.factors)

    def walk(self, visit: Visit) -> Tensor:
        """The code: there is nothing to choose, and nothing is visited."""
        return self.code

    def repeat(self, k: int) -> PointMass:
        return replace(self, code=self.code.repeat_interleave(k, 0))

    def detach(self) -> PointMass:
        return self


@dataclass(frozen=True, repr=False)
class UniformCodes(Distribution):
    """K^−N for each of all codes of N indices.

    Args:
        shape: of a code.
        codes: K.
        like: a tensor of the type and device of log-probabilities.
        sizes: how many indices each layer has, the coarsest first; log-probabilities have a column
            for each.
        rows: B.

    >>> prior = UniformCodes((2, 3), 4, torch.empty(0))
    >>> prior.log_prob(torch.zeros(1, 2, 3)) / math.log(4)
    tensor([-6.])
    """

    shape: tuple[int, ...]
    codes: int
    like: Tensor
    sizes: tuple[int, ...] = ()
    rows: int = 1
    continuous = False

    @property
    def center(self) -> Tensor:
        """The middle index: of codes without an order no other is more of a mean."""
        return self._empty().fill_(self.codes // 2).long()

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        uniform = numerics.noise(self._empty(), "uniform", generator)
        return (uniform * self.codes).long().clamp(max=self.codes - 1)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        sizes = self.sizes or (math.prod(self.shape),)
        nats = math.log(self.codes)
        log_p = torch.cat([self.like.new_full((1,), -size * nats) for size in sizes])
        inside = ((x >= 0) & (x < self.codes)).flatten(1).all(1, keepdim=True)
        return torch.where(inside, log_p, -torch.inf)

    def walk(self, visit: Visit) -> Tensor:
        logits = self.like.new_zeros(()).expand(self.rows, self.codes, *self.shape)
        return visit(CategoricalMass(logits), slice(None))

    def repeat(self, k: int) -> UniformCodes:
        return replace(self, rows=self.rows * k)

    def detach(self) -> UniformCodes:
        return self

    def resample(self, z: Tensor, kept: int, generator: torch.Generator | None = None) -> Tensor:
        """Other draws with the indices of the ``kept`` coarsest layers."""
        drawn = replace(self, rows=len(z)).rsample(generator)
        place = torch.arange(z.shape[1], device=z.device)
        return torch.where(place < sum(self.sizes[:kept]), z.to(drawn), drawn)

    def _empty(self) -> Tensor:
        return self.like.new_empty(self.rows, *self.shape)


@dataclass(frozen=True, repr=False)
class ModelDensity(Distribution):
    """A model of codes as a distribution of them.

    Args:
        model: any density.
        c: its conditions; None: it has none, or its draws have those of training.
        count: rows, where c does not say it.
        sizes: of the layers of a code; where the model factorizes, its log-probabilities have a
            column for each.

    >>> from reparam.models.gaussian_mixture import GaussianMixture
    >>> from reparam.model import Space
    >>> prior = ModelDensity(GaussianMixture(Space((2,), "real"), components=1))
    >>> prior.log_prob(torch.zeros(1, 2)).exp() * 2 * math.pi
    tensor([1.], dtype=torch.float64)
    """

    model: Density
    c: Tensor | None = None
    count: int = 1
    sizes: tuple[int, ...] = ()

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """A lower bound, as exact values are too, or an estimate.

        A bound that is averaged over draws in nats is none of exp(log p), which weights are.
        """
        model = self.model
        bounded = model.approximation == "tractable" or model.tightens
        return "lower bound" if self.bounds and bounded else "estimate"

    @property
    def bounds(self) -> bool:
        """Not so where log Z is estimated, or log p found by a solver."""
        found = self.model.log_partition
        known = found is None or found.kind == "exact"
        return known and self.model.approximation in ("tractable", "variational")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        return self.model.space.has_reals

    @property
    def rows(self) -> int:
        return self.count if self.c is None else len(self.c)

    @property
    def center(self) -> Tensor:
        """A draw, as nothing is known of a mean."""
        return self.rsample(torch.Generator().manual_seed(0))

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.model.sample(self.rows, self.c, generator=generator)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        found = self.model.log_prob(x, self.c)
        if not self.sizes or found.per_dimension is None:
            return found.value[:, None]
        parts = found.per_dimension.flatten(1).split(self.sizes, 1)
        return torch.stack([part.sum(1) for part in parts], 1)

    def walk(self, visit: Visit) -> Tensor:
        """One visit, of the model's distribution, which has a walk of its own."""
        if not isinstance(self.model, ChainRule):
            raise ValueError(
                f"{type(self.model).__name__}: its density of codes is not known as a product of "
                "conditionals of their entries; take an autoregressive model of codes"
            )
        return visit(self.model.distribution(self.rows, self.c), slice(None))

    def repeat(self, k: int) -> ModelDensity:
        c = None if self.c is None else self.c.repeat_interleave(k, 0)
        return replace(self, c=c, count=self.count * k)

    def detach(self) -> ModelDensity:
        return replace(self, model=copy.deepcopy(self.model).requires_grad_(False))


@dataclass(frozen=True, repr=False)
class CompletingDensity(ModelDensity):
    """A ``ModelDensity`` of a model that draws layers given those before them."""

    def resample(self, z: Tensor, kept: int, generator: torch.Generator | None = None) -> Tensor:
        """Other draws with the entries of the ``kept`` coarsest layers."""
        assert isinstance(self.model, Completer)
        place = torch.arange(z.shape[1], device=z.device)
        given = place < sum(self.sizes[:kept])
        return self.model.complete(z, given, self.c, generator=generator)
