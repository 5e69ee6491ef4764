"""Measures of the shape that a gray image shows, from its moments; each image by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

ROUNDING = 1e-18  # square pixels: a variance below is that of one row


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
    return torch.rad2deg(torch.arctan(-mixed / torch.where(down > ROUNDING, down, torch.nan)))


def width(p: Tensor) -> Tensor:
    """The width of the even bar that spreads as far sideways, √(12 μ₂₀ + 1), in pixels."""
    across, _, _ = _second_moments(p)
    return (12 * across + 1).sqrt()


def height(p: Tensor) -> Tensor:
    """The height of the even bar that spreads as far up and down, √(12 μ₀₂ + 1), in pixels."""
    _, down, _ = _second_moments(p)
    return (12 * down + 1).sqrt()


def thickness(p: Tensor) -> Tensor:
    """Twice the ink by the length of its edge, 2 Σ p / Σ |∇p|, in pixels: the breadth of a stroke.

    ∇p are mean differences over the 2 × 2 blocks of the image with black around it, so that edges
    count by their length whichever way they run and however soft they are. A stroke much longer
    than broad, straight or not, has its breadth, a disc its radius. A bar of w × h pixels, whose
    four corners the differences cut, has 2 w h / (2 w + 2 h − 4 + √8).
    """
    around = pad(p, (1, 1, 1, 1))
    right = avg_pool2d(around.diff(dim=2)[:, None], (2, 1), 1)
    down = avg_pool2d(around.diff(dim=1)[:, None], (1, 2), 1)
    edge = (right.square() + down.square()).sqrt().sum((1, 2, 3))
    return 2 * p.sum((1, 2)) / torch.where(edge > 0, edge, torch.nan)


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
    "slant": (slant, "°"),
    "width": (width, " px"),
    "height": (height, " px"),
    "thickness": (thickness, " px"),
    "ink": (ink, ""),
}


def measure_images(x: Tensor, name: str, scale: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """One measure of each image, (B,) in float64.

    Args:
        x: (B, 1, H, W), in data units; or (B, H, W).
        name: one of ``MEASURES``: slant, width, height, thickness or ink.
        scale: the values that are black and white; beyond them it is no darker or brighter.

    Returns:
        (B,); of a black image ink is 0 and the others are NaN, as it shows nothing that has a
        shape. A row depends on no other.

    >>> bar = torch.zeros(1, 1, 9, 9)
    >>> bar[..., 1:8, 3:5] = 16
    >>> names = "ink", "width", "height", "thickness"
    >>> [round(measure_images(bar, name, (0, 16)).item(), 3) for name in names]
    [0.173, 2.0, 7.0, 1.664]
    """
    low, high = scale
    p = (x.detach().double().cpu() - low) / ((high - low) or 1.0)
    return MEASURES[name][0](p.clamp(0, 1).reshape(len(x), *x.shape[-2:]))
