"""Transforms: invertible maps of single numbers whose parameters a network gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.bijections.spline import spline, spline_inverse, spline_knots
from reparam.limits import Count, Limited, Positive


class Transform(ABC):
    """z of x entry by entry, given P numbers for each; all of them 0 make it the identity.

    Shape: x (B, *rest), p (1 or B, P, *rest) of the same type → z and ln |dz/dx|, (B, *rest) each.
    """

    parameters: int  # P

    @abstractmethod
    def forward(self, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def inverse(self, z: Tensor, p: Tensor) -> tuple[Tensor, Tensor]: ...


class Additive(Transform):
    """z = x − m: volumes stay.

    Reference: Dinh et al. 2014 (NICE), section 3.2.
    https://arxiv.org/abs/1410.8516

    >>> Additive().forward(torch.tensor([[3.0]]), torch.tensor([[[1.0]]]))
    (tensor([[2.]]), tensor([[0.]]))
    """

    parameters = 1

    def forward(self, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return x - p[:, 0], torch.zeros_like(x)

    def inverse(self, z: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return z + p[:, 0], torch.zeros_like(z)


@dataclass(frozen=True)
class Affine(Limited, Transform):
    """z = (x − m) e^{−s}, m and s being the place and the log-scale of x.

    Args:
        bound: |s| stays below it: s = bound · tanh(raw / bound), which is raw near 0.

    Reference: Dinh et al. 2017 (RealNVP), eq. 7 and 8.
    https://arxiv.org/abs/1605.08803

    >>> Affine().inverse(torch.tensor([[2.0]]), torch.tensor([[[1.0], [0.0]]]))
    (tensor([[3.]]), tensor([[0.]]))
    """

    bound: Positive = 6.0
    parameters = 2

    def forward(self, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = self.log_scale(p[:, 1]).expand_as(x)
        return (x - p[:, 0]) * torch.exp(-log_scale), -log_scale

    def inverse(self, z: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = self.log_scale(p[:, 1]).expand_as(z)
        return p[:, 0] + z * log_scale.exp(), log_scale

    def log_scale(self, raw: Tensor) -> Tensor:
        """s, bounded."""
        return self.bound * torch.tanh(raw / self.bound)


@dataclass(frozen=True)
class Spline(Limited, Transform):
    """A monotone rational-quadratic spline on (−bound, bound), and the identity outside.

    Args:
        bins: K.
        bound: in units of x, which is near standardized as a rule.

    Reference: Durkan et al. 2019, "Neural spline flows", section 3.1.
    https://arxiv.org/abs/1906.04032

    >>> Spline(bins=4, bound=2.0).forward(torch.tensor([[0.5, 9.0]]), torch.zeros(1, 11, 2))[0]
    tensor([[0.5000, 9.0000]])
    """

    bins: Count = 8
    bound: Positive = 5.0

    @property
    def parameters(self) -> int:  # type: ignore[override]
        return 3 * self.bins - 1

    def forward(self, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return spline(x, spline_knots(p, self.bins, self.bound), self.bound)

    def inverse(self, z: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return spline_inverse(z, spline_knots(p, self.bins, self.bound), self.bound)
