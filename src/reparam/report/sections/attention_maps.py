"""The section of attention: from where one patch of an image reads in the last layer."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from reparam.inspection import Attends
from reparam.model import Encoder, Model
from reparam.report import queries
from reparam.report.pictures import Brightness, Picture, grid, resized
from reparam.report.section import Section, Shown, WayCard, images
from reparam.report.selection import examples, frames, names

IMAGES, HEADS = 5, 6  # at most
TILE = (72, 96)  # smallest and largest side, in pixels
DIMMED, COVER = 0.55, 0.85  # of the image under its heat, of the heat where it is strongest
HEAT = (1.0, 0.62, 0.05)  # legible on black and on white
LINE = 2  # pixels, around the patch that reads


def build(shown: Shown) -> list[WayCard]:
    """Test images with a patch marked, and where it reads, on average over heads and by head."""
    rows = examples(shown.data.test, IMAGES, shown.seed)
    x = shown.data.test.x[rows]
    cards = []
    for index, label, model in shown.of(Encoder):
        if not attends(model):
            continue
        weights = queries.plain(model.attention(x))  # (B, heads, N, N)
        grid_of, few = model.token_grid, weights[:, :HEADS]
        asked = busiest(queries.in_data_units(x), grid_of)
        each = torch.arange(len(x))
        maps = torch.cat([weights.mean(1, keepdim=True), few], 1)[each, :, asked]
        alt = f"{label}: where one patch of each reads, of {names(shown.data, rows)}"
        picture = _picture(x, maps.unflatten(2, grid_of), asked, shown.brightness, alt)
        heads = [f"head {i + 1}" for i in range(few.shape[1])]
        cards.append(WayCard(index, label, [("", picture)], columns=["patch", "mean", *heads]))
    return cards


class _Attending(Encoder, Attends):
    """An encoder that looks at x by attention."""


def attends(model: Model) -> TypeGuard[_Attending]:
    return isinstance(model, Attends)


def busiest(x: Tensor, tokens: tuple[int, int]) -> Tensor:
    """The patch of each image (B, C, H, W) in which its values vary most, (B,).

    >>> x = torch.zeros(1, 1, 4, 4)
    >>> x[0, 0, 3, 3] = 1
    >>> busiest(x, (2, 2))
    tensor([3])
    """
    count, down, across = len(x), *_sides(x, tokens)
    padded = torch.full((count, tokens[0] * down, tokens[1] * across), torch.nan).double()
    padded[:, : x.shape[2], : x.shape[3]] = x.double().mean(1)
    patches = padded.unflatten(2, (tokens[1], across)).unflatten(1, (tokens[0], down))
    values = patches.transpose(2, 3).flatten(3)  # those of padding are NaN, and count nowhere
    spread = (values - values.nanmean(3, keepdim=True)).square().nanmean(3)
    return spread.flatten(1).argmax(1)


def _sides(x: Tensor, tokens: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a patch, the last ones perhaps reaching beyond the image."""
    return -(-x.shape[2] // tokens[0]), -(-x.shape[3] // tokens[1])


def _picture(x: Tensor, maps: Tensor, asked: Tensor, brightness: Brightness, alt: str) -> Picture:
    """A row for each image: itself with the patch that reads framed, then the maps (B, M, …)."""
    pixels, _ = resized(brightness.bytes(queries.in_data_units(x)), *TILE)
    shown = torch.from_numpy(np.broadcast_to(pixels, (*pixels.shape[:3], 3)).copy()) / 255
    whole = shown.permute(0, 3, 1, 2)  # (B, 3, h, w)
    tokens = (maps.shape[2], maps.shape[3])
    place = [_places(size, side, n) for size, side, n in _axes(whole, x, tokens)]
    shares = maps / maps.amax((2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    cover = COVER * shares[:, :, place[0]][:, :, :, place[1]][:, :, None]
    heat = torch.tensor(HEAT)[:, None, None]
    under = DIMMED * whole.mean(1, keepdim=True)[:, None]
    heated = under * (1 - cover) + heat * cover
    framed = torch.stack([_framed(*of, place, tokens) for of in zip(whole, asked, strict=True)])
    tiles = torch.cat([framed[:, None], heated], 1).flatten(0, 1)
    side = max(whole.shape[2:])
    columns = 1 + maps.shape[1]
    return grid(tiles, Brightness(0.0, 1.0), columns, alt, tile=(side, side))


def _axes(whole: Tensor, x: Tensor, tokens: tuple[int, int]) -> list[tuple[int, float, int]]:
    """Of height and width: pixels as shown, those of a patch, and how many patches there are."""
    sides = _sides(x, tokens)
    scales = [whole.shape[2 + i] / x.shape[2 + i] for i in range(2)]
    return [(whole.shape[2 + i], sides[i] * scales[i], tokens[i]) for i in range(2)]


def _places(size: int, side: float, count: int) -> Tensor:
    """The patch that each pixel is in."""
    return ((torch.arange(size) + 0.5) / side).long().clamp(max=count - 1)


def _framed(image: Tensor, asked: Tensor, place: list[Tensor], tokens: tuple[int, int]) -> Tensor:
    down, across = divmod(int(asked), tokens[1])
    rows, columns = ((place[i] == at).nonzero()[:, 0] for i, at in enumerate((down, across)))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    framed = torch.zeros(image.shape[1:], dtype=torch.bool)
    framed[top:bottom, left:right] = True
    framed[top + LINE : bottom - LINE, left + LINE : right - LINE] = False
    return torch.where(framed, torch.tensor(HEAT)[:, None, None], image)


def looked_at(shown: Shown) -> bool:
    """Images, not clips, and a model that looks at them by attention."""
    single = images(shown) and frames(shown.data.space, shown.data.bands) == 1
    return single and any(attends(model) for _, _, model in shown.of(Encoder))


SECTION: Section = Section(
    "attention",
    "Attention",
    """Test images, a patch of each framed, the one in which values vary most, and from which
patches it reads in the last layer: on average over the heads, then head by head, brightest where
most. Weights of the complete image, none hidden.""",
    build,
    "attention_maps.html.j2",
    looked_at,
)
