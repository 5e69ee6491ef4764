"""Examples in titled rows, each with its caption and a heat map of what its entries contribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from reparam.report.pictures import Brightness, Bytes, Picture, png, resized

TILE = (96, 160)  # smallest and largest side of an image, in pixels
GAP, MARGIN, ROWS_APART = 14, 18, 30
CAPTION, TITLE = 15, 18  # sizes of letters, in pixels
INK, QUIET, LINE = (28, 31, 36), (104, 110, 120), (205, 208, 214)
WASHED = 0.74  # of white, over an image under its heat
STRONGEST = 0.995  # of all parts that are shown, the quantile that is as hot as can be
# From cold to hot, see-through to nearly opaque; told apart in gray as well.
HEAT = ((255, 214, 120), (250, 150, 45), (222, 60, 30), (130, 8, 40))


@dataclass(frozen=True)
class HeatRow:
    """Examples side by side.

    Args:
        title: above them.
        x: (N, C, H, W), in data units.
        captions: a line or two below each.
        parts: (N, C, H, W), what entries contribute, of which those above 0 are hot; or None.
    """

    title: str
    x: Tensor
    captions: Sequence[str]
    parts: Tensor | None = None


def heat_rows(rows: Sequence[HeatRow], brightness: Brightness, said: str, alt: str) -> Picture:
    """Rows of examples on a light page: each as it is, its heat below, its caption last.

    The heat of all rows is on one scale, from 0.

    Args:
        rows: one above the other.
        brightness: of the images.
        said: lines at the foot.
        alt: what there is to see.
    """
    hottest = _hottest(rows)
    drawn = [_columns(row, brightness, hottest) for row in rows]
    crisp = drawn[0][1]
    tall, wide = drawn[0][0][0].shape[:2]
    caption = CAPTION * 1.35 * max(c.count("\n") + 1 for row in rows for c in row.captions)
    # A caption may be wider than its image.
    words = [line for row in rows for c in row.captions for line in c.split("\n")]
    step = GAP + max(wide, *(int(_font(CAPTION).getlength(w)) for w in words))
    height = round(TITLE * 1.8 + tall + caption + 8)
    columns = max(len(columns) for columns, _ in drawn)
    titles = [_font(TITLE, True).getlength(row.title) for row in rows]
    feet = [_font(CAPTION).getlength(line) for line in said.split("\n")]
    width = max(columns * step - GAP, *map(int, titles), *map(int, feet))
    foot = round(CAPTION * (1 + 1.35 * len(feet)))
    total = len(rows) * (height + ROWS_APART) - ROWS_APART + foot
    page = Image.new("RGB", (width + 2 * MARGIN, total + 2 * MARGIN), "white")
    pen, top = ImageDraw.Draw(page), MARGIN
    for row, (columns_of, _) in zip(rows, drawn, strict=True):
        pen.text((MARGIN, top), row.title, INK, _font(TITLE, True))
        under = top + round(TITLE * 1.8)
        for i, (tile, text) in enumerate(zip(columns_of, row.captions, strict=True)):
            left = MARGIN + i * step + (step - GAP - wide) // 2
            page.paste(Image.fromarray(tile), (left, under))
            middle = left + wide / 2
            place = (middle, under + tall + 8)
            pen.multiline_text(place, text, INK, _font(CAPTION), "ma", align="center")
        top += height + ROWS_APART
    pen.multiline_text((MARGIN, top - ROWS_APART + CAPTION), said, QUIET, _font(CAPTION))
    return png(np.asarray(page), alt, crisp)


def _hottest(rows: Sequence[HeatRow]) -> float:
    parts = [_by_pixel(row.parts).flatten() for row in rows if row.parts is not None]
    if not parts:
        return 1.0
    values = torch.cat(parts)
    values = values[values.isfinite()]
    if not len(values):
        return 1.0
    return float(np.quantile(values.numpy(), STRONGEST)) or float(values.max()) or 1.0


def _by_pixel(parts: Tensor) -> Tensor:
    """What is above 0 of the sum over channels, (N, H, W); infinite parts stay so."""
    return parts.double().cpu().sum(1).clamp(min=0).nan_to_num(0.0, posinf=torch.inf)


def _columns(row: HeatRow, brightness: Brightness, hottest: float) -> tuple[list[Bytes], bool]:
    """Each image, and below it the same washed out under its heat, framed."""
    images, crisp = resized(brightness.bytes(row.x.cpu()), *TILE)
    images = images.repeat(3, axis=3) if images.shape[3] == 1 else images
    if row.parts is None:
        return [_framed(image) for image in images], crisp
    share = (_by_pixel(row.parts) / hottest).clamp(0, 1)
    shares = (share * 255 + 0.5).byte()[..., None].numpy()
    heats, _ = resized(shares, *TILE)
    pairs = zip(images, heats, strict=True)
    space = np.full((6, images.shape[2] + 2, 3), 255, np.uint8)
    return [
        np.concatenate([_framed(image), space, _framed(_under_heat(image, heat))])
        for image, heat in pairs
    ], crisp


def _under_heat(image: Bytes, heat: Bytes) -> Bytes:
    gray = image.astype(np.float64).mean(2, keepdims=True)
    washed = gray * (1 - WASHED) + 255 * WASHED
    share = heat.astype(np.float64) / 255
    at = np.linspace(0, 1, len(HEAT))
    color = np.concatenate([np.interp(share, at, [c[i] for c in HEAT]) for i in range(3)], 2)
    cover = 0.94 * np.minimum(1, 1.5 * share) ** 1.4  # what is usual stays pale
    mixed: Bytes = (washed * (1 - cover) + color * cover + 0.5).astype(np.uint8)
    return mixed


def _framed(image: Bytes) -> Bytes:
    """With a thin line around, so that white images show on white."""
    height, width = image.shape[:2]
    framed = np.empty((height + 2, width + 2, 3), np.uint8)
    framed[:] = LINE
    framed[1:-1, 1:-1] = image
    return framed


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, so that pictures are the same everywhere."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)
