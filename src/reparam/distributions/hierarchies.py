"""Distributions of z over several layers: each a normal given those drawn before it.

A draw is one vector, the layers side by side, coarsest first; ``log_prob_terms`` and rates have a
column for each layer.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics
from reparam.distribution import Visit
from reparam.distributions.densities import NormalDensity
from reparam.distributions.posteriors import Posterior
from reparam.distributions.priors import Prior
from reparam.model import Distribution
from reparam.nets.hierarchy import Evidence, Path

Part = TypeVar("Part")
Layer = Callable[[int, Tensor], NormalDensity]  # from its index and the state to its normal


@dataclass(frozen=True)
class LayeredDensity(Distribution):
    """What is drawn along a path, given (B, F). ``upwards`` paths draw the finest layer first.

    A posterior that goes up has no closed KL for a layer: its rates are log q − log p of the joint
    draw, and may be negative.

    Likelihood: exact.
    """

    path: Path
    given: Tensor
    upwards: bool = False

    @property
    def rows(self) -> int:
        return self.given.shape[0]

    @property
    def center(self) -> Tensor:
        return self.walk(lambda layer, sites: layer.center)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.walk(lambda layer, sites: layer.rsample(generator))

    def walk(self, visit: Visit) -> Tensor:
        """Layer by layer as they are drawn; the sites of each are its columns of z."""
        sites = iter(self._sites())
        return self._draw(lambda layer: visit(layer, next(sites)))

    def part(self, x: Tensor, sites: slice) -> Tensor:
        return x[:, sites]

    def rsample_with_log_prob_terms(
        self, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        columns: list[Tensor] = []

        def choose(layer: NormalDensity) -> Tensor:
            z, log_prob = layer.rsample_with_log_prob_terms(generator)
            columns.append(log_prob.sum(1, keepdim=True))
            return z

        return self._draw(choose), self._joined(columns)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        columns: list[Tensor] = []

        def known(layer: Distribution, sites: slice) -> Tensor:
            z = self.part(x, sites)
            columns.append(layer.log_prob_terms(z).sum(1, keepdim=True))
            return z

        self._of(x.shape[0]).walk(known)
        return self._joined(columns)

    def resample(self, z: Tensor, kept: int, generator: torch.Generator | None = None) -> Tensor:
        """Other draws that share with z its ``kept`` coarsest layers; of downward paths."""
        assert not self.upwards
        shared = sum(self.path.sizes[:kept])

        def choose(layer: Distribution, sites: slice) -> Tensor:
            return self.part(z, sites) if sites.start < shared else layer.sample(generator)

        return self._of(z.shape[0]).walk(choose)

    def repeat(self, k: int) -> Self:
        return replace(self, given=self.given.repeat_interleave(k, 0))

    def detach(self) -> Self:
        """A copy without gradients, of its path as well: its rates are those of the joint draw."""
        path = copy.deepcopy(self.path).requires_grad_(False)
        return replace(self, path=path, given=self.given.detach())

    def _layers(self) -> Layer:
        return lambda index, state: NormalDensity(*self.path.layer(index, state))

    def _sites(self) -> list[slice]:
        """Columns of z, in the order of the path."""
        ends = list(accumulate(self._coarsest_first(self.path.sizes), initial=0))
        return self._coarsest_first([slice(*pair) for pair in pairwise(ends)])

    def _of(self, rows: int) -> Self:
        """For so many rows, where there is a single one."""
        return replace(self, given=self.given.expand(rows, -1)) if self.rows == 1 else self

    def _draw(
        self, choose: Callable[[NormalDensity], Tensor], layer: Layer | None = None
    ) -> Tensor:
        """Along the path, each layer as it is chosen from its normal."""
        layer, state, draws = layer or self._layers(), self.path.first_state(self.given), []
        for index in range(len(self.path.sizes)):
            draws.append(choose(layer(index, state)))
            state = self.path.next_state(index, state, draws[-1])
        return self._joined(draws)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(self._coarsest_first(parts), 1)

    def _coarsest_first(self, parts: Sequence[Part]) -> list[Part]:
        """Parts in the order of the path as they stand in z, or the other way round."""
        return list(parts[::-1] if self.upwards else parts)


@dataclass(frozen=True)
class TopDownDensity(LayeredDensity):
    """q(z|x) that goes down the generative path and so meets its prior in every layer.

    Under that prior the rate of a layer is the closed KL given the layers above, a lower-variance
    estimate than log q − log p that is right in expectation.
    """

    posterior: TopDownPosterior = field(kw_only=True)

    def rsample_with_rate(
        self, prior: Distribution, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        # The closed KLs are those to its own path, not to another prior.
        if not isinstance(prior, LayeredDensity) or prior.path is not self.path:
            return super().rsample_with_rate(prior, generator)
        pairs = self._pairs()
        rates: list[Tensor] = []

        def layer(index: int, state: Tensor) -> NormalDensity:
            q, p = pairs(index, state)
            kl = q.kl(p)
            assert kl is not None  # both are normal
            rates.append(kl.sum(1, keepdim=True))
            return q

        return self._draw(lambda q: q.rsample(generator), layer), self._joined(rates)

    def detach(self) -> Self:
        posterior = copy.deepcopy(self.posterior).requires_grad_(False)
        return replace(super().detach(), posterior=posterior)

    def _layers(self) -> Layer:
        pairs = self._pairs()
        return lambda index, state: pairs(index, state)[0]

    def _pairs(self) -> Callable[[int, Tensor], tuple[NormalDensity, NormalDensity]]:
        """From a layer's index and the state to its q and p."""
        evidence, prior = self.posterior.by_layer(self.given), super()._layers()

        def pair(index: int, state: Tensor) -> tuple[NormalDensity, NormalDensity]:
            said = self.posterior.evidence_of(index, evidence[index], state)
            p = prior(index, state)
            return self.posterior.combine(said, p), p

        return pair


class LayeredPrior(Prior):
    """p(z_K) … p(z_1|z_2) of a generative path, which starts from nothing.

    Args:
        path: from the coarsest layer down.
        owned: whether the path is this module's, not another part's.

    >>> from reparam.nets.hierarchy import TopDown
    >>> LayeredPrior(TopDown((2, 3), (8,)))().log_prob_terms(torch.zeros(5, 5)).shape
    torch.Size([5, 2])
    """

    def __init__(self, path: Path, owned: bool = True) -> None:
        super().__init__()
        self.paths = (path,)
        self.own = path if owned else None
        self.event_shape, self.factors = (sum(path.sizes),), len(path.sizes)
        self.layers = path.sizes
        self.register_buffer("nothing", torch.empty(1, 0), persistent=False)
        self.nothing: Tensor

    def forward(self, c: Tensor | None = None) -> LayeredDensity:
        (path,) = self.paths
        assert isinstance(path, Path)
        return LayeredDensity(path, self.nothing)


class BottomUpPosterior(Posterior):
    """q(z_1|x) q(z_2|z_1) …: up a path, from the finest layer. Rates by layer may be negative.

    Args:
        path: from the finest layer up, which starts from the encoder's outputs.
        features: F, how many these are.

    Reference: Rezende et al. 2014, "Stochastic backpropagation and approximate inference in deep
    generative models" (https://arxiv.org/abs/1401.4082).

    >>> from reparam.nets.hierarchy import BottomUp
    >>> q = BottomUpPosterior(BottomUp((3, 2), (8,)), 6)
    >>> q(torch.zeros(5, 6)).sample().shape
    torch.Size([5, 5])
    """

    def __init__(self, path: Path, features: int) -> None:
        super().__init__()
        self.path = path
        self.event_shape, self.parameter_shape = (sum(path.sizes),), (features,)

    def distribution(self, parameters: Tensor) -> LayeredDensity:
        return LayeredDensity(self.path, parameters, upwards=True)


class TopDownPosterior(Posterior):
    """q(z|x) down the generative path, q of every layer from its prior and the encoder's outputs.

    Args:
        path: the generative path, which belongs to the prior or the decoder.
        features: F, the encoder's outputs.
    """

    def __init__(self, path: Path, features: int) -> None:
        super().__init__()
        self.paths, self.factors = (path,), len(path.sizes)  # in a tuple: it is another module's
        self.event_shape, self.parameter_shape = (sum(path.sizes),), (features,)

    def distribution(self, parameters: Tensor) -> TopDownDensity:
        (path,) = self.paths
        assert isinstance(path, Path)
        return TopDownDensity(path, parameters, posterior=self)

    @abstractmethod
    def by_layer(self, outputs: Tensor) -> Sequence[Tensor]:
        """What the encoder says of each layer, from its outputs (B, F)."""

    @abstractmethod
    def evidence_of(self, index: int, of_layer: Tensor, state: Tensor) -> NormalDensity:
        """The same as a normal, given the path's state."""

    @abstractmethod
    def combine(self, evidence: NormalDensity, prior: NormalDensity) -> NormalDensity:
        """q of a layer."""


class LadderPosterior(TopDownPosterior):
    """Each layer's prior times the encoder's evidence, normalized.

    1/σ² = 1/σ̂² + 1/σ_p², μ = σ² (μ̂/σ̂² + μ_p/σ_p²). The encoder gives all μ̂ and log σ̂, coarsest
    first.

    Args:
        path: the generative path, which belongs to the prior.

    Shape: (B, 2 Σ sizes) → a distribution of (B, Σ sizes).

    Reference: Sønderby et al. 2016, "Ladder variational autoencoders", eq. 17 to 19
    (https://arxiv.org/abs/1602.02282).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, 2 * sum(path.sizes))
        self.sizes = [2 * size for size in path.sizes]

    def by_layer(self, outputs: Tensor) -> Sequence[Tensor]:
        return outputs.split(self.sizes, 1)

    def evidence_of(self, index: int, of_layer: Tensor, state: Tensor) -> NormalDensity:
        return NormalDensity(*numerics.mean_and_log_scale(of_layer))

    def combine(self, evidence: NormalDensity, prior: NormalDensity) -> NormalDensity:
        return precision_weighted(evidence, prior)


def precision_weighted(evidence: NormalDensity, prior: NormalDensity) -> NormalDensity:
    """The product of two normals, normalized.

    >>> one = NormalDensity(torch.tensor([[2.0]]), torch.zeros(1, 1))
    >>> product = precision_weighted(one, NormalDensity(torch.zeros(1, 1), torch.zeros(1, 1)))
    >>> product.mean.item(), round(product.log_scale.exp().item() ** 2, 3)
    (1.0, 0.5)
    """
    trust = torch.sigmoid(2 * (prior.log_scale - evidence.log_scale))  # σ_p²/(σ_p² + σ̂²)
    log_scale = evidence.log_scale + 0.5 * F.logsigmoid(2 * (prior.log_scale - evidence.log_scale))
    return NormalDensity(prior.mean + trust * (evidence.mean - prior.mean), log_scale)


class ResidualPosterior(TopDownPosterior):
    """Each layer's normal relative to its prior: μ = μ_p + δμ, σ = σ_p δσ.

    δμ and δσ are from the state and the encoder's features, so that the KL of a layer is
    ½ (δμ²/σ_p² + δσ² − ln δσ² − 1), zero exactly where nothing is said.

    Args:
        path: the generative path, which belongs to the decoder.
        evidence: network of δμ and log δσ.
        features: F, the encoder's outputs.

    Reference: Vahdat & Kautz 2020, "NVAE: a deep hierarchical variational autoencoder", eq. 2
    (https://arxiv.org/abs/2007.03898).
    """

    def __init__(self, path: Path, evidence: Evidence, features: int) -> None:
        super().__init__(path, features)
        self.evidence = evidence

    def by_layer(self, outputs: Tensor) -> Sequence[Tensor]:
        return self.evidence.by_layer(outputs)

    def evidence_of(self, index: int, of_layer: Tensor, state: Tensor) -> NormalDensity:
        return NormalDensity(*self.evidence(index, of_layer, state))

    def combine(self, evidence: NormalDensity, prior: NormalDensity) -> NormalDensity:
        return relative(evidence, prior)


def relative(change: NormalDensity, prior: NormalDensity) -> NormalDensity:
    """N(μ_p + δμ, (σ_p δσ)²), ``change`` holding δμ and log δσ."""
    return NormalDensity(prior.mean + change.mean, prior.log_scale + change.log_scale)
