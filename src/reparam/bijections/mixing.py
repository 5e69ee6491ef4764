"""Bijections that mix entries linearly: permutations, and matrices by their LU parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.base import OF_MOVES, Bijection, Costs, Shape
from reparam.limits import Count, Whole, limited


class Permutation(Bijection):
    """The entries of a vector in an order that a seed draws.

    Args:
        features: D.
        seed: of the order, which is part of the weights.

    Shape: (B, D) both ways, ladj 0.

    >>> Permutation(4, seed=1)(torch.arange(4.0)[None])[0].sort().values
    tensor([[0., 1., 2., 3.]])
    """

    costs = OF_MOVES

    @limited
    def __init__(self, features: Count, seed: Whole = 0) -> None:
        super().__init__()
        self.takes = (features,)
        self.register_buffer("order", torch.randperm(features, generator=_seeded(seed)))
        self.order: Tensor

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x[:, self.order], x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z[:, self.order.argsort()], z.new_zeros(z.shape[0])


class LULinear(Bijection):
    """z = W x with W = P L (U + diag(sign · s)), P a fixed permutation.

    L has ones and U zeros on the diagonal; log |det W| = Σ log s, and back go two triangular
    solves. W starts as the identity, or as a permutation or a rotation that a seed draws.

    Args:
        features: D.
        seed: of the start; None: the identity.
        rotated: whether it starts as a rotation, of seed 0 where there is none.

    Shape: (B, D) both ways, ladj (B,).

    Reference: Kingma & Dhariwal 2018 (Glow), eq. 10 and 11; Oliva et al. 2018.
    https://arxiv.org/abs/1807.03039, https://arxiv.org/abs/1801.09819

    >>> LULinear(3, seed=0)(torch.tensor([[1.0, 2.0, 3.0]]))[0].tolist()
    [[3.0, 1.0, 2.0]]
    """

    costs = Costs("Σ log s", "two matrix products", "two triangular solves")

    @limited
    def __init__(self, features: Count, seed: Whole | None = None, rotated: bool = False) -> None:
        super().__init__()
        self.takes: Shape | None = (features,)
        p, lower, upper = torch.linalg.lu(_start(features, seed, rotated))
        diagonal, dtype = upper.diagonal(), torch.get_default_dtype()
        self.register_buffer("order", p.argmax(1))  # (P v)_i = v_order(i)
        self.register_buffer("signs", diagonal.sign().to(dtype))
        self.order: Tensor
        self.signs: Tensor
        # L below the diagonal, U above it and log s on it: as many numbers as W has.
        parts = lower.tril(-1) + upper.triu(1) + diagonal.abs().log().diag()
        self.parts = nn.Parameter(parts.to(dtype))

    @property
    def weight(self) -> Tensor:
        """W, (D, D)."""
        lower, upper = self._factors()
        return (lower @ upper)[self.order]

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # x is no activation that may be rounded: it is to come back.
        with numerics.without_autocast(x):
            z = self.weight @ self._columns(x)
        return self._rows(z, x), self._ladj(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        columns = self._columns(z)[self.order.argsort()]
        columns = torch.linalg.solve_triangular(lower, columns, upper=False, unitriangular=True)
        x = torch.linalg.solve_triangular(upper, columns, upper=True)
        return self._rows(x, z), -self._ladj(z)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """L and U + diag(sign · s)."""
        lower = self.parts.tril(-1) + torch.ones_like(self.signs).diag()
        return lower, self.parts.triu(1) + (self.signs * self.parts.diagonal().exp()).diag()

    def _columns(self, x: Tensor) -> Tensor:
        """What W multiplies, (D, B) or (C, B · H · W)."""
        return x.T

    def _rows(self, columns: Tensor, like: Tensor) -> Tensor:
        return columns.T

    def _ladj(self, x: Tensor) -> Tensor:
        return self.parts.diagonal().sum().expand(x.shape[0])


class Invertible1x1(LULinear):
    """z = W x at every pixel, x being its channels: an invertible 1×1 convolution.

    Args:
        shape: of the image, (C, H, W).
        seed: of the start; None: the identity.
        rotated: whether it starts as a rotation, of seed 0 where there is none.

    Shape: (B, C, H, W) both ways, ladj (B,), which is H · W · Σ log s.

    Reference: Kingma & Dhariwal 2018 (Glow), section 3.2.
    https://arxiv.org/abs/1807.03039

    >>> Invertible1x1((3, 2, 2))(torch.ones(1, 3, 2, 2))[0].unique()
    tensor([1.], grad_fn=<Unique2Backward0>)
    """

    costs = Costs("H W Σ log s", *LULinear.costs[1:])

    def __init__(self, shape: Shape, seed: Whole | None = None, rotated: bool = False) -> None:
        super().__init__(shape[0], seed, rotated)
        self.takes, self.pixels = tuple(shape), shape[1] * shape[2]

    def _columns(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1).flatten(1)

    def _rows(self, columns: Tensor, like: Tensor) -> Tensor:
        return columns.view(-1, like.shape[0], *like.shape[2:]).transpose(0, 1)

    def _ladj(self, x: Tensor) -> Tensor:
        return self.pixels * super()._ladj(x)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _start(features: int, seed: int | None, rotated: bool) -> Tensor:
    identity = torch.eye(features, dtype=torch.float64)
    if rotated:
        normal = torch.randn(identity.shape, dtype=identity.dtype, generator=_seeded(seed or 0))
        return torch.linalg.qr(normal).Q
    return identity if seed is None else identity[torch.randperm(features, generator=_seeded(seed))]
