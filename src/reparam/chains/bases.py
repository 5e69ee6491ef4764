"""Densities of independent entries, fitted to data, from which annealing and draws start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.chains.kernels import Noise
from reparam.distributions.masses import BernoulliMass

RAREST = 1e-3  # frequency of a bit; 0 would make states impossible that the data may have elsewhere
NARROWEST = 0.05  # scale, in a box of [−1, 1] or in standard deviations


class Base(nn.Module, ABC):
    """A density of independent entries y (N, *shape)."""

    @abstractmethod
    def log_density(self, y: Tensor) -> Tensor:
        """By entry, (N, *shape)."""

    @abstractmethod
    def slope(self, y: Tensor) -> Tensor:
        """The gradient of the log-density, (N, *shape)."""

    @abstractmethod
    def draw(self, n: int, generator: Noise = None) -> Tensor:
        """y (n, *shape)."""

    @abstractmethod
    def learn(self, parts: Iterable[Tensor], noise: float = 0.0) -> None:
        """Fit it to parts of the data, read once, and to noise of that variance on them."""


class Bits(Base):
    """Bits with the frequencies of the data, kept within [0.001, 0.999].

    >>> bits = Bits((2,))
    >>> bits.learn([torch.tensor([[0.0, 1.0], [1.0, 1.0]])])
    >>> bits.logits.sigmoid()
    tensor([0.5000, 0.9990])
    """

    logits: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(shape))

    def log_density(self, y: Tensor) -> Tensor:
        return numerics.bernoulli_log_prob(y, self.logits)

    def slope(self, y: Tensor) -> Tensor:
        return self.logits.expand_as(y)

    def draw(self, n: int, generator: Noise = None) -> Tensor:
        return BernoulliMass(self.logits.expand(n, *self.logits.shape)).sample(generator)

    @torch.no_grad()
    def learn(self, parts: Iterable[Tensor], noise: float = 0.0) -> None:
        self.logits.copy_(torch.logit(_moments(parts)[0], eps=RAREST))


class Normals(Base):
    """Normals with the means and scales of the data's entries, scales not under 0.05.

    Args:
        shape: of y.
        boxed: whether they are truncated to [−1, 1]. Means and scales are those before.

    >>> normals = Normals((3,), boxed=True)
    >>> round(normals.log_density(torch.zeros(1, 3)).exp().sum().item(), 3)  # 3 / (√2π · 0.683)
    1.753
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...], boxed: bool) -> None:
        super().__init__()
        self.boxed = boxed
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def log_density(self, y: Tensor) -> Tensor:
        log_density = numerics.normal_log_prob(y, self.mean, self.scale.log())
        return log_density - self._inside().log() if self.boxed else log_density

    def slope(self, y: Tensor) -> Tensor:
        return (self.mean - y) / self.scale.square()

    def draw(self, n: int, generator: Noise = None) -> Tensor:
        like = self.mean.expand(n, *self.mean.shape)
        if not self.boxed:
            return self.mean + self.scale * numerics.noise(like, "normal", generator)
        below = torch.special.ndtr((-1 - self.mean) / self.scale)
        level = below + self._inside() * numerics.noise(like, "uniform", generator)
        tiny = torch.finfo(level.dtype).eps
        y = self.mean + self.scale * torch.special.ndtri(level.clamp(tiny, 1 - tiny))
        return y.clamp(-1, 1)

    def _inside(self) -> Tensor:
        """How much of an entry's normal lies within [−1, 1]; its mean does."""
        ends = ((end - self.mean) / self.scale for end in (1, -1))
        above, below = (torch.special.ndtr(end) for end in ends)
        return above - below

    @torch.no_grad()
    def learn(self, parts: Iterable[Tensor], noise: float = 0.0) -> None:
        mean, variance = _moments(parts)
        self.mean.copy_(mean)
        self.scale.copy_((variance + noise).sqrt().clamp(min=NARROWEST))


def _moments(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Means and variances of entries over all rows; of values near 0, which a sum of squares is
    exact enough for.
    """
    total, squares, rows = torch.zeros(()), torch.zeros(()), 0
    for part in parts:
        wide = part.to(numerics.accumulator(part))
        total, squares = total.to(wide) + wide.sum(0), squares.to(wide) + wide.square().sum(0)
        rows += len(part)
    mean = total / rows
    return mean, (squares / rows - mean.square()).clamp(min=0)
