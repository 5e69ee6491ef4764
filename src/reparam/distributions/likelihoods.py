"""Likelihoods p(x|z): modules from the decoder's output to a Distribution of x.

A likelihood says which ``parameter_shape`` it wants of the decoder and returns x in the data's own
units. ``Normal`` on real data is the exception: its units are those of ``Standardize``, which the
model that holds the scale undoes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.distributions.densities import NormalDensity
from reparam.distributions.dequantized import DequantizedNormalDensity, OptimalNormalDensity
from reparam.distributions.masses import (
    BernoulliMass,
    CategoricalMass,
    DiscretizedLogisticMass,
    DiscretizedNormalMass,
    LogisticMixtureMass,
)
from reparam.limits import Count, Positive, limited
from reparam.model import Distribution, Space

Scale = Literal["shared", "per-dimension", "optimal", "fixed", "network"]
LOG_SCALE_BOUNDS = (-7.0, 7.0)  # of log σ in network units: σ from 0.0009 to 1100


class Likelihood(nn.Module, ABC):
    """p(x|z) given ``parameter_shape`` = (P, *space.shape) numbers from the decoder."""

    kinds: tuple[str, ...]  # the kinds of data it is a likelihood of
    couples_rows: bool = False  # whether a row's density in training depends on the batch

    def __init__(self, space: Space, parameters_per_entry: int = 1) -> None:
        super().__init__()
        if space.kind not in self.kinds:
            raise ValueError(
                f"likelihood: {type(self).__name__} is one of {' or '.join(self.kinds)} data, "
                f"got {space.kind} data"
            )
        self.space = space
        self.parameter_shape = (parameters_per_entry, *space.shape)

    def forward(self, parameters: Tensor) -> Distribution:
        if parameters.shape[1:] == self.parameter_shape:
            return self.distribution(parameters)
        if math.prod(parameters.shape[1:]) != math.prod(self.parameter_shape):
            raise ValueError(
                f"decoder: {type(self).__name__} expects outputs of shape "
                f"(B, {', '.join(map(str, self.parameter_shape))}), got {tuple(parameters.shape)}"
            )
        return self.distribution(parameters.reshape(parameters.shape[0], *self.parameter_shape))

    @abstractmethod
    def distribution(self, parameters: Tensor) -> Distribution:
        """From parameters of shape (B, *parameter_shape)."""

    def at(self, sites: slice) -> Likelihood:
        """The likelihood of some entries, from parameters (B, P, n); of most it is the same."""
        return self

    def hold(self, p: Distribution, varies: Tensor) -> Distribution:
        """p told which entries vary, (*shape), the others of x being always 0, in network units.

        Only a density in which entries know of each other has to know it.
        """
        return p

    def after_step(self, statistics: dict[str, Tensor]) -> None:  # noqa: B027
        """What moves without gradients once per optimizer step."""


class Bernoulli(Likelihood):
    """P(x=1) = σ(l), l the decoder's outputs.

    Shape: (B, 1, *shape) → binary x (B, *shape). Likelihood: exact.

    >>> from reparam.model import Space
    >>> Bernoulli(Space((3,), "binary"))(torch.zeros(1, 3)).log_prob_terms(torch.ones(1, 3)).exp()
    tensor([[0.5000, 0.5000, 0.5000]])
    """

    kinds = ("binary",)

    def distribution(self, parameters: Tensor) -> BernoulliMass:
        return BernoulliMass(parameters.squeeze(1))  # indexing would copy in the backward pass


class _Discretized(Likelihood):
    """A location and a log-scale per entry, integrated over each level's bin."""

    kinds = ("levels",)

    def __init__(self, space: Space, parameters_per_entry: int = 2) -> None:
        super().__init__(space, parameters_per_entry)
        assert space.levels is not None
        self.levels = space.levels


class DiscretizedLogistic(_Discretized):
    """A logistic per entry, or a mixture, integrated over each level's bin with open end bins.

    The decoder gives a location, 0 meaning the middle of the range and ±1 its ends, and a
    log-scale, 0 meaning an eighth of the range. Of a mixture it gives K logits of the weights, K
    locations, each relative to the middle of its own Kth part of the range, and K log-scales.

    Args:
        space: levels data.
        mixture: K, the number of components; 1 is the logistic alone.

    Shape: (B, 2, *shape), of a mixture (B, 3K, *shape) → levels x (B, *shape).

    Likelihood: exact.

    Reference: Kingma et al. 2016 (IAF), appendix; Salimans et al. 2017, eq. 1 and 2, without their
    midpoint approximation for narrow bins and with entries independent given the decoder's output.
    https://arxiv.org/abs/1606.04934, https://arxiv.org/abs/1701.05517

    >>> from reparam.model import Space
    >>> p = DiscretizedLogistic(Space((1,), "levels", levels=4))(torch.zeros(1, 2))
    >>> round(sum(p.log_prob_terms(torch.tensor([[float(k)]])).exp().item() for k in range(4)), 5)
    1.0
    """

    @limited
    def __init__(self, space: Space, mixture: Count = 1) -> None:
        super().__init__(space, 2 if mixture == 1 else 3 * mixture)
        self.mixture = mixture
        # Components that start alike would be drawn to the same values.
        middles = (2 * torch.arange(mixture) + 1 - mixture) / mixture
        self.register_buffer("middles", middles.view(-1, *[1] * len(space.shape)), persistent=False)
        self.middles: Tensor

    def distribution(self, parameters: Tensor) -> Distribution:
        if self.mixture == 1:
            location, log_scale = parameters.unbind(1)
            units = level_units(location, log_scale, self.levels)
            return DiscretizedLogisticMass(*units, self.levels)
        logits, location, log_scale = parameters.unflatten(1, (3, self.mixture)).unbind(1)
        units = level_units(location + self.middles, log_scale, self.levels)
        return LogisticMixtureMass(logits, *units, self.levels)


class DiscretizedNormal(_Discretized):
    """A normal per entry, integrated over each level's bin with open end bins.

    Parameters as for ``DiscretizedLogistic``: a location and a log-scale per entry.

    Shape: (B, 2, *shape) → levels x (B, *shape). Likelihood: exact.

    >>> from reparam.model import Space
    >>> p = DiscretizedNormal(Space((1,), "levels", levels=4))(torch.zeros(1, 2))
    >>> round(sum(p.log_prob_terms(torch.tensor([[float(k)]])).exp().item() for k in range(4)), 5)
    1.0
    """

    def distribution(self, parameters: Tensor) -> DiscretizedNormalMass:
        location, log_scale = parameters.unbind(1)
        units = level_units(location, log_scale, self.levels)
        return DiscretizedNormalMass(*units, self.levels)


class Categorical(Likelihood):
    """P(x = k) = softmax of K numbers per entry: no order between the levels is assumed.

    Shape: (B, K, *shape) → binary or levels x (B, *shape). Likelihood: exact.

    >>> from reparam.model import Space
    >>> p = Categorical(Space((1,), "levels", levels=4))(torch.zeros(1, 4))
    >>> p.log_prob_terms(torch.tensor([[3.0]])).exp().item()
    0.25
    """

    kinds = ("levels", "binary")

    def __init__(self, space: Space) -> None:
        super().__init__(space, space.level_count or 0)  # real data are refused there

    def distribution(self, parameters: Tensor) -> CategoricalMass:
        return CategoricalMass(parameters)


def level_units(location: Tensor, log_scale: Tensor, levels: int | Tensor) -> tuple[Tensor, Tensor]:
    """Location and log-scale in level units from the decoder's."""
    shift: float | Tensor
    high: float | Tensor
    if isinstance(levels, Tensor):  # of each column
        shift, high = torch.log((levels - 1) / 8), torch.log(8 * levels)
    else:
        shift, high = math.log((levels - 1) / 8), math.log(8 * levels)
    # The narrowest scale leaves next to nothing outside one level's bin.
    log_scale = numerics.bound_softly(log_scale + shift, -math.log(32), high)
    return (levels - 1) / 2 * (1 + location), log_scale


class Normal(Likelihood):
    """N(m, σ²) with m from the decoder, and σ learned, fixed or from the decoder as well.

    Where σ is learned or the decoder's, it stays above e⁻⁷ ≈ 0.0009 in network units: a mean that
    meets one entry exactly would otherwise have an infinite density, whatever it does elsewhere.

    Args:
        space: real data, or binary and levels data, which are then dequantized.
        scale: ``"shared"``, one learned σ; ``"per-dimension"``, one learned σ for each entry;
            ``"network"``, a σ for each entry of each example from the decoder, whose second output
            is ln σ less ln ``sigma``; ``"optimal"``, σ² the mean squared error, of the batch
            in training and its running mean in evaluation; ``"fixed"``, σ = ``sigma``.
        sigma: σ of ``scale="fixed"``, and where learning starts otherwise, in network units
            (standardized real data, levels divided by K−1).

    Shape: (B, 1, *shape), of ``"network"`` (B, 2, *shape) → x (B, *shape).

    Likelihood: exact for real data; a lower bound for binary and levels data, by uniform
    dequantization with its expectation in closed form. The optimal σ makes the training value
    D/2 (ln 2πσ² + 1), which depends on the whole batch.

    Reference: Kingma & Welling 2014, appendix C.2, for means and variances by the decoder; Rybkin
    et al. 2021 (σ-VAE), section 3, for one σ; Mattei & Frellsen 2018, "Leveraging the exact
    likelihood of deep latent variable models", section 2, for why σ needs a floor
    (https://arxiv.org/abs/1802.04826).
    https://arxiv.org/abs/1312.6114, https://arxiv.org/abs/2006.13202

    >>> from reparam.model import Space
    >>> Normal(Space((3,), "real"))(torch.zeros(1, 3)).sample().shape
    torch.Size([1, 3])
    >>> Normal(Space((3,), "real"), "network").parameter_shape
    (2, 3)
    """

    kinds: tuple[str, ...] = ("real", "levels", "binary")

    @limited
    def __init__(self, space: Space, scale: Scale = "shared", sigma: Positive = 1.0) -> None:
        super().__init__(space, 2 if scale == "network" else 1)
        self.scale, self.first_log_scale = scale, math.log(sigma)
        self.couples_rows = scale == "optimal"
        if scale == "network":
            return
        shape = space.shape if scale == "per-dimension" else (1,) * len(space.shape)
        log_scale = torch.full((1, *shape), self.first_log_scale)
        self.log_scale: Tensor
        if scale in ("shared", "per-dimension"):
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        if scale == "optimal":
            self.register_buffer("steps", torch.zeros(()))
            self.steps: Tensor

    def distribution(self, parameters: Tensor) -> Distribution:
        mean, log_scale = self._mean_and_log_scale(parameters)
        levels = self.space.level_count
        if levels is not None:
            # Level k covers [k, k+1): the network's range [0, 1] maps to the bins' middles.
            top = levels - 1
            mean, log_scale = mean * top + 0.5, log_scale + math.log(top)
        if self.couples_rows and self.training:
            least = math.exp(2 * LOG_SCALE_BOUNDS[0])  # in level units it is never reached
            return OptimalNormalDensity(mean, log_scale, levels, least)
        if levels is None:
            return NormalDensity(mean, log_scale)
        return DequantizedNormalDensity(mean, log_scale, levels)

    def hold(self, p: Distribution, varies: Tensor) -> Distribution:
        if not isinstance(p, OptimalNormalDensity):
            return p
        return replace(p, varies=varies.expand_as(p.mean))

    def _mean_and_log_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """In network units, (B, *shape) each."""
        if self.scale == "network":
            mean, raw = parameters.unbind(1)
            return mean, numerics.bound_softly(raw + self.first_log_scale, *LOG_SCALE_BOUNDS)
        mean, log_scale = parameters.squeeze(1), self.log_scale
        if self.scale in ("shared", "per-dimension"):
            log_scale = numerics.bound_softly(log_scale, *LOG_SCALE_BOUNDS)
        return mean, log_scale.expand_as(mean)

    def after_step(self, statistics: dict[str, Tensor]) -> None:
        """Follow the optimal σ² of the batches, in network units."""
        if not self.couples_rows:
            return
        variance = statistics["squared_error"] / statistics["entries"]
        if self.space.level_count is not None:
            variance = variance / (self.space.level_count - 1) ** 2
        finite = variance.isfinite()  # not after a skipped step
        self.steps += finite
        weight = (1 / self.steps.clamp(min=1)).clamp(min=0.01) * finite  # a plain mean at first
        new = torch.where(finite, variance, 1.0).to(self.log_scale)
        running = torch.exp(2 * self.log_scale).lerp(new, weight)
        self.log_scale.copy_((0.5 * running.log()).clamp(*LOG_SCALE_BOUNDS))


class HeteroscedasticNormal(Normal):
    """N(m, σ²) with a mean and a σ for each entry of each example: ``Normal`` with ``"network"``.

    Shape: (B, 2, *shape) → x (B, *shape). Likelihood: as of ``Normal``.

    >>> from reparam.model import Space
    >>> p = HeteroscedasticNormal(Space((3,), "real"))(torch.zeros(1, 2, 3))
    >>> round(p.log_prob_terms(torch.zeros(1, 3)).sum().item(), 2)  # −3/2 ln 2π
    -2.76
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space, "network")


class ConditionalNormal(HeteroscedasticNormal):
    """N(m, σ²) of an entry of real x given those before it, in autoregressive models.

    Shape: (B, 2, *shape), means and log-scales → real x (B, *shape) in standardized units.

    Likelihood: exact; of discrete data it would be a bound, and is refused.

    Reference: Uria et al. 2013 (RNADE), eq. 7–9, with one component.
    https://arxiv.org/abs/1306.0186

    >>> from reparam.model import Space
    >>> p = ConditionalNormal(Space((3,), "real"))(torch.zeros(1, 2, 3))
    >>> round(p.log_prob_terms(torch.zeros(1, 3)).sum().item(), 2)  # −3/2 ln 2π
    -2.76
    """

    kinds = ("real",)
