"""Monotone rational-quadratic splines as pure functions: knots, both directions, slopes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SHARE = 1e-2  # of a bin, in bins of equal size
LEAST_SLOPE = 1e-3
# softplus⁻¹(1 − least): what makes a slope of 1 of 0.
SLOPE_BIAS = math.log(math.expm1(1 - LEAST_SLOPE))


def spline_knots(raw: Tensor, bins: int, bound: float) -> Tensor:
    """Knots from any numbers: their x, y and slopes, (3, B, K + 1, *rest).

    The first and last are ±``bound`` exactly with slope 1, where the identity goes on; all zeros
    are the identity.

    Args:
        raw: (B, 3K − 1, *rest), K numbers for widths, K for heights, K − 1 for inner slopes.
        bins: K.
        bound: half the side of the square that holds the knots.

    >>> spline_knots(torch.zeros(1, 5), 2, 3.0)[:2, 0].tolist()
    [[-3.0, 0.0, 3.0], [-3.0, 0.0, 3.0]]
    """
    sides, slopes = raw.split([2 * bins, bins - 1], 1)
    inner = LEAST_SLOPE + F.softplus(slopes + SLOPE_BIAS)
    end = torch.ones_like(raw[:, :1])
    ticks = _ticks(sides.unflatten(1, (2, bins)), bound)
    return torch.cat([ticks, torch.cat([end, inner, end], 1)[:, None]], 1).transpose(0, 1)


def _ticks(raw: Tensor, bound: float) -> Tensor:
    """Where bins end along both sides, (B, 2, K + 1, *rest): together, as small steps cost."""
    bins = raw.shape[2]
    share = LEAST_SHARE / bins + (1 - LEAST_SHARE) * raw.softmax(2)
    inner = bound * (2 * share[:, :, :-1].cumsum(2) - 1)
    end = torch.full_like(raw[:, :, :1], bound)
    return torch.cat([-end, inner, end], 2)


def spline(x: Tensor, knots: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """y and ln dy/dx of every x (B, *rest), knots (3, 1 or B, K + 1, *rest); the identity outside.

    Reference: Durkan et al. 2019, "Neural spline flows", eq. 4 and 5.
    https://arxiv.org/abs/1906.04032
    """
    # Clamped before the bin is sought, so that what ``where`` leaves out has finite gradients.
    at = x.clamp(-bound, bound)
    piece = _piece_of(at, knots, 0)
    theta = (at - piece.x) / piece.width
    height = piece.s * theta.square() + piece.first * theta * (1 - theta)
    y = piece.y + piece.height * height / _denominator(theta, piece)
    return _outside_identity(x, y, _log_slope(theta, piece), bound)


def spline_inverse(y: Tensor, knots: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """x and ln dx/dy of every y (B, *rest), knots (3, 1 or B, K + 1, *rest); the identity outside.

    θ, the place in the bin, is a root of aθ² + bθ + c: of its two forms, that without a difference.

    Reference: Durkan et al. 2019, eq. 6 to 8 and 29.
    https://arxiv.org/abs/1906.04032
    """
    at = y.clamp(-bound, bound)
    piece = _piece_of(at, knots, 1)
    rise = at - piece.y
    bend = rise * (piece.first + piece.last - 2 * piece.s)
    a, b, c = (
        bend + piece.height * (piece.s - piece.first),
        piece.height * piece.first - bend,
        -piece.s * rise,
    )
    # It is no less than 0, but for rounding; the root of 0 has no gradient.
    root = (b.square() - 4 * a * c).clamp(min=torch.finfo(y.dtype).tiny).sqrt()
    # Where b < 0 the slopes' sum is above 2s, so that a > s · height > 0.
    falls = b < 0
    theta = torch.where(falls, root - b, 2 * c) / torch.where(falls, 2 * a, -b - root)
    theta = theta.clamp(0, 1)
    x = piece.x + piece.width * theta
    return _outside_identity(y, x, -_log_slope(theta, piece), bound)


class _Piece(NamedTuple):
    """Of every entry: where its bin begins, its sides, mean slope, first and last slope."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    s: Tensor
    first: Tensor
    last: Tensor


def _piece_of(at: Tensor, knots: Tensor, axis: int) -> _Piece:
    """The bin in which ``at`` (B, *rest) lies along x (0) or y (1)."""
    index = (at.unsqueeze(1) >= knots[axis, :, 1:-1]).sum(1, keepdim=True)
    both = torch.cat([index, index + 1], 1).expand(3, -1, *[-1] * at.ndim)
    rows = knots.expand(-1, at.shape[0], *[-1] * at.ndim)
    (x, x_end), (y, y_end), (first, last) = (ends.unbind(1) for ends in rows.gather(2, both))
    width, height = x_end - x, y_end - y
    return _Piece(x, y, width, height, height / width, first, last)


def _denominator(theta: Tensor, piece: _Piece) -> Tensor:
    """s + (d + d' − 2s) θ(1 − θ) of eq. 4, as a sum of what is positive."""
    inner = theta * (1 - theta)
    return piece.s * (1 - 2 * inner) + (piece.first + piece.last) * inner


def _log_slope(theta: Tensor, piece: _Piece) -> Tensor:
    rest = 1 - theta
    slope = piece.last * theta.square() + 2 * piece.s * theta * rest + piece.first * rest.square()
    return (slope * (piece.s / _denominator(theta, piece)).square()).log()


def _outside_identity(
    v: Tensor, value: Tensor, ladj: Tensor, bound: float
) -> tuple[Tensor, Tensor]:
    inside = v.abs() < bound
    return torch.where(inside, value, v), torch.where(inside, ladj, torch.zeros_like(ladj))
