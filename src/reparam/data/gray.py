"""Gray values of which binary data are draws, for binarization that is drawn afresh."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gray:
    """Levels g of which binary x are draws, P(x = 1) = g/(K−1), every entry on its own.

    Args:
        values: (N, *shape), integers 0 … K−1.
        levels: K.

    Reference: Burda et al. 2016 (IWAE), section 5, for gray images drawn afresh while training.

    >>> Gray(torch.tensor([[0, 255]], dtype=torch.uint8), 256).values.shape
    torch.Size([1, 2])
    """

    values: Tensor
    levels: int


def draw(values: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    """A draw of x ∈ {0, 1} for gray values of any shape, on their device, uint8.

    A uniform integer below K−1 is less than g with probability g/(K−1) exactly.

    >>> draw(torch.tensor([0, 16]), 17, torch.Generator().manual_seed(0))
    tensor([0, 1], dtype=torch.uint8)
    """
    uniform = torch.empty_like(values).random_(0, levels - 1, generator=generator)
    return (uniform < values).to(torch.uint8)
