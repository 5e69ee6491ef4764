"""Distributions of z over several layers: each a normal given those drawn before it.

A draw is one vector, the layers side by side, coarsest first; ``log_prob`` and rates have a column
for each layer.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.distributions.factorized import NormalDensity
from reparam.distributions.posteriors import LOG_SCALE_BOUNDS, Posterior
from reparam.distributions.priors import Prior
from reparam.model import Distribution
from reparam.nets.mlp import MLP
from reparam.nets.norm import batch_norm


class Walk(nn.Module, ABC):
    """Layers one after the other: from what is given and the draws so far to the next normal.

    Parameters of a layer have the precision of the state, whatever its networks compute in.
    """

    sizes: tuple[int, ...]  # of the layers, in the order in which they are drawn

    @abstractmethod
    def start(self, given: Tensor) -> Any:
        """The state before the first layer, from (B, F)."""

    @abstractmethod
    def layer(self, index: int, state: Any) -> NormalDensity:
        """The distribution of that layer, (B, size)."""

    @abstractmethod
    def advance(self, index: int, state: Any, z: Tensor) -> Any:
        """The state after the layer was drawn."""


class PosteriorWalk(Walk):
    """A posterior that goes down the generative path and so meets its prior in every layer."""

    paths: tuple[Any, ...]  # the generative walk, in a tuple so that it is another module's

    @abstractmethod
    def pair(self, index: int, state: Any) -> tuple[NormalDensity, NormalDensity]:
        """q and p of that layer, (B, size) each."""

    def layer(self, index: int, state: Any) -> NormalDensity:
        return self.pair(index, state)[0]


@dataclass(frozen=True)
class LayeredDensity(Distribution):
    """What a walk draws, given (B, F). ``upwards`` walks draw the finest layer first.

    Where the posterior goes down the path of its prior, the rate of a layer is the closed KL given
    the layers above, a lower-variance estimate that is right in expectation. A posterior that goes
    up has no such KL: its rates are log q − log p of the joint draw, and may be negative.

    Likelihood: exact.
    """

    walk: Walk
    given: Tensor
    upwards: bool = False

    @property
    def rows(self) -> int:
        return len(self.given)

    @property
    def center(self) -> Tensor:
        return self._joined(self._go(lambda layer: layer.center))

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self._joined(self._go(lambda layer: layer.rsample(generator)))

    def rsample_with_log_prob_terms(
        self, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        columns: list[Tensor] = []

        def draw(layer: NormalDensity) -> Tensor:
            z, log_prob = layer.rsample_with_log_prob_terms(generator)
            columns.append(log_prob.sum(1, keepdim=True))
            return z

        return self._joined(self._go(draw)), self._joined(columns)

    def rsample_with_rate(
        self, prior: Distribution, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        walk = self.walk
        path = prior.walk if isinstance(prior, LayeredDensity) else None
        # The closed KLs are those to its own path, not to another prior.
        if not isinstance(walk, PosteriorWalk) or walk.paths[0] is not path:
            return super().rsample_with_rate(prior, generator)
        state, draws, rates = walk.start(self.given), [], []
        for index in range(len(walk.sizes)):
            q, p = walk.pair(index, state)
            kl = q.kl(p)
            assert kl is not None  # both are normal
            rates.append(kl.sum(1, keepdim=True))
            draws.append(q.rsample(generator))
            state = walk.advance(index, state, draws[-1])
        return self._joined(draws), self._joined(rates)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        sizes = self.walk.sizes
        parts = x.split(sizes[::-1] if self.upwards else sizes, 1)
        parts = parts[::-1] if self.upwards else parts
        given = self.given.expand(len(x), -1) if self.rows == 1 else self.given
        state, columns = self.walk.start(given), []
        for index, z in enumerate(parts):
            columns.append(self.walk.layer(index, state).log_prob_terms(z).sum(1, keepdim=True))
            state = self.walk.advance(index, state, z)
        return self._joined(columns)

    def resample(self, z: Tensor, kept: int, generator: torch.Generator | None = None) -> Tensor:
        """Other draws that share with z its ``kept`` coarsest layers; of downward walks."""
        assert not self.upwards
        shared = iter(z.split(self.walk.sizes, 1)[:kept])
        given = LayeredDensity(self.walk, self.given.expand(len(z), -1))

        def draw(layer: NormalDensity) -> Tensor:
            kept_part = next(shared, None)
            return layer.sample(generator) if kept_part is None else kept_part

        return given._joined(given._go(draw))

    def repeat(self, k: int) -> LayeredDensity:
        return LayeredDensity(self.walk, self.given.repeat_interleave(k, 0), self.upwards)

    def detach(self) -> LayeredDensity:
        """A copy without gradients, of its path as well: its rates are those of the joint draw."""
        fixed = copy.deepcopy(self.walk).requires_grad_(False)
        return LayeredDensity(fixed, self.given.detach(), self.upwards)

    def _go(self, draw: Any) -> list[Tensor]:
        state, draws = self.walk.start(self.given), []
        for index in range(len(self.walk.sizes)):
            draws.append(draw(self.walk.layer(index, state)))
            state = self.walk.advance(index, state, draws[-1])
        return draws

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts[::-1] if self.upwards else parts), 1)


def normal_of(parameters: Tensor) -> NormalDensity:
    """Means and log-scales side by side, (B, 2L), as a normal."""
    mean, log_scale = parameters.chunk(2, 1)
    return NormalDensity(mean, numerics.bound_softly(log_scale, *LOG_SCALE_BOUNDS))


class LayeredPrior(Prior):
    """p(z_K) … p(z_1|z_2) of a generative walk, which starts from nothing.

    Args:
        walk: from the coarsest layer down.
        owned: whether the walk is this module's, not another part's.

    >>> LayeredPrior(Descent((2, 3), (8,)))().log_prob_terms(torch.zeros(5, 5)).shape
    torch.Size([5, 2])
    """

    walks: tuple[Walk, ...]

    def __init__(self, walk: Walk, owned: bool = True) -> None:
        super().__init__()
        self.walks = (walk,)
        self.own = walk if owned else None
        self.event_shape, self.factors = (sum(walk.sizes),), len(walk.sizes)
        self.layers = walk.sizes
        self.register_buffer("nothing", torch.empty(1, 0), persistent=False)
        self.nothing: Tensor

    def forward(self, c: Tensor | None = None) -> LayeredDensity:
        return LayeredDensity(self.walks[0], self.nothing)


class LayeredPosterior(Posterior):
    """q(z|x) of a walk that starts from the encoder's outputs.

    Args:
        walk: up, from the finest layer, or down (``PosteriorWalk``).
        features: F, the encoder's outputs.

    >>> q = LayeredPosterior(Ascent((3, 2), (8,)), 6)
    >>> q(torch.zeros(5, 6)).sample().shape
    torch.Size([5, 5])
    """

    def __init__(self, walk: Walk, features: int) -> None:
        super().__init__()
        self.walk = walk
        self.event_shape, self.parameter_shape = (sum(walk.sizes),), (features,)
        if isinstance(walk, PosteriorWalk):
            self.paths, self.factors = walk.paths, len(walk.sizes)
        # Of the way up a layer's rate may be negative: no factors.

    def distribution(self, parameters: Tensor) -> LayeredDensity:
        return LayeredDensity(self.walk, parameters, not isinstance(self.walk, PosteriorWalk))


class Descent(Walk):
    """p(z_K) = N(0, I), p(z_l|z_{l+1}) normal by a small network: vectors, coarsest first.

    Args:
        sizes: of the layers, coarsest first.
        hidden: widths of the networks between them.
        normalize: the batch, before their activations.
    """

    def __init__(
        self, sizes: Sequence[int], hidden: Sequence[int], normalize: bool = False
    ) -> None:
        super().__init__()
        self.sizes, self.networks = tuple(sizes), _between(sizes, hidden, normalize)

    def start(self, given: Tensor) -> Tensor:
        return given.new_zeros(len(given), self.sizes[0])

    def layer(self, index: int, state: Tensor) -> NormalDensity:
        if index == 0:
            return NormalDensity(state, state)  # zeros: N(0, I)
        return normal_of(self.networks[index - 1](state).to(state))

    def advance(self, index: int, state: Tensor, z: Tensor) -> Tensor:
        return z


class Ascent(Walk):
    """q(z_1|x), q(z_{l+1}|z_l) normal by a small network: vectors, finest first.

    Given are the mean and log-scale of z_1.

    Args:
        sizes: of the layers, finest first.
        hidden: widths of the networks between them.
        normalize: the batch, before their activations.
    """

    def __init__(
        self, sizes: Sequence[int], hidden: Sequence[int], normalize: bool = False
    ) -> None:
        super().__init__()
        self.sizes, self.networks = tuple(sizes), _between(sizes, hidden, normalize)

    def start(self, given: Tensor) -> Tensor:
        return given

    def layer(self, index: int, state: Tensor) -> NormalDensity:
        return normal_of(state if index == 0 else self.networks[index - 1](state).to(state))

    def advance(self, index: int, state: Tensor, z: Tensor) -> Tensor:
        return z


def _between(sizes: Sequence[int], hidden: Sequence[int], normalize: bool) -> nn.ModuleList:
    """A network from every layer to the mean and log-scale of the next."""
    pairs = pairwise(sizes)
    return nn.ModuleList(MLP((a,), (2 * b,), hidden, normalize=normalize) for a, b in pairs)


class LadderDescent(PosteriorWalk):
    """Down the generative path, each layer's prior times the encoder's evidence, normalized.

    1/σ² = 1/σ̂² + 1/σ_p², μ = σ² (μ̂/σ̂² + μ_p/σ_p²). Given are all μ̂ and log σ̂, coarsest first.

    Args:
        path: the generative walk, which belongs to the prior.

    Reference: Sønderby et al. 2016, eq. 17 to 19.
    """

    def __init__(self, path: Walk) -> None:
        super().__init__()
        self.paths, self.sizes = (path,), path.sizes

    def start(self, given: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        evidence = given.split([2 * size for size in self.sizes], 1)
        return self.paths[0].start(given), evidence

    def pair(
        self, index: int, state: tuple[Tensor, tuple[Tensor, ...]]
    ) -> tuple[NormalDensity, NormalDensity]:
        prior = self.paths[0].layer(index, state[0])
        return precision_weighted(normal_of(state[1][index]), prior), prior

    def advance(
        self, index: int, state: tuple[Tensor, tuple[Tensor, ...]], z: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.paths[0].advance(index, state[0], z), state[1]


def precision_weighted(evidence: NormalDensity, prior: NormalDensity) -> NormalDensity:
    """The product of two normals, normalized.

    >>> one = NormalDensity(torch.tensor([[2.0]]), torch.zeros(1, 1))
    >>> product = precision_weighted(one, NormalDensity(torch.zeros(1, 1), torch.zeros(1, 1)))
    >>> product.mean.item(), round(product.log_scale.exp().item() ** 2, 3)
    (1.0, 0.5)
    """
    trust = torch.sigmoid(2 * (prior.log_scale - evidence.log_scale))  # σ_p²/(σ_p² + σ̂²)
    log_scale = evidence.log_scale + 0.5 * nn.functional.logsigmoid(
        2 * (prior.log_scale - evidence.log_scale)
    )
    return NormalDensity(prior.mean + trust * (evidence.mean - prior.mean), log_scale)


class LadderEvidence(nn.Module):
    """The deterministic way up of a ladder: features → mean and log-scale for every layer.

    d_1 is given; d_{l+1} a network of d_l; each layer's evidence is linear in its d.

    Args:
        sizes: of the layers, coarsest first.
        width: of every d.
        normalize: the batch, d_1 and before the activations of the networks.

    Shape: (B, width) → (B, 2 Σ sizes), coarsest first.

    >>> LadderEvidence((2, 3), 8)(torch.zeros(5, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, sizes: Sequence[int], width: int, normalize: bool = False) -> None:
        super().__init__()
        upwards, one = sizes[::-1], (width,)
        self.first = nn.Sequential(*batch_norm(width, normalize))
        self.up = nn.ModuleList(MLP(one, one, one, normalize=normalize) for _ in upwards[1:])
        self.heads = nn.ModuleList(nn.Linear(width, 2 * size) for size in upwards)

    def forward(self, h: Tensor) -> Tensor:
        h = self.first(h)
        found = [self.heads[0](h)]
        for network, head in zip(self.up, self.heads[1:], strict=True):
            h = h + network(nn.functional.relu(h))
            found.append(head(h))
        return torch.cat(found[::-1], 1)
