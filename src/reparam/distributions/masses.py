"""Masses of discrete x and z: Bernoulli, categorical, discretized, mixed, one-hot."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics
from reparam.distribution import Visit
from reparam.distributions.densities import Parametric
from reparam.model import Distribution, Kind


class Mass(Parametric):
    """P(x) of x ∈ {0 … levels−1}, every entry on its own; parameters end in the shape of x.

    ``center`` and ``variance`` are those of the discrete variable itself. Likelihood: exact.
    """

    levels: int

    @abstractmethod
    def log_mass(self, x: Tensor) -> Tensor:
        """log P(x) entry by entry, of x (B, *event) or anything that can be broadcast to it."""

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return self.log_mass(x).flatten(1)

    @property
    def by_entry(self) -> Self:
        return self

    def table(self) -> Tensor:
        return self.log_table().exp()

    def log_table(self) -> Tensor:
        like = self._parameters()[0]
        levels = torch.arange(self.levels, dtype=like.dtype, device=like.device)
        wide = self._map(lambda value: value.unsqueeze(-1))
        return wide.log_mass(levels).flatten(1, -2)


@dataclass(frozen=True)
class BernoulliMass(Mass):
    """P(x=1) = σ(logits) for x ∈ {0, 1}. Likelihood: exact."""

    logits: Tensor
    levels = 2

    @property
    def center(self) -> Tensor:
        return torch.sigmoid(self.logits)

    @property
    def variance(self) -> Tensor:
        return torch.sigmoid(self.logits) * torch.sigmoid(-self.logits)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        uniform = numerics.noise(self.logits, "uniform", generator)
        return (uniform < torch.sigmoid(self.logits)).to(self.logits.dtype)

    def log_mass(self, x: Tensor) -> Tensor:
        return numerics.bernoulli_log_prob(x, self.logits)

    def log_prob(self, x: Tensor) -> Tensor:
        if self.rows < x.shape[0]:
            return super().log_prob(x)
        return numerics.bernoulli_log_prob_sum(x, self.logits)


@dataclass(frozen=True)
class DiscretizedLogisticMass(Mass):
    """A logistic in level units, integrated over each of ``levels`` bins, end bins open.

    Likelihood: exact, P(x) of x ∈ {0 … levels−1}.
    """

    location: Tensor
    log_scale: Tensor
    levels: int

    @property
    def center(self) -> Tensor:
        scale = self.log_scale.exp()
        return numerics.discretized_logistic_mean(self.location, scale, self.levels)

    @property
    def variance(self) -> Tensor:
        scale = self.log_scale.exp()
        return numerics.discretized_variance(torch.sigmoid, self.location, scale, self.levels)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        uniform = numerics.noise(self.location, "uniform", generator)
        tiny = torch.finfo(uniform.dtype).eps
        draw = self.location + self.log_scale.exp() * torch.logit(uniform, eps=tiny)
        return self._whole(draw)

    def _whole(self, draw: Tensor) -> Tensor:
        return draw.round().clamp(0, self.levels - 1) + 0.0  # 0, not −0

    def log_mass(self, x: Tensor) -> Tensor:
        return numerics.discretized_logistic_log_prob(x, self.location, self.log_scale, self.levels)

    def table(self) -> Tensor:
        """By differences, in a tenth of the time: right to a rounding of 1, not of each number."""
        return _between(_standardized_edges(self.location, self.log_scale, self.levels).sigmoid_())


@dataclass(frozen=True)
class DiscretizedNormalMass(Mass):
    """A normal in level units, integrated over each of ``levels`` bins, end bins open.

    Likelihood: exact, P(x) of x ∈ {0 … levels−1}.
    """

    mean: Tensor
    log_scale: Tensor
    levels: int

    @property
    def center(self) -> Tensor:
        return numerics.discretized_normal_mean(self.mean, self.log_scale.exp(), self.levels)

    @property
    def variance(self) -> Tensor:
        scale = self.log_scale.exp()
        return numerics.discretized_variance(torch.special.ndtr, self.mean, scale, self.levels)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        draw = self.mean + self.log_scale.exp() * numerics.noise(self.mean, "normal", generator)
        return draw.round().clamp(0, self.levels - 1) + 0.0  # 0, not −0

    def log_mass(self, x: Tensor) -> Tensor:
        return numerics.discretized_normal_log_prob(x, self.mean, self.log_scale, self.levels)

    def table(self) -> Tensor:
        """By differences, as that of ``DiscretizedLogisticMass``."""
        edges = _standardized_edges(self.mean, self.log_scale, self.levels)
        return _between(torch.special.ndtr(edges))


def _standardized_edges(location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Between each level and the next, (B, entries, levels − 1), in scales from the location."""
    location, scale = torch.broadcast_tensors(location, log_scale.exp())
    edges = torch.arange(levels - 1, dtype=location.dtype, device=location.device) + 0.5
    scale = scale.flatten(1).unsqueeze(2)
    return (edges - location.flatten(1).unsqueeze(2)).div_(scale)


def _between(below: Tensor) -> Tensor:
    """Masses of the bins (…, K) from those below the edges between them (…, K − 1)."""
    table = below.new_empty(*below.shape[:-1], below.shape[-1] + 1)
    torch.sub(below[..., 1:], below[..., :-1], out=table[..., 1:-1])
    table[..., 0], table[..., -1] = below[..., 0], 1 - below[..., -1]
    return table.clamp_(min=0)  # where a rounding made one smaller than the one before


@dataclass(frozen=True)
class CategoricalMass(Parametric):
    """P(x = k) = softmax(logits)_k over levels k, logits (B, K, *event). Likelihood: exact."""

    logits: Tensor

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.logits.shape[2:])

    @property
    def center(self) -> Tensor:
        return torch.einsum("bk...,k->b...", self.logits.softmax(1), self._levels)

    @property
    def variance(self) -> Tensor:
        levels = self._levels.view(-1, *[1] * (self.logits.ndim - 2))
        return (self.logits.softmax(1) * (levels - self.center.unsqueeze(1)).square()).sum(1)

    @property
    def by_entry(self) -> Self:
        return self

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return numerics.categorical_draw(self.logits, 1, generator).to(self.logits.dtype)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        chosen = x.long().unsqueeze(1)
        return self.logits.log_softmax(1).gather(1, chosen).squeeze(1).flatten(1)

    def table(self) -> Tensor:
        return self.logits.softmax(1).flatten(2).mT

    def log_table(self) -> Tensor:
        return self.logits.log_softmax(1).flatten(2).mT

    @property
    def _levels(self) -> Tensor:
        return torch.arange(self.logits.shape[1], device=self.logits.device).to(self.logits)


@dataclass(frozen=True)
class LogisticMixtureMass(Mass):
    """P(x) = Σ_k π_k ∫_bin logistic(m_k, s_k), the parameters (B, K, *event), π = softmax(logits).

    Everything is in level units, x ∈ {0 … levels−1}, the end bins open.

    Likelihood: exact.

    >>> zeros = torch.zeros(1, 2, 3)
    >>> p = LogisticMixtureMass(zeros, torch.tensor([0.0, 3.0])[None, :, None] + zeros, zeros, 4)
    >>> p.center
    tensor([[1.5000, 1.5000, 1.5000]])
    """

    logits: Tensor
    location: Tensor
    log_scale: Tensor
    levels: int

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.logits.shape[2:])

    @property
    def center(self) -> Tensor:
        return (self.logits.softmax(1) * self._components.center).sum(1)

    @property
    def variance(self) -> Tensor:
        """Within the components and between them."""
        between = (self._components.center - self.center.unsqueeze(1)).square()
        return (self.logits.softmax(1) * (self._components.variance + between)).sum(1)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        chosen = numerics.categorical_draw(self.logits, 1, generator).unsqueeze(1)
        location, log_scale = (v.gather(1, chosen)[:, 0] for v in (self.location, self.log_scale))
        return DiscretizedLogisticMass(location, log_scale, self.levels).rsample(generator)

    def log_mass(self, x: Tensor) -> Tensor:
        # Parameters have an axis more than x, and x fewer rows than they, perhaps.
        by_component = numerics.discretized_logistic_log_prob(
            x if x.ndim < 2 else x.unsqueeze(1), self.location, self.log_scale, self.levels
        )
        return (self.logits.log_softmax(1) + by_component).logsumexp(1)

    def table(self) -> Tensor:
        weights = self.logits.softmax(1).flatten(2).unsqueeze(3)
        tables = self._components.table().view(*weights.shape[:3], self.levels)
        return (weights * tables).sum(1)

    @property
    def _components(self) -> DiscretizedLogisticMass:
        return DiscretizedLogisticMass(self.location, self.log_scale, self.levels)


@dataclass(frozen=True)
class OneHotMass(Parametric):
    """V categorical variables of K values each as V one-hot vectors in a row, (B, V·K).

    ``log_prob`` and ``kl`` are (B, V), a column for every variable. With a temperature τ, draws are
    softmax((logits + Gumbel noise) / τ), which have a gradient but no mass: what is computed from
    them is an estimate.

    Likelihood: exact without a temperature, none with one.

    >>> q = OneHotMass(torch.tensor([[[0.0, 0.0]]]))
    >>> q.log_prob_terms(torch.tensor([[0.0, 1.0]])).exp().item(), q.kl(q).item()
    (0.5, 0.0)
    """

    continuous = False

    logits: Tensor  # (B, V, K)
    temperature: float | None = None

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return "exact" if self.temperature is None else "estimate"

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.logits.shape[1] * self.logits.shape[2],)

    @property
    def center(self) -> Tensor:
        return self.logits.softmax(2).flatten(1)

    @property
    def variance(self) -> Tensor:
        return self.center * (1 - self.center)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        noisy = self.logits + numerics.gumbel_noise(self.logits, generator)
        if self.temperature is not None:
            return (noisy / self.temperature).softmax(2).flatten(1)
        # The largest is a draw of the categorical.
        return F.one_hot(noisy.argmax(2), self.logits.shape[2]).to(noisy.dtype).flatten(1)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return (x.view(-1, *self.logits.shape[1:]) * self.logits.log_softmax(2)).sum(2)

    def walk(self, visit: Visit) -> Tensor:
        """One visit of all variables, whose values are indices (B, V)."""
        if self.temperature is not None:
            raise ValueError("OneHotMass: relaxed draws have no mass; put the model in eval mode")
        index = visit(CategoricalMass(self.logits.mT), slice(None))
        return F.one_hot(index.long(), self.logits.shape[2]).to(self.logits.dtype).flatten(1)

    def part(self, x: Tensor, sites: slice) -> Tensor:
        return x.view(-1, *self.logits.shape[1:]).argmax(2).to(x)

    def kl(self, other: Distribution) -> Tensor | None:
        if not isinstance(other, OneHotMass):
            return None
        log_q, log_p = self.logits.log_softmax(2), other.logits.log_softmax(2)
        return (log_q.exp() * (log_q - log_p)).sum(2)
