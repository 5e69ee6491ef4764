"""Corruptions x̃ ~ M(x̃|x) of denoising autoencoders, in network units.

Network units are x for binary data, x/(K−1) for levels, standardised columns or channels for real
data. Every entry is corrupted on its own. ``numerics.noise`` is the one source of the noise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.elementwise import Standardise
from reparam.inspection import Noise
from reparam.model import Space


class Corruption(nn.Module, ABC):
    """x̃ ~ M(x̃|x) at a level; 0 leaves x as it is."""

    name: str
    unit: str  # what the level counts
    strongest: float = 1.0

    @property
    @abstractmethod
    def level(self) -> float: ...

    @abstractmethod
    def at(self, level: float) -> Self:
        """The same corruption at another level."""


class Masking(Corruption):
    """Each entry becomes 0 with probability ν: black, or the mean of real data.

    Args:
        share: ν in [0, 1].

    Shape: (B, *shape) both ways.

    Reference: Vincent et al. 2008, section 2.3.

    >>> Masking(1.0)(torch.ones(1, 3)).tolist()
    [[0.0, 0.0, 0.0]]
    """

    name, unit = "masking", "share of entries set to 0"

    def __init__(self, share: float = 0.25) -> None:
        super().__init__()
        self.share = _share(share)

    @property
    def level(self) -> float:
        return self.share

    def at(self, level: float) -> Masking:
        return Masking(level)

    def forward(self, x: Tensor) -> Tensor:
        kept = numerics.noise(x, "uniform") >= self.share
        return x * kept


class GaussianNoise(Corruption):
    """x̃ = x + σ ε, ε ~ N(0, I).

    Args:
        scale: σ ≥ 0, in network units.

    Shape: (B, *shape) both ways.

    Reference: Vincent et al. 2010, section 3.3; Vincent 2011 for the score it makes known.

    >>> GaussianNoise(0.0)(torch.ones(1, 3)).tolist()
    [[1.0, 1.0, 1.0]]
    """

    name, unit = "Gaussian noise", "standard deviation in network units"
    strongest = math.inf

    def __init__(self, scale: float = 0.25) -> None:
        super().__init__()
        if not scale >= 0:
            raise ValueError(f"scale: expected at least 0, got {scale}")
        self.scale = scale

    @property
    def level(self) -> float:
        return self.scale

    def at(self, level: float) -> GaussianNoise:
        return GaussianNoise(level)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * numerics.noise(x, "normal")


class SaltAndPepper(Corruption):
    """Each entry becomes, with probability ν, one of the two ends of the range, as by a coin.

    Binary and levels data end at 0 and 1. Standardised real data have no ends of their own: there
    two standard deviations from the mean, low = −2 and high = 2, stand for them.

    Args:
        share: ν in [0, 1].
        low: the pepper, in network units.
        high: the salt, in network units.

    Shape: (B, *shape) both ways.

    Reference: Vincent et al. 2010, section 3.3.

    >>> SaltAndPepper(1.0)(torch.full((1, 1000), 0.5)).unique().tolist()
    [0.0, 1.0]
    """

    name, unit = "salt and pepper", "share of entries set to an end of the range"

    def __init__(self, share: float = 0.25, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.share, self.low, self.high = _share(share), low, high

    @property
    def level(self) -> float:
        return self.share

    def at(self, level: float) -> SaltAndPepper:
        return SaltAndPepper(level, self.low, self.high)

    def forward(self, x: Tensor) -> Tensor:
        uniform = numerics.noise(x, "uniform")  # below ν/2 pepper, from there to ν salt
        ends = torch.where(uniform < self.share / 2, self.low, self.high).to(x)
        return torch.where(uniform < self.share, ends, x)


CorruptionName = Literal["masking", "gaussian", "salt-and-pepper"]


def find_corruption(name: CorruptionName, level: float, space: Space) -> Corruption:
    """The corruption of that name for data of a space.

    >>> find_corruption("gaussian", 0.5, Space((3,), "real")).level
    0.5
    """
    if name == "masking":
        return Masking(level)
    if name == "gaussian":
        return GaussianNoise(level)
    if name != "salt-and-pepper":
        expected = ", ".join(get_args(CorruptionName))
        raise ValueError(f"corruption: expected one of {expected}, got {name!r}")
    low, high = (-2.0, 2.0) if space.kind == "real" else (0.0, 1.0)
    return SaltAndPepper(level, low, high)


def noise_of(corruption: Corruption, standardise: Standardise) -> Noise:
    """The corruption on data units, given the way to network units and back.

    >>> noise = noise_of(Masking(1.0), Standardise(Space((2,), "levels", levels=5)))
    >>> noise.corrupt(torch.tensor([[4, 2]]), noise.level).tolist()
    [[0.0, 0.0]]
    """

    def corrupt(x: Tensor, level: float) -> Tensor:
        real = x if x.is_floating_point() else x.to(standardise.anchor)
        if level == 0:  # not even rounded on the way to network units and back
            return real
        scaled = standardise.scaled(real.to(standardise.anchor.device))
        return standardise.inverse(corruption.at(level)(scaled))[0]

    return Noise(corruption.name, corruption.unit, corruption.level, corruption.strongest, corrupt)


def _share(share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected between 0 and 1, got {share}")
    return share
