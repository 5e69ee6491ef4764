"""The likelihood of PixelCNN++: a mixture of logistics over whole pixels, channel after channel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import numerics
from reparam.distribution import Visit
from reparam.distributions.densities import Parametric
from reparam.distributions.likelihoods import Likelihood
from reparam.distributions.masses import DiscretizedLogisticMass, LogisticMixtureMass
from reparam.limits import Count, limited
from reparam.model import Space


@dataclass(frozen=True)
class ChannelMixtureMass(Parametric):
    """P(x_1 … x_C) = Σ_k π_k Π_c P_k(x_c | x_1 … x_{c−1}) at every site.

    P_k is a discretized logistic whose location is m_c + Σ_{b<c} a_{cb} x_b, with x_b in [−1, 1].
    ``log_prob`` has a column per entry, log P(x_c | x_1 … x_{c−1}): they sum to that of the pixel.

    Args:
        logits: of the components, (B, K, *sites).
        location, log_scale: (B, K, C, *sites), 0 the middle of the range, ±1 its ends; and in
            levels.
        coefficients: a, (B, K, C (C − 1) / 2, *sites), c after c.
        levels: how many there are.
    """

    logits: Tensor
    location: Tensor
    log_scale: Tensor
    coefficients: Tensor
    levels: int

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.location.shape[2:])

    @property
    def center(self) -> Tensor:
        """E[x] of the first channel; of others, where a component has those before at its means."""
        means: list[Tensor] = []
        for channel in range(self.location.shape[2]):
            logistic = DiscretizedLogisticMass(*self._logistics(channel, means), self.levels)
            means.append(logistic.center)
        return (self.logits.softmax(1).unsqueeze(2) * torch.stack(means, 2)).sum(1)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        chosen = numerics.categorical_draw(self.logits, 1, generator).unsqueeze(1)
        uniform = numerics.noise(self.location[:, 0], "uniform", generator)
        logistic = torch.logit(uniform, eps=torch.finfo(uniform.dtype).eps)  # (B, C, *sites)
        scale = self._at(chosen.unsqueeze(2), self.log_scale).squeeze(1).exp()
        half = (self.levels - 1) / 2
        drawn: list[Tensor] = []
        for channel in range(self.location.shape[2]):
            before = [(x / half - 1).unsqueeze(1) for x in drawn]
            location = self._at(chosen, self._location(channel, before)).squeeze(1)
            x = half * (1 + location) + scale[:, channel] * logistic[:, channel]
            drawn.append(x.round().clamp(0, self.levels - 1) + 0.0)  # 0, not −0
        return torch.stack(drawn, 1)

    def rsample_rest(
        self, x: Tensor, mask: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """x where the mask is, the other channels drawn in order, each given all before it.

        What is known of a pixel says which component it is likely to be of: that of a channel is
        drawn with probabilities π_k P_k(x_1 … x_{c−1}), normalized.

        Args:
            x: (B, C, *sites); entries outside the mask are not looked at.
            mask: bool, of the same shape.
            generator: of the draws.
        """
        return self.walk(
            lambda p, channel: torch.where(mask[:, channel], x[:, channel], p.rsample(generator))
        )

    def walk(self, visit: Visit) -> Tensor:
        """Channel by channel, each a mixture with the weights π_k P_k(x_1 … x_{c−1}), normalized.

        Values of a channel are (B, *sites).
        """
        joint, channels = self.logits.log_softmax(1), self.location.shape[2]
        filled: list[Tensor] = []
        for channel in range(channels):
            logistics = self._logistics(channel, filled)
            value = visit(LogisticMixtureMass(joint, *logistics, self.levels), channel)
            filled.append(value.unsqueeze(1))
            if channel + 1 < channels:
                joint = joint + numerics.discretized_logistic_log_prob(
                    filled[-1], *logistics, self.levels
                )
        return torch.cat(filled, 1)

    def part(self, x: Tensor, sites: int) -> Tensor:
        return x[:, sites]

    def log_prob_terms(self, x: Tensor) -> Tensor:
        joint = self.logits.log_softmax(1)  # log π_k P_k(x_1 … x_c), (B, K, *sites)
        total, columns = joint.logsumexp(1), []
        for channel in range(x.shape[1]):
            logistics = self._logistics(channel, [x[:, b].unsqueeze(1) for b in range(channel)])
            joint = joint + numerics.discretized_logistic_log_prob(
                x[:, channel].unsqueeze(1), *logistics, self.levels
            )
            below, total = total, joint.logsumexp(1)
            columns.append(total - below)
        return torch.stack(columns, 1).flatten(1)

    def _logistics(self, channel: int, before: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Location and log-scale of a channel, in levels, given those before, by component.

        Shape: before (B, 1 or K, *sites) → (B, K, *sites).
        """
        half = (self.levels - 1) / 2
        location = half * (1 + self._location(channel, [x / half - 1 for x in before]))
        return location, self.log_scale[:, :, channel]

    def _location(self, channel: int, before: list[Tensor]) -> Tensor:
        """Of one channel given those before in [−1, 1], (B, K, *sites)."""
        location, first = self.location[:, :, channel], channel * (channel - 1) // 2
        for b, x in enumerate(before):
            location = location + self.coefficients[:, :, first + b] * x
        return location

    @staticmethod
    def _at(chosen: Tensor, values: Tensor) -> Tensor:
        return values.gather(1, chosen.expand(-1, -1, *values.shape[2:]))


class ChannelMixture(Likelihood):
    """A mixture of discretized logistics over pixels, in which channels depend on those before.

    Args:
        space: images of binary or levels data, of any number of channels.
        components: K.

    Shape: (B, P, *sites) → x (B, C, *sites), P = K (1 + 2C + C (C − 1) / 2): for each component a
        logit, C locations, C log-scales and the coefficients.

    Likelihood: exact.

    Reference: Salimans et al. 2017, "PixelCNN++", eq. 2 and 3, without the midpoint approximation
    for narrow bins.
    https://arxiv.org/abs/1701.05517

    >>> p = ChannelMixture(Space((3, 1, 1), "levels", levels=4), 2)(torch.zeros(1, 20, 1, 1))
    >>> colors = torch.cartesian_prod(*[torch.arange(4.0)] * 3)
    >>> total = sum(p.log_prob_terms(x.view(1, 3, 1, 1)).sum().exp().item() for x in colors)
    >>> round(total, 5)
    1.0
    """

    kinds = ("levels", "binary")

    @limited
    def __init__(self, space: Space, components: Count = 10) -> None:
        super().__init__(space)
        if not space.is_image:
            raise ValueError(f"likelihood: ChannelMixture is one of images, got {space.shape}")
        assert space.level_count is not None
        self.levels, self.components, channels = space.level_count, components, space.shape[0]
        self.sizes = (1, channels, channels, channels * (channels - 1) // 2)
        self.parameter_shape = (components * sum(self.sizes), *space.shape[1:])

    def distribution(self, parameters: Tensor) -> ChannelMixtureMass:
        by_component = parameters.unflatten(1, (self.components, -1))  # (B, K, ·, *sites)
        logits, location, log_scale, coefficients = by_component.split(self.sizes, 2)
        half = (self.levels - 1) / 2
        # As for DiscretizedLogistic: 0 is an eighth of the range, the least a 32nd of a level.
        log_scale = log_scale + math.log(half / 4)
        log_scale = numerics.bound_softly(log_scale, -math.log(32), math.log(8 * self.levels))
        return ChannelMixtureMass(
            logits.squeeze(2), location, log_scale, torch.tanh(coefficients), self.levels
        )
