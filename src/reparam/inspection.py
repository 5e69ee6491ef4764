"""What a codec may tell of its inside, for pictures: noise, filters, hidden units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


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
