"""Corruptions x̃ ~ M(x̃|x) of denoising autoencoders, in network units.

Network units are x for binary data, x/(K−1) for levels, standardized columns or channels for real
data. ``numerics.noise`` is the one source of the noise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.standardization import Standardization
from reparam.bijections.varying import Varying
from reparam.inspection import Noise
from reparam.limits import NonNegative, Share, limited
from reparam.model import Space


class Corruption(nn.Module, ABC):
    """x̃ ~ M(x̃|x) at a level; 0 leaves x as it is.

    Called with x (B, *shape), and for real data with what is known of its constants.
    """

    name: str
    unit: str  # what the level counts
    strongest: float = 1.0

    @property
    @abstractmethod
    def level(self) -> float: ...

    @abstractmethod
    def at(self, level: float) -> Self:
        """The same corruption at another level."""


class _Partial(Corruption):
    """What changes a share ν of the entries: so many of each example, or each by a coin."""

    @limited
    def __init__(self, share: Share, independent: bool) -> None:
        super().__init__()
        self.share, self.independent = share, independent

    @property
    def level(self) -> float:
        return self.share

    def _chosen(self, x: Tensor, varying: Varying | None) -> Tensor:
        """Which entries are changed, bool (B, *shape): a share of those that vary."""
        uniform = numerics.noise(x, "uniform")
        if self.independent:
            return uniform < self.share
        flat = uniform.flatten(1)
        entries = flat.shape[1]
        if varying is not None and not varying.whole:  # to change a constant hides nothing
            flat, entries = torch.where(varying.mask.flatten(), flat, math.inf), varying.count
        # The entries with the least noise, by index: a threshold would take equal ones together.
        least = flat.topk(_count(self.share, entries), 1, largest=False, sorted=False)
        return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, least.indices, True).view_as(x)


def _count(share: float, entries: int) -> int:
    """νD to the nearest whole number; of noise that is not none at least one entry has some."""
    return max(round(share * entries), int(share > 0))


class Masking(_Partial):
    """A share ν of the entries of each example becomes 0: black, or the mean of real data.

    Which entries is drawn afresh for each example, without replacement: round(νD) of its D entries,
    and where ν > 0 at least one. With ``independent`` each entry becomes 0 with probability ν by
    itself, so that the number differs from example to example, by √(Dν(1−ν)). Entries of real data
    that were constant in training are none of the D.

    Args:
        share: ν in [0, 1].
        independent: whether each entry is drawn by itself.

    Shape: (B, *shape) both ways.

    Cost: selecting the νD smallest of D random numbers in each row, which ``independent`` spares.

    Reference: Vincent et al. 2008, section 2.3: "a fixed number νd of components are chosen at
    random, and their value is forced to 0".

    >>> (Masking(0.25)(torch.ones(3, 8)) == 0).sum(1).tolist()
    [2, 2, 2]
    """

    name, unit = "masking", "share of entries set to 0"

    def __init__(self, share: float = 0.25, independent: bool = False) -> None:
        super().__init__(share, independent)
        if independent:
            self.name, self.unit = "independent masking", "probability of an entry to be set to 0"

    def at(self, level: float) -> Masking:
        return Masking(level, self.independent)

    def forward(self, x: Tensor, varying: Varying | None = None) -> Tensor:
        return x * ~self._chosen(x, varying)


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

    @limited
    def __init__(self, scale: NonNegative = 0.25) -> None:
        super().__init__()
        self.scale = scale

    @property
    def level(self) -> float:
        return self.scale

    def at(self, level: float) -> GaussianNoise:
        return GaussianNoise(level)

    def forward(self, x: Tensor, varying: Varying | None = None) -> Tensor:
        return x + self.scale * numerics.noise(x, "normal")


class SaltAndPepper(_Partial):
    """A share ν of the entries of each example becomes one of the ends of the range, by a coin.

    Which entries, and how many, is as for ``Masking``. Binary and levels data end at 0 and 1.
    Standardized real data have no ends of their own: there two standard deviations from the mean,
    low = −2 and high = 2, stand for them.

    Args:
        share: ν in [0, 1].
        low: the pepper, in network units.
        high: the salt, in network units.
        independent: whether each entry is drawn by itself.

    Shape: (B, *shape) both ways.

    Reference: Vincent et al. 2010, section 3.3: "a fraction ν of the elements of x (chosen at
    random for each example) is set to their minimum or maximum possible value".

    >>> SaltAndPepper(1.0)(torch.full((1, 1000), 0.5)).unique().tolist()
    [0.0, 1.0]
    """

    name, unit = "salt and pepper", "share of entries set to an end of the range"

    def __init__(
        self,
        share: float = 0.25,
        low: float = 0.0,
        high: float = 1.0,
        independent: bool = False,
    ) -> None:
        super().__init__(share, independent)
        self.low, self.high = low, high
        if independent:
            self.name = "independent salt and pepper"
            self.unit = "probability of an entry to be set to an end of the range"

    def at(self, level: float) -> SaltAndPepper:
        return SaltAndPepper(level, self.low, self.high, self.independent)

    def forward(self, x: Tensor, varying: Varying | None = None) -> Tensor:
        coin = numerics.noise(x, "uniform")
        ends = torch.where(coin < 0.5, self.low, self.high).to(x)
        return torch.where(self._chosen(x, varying), ends, x)


CorruptionName = Literal["masking", "gaussian", "salt-and-pepper"]


class MaskedCells(_Partial):
    """A share ν of the cells of each row of mixed data is missing, NaN in place of what it is.

    Which cells, and how many, is as for ``Masking``. Cells that are missing already may be chosen.

    Args:
        share: ν in [0, 1].
        independent: whether each cell is drawn by itself.

    Shape: (B, D) both ways.

    >>> MaskedCells(0.5)(torch.ones(1, 4)).isnan().sum().item()
    2
    """

    name, unit = "masking", "share of cells made missing"

    def __init__(self, share: float = 0.25, independent: bool = False) -> None:
        super().__init__(share, independent)

    def at(self, level: float) -> MaskedCells:
        return MaskedCells(level, self.independent)

    def forward(self, x: Tensor, varying: Varying | None = None) -> Tensor:
        return torch.where(self._chosen(x, varying), math.nan, x)


def make_corruption(
    name: CorruptionName, level: float, space: Space, independent: bool = False
) -> Corruption:
    """The corruption of that name for data of a space.

    Args:
        name: of the kind of noise.
        level: how much of it.
        space: what x is.
        independent: of masking and salt and pepper, whether each entry is drawn by itself.

    >>> make_corruption("gaussian", 0.5, Space((3,), "real")).level
    0.5
    """
    if space.columns:
        if name != "masking":
            raise ValueError(f"corruption: of mixed data cells are hidden (masking), got {name}")
        return MaskedCells(level, independent)
    if name == "masking":
        return Masking(level, independent)
    if name == "salt-and-pepper":
        low, high = (-2.0, 2.0) if space.kind == "real" else (0.0, 1.0)
        return SaltAndPepper(level, low, high, independent)
    if name != "gaussian":
        expected = ", ".join(get_args(CorruptionName))
        raise ValueError(f"corruption: expected one of {expected}, got {name!r}")
    if independent:
        raise ValueError("independent: Gaussian noise is that of each entry anyway; leave it out")
    return GaussianNoise(level)


def noise_of(corruption: Corruption, standardize: Standardization) -> Noise:
    """The corruption on data units, given the way to network units and back.

    >>> from reparam.bijections.standardization import standardization
    >>> noise = noise_of(Masking(1.0), standardization(Space((2,), "levels", levels=5)))
    >>> noise.corrupt(torch.tensor([[4, 2]]), noise.level).tolist()
    [[0.0, 0.0]]
    """

    def corrupt(x: Tensor, level: float) -> Tensor:
        real = x if x.is_floating_point() else x.to(standardize.anchor)
        if level == 0:  # not even rounded on the way to network units and back
            return real
        scaled = standardize.scaled(real.to(standardize.anchor.device))
        if standardize.space.columns:  # cells go, and the others stay as they are
            hidden = corruption.at(level)(scaled, standardize.varying).isnan()
            return torch.where(hidden, torch.nan, real.to(hidden.device))
        return standardize.inverse(corruption.at(level)(scaled, standardize.varying))[0]

    return Noise(corruption.name, corruption.unit, corruption.level, corruption.strongest, corrupt)
