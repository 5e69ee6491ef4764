"""Planar and radial flows: one direction or one center at a time, with parameters for every row."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.bijections.base import Bijection, Costs

MARGIN = 1e-3  # δ: how far the maps stay from those that are not invertible
# They leave 2⁻³¹ |slope| of the root unknown, and a Newton step the square of it, times at most
# 400, the curvature of the map over its least steepness: nothing in float64.
BISECTIONS = 32


class Planar(Bijection):
    """noise → data: x = z + û tanh(w·z + b), u, w, b being the context.

    û is u moved along w until w·û = −1 + δ + softplus(w·u), so that the map is invertible. Noise →
    data is the closed form; back, the one number w·z is found by bisection.

    Args:
        features: L.

    Shape: (B, L), context (B, 2L + 1) → (B, L), ladj (B,).

    Reference: Rezende & Mohamed 2015, eq. 10 to 12 and appendix A.1.
    https://arxiv.org/abs/1505.05770

    >>> x, ladj = Planar(2).inverse(torch.zeros(1, 2), torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]]))
    >>> x.tolist(), round(ladj.item(), 4)  # w·û = −1 + δ + ln 2, where u was 0
    ([[0.0, 0.0]], -0.3651)
    """

    costs = Costs("closed form", f"a root: {BISECTIONS} bisections, 2 Newton steps", "closed form")

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features, self.context_features = features, 2 * features + 1

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, w, b, slope = self._given(context)
        bend = torch.tanh((w * z).sum(1) + b)
        return z + u * bend.unsqueeze(1), torch.log1p((1 - bend.square()) * slope)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, w, b, slope = self._given(context)
        target = (w * x).sum(1)
        along = _root(target, b, slope)
        bend = torch.tanh(along + b)
        return x - u * bend.unsqueeze(1), -torch.log1p((1 - bend.square()) * slope)

    def first_context(self) -> Tensor:
        """A random direction w, and the u along it that makes û = 0."""
        w = torch.randn(self.features) / self.features**0.5
        along = math.log(math.expm1(1 - MARGIN))  # w·u = softplus⁻¹(1 − δ)
        return torch.cat([along * w / w.square().sum(), w, torch.randn(1)])

    def _given(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """û, w, b and w·û."""
        assert context is not None  # its features say so
        u, w, b = context.split([self.features, self.features, 1], 1)
        slope = MARGIN - 1 + F.softplus((w * u).sum(1))
        length = w.square().sum(1).clamp(min=torch.finfo(w.dtype).tiny)
        for _ in range(2):  # again, for what a large u leaves of itself by rounding
            u = u + ((slope - (w * u).sum(1)) / length).unsqueeze(1) * w
        # Where w is 0 the map only shifts: what the slope is to be, no û can make it.
        steep = w.square().sum(1) > torch.finfo(w.dtype).tiny
        return u, w, b.squeeze(1), torch.where(steep, slope, torch.zeros_like(slope))


def _root(target: Tensor, b: Tensor, slope: Tensor) -> Tensor:
    """a with a + slope · tanh(a + b) = target, slope > −1: differentiable by a last Newton step."""

    def newton(a: Tensor, steepness: Tensor) -> Tensor:
        return a - (a + slope * torch.tanh(a + b) - target) / steepness

    def steepness(a: Tensor) -> Tensor:
        return 1 + slope * (1 - torch.tanh(a + b).square())

    with torch.no_grad():
        low, high = target - slope.abs(), target + slope.abs()
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            above = middle + slope * torch.tanh(middle + b) > target
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        a = 0.5 * (low + high)
        a = newton(a, steepness(a))
        steep = steepness(a)
    return newton(a, steep)


class Radial(Bijection):
    """noise → data: x = z + β (z − z₀) / (α + ‖z − z₀‖), z₀, α, β from the context.

    α = softplus(a) and β = −α + δ + softplus(b) > −α make it invertible; both ways have a closed
    form, the way back being a quadratic equation in the distance.

    Args:
        features: L.

    Shape: (B, L), context (B, L + 2) → (B, L), ladj (B,).

    Reference: Rezende & Mohamed 2015, eq. 14 and appendix A.2.
    https://arxiv.org/abs/1505.05770

    >>> x, ladj = Radial(2).inverse(torch.ones(1, 2), torch.zeros(1, 4))
    >>> bool((x - 1).abs().max() < 1e-3)  # a = b: hardly a move
    True
    """

    costs = Costs("closed form", "closed form, a quadratic equation", "closed form")

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features, self.context_features = features, features + 2

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        center, alpha, beta = self._given(context)
        away = z - center
        return self._moved(away, away.norm(dim=1), alpha, beta, center)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        center, alpha, beta = self._given(context)
        away = x - center
        far = away.norm(dim=1)
        half = 0.5 * (far - alpha - beta)
        root = (half.square() + alpha * far).sqrt()
        # Of the two forms of the root that without a difference.
        falls = half < 0
        radius = torch.where(falls, alpha * far / torch.where(falls, root - half, 1.0), half + root)
        shrink = (alpha + radius) / (alpha + radius + beta)
        back = away * shrink.unsqueeze(1)
        _, ladj = self._moved(back, radius, alpha, beta, center)
        return center + back, -ladj

    def _moved(
        self, away: Tensor, radius: Tensor, alpha: Tensor, beta: Tensor, center: Tensor
    ) -> tuple[Tensor, Tensor]:
        pull = beta / (alpha + radius)
        ladj = (self.features - 1) * torch.log1p(pull)
        ladj = ladj + torch.log1p(pull * alpha / (alpha + radius))
        return center + away * (1 + pull).unsqueeze(1), ladj

    def first_context(self) -> Tensor:
        """A random center, and a = b, which makes β = 0."""
        return torch.cat([torch.randn(self.features), torch.zeros(2)])

    def _given(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        assert context is not None  # its features say so
        center, a, b = context.split([self.features, 1, 1], 1)
        alpha = F.softplus(a.squeeze(1)) + MARGIN
        return center, alpha, MARGIN - alpha + F.softplus(b.squeeze(1))
