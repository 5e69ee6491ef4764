"""Digits in colors, drawn in code: the small digits of scikit-learn, each tinted by a hue."""

from __future__ import annotations

import colorsys

import numpy as np

HUES, LUMA = 10, 0.45


def colored_digits(rows: int = 1797, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 3, 8, 8) of bytes, their digits and their hues (N,).

    A stroke has the color of its hue, dark where the digit is dark. The ten hues lie evenly around
    the circle and are drawn by the seed, whatever the digit: brightness does not tell them.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(found.images))[:rows]
    hues = generator.integers(0, HUES, len(chosen))
    colors = np.array([colorsys.hsv_to_rgb(hue / HUES, 1.0, 1.0) for hue in range(HUES)])
    luma = (colors @ (0.299, 0.587, 0.114))[:, None]
    pale, dark = colors + (1 - colors) * (LUMA - luma) / (1 - luma), colors * LUMA / luma
    colors = np.where(luma < LUMA, pale, dark)  # equally bright: gray says nothing of them
    images = found.images[chosen, None] / 16 * colors[hues][:, :, None, None]
    return (
        np.round(255 * images).astype(np.uint8),
        found.target[chosen].astype(np.int64),
        hues,
    )
