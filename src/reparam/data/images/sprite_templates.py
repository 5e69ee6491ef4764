"""Sprites drawn once each from signed distances, on canvases that images are windows of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reparam.data.images.image_reading import Array

ELLIPSE = np.array([1.0, 0.6])  # its half axes, of which the longer is the radius
DIGITS = 6  # of a distance in pixels: turned by its own symmetry, a shape is the same to the bit

# A heart is a square that stands on a corner, with half disks on both upper sides. Its side is 1
# here, and its corner the origin, from which the center of its area is as far along both sides:
HEART_CENTER = (7 / 12 + 3 * np.pi / 16) / (1 + np.pi / 4)
HEART_RADIUS = np.sqrt(2) * HEART_CENTER  # no point of it is farther from there than the corner


def _disk(x: Array, y: Array, radius: float) -> Array:
    return np.hypot(x, y) - radius


def _box(x: Array, y: Array, half: float) -> Array:
    beside, below = np.abs(x) - half, np.abs(y) - half
    outside = np.hypot(np.maximum(beside, 0), np.maximum(below, 0))
    distance: Array = outside + np.minimum(np.maximum(beside, below), 0)
    return distance


def _square(x: Array, y: Array) -> Array:
    return _box(x, y, np.sqrt(0.5))


def _ellipse(x: Array, y: Array) -> Array:
    """To first order, which is exact on the edge; in the center the gradient is 0."""
    a, b = ELLIPSE
    at = np.hypot(x / a, y / b)
    gradient = np.maximum(np.hypot(x / a**2, y / b**2), np.finfo(float).tiny)
    return np.where(at > 0, at * (at - 1) / gradient, -b)


def _heart(x: Array, y: Array) -> Array:
    right = HEART_CENTER + HEART_RADIUS * (x - y) / np.sqrt(2)  # along its sides; y points down
    left = HEART_CENTER + HEART_RADIUS * (-x - y) / np.sqrt(2)
    disks = np.minimum(_disk(right - 1, left - 0.5, 0.5), _disk(right - 0.5, left - 1, 0.5))
    return np.minimum(_box(right - 0.5, left - 0.5, 0.5), disks) / HEART_RADIUS


# Signed distances (negative inside) from points in units of the radius, around the center of the
# area, and the angle after which a turned shape is the same.
SHAPES: dict[str, tuple[Callable[[Array, Array], Array], float]] = {
    "square": (_square, np.pi / 2),
    "ellipse": (_ellipse, np.pi),
    "heart": (_heart, 2 * np.pi),
}


def templates(
    shape: str, radius: float, angles: Array, centers: Array, side: int, antialias: bool
) -> Array:
    """One shape of one size, turned and moved: (angles, centers, centers, side, side) in uint8.

    Args:
        shape: one of ``SHAPES``.
        radius: from the center of the area to the farthest point, in pixels.
        angles: (A,), counterclockwise, in radians.
        centers: (C,), places of the center from the upper left corner of the canvas, in pixels;
            the first axis of them is that of y.
        side: of the canvas.
        antialias: whether a pixel on the edge is as bright as its share inside, 0 … 255; else
            pixels are 1 where their middle is inside.

    >>> templates("square", 2.0, np.zeros(1), np.array([2.0]), 4, False)[0, 0, 0].tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    apart = (np.arange(side) + 0.5 - centers[:, None]) / radius  # (C, side)
    y, x = apart[:, None, :, None], apart[None, :, None, :]
    cos, sin = (f(angles)[:, None, None, None, None] for f in (np.cos, np.sin))
    distance = radius * SHAPES[shape][0](cos * x - sin * y, sin * x + cos * y)
    distance = distance.round(DIGITS)
    if antialias:
        return np.rint(255 * (0.5 - distance).clip(0, 1)).astype(np.uint8)
    return (distance <= 0).astype(np.uint8)
