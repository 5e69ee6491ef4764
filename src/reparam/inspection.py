"""What models and their parts may tell of their inside, for pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class Noise:
    """What a denoising codec learns to undo: x̃ ~ M(x̃|x) at a level, 0 leaving x as it is.

    Args:
        name: of the corruption.
        unit: what the level counts.
        level: as in training.
        strongest: the largest level there is.
        corrupt: (x, level) → x̃ in data units, drawn from the default generator; entries of x̃ may
            be values that x never takes.

    >>> noise = Noise("scaling", "factor lost", 0.5, 1.0, lambda x, level: x * (1 - level))
    >>> noise.corrupt(4.0, noise.level)
    2.0
    """

    name: str
    unit: str
    level: float
    strongest: float
    corrupt: Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Filters:
    """The weights between x and each entry of the code, where one linear layer is all there is.

    Args:
        weights: (F, *shape), one for each entry of the code, in network units.
        of: ``"decoder"``, what one unit of that entry adds to the output, or ``"encoder"``, the x
            that the entry answers to most.

    >>> import torch
    >>> Filters(torch.eye(2), "decoder").weights.shape
    torch.Size([2, 2])
    """

    weights: Tensor
    of: Literal["decoder", "encoder"]


@dataclass(frozen=True)
class HiddenUnits:
    """Activations in [0, 1] of units that a penalty holds at a mean ρ.

    Args:
        activations: (B, units), the layers side by side.
        target: ρ.
        penalty: of one unit, from mean activations ρ̂, elementwise, in nats.
        weight: of the penalty in the objective.

    >>> import torch
    >>> units = HiddenUnits(torch.ones(3, 2), 0.1, lambda mean: (mean - 0.1).square(), 1.0)
    >>> units.penalty(units.activations.mean(0)).shape
    torch.Size([2])
    """

    activations: Tensor
    target: float
    penalty: Callable[[Tensor], Tensor]
    weight: float


@dataclass(frozen=True)
class Station:
    """Where a member of a flow, on the way from noise to data, has put some points.

    Args:
        name: of the member, or of where the way starts.
        points: (B, *shape) after it.
        ladj: of the member, log |det ∂after/∂before|, (B,).

    >>> import torch
    >>> Station("noise", torch.zeros(4, 2), torch.zeros(4)).points.shape
    torch.Size([4, 2])
    """

    name: str
    points: Tensor
    ladj: Tensor


class SamplesNotFinite(RuntimeWarning):
    """Samples have entries that are infinite or NaN, and which part of the model made them."""


class OfData(nn.Module):
    """A module whose buffers describe the training data and are no part of what was learned."""


@runtime_checkable
class Layered(Protocol):
    """A distribution over layers of z, coarsest first, whose finer ones can be drawn anew."""

    def resample(self, z: Tensor, kept: int, generator: Generator | None = None) -> Tensor:
        """Other draws that share with z its ``kept`` coarsest layers."""


class Inspectable:
    """What every codec can be asked; those that have it override the answer."""

    @property
    def noise(self) -> Noise | None:
        """What ``reconstruct`` was trained to undo; None for a codec trained on x as it is."""
        return None

    def filters(self) -> Filters | None:
        """One picture of weights per entry of the code; None where no single layer has them."""
        return None

    def log_slope(self, x: Tensor, c: Tensor | None = None) -> Tensor | None:
        """log |det ∂code/∂x| of real x, (B,); None where a code has not as many entries."""
        return None

    def stations(self, code: Tensor, c: Tensor | None = None) -> list[Station]:
        """Codes on their way to data, member by member; none where there is but one step."""
        return []

    def hidden_units(self, x: Tensor, c: Tensor | None = None) -> HiddenUnits | None:
        """Activations of the units whose mean a penalty holds; None where none does."""
        return None
