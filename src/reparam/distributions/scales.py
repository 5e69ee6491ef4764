"""Images drawn scale after scale, each of which keeps the pixels of the one before it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reparam.chain_rule import ChainRule
from reparam.distribution import Visit
from reparam.model import Distribution


@dataclass(frozen=True)
class Scales(Distribution):
    """p(x) = p(x₁) Π_k p(x_k | x_{k−1}), x_{k−1} every second pixel of x_k either way.

    ``log_prob_terms`` have a column for each scale.

    Args:
        first: p(x₁), of the smallest image.
        finer: models of ever larger ones, which take the image before as their condition and give
            its pixels probability 1.

    Likelihood: exact, if those of all scales are.

    >>> import reparam as rp
    >>> model = rp.build("multi-scale-pixel-cnn", rp.Space((1, 2, 2), "binary"), width=4, scales=2)
    >>> sizes = []
    >>> def visit(p, scale):
    ...     sizes.append(tuple(p.center.shape))
    ...     return p.sample()
    >>> x = model.distribution(5).walk(visit)
    >>> sizes, tuple(x.shape)
    ([(5, 1, 1, 1), (5, 1, 2, 2)], (5, 1, 2, 2))
    """

    first: Distribution
    finer: tuple[ChainRule, ...]

    @property
    def rows(self) -> int:
        return self.first.rows

    @property
    def center(self) -> Tensor:
        """The mean of each scale given that of the one before, not E[x]."""
        return self.walk(lambda p, scale: p.center)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.walk(lambda p, scale: p.rsample(generator))

    def log_prob_terms(self, x: Tensor) -> Tensor:
        columns: list[Tensor] = []

        def known(p: Distribution, scale: int) -> Tensor:
            own = self.part(x, scale)
            columns.append(p.log_prob(own))
            return own

        self.walk(known)
        return torch.stack(columns, 1)

    def walk(self, visit: Visit) -> Tensor:
        """Scale by scale; sites are their numbers, from 0, and values whole images of theirs."""
        x = visit(self.first, 0)
        for scale, model in enumerate(self.finer, 1):
            x = visit(model.distribution(len(x), x), scale)
        return x

    def part(self, x: Tensor, sites: int) -> Tensor:
        factor = 2 ** (len(self.finer) - sites)
        return x[..., ::factor, ::factor].contiguous()

    def repeat(self, k: int) -> Scales:
        return replace(self, first=self.first.repeat(k))

    def detach(self) -> Scales:
        finer = (copy.deepcopy(model).requires_grad_(False) for model in self.finer)
        return Scales(self.first.detach(), tuple(finer))
