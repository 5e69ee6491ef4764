"""Images as PNG data URIs: values to bytes, tiles to grids."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
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
TILES_AT_ONCE = 500  # are numbers before they are bytes
GAP = 0.1  # of a tile, between tiles
FRAME = (128, 90)  # gray and alpha of a line around tiles, so that white ones show on white
STRIPES, HATCH = 4, (104, 152)  # of what is NaN: pixels of a diagonal stripe, and two grays


@dataclass(frozen=True)
class Picture:
    """An image ready for the page.

    Args:
        data: the PNG file.
        width, height: in pixels.
        alt: what there is to see, in words.
        crisp: whether single pixels are to stay visible when the browser scales it.
    """

    data: bytes
    width: int
    height: int
    alt: str
    crisp: bool

    @property
    def source(self) -> str:
        """The file as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.data).decode("ascii")


@dataclass(frozen=True)
class Brightness:
    """The range of values that is shown from black to white.

    Args:
        low, high: the values shown as 0 and 255; what lies outside is clipped.
        bands: the channels that are shown of images that have them; None: the first three.

    >>> Brightness(0.0, 16.0).bytes(torch.tensor([[[[0.0, 8.0, 99.0]]]])).ravel().tolist()
    [0, 128, 255]
    """

    low: float
    high: float
    bands: tuple[int, ...] | None = None

    @classmethod
    def of(cls, data: Data) -> Brightness:
        """Discrete data over their levels, real data over the range of the training split."""
        levels = data.space.level_count
        if levels is not None:
            return cls(0.0, float(levels - 1), data.bands)
        low, high = float(data.train.x.min()), float(data.train.x.max())
        return cls(low, high if high > low else low + 1, data.bands)

    def unit(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) between 0, black, and 1, white."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return ((x - self.low) / (self.high - self.low)).nan_to_num(0.0).clamp(0, 1)

    def bytes(self, x: Tensor) -> Bytes:
        """Images (N, C, H, W) as bytes (N, H, W, 1 or 3)."""
        x = self.unit(self.shown(x))
        if x.shape[1] == 2:  # as red and green; blue stays black
            x = torch.cat([x, torch.zeros_like(x[:, :1])], 1)
        return (x * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()

    def shown(self, x: Tensor) -> Tensor:
        """The channels that are seen: those chosen, or the first three, as RGB; one as gray."""
        return (x[:, self.bands] if self.bands and x.shape[1] > max(self.bands) else x)[:, :3]


def grid(
    tiles: Tensor,
    brightness: Brightness,
    columns: int,
    alt: str,
    *,
    gap: float = GAP,
    apart: Sequence[int] = (),
    tile: tuple[int, int] = (TILE, LARGEST_TILE),
) -> Picture:
    """Images (N, C, H, W) in rows of ``columns``, from the upper left.

    Pixels that are NaN are hatched, so that nobody takes them for a value.

    Args:
        tiles: the images, in data units.
        brightness: from black to white.
        columns: images per row.
        alt: what there is to see.
        gap: see-through space between images, as a share of their longer side; with 0 there
            are no frames either.
        apart: columns with a wider gap before them.
        tile: smallest and largest side of an image, in pixels.
    """
    parts = [_drawn(part, brightness, tile) for part in tiles.split(TILES_AT_ONCE)]
    pixels, crisp = np.concatenate([part for part, _ in parts]), parts[0][1]
    n, height, width, channels = pixels.shape
    space, edge = (max(3, round(gap * max(height, width))), 1) if gap else (0, 0)
    steps = [c * (width + space) + 3 * space * sum(c >= a for a in apart) for c in range(columns)]
    lefts = [edge + step for step in steps]
    tops = [edge + row * (height + space) for row in range(-(-n // columns))]
    size = (tops[-1] + height + edge, lefts[-1] + width + edge, channels + 1)
    canvas = np.zeros(size, dtype=np.uint8)
    for index, image in enumerate(pixels):
        y, x = tops[index // columns], lefts[index % columns]
        if edge:
            canvas[y - 1 : y + height + 1, x - 1 : x + width + 1] = [FRAME[0]] * channels + [
                FRAME[1]
            ]
        canvas[y : y + height, x : x + width, :channels] = image
        canvas[y : y + height, x : x + width, channels] = 255
    opaque = canvas[..., channels].all()
    return png(canvas[..., :channels] if opaque else canvas, alt, crisp)


def _drawn(tiles: Tensor, brightness: Brightness, tile: tuple[int, int]) -> tuple[Bytes, bool]:
    """Images in the size in which they are shown, and whether their pixels stay crisp."""
    pixels, crisp = resized(brightness.bytes(tiles), *tile)
    absent = brightness.shown(tiles).isnan().any(1)
    if absent.any():
        shape = pixels.shape[1:3]
        where = F.interpolate(absent[:, None].float(), size=shape, mode="nearest")[:, 0] > 0
        across, down = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
        stripe = ((across + down) // STRIPES % 2).numpy()
        grays = np.array(HATCH, np.uint8)[stripe][None, ..., None]
        pixels = np.where(where.numpy()[..., None], grays, pixels)
    return pixels, crisp


def resized(tiles: Bytes, smallest: int, largest: int) -> tuple[Bytes, bool]:
    """Small tiles enlarged by a whole factor, large ones reduced; and whether pixels stay crisp."""
    side = max(tiles.shape[1:3])
    if side > largest:
        size = [max(1, round(n * largest / side)) for n in tiles.shape[1:3]]
        x = torch.from_numpy(tiles).permute(0, 3, 1, 2).float()
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
        return (x + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy(), False
    factor = -(-smallest // side)
    return tiles.repeat(factor, axis=1).repeat(factor, axis=2), side < 48


def png(pixels: Bytes, alt: str, crisp: bool) -> Picture:
    """Bytes (H, W, channels) as a picture: gray, gray and alpha, RGB or RGB and alpha."""
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    file = io.BytesIO()
    # Level 9 takes ten times as long and saves three percent.
    Image.fromarray(np.ascontiguousarray(flat)).save(file, "PNG", compress_level=6)
    height, width = pixels.shape[:2]
    return Picture(file.getvalue(), width, height, alt, crisp)
