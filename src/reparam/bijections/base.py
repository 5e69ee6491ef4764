"""What a bijection is: data → noise with its log-determinant, and back; inverses and chains."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible map of rows, data → noise; ``ladj`` is log|det J| of the direction taken, (B,).

    A density is evaluated by ``forward`` and sampled by ``inverse``. Posteriors are sampled while
    they are trained: theirs are bijections whose ``inverse`` is the fast way, by nature or turned
    round by ``Inverse``.
    """

    context_features: int = 0  # F: numbers (B, F) that it takes for every row

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    @property
    def slope(self) -> Tensor | None:
        """a where x = a·z + b entry by entry, to be broadcast over (B, *shape); None elsewhere."""
        return None

    @property
    def varies(self) -> Tensor | None:
        """Mask (*shape) of the entries that are no constants of x; None: all of them."""
        return None

    def factors(self, log_prob: Tensor, x: Tensor) -> Tensor | None:
        """ln p(x_i | …) of every entry from that of z_i, both (B, *shape); None elsewhere.

        It is there where each entry is mapped alone: ln p(x_i) = ln p(z_i) + ln |dz_i/dx_i|.
        """
        return None


class Inverse(Bijection):
    """A bijection turned round: its forward is the other's inverse.

    >>> from reparam.bijections.shape import Reverse
    >>> Inverse(Reverse())(torch.tensor([[1.0, 2.0]]))[0]
    tensor([[2., 1.]])
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection
        self.context_features = bijection.context_features

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.inverse(x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection(z, context)


class Chain(Bijection):
    """Bijections one after the other, first to last from data to noise; ladj is their sum.

    The context is cut into consecutive parts, one for each bijection.

    >>> from reparam.bijections.shape import Reverse
    >>> Chain(Reverse(), Reverse())(torch.tensor([[1.0, 2.0]]))
    (tensor([[1., 2.]]), tensor([0.]))
    """

    def __init__(self, *bijections: Bijection) -> None:
        super().__init__()
        self.bijections = nn.ModuleList(bijections)
        self.context_features = sum(b.context_features for b in bijections)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0])
        for bijection, part in self._parts(context):
            x, ladj = bijection(x, part)
            total = total + ladj
        return x, total

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[0])
        for bijection, part in reversed(self._parts(context)):
            z, ladj = bijection.inverse(z, part)
            total = total + ladj
        return z, total

    def _parts(self, context: Tensor | None) -> list[tuple[Bijection, Tensor | None]]:
        parts: list[tuple[Bijection, Tensor | None]] = []
        start = 0
        for bijection in self.bijections:
            assert isinstance(bijection, Bijection)
            stop = start + bijection.context_features
            part = None if context is None or stop == start else context[:, start:stop]
            parts.append((bijection, part))
            start = stop
        return parts


class Frozen(Bijection):
    """A bijection whose parameters get no gradient, while what passes through it does."""

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.parts = (bijection, Inverse(bijection))  # in a tuple, so that they are no children
        self.context_features = bijection.context_features

    @property
    def varies(self) -> Tensor | None:
        return self.parts[0].varies

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(self.parts[0], x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(self.parts[1], z, context)

    def _call(self, part: Bijection, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        fixed = {name: p.detach() for name, p in part.named_parameters()}
        return torch.func.functional_call(part, fixed, (x, c))
