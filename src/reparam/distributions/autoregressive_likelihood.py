"""Distributions whose entries depend on each other: a masked network told about a context."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reparam import numerics
from reparam.distribution import Visit
from reparam.distributions.likelihoods import Likelihood
from reparam.limits import Count, limited
from reparam.model import Distribution, Space
from reparam.nets.autoregressive_network import AutoregressiveNetwork


@dataclass(frozen=True)
class AutoregressiveDistribution(Distribution):
    """p(x) = Π_i p(x_i | x before i, context), a row for every row of the context.

    Args:
        network: from x in network units and the context to the parameters of ``conditional``.
        conditional: p(x_i | …).
        context: (B, F, H, W), or (B, F) for networks of vectors; (B, 0) for networks without.
        top: of discrete x, by which it is divided for the network, or that of each entry; 1 for
            real x.
        varies: of real x, the entries (*shape) that are not always 0; None: all.
        member: of the network.
    """

    network: AutoregressiveNetwork
    conditional: Likelihood
    context: Tensor
    top: int | Tensor
    varies: Tensor | None = None
    member: int | Tensor = 0

    @property
    def rows(self) -> int:
        return self.context.shape[0]

    @property
    def center(self) -> Tensor:
        """The mean of every entry given the means of those before: one walk, not E[x]."""
        return self.walk(lambda p, sites: p.center)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        """A draw, entry by entry; no gradient passes through it."""
        return self.walk(lambda p, sites: p.rsample(generator))

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return self._entries_of(x).log_prob_terms(x)

    def log_prob(self, x: Tensor) -> Tensor:
        times = max(1, self.rows // x.shape[0])
        x = x if times == 1 else x.repeat_interleave(times, 0)
        return self._entries_of(x).log_prob(x)

    def _entries_of(self, x: Tensor) -> Distribution:
        """p(x_i | x before i) of all entries i at once."""
        parameters = self.network(self._seen(x), self.context, self.member)
        return self.conditional(parameters.to(self.context.dtype))  # probabilities: no bfloat16

    def repeat(self, k: int) -> AutoregressiveDistribution:
        return replace(self, context=self.context.repeat_interleave(k, 0))

    def detach(self) -> AutoregressiveDistribution:
        network = copy.deepcopy(self.network).requires_grad_(False)
        return replace(self, network=network, context=self.context.detach())

    @torch.no_grad()
    def walk(self, visit: Visit) -> Tensor:
        """x site by site, as ``visit`` chooses each given its distribution, (B, *shape).

        Sites are numbered as the network's: values are (B, n) of n entries, or (B, C, n) of whole
        pixels. None of them is missing, of which networks that draw know nothing.
        """
        assert isinstance(self.member, int)
        dtype = self.context.dtype
        parts: list[Tensor] = []  # put where they belong at the end, in one go
        order: list[Tensor] = []
        varies = None if self.varies is None else self.varies.flatten()

        def draw(parameters: Tensor, sites: slice) -> Tensor:
            likelihood = self.conditional.at(sites)
            count = likelihood.parameter_shape[0]
            own = parameters if count == parameters.shape[1] else parameters[:, :count]
            value = visit(likelihood.distribution(own.to(dtype)), sites)
            if varies is not None:
                value = torch.where(varies[sites], value, 0.0)
            parts.append(value)
            order.append(places[sites])
            return self._seen(value, sites)

        x = self.context.new_empty(self.rows, *self.conditional.space.shape)
        values = x.view(self.network.layout(self.rows))
        places = torch.arange(values.shape[-1], device=x.device)
        with numerics.without_autocast(self.context):  # buffers of a walk are of one type
            self.network.generate(self.rows, draw, self.context, self.member)
        values[..., torch.cat(order)] = torch.cat(parts, -1).to(dtype)
        return x

    def part(self, x: Tensor, sites: slice) -> Tensor:
        return x.reshape(self.network.layout(len(x)))[..., sites]

    def rsample_rest(
        self, x: Tensor, given: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The entries that are not given drawn in order, each given all before it."""

        def visit(p: Distribution, sites: slice) -> Tensor:
            return p.rsample_rest(self.part(x, sites), self.part(given, sites), generator)

        return self.walk(visit)

    def _seen(self, x: Tensor, sites: slice = slice(None)) -> Tensor:
        """x of some sites as the network sees it."""
        if isinstance(self.top, Tensor):
            return x / self.top[sites]
        return x if self.top == 1 else x / self.top


class AutoregressiveLikelihood(Likelihood):
    """p(x|z) = Π_i p(x_i | x before i, z), the decoder's output being the network's context.

    What is near in x the network can explain alone, so that z is left with what is global; a
    network that sees far may leave it with nothing.

    Args:
        space: images.
        network: a network of single entries, with ``features`` numbers of context by position.
        conditional: p(x_i | …) from the network's parameters.
        features: F.

    Shape: (B, F, H, W) → x (B, C, H, W). Likelihood: exact, if the conditionals are.

    Cost: a pass of the network per row; draws and means walk through all entries.

    Reference: Gulrajani et al. 2017, "PixelVAE: a latent variable model for natural images",
    section 3.1.
    https://arxiv.org/abs/1611.05013

    >>> import reparam as rp
    >>> space = rp.Space((1, 2, 2), "binary")
    >>> network = rp.PixelCNN(space.shape, 1, width=4, layers=1, first_kernel=3, context=3)
    >>> p_x = AutoregressiveLikelihood(space, network, rp.Bernoulli(space), features=3)
    >>> p = p_x(torch.randn(1, 3, 2, 2)).repeat(16)
    >>> images = torch.cartesian_prod(*[torch.arange(2.0)] * 4).view(16, 1, 2, 2)
    >>> round(p.log_prob(images).exp().sum().item(), 5)  # of all there are
    1.0
    """

    kinds = ("binary", "levels", "real")

    @limited
    def __init__(
        self,
        space: Space,
        network: AutoregressiveNetwork,
        conditional: Likelihood,
        features: Count,
    ) -> None:
        super().__init__(space)
        if conditional.space != space:
            raise ValueError(
                f"conditional: expected one of {space}, got one of {conditional.space}"
            )
        single = network.context_by_position and not network.whole_pixels
        if not single or (network.shape, network.context_features) != (space.shape, features):
            name, seen = type(network).__name__, network.context_features
            raise ValueError(
                f"network: expected one of the single entries of images {space.shape}, pixel by "
                f"pixel, with a context of {features} numbers, got {name} of {network.shape} with "
                f"{seen}"
            )
        self.network, self.conditional = network, conditional
        self.parameter_shape = (features, *space.shape[1:])
        self.top = 1 if space.level_count is None else space.level_count - 1

    def distribution(self, parameters: Tensor) -> AutoregressiveDistribution:
        return AutoregressiveDistribution(self.network, self.conditional, parameters, self.top)

    def hold(self, p: Distribution, varies: Tensor) -> Distribution:
        assert isinstance(p, AutoregressiveDistribution)
        return replace(p, varies=varies)
