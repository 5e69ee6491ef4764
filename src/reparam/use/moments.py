"""Measures of the shape that a gray image shows, from its moments; each image by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

CORNERS = 4 - math.sqrt(8)  # pixels of edge that the differences over 2 × 2 blocks cut off a bar


def ink(p: Tensor) -> Tensor:
    """The mean value of images p in [0, 1], (B, H, W): how much of it is bright."""
    return p.mean((1, 2))


def slant(p: Tensor) -> Tensor:
    """The angle by which an upright shape is sheared to the right, in degrees.

    arctan(−μ₁₁/μ₀₂) with the central moments μᵢⱼ = Σ p (u−ū)ⁱ (v−v̄)ʲ / Σ p, u to the right and v
    downwards: of a bar whose rows are moved right by s pixels for each row further up, arctan s.
    """
    _, down, mixed = _second_moments(p)
    # A shape of one row leans nowhere: 0/0.
    return torch.rad2deg(torch.arctan(-mixed / torch.where(down > 0, down, torch.nan)))


def width(p: Tensor) -> Tensor:
    """The width of the even bar that spreads as far sideways, √(12 μ₂₀ + 1), in pixels."""
    across, _, _ = _second_moments(p)
    return (12 * across + 1).sqrt()


def height(p: Tensor) -> Tensor:
    """The height of the even bar that spreads as far up and down, √(12 μ₀₂ + 1), in pixels."""
    _, down, _ = _second_moments(p)
    return (12 * down + 1).sqrt()


def thickness(p: Tensor) -> Tensor:
    """The shorter side of the bar that has as much ink and as long an edge, in pixels.

    t = P/4 − √(P²/16 − A), with the area A = Σ p and the edge's length P = Σ |∇p| + 4 − √8 (a
    stroke that is curled up has the same). ∇p are mean differences over the 2 × 2 blocks of the
    image with black around it; they cut the four corners of a bar, which 4 − √8 gives back, so that
    t is exact for bars. Of a disc, whose edge is shorter than that of any bar of its area, P/4.
    """
    around = pad(p, (1, 1, 1, 1))
    right = avg_pool2d(around.diff(dim=2)[:, None], (2, 1), 1)
    down = avg_pool2d(around.diff(dim=1)[:, None], (1, 2), 1)
    quarter = ((right.square() + down.square()).sqrt().sum((1, 2, 3)) + CORNERS) / 4
    area = p.sum((1, 2))
    found = quarter - (quarter.square() - area).clamp(min=0).sqrt()
    return torch.where(area > 0, found, torch.nan)


def _second_moments(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """μ₂₀, μ₀₂ and μ₁₁ of each image; NaN where it is black: nothing is nowhere."""
    mass = p.sum((1, 2), keepdim=True)
    share = p / torch.where(mass > 0, mass, torch.nan)
    u = torch.arange(p.shape[2]).to(p)[None, None, :]
    v = torch.arange(p.shape[1]).to(p)[None, :, None]
    u = u - (share * u).sum((1, 2), keepdim=True)
    v = v - (share * v).sum((1, 2), keepdim=True)
    across, down = (share * u.square()).sum((1, 2)), (share * v.square()).sum((1, 2))
    return across, down, (share * u * v).sum((1, 2))


MEASURES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "ink": (ink, ""),
    "slant": (slant, "°"),
    "width": (width, " px"),
    "height": (height, " px"),
    "thickness": (thickness, " px"),
}


def measure_images(x: Tensor, name: str, scale: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """One measure of each image, (B,) in float64.

    Args:
        x: (B, 1, H, W), in data units; or (B, H, W).
        name: one of ``MEASURES``: ink, slant, width, height or thickness.
        scale: the values that are black and white; beyond them it is no darker or brighter.

    Returns:
        (B,); of a black image ink is 0 and the others are NaN, as it shows nothing that has a
        shape. A row depends on no other.

    >>> bar = torch.zeros(1, 1, 9, 9)
    >>> bar[..., 1:8, 3:5] = 16
    >>> [round(measure_images(bar, name, (0, 16)).item(), 3) for name in MEASURES]
    [0.173, -0.0, 2.0, 7.0, 2.0]
    """
    low, high = scale
    p = (x.detach().double().cpu() - low) / ((high - low) or 1.0)
    return MEASURES[name][0](p.clamp(0, 1).reshape(len(x), *x.shape[-2:]))
