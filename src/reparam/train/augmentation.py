"""Images moved at random while a model trains: flipped, shifted, cropped."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from reparam.config import Augmentation

DRAWS = 6  # uniform numbers for an image, whatever is asked for
FARTHEST, SMALLEST = 1 / 8, 0.8  # a shift, as a share of the side; a crop's side, as one


def augmented(x: Tensor, how: Collection[Augmentation], uniform: Tensor) -> Tensor:
    """Each image with its pixels taken from elsewhere in it; no value is mixed or made.

    - ``flip``: left and right change places, in half of the images.
    - ``crop``: a window of 0.8 to 1 of both sides, anywhere, enlarged to the full size.
    - ``shift``: by up to an eighth of the sides, or a pixel; those of the edge are repeated.

    Args:
        x: (B, C, H, W), of any type.
        how: which of these.
        uniform: numbers in [0, 1) that decide, (B, 6).

    >>> x = torch.arange(6).view(1, 1, 2, 3)
    >>> augmented(x, ["flip"], torch.zeros(1, 6)).tolist()
    [[[[2, 1, 0], [5, 4, 3]]]]
    """
    down, across = (_sources(x.shape[2 + axis], axis, how, uniform.to(x.device)) for axis in (0, 1))
    if "flip" in how:
        across = torch.where(uniform[:, :1].to(x.device) < 0.5, across.flip(1), across)
    x = x.gather(2, down[:, None, :, None].expand(*x.shape))
    return x.gather(3, across[:, None, None].expand(*x.shape))


def _sources(side: int, axis: int, how: Collection[Augmentation], uniform: Tensor) -> Tensor:
    """Of each place along an axis the place that its pixel is taken from, (B, side)."""
    at = (torch.arange(side, device=uniform.device) + 0.5).expand(len(uniform), side) / side
    if "crop" in how:
        size = SMALLEST + (1 - SMALLEST) * uniform[:, 1:2]
        at = (1 - size) * uniform[:, 2 + axis, None] + size * at
    pixel = (at * side).long()
    if "shift" in how:
        most = max(1, int(FARTHEST * side))
        pixel = pixel + (uniform[:, 4 + axis, None] * (2 * most + 1)).long() - most
    return pixel.clamp(0, side - 1)
