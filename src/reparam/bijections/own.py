"""Bijections with numbers of their own: one transform by entry, and contexts that are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.bijections.base import OF_ENTRIES, OF_PART, Bijection
from reparam.bijections.transforms import Transform


class Elementwise(Bijection):
    """z_i = g(x_i; p_i), with learned parameters of every entry that start as the identity.

    Args:
        transform: g.
        shape: of x.
        context: F, numbers that add to the parameters linearly.

    Shape: (B, *shape), context (B, F) → (B, *shape), ladj (B,).

    >>> from reparam.bijections.transforms import Affine
    >>> Elementwise(Affine(), (2,))(torch.ones(1, 2))[0].tolist()
    [[1.0, 1.0]]
    """

    costs = OF_ENTRIES

    def __init__(self, transform: Transform, shape: Sequence[int], context: int = 0) -> None:
        super().__init__()
        self.transform, self.takes, self.context_features = transform, tuple(shape), context
        self.parameter = _Row(torch.zeros(transform.parameters * math.prod(shape)), context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ladj = self.transform.forward(x, self._given(x, context))
        return z, ladj.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ladj = self.transform.inverse(z, self._given(z, context))
        return x, ladj.flatten(1).sum(1)

    def _given(self, x: Tensor, context: Tensor | None) -> Tensor:
        p: Tensor = self.parameter(context).to(x)
        return p.view(-1, self.transform.parameters, *x.shape[1:])


class Own(Bijection):
    """A bijection whose context is one learned row: planar and radial layers of a density.

    Args:
        bijection: starts from its ``first_context()``, which is the identity where it has one.
        context: F, numbers that add to the row linearly.

    Raises:
        ValueError: a bijection without context.

    Shape: that of the bijection, with a context of (B, F).

    >>> from reparam.bijections.planar import Planar
    >>> z, ladj = Own(Planar(2))(torch.tensor([[1.0, 2.0]]))
    >>> bool((z - torch.tensor([[1.0, 2.0]])).abs().max() < 1e-6)
    True
    """

    costs = OF_PART

    def __init__(self, bijection: Bijection, context: int = 0) -> None:
        super().__init__()
        if not bijection.context_features:
            raise ValueError("bijection: expected one with a context, got one without")
        self.bijection, self.context_features = bijection, context
        self.takes = bijection.takes
        self.row = _Row(bijection.first_context(), context)

    @property
    def title(self) -> str:
        return self.bijection.title

    @property
    def gives(self) -> tuple[int, ...] | None:
        return self.bijection.gives

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection(x, self.row(context).to(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.inverse(z, self.row(context).to(z))


class _Row(nn.Module):
    """A learned row (1, N), to which a context (B, F) adds linearly, nothing at first."""

    def __init__(self, start: Tensor, context: int) -> None:
        super().__init__()
        self.start = nn.Parameter(start.unsqueeze(0))
        self.added = nn.Linear(context, len(start), bias=False) if context else None
        if self.added is not None:
            nn.init.zeros_(self.added.weight)

    def forward(self, context: Tensor | None) -> Tensor:
        return self.start if self.added is None else self.start + self.added(context)
