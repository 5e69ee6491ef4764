"""Images as PNG data URIs: values to bytes, tiles to grids."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from reparam.data import Data

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

TILE = 64  # pixels: tiles below are enlarged by a whole factor to at least this
LARGEST_TILE = 96  # pixels: tiles above are reduced, so that the page stays light
GAP = 0.06  # of a tile, between tiles


@dataclass(frozen=True)
class Picture:
    """An image ready for the page.

    Args:
        source: the PNG as a data URI.
        width, height: in pixels.
        alt: what there is to see, in words.
        crisp: whether single pixels are to stay visible when the browser scales it.
    """

    source: str
    width: int
    height: int
    alt: str
    crisp: bool


@dataclass(frozen=True)
class Brightness:
    """The range of values that is shown from black to white.

    Args:
        low, high: the values shown as 0 and 255; what lies outside is clipped.

    >>> Brightness(0.0, 16.0).bytes(torch.tensor([[[[0.0, 8.0, 99.0]]]])).ravel().tolist()
    [0, 128, 255]
    """

    low: float
    high: float

    @classmethod
    def of(cls, data: Data) -> Brightness:
        """Discrete data over their levels, real data over the range of the training split."""
        levels = data.space.level_count
        if levels is not None:
            return cls(0.0, float(levels - 1))
        low, high = float(data.train.x.min()), float(data.train.x.max())
        return cls(low, high if high > low else low + 1)

    def bytes(self, x: Tensor) -> Bytes:
        """Images (N, C, H, W) as bytes (N, H, W, 1 or 3)."""
        unit = (x.float() - self.low) / (self.high - self.low)
        unit = unit.nan_to_num(0.0).clamp(0, 1)
        return (_visible(unit) * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()


def _visible(x: Tensor) -> Tensor:
    """One channel as grey, the first three as RGB; of two channels the blue one stays black."""
    channels = x.shape[1]
    if channels == 2:
        return torch.cat([x, torch.zeros_like(x[:, :1])], 1)
    return x[:, :1] if channels == 1 else x[:, :3]


def grid(
    tiles: Tensor,
    brightness: Brightness,
    columns: int,
    alt: str,
    *,
    gap: bool = True,
    largest: int = LARGEST_TILE,
) -> Picture:
    """Images (N, C, H, W) in rows of ``columns``, from the upper left, with see-through gaps."""
    pixels, crisp = _resize(brightness.bytes(tiles), largest)
    n, height, width, channels = pixels.shape
    space = max(1, round(GAP * max(height, width))) if gap else 0
    rows = -(-n // columns)
    canvas = np.zeros(
        (rows * (height + space) - space, columns * (width + space) - space, channels + 1),
        dtype=np.uint8,
    )
    for index, tile in enumerate(pixels):
        top, left = divmod(index, columns)
        y, x = top * (height + space), left * (width + space)
        canvas[y : y + height, x : x + width, :channels] = tile
        canvas[y : y + height, x : x + width, channels] = 255
    return png(canvas if gap or n < rows * columns else canvas[..., :channels], alt, crisp)


def _resize(tiles: Bytes, largest: int) -> tuple[Bytes, bool]:
    """Small tiles enlarged by a whole factor, large ones reduced; and whether pixels stay crisp."""
    side = max(tiles.shape[1:3])
    if side > largest:
        size = [max(1, round(n * largest / side)) for n in tiles.shape[1:3]]
        x = torch.from_numpy(tiles).permute(0, 3, 1, 2).float()
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
        return (x + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy(), False
    factor = -(-min(TILE, largest) // side)
    return tiles.repeat(factor, axis=1).repeat(factor, axis=2), side < 48


def png(pixels: Bytes, alt: str, crisp: bool) -> Picture:
    """Bytes (H, W, channels) as a picture: grey, grey and alpha, RGB or RGB and alpha."""
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(flat)).save(file, "PNG", optimize=True)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    height, width = pixels.shape[:2]
    return Picture(f"data:image/png;base64,{text}", width, height, alt, crisp)
