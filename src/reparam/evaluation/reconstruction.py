"""How near a codec's reconstructions are to the data, and how sharp."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.rows import batches, subset
from reparam.evaluation.scores import Score, Scores, mean_score, ratio_score
from reparam.model import Codec, Space

SMALLEST_ERROR = 1e-10  # a perfect picture counts as 100 dB
MOST_PICTURES = 500  # whose sharpness is measured


def unit_range(x: Tensor, space: Space) -> Tensor:
    """Discrete data divided by K−1, into [0, 1]; real data as they are."""
    return x if space.level_count is None else x / (space.level_count - 1)


def deviations(space: Space, train: Split) -> Tensor:
    """What the errors of real tables are divided by: each column's deviation in training, (D,).

    Columns have units of their own, and the one with the largest numbers would decide alone. Images
    and discrete data have one unit: ones. A constant column keeps 1.
    """
    if space.is_image or space.kind != "real":
        return torch.ones((), dtype=torch.float64)
    deviation = train.x.cpu().double().std(0, correction=0)
    return torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def scaled_vectors(x: Tensor, space: Space, scale: Tensor) -> Tensor:
    """x as float64 vectors in which distances are taken, (N, D): ``unit_range`` over ``scale``."""
    return (unit_range(x.cpu().double(), space) / scale).flatten(1)


def distances(restored: Tensor, x: Tensor, space: Space, scale: Tensor) -> Tensor:
    """The mean squared error over the entries of each row, (N,), on ``unit_range`` values."""
    error = unit_range(restored.cpu().double(), space) - unit_range(x.cpu().double(), space)
    return (error / scale).flatten(1).square().mean(1)


def error_unit(space: Space) -> str:
    """The unit of ``distances``."""
    if space.kind != "real":
        return "per entry, values in [0, 1]"
    return "squared data units" if space.is_image else "variances, per entry"


@torch.no_grad()
def squared_errors(model: Codec, split: Split, scale: Tensor) -> Tensor:
    """The ``distances`` of the reconstructions of a split, (N,)."""
    space = model.space
    return torch.cat(
        [distances(model.reconstruct(x, c), x, space, scale) for x, c, _ in batches(model, split)]
    )


def reconstruction_scores(model: Codec, split: Split, train: Split, name: str = "test") -> Scores:
    """``reconstruction_mse`` per entry and, for images, ``psnr`` in decibels.

    The error of discrete data is on x/(K−1), of real images in their own units, of real tables in
    training standard deviations of each column: 1 is what the means alone would give.

    Args:
        model: any codec.
        split: its examples.
        train: sets the deviations of tables, and the peak of the PSNR of real images.
        name: of the split.
    """
    space = model.space
    errors = squared_errors(model, split, deviations(space, train))
    scores = {"reconstruction_mse": mean_score(errors, error_unit(space), name)}
    peak = 1.0 if space.kind != "real" else (train.x.max() - train.x.min()).item()
    if space.is_image and peak:
        decibels = 10 * torch.log10(peak**2 / errors.clamp(min=SMALLEST_ERROR * peak**2))
        scores["psnr"] = mean_score(decibels, "dB", name)
    return scores


def laplacian_variance(x: Tensor) -> Tensor:
    """The variance over the inner pixels of Σ (four neighbors) − 4 · pixel, mean of channels.

    Shape: (N, C, H, W), H and W at least 3 → (N,).

    Reference: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy", section 3,
    for its use as a measure of focus.

    >>> laplacian_variance(torch.arange(16.0).view(1, 1, 4, 4))  # a slope has no edges
    tensor([0.])
    """
    inner = x[..., 1:-1, 1:-1]
    across = x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    down = x[..., :-2, 1:-1] + x[..., 2:, 1:-1]
    return (across + down - 4 * inner).flatten(2).var(2, correction=0).mean(1)


@torch.no_grad()
def sharpness(model: Codec, split: Split, name: str = "test", seed: int = 0) -> Score | None:
    """Mean ``laplacian_variance`` of reconstructions over that of their originals.

    1 is as sharp, less is blurred, more has edges or noise of its own. It does not depend on the
    scale of the data. At most 500 images, drawn at random, are reconstructed. None for what is no
    image, for images of under 3 pixels, and for originals without a single edge.

    Args:
        model: any codec; means are measured, not samples.
        split: its examples.
        name: of the split.
        seed: of the images.
    """
    if not model.space.is_image or min(model.space.shape[1:]) < 3:
        return None
    chosen = subset(split, MOST_PICTURES, seed)
    restored, originals = [], []
    for x, c, _ in batches(model, chosen):
        restored.append(laplacian_variance(model.reconstruct(x, c).cpu().double()))
        originals.append(laplacian_variance(x.cpu().double()))
    below = torch.cat(originals)
    if not below.sum() > 0:
        return None
    drawn = seed if len(chosen) < len(split) else None
    return ratio_score(torch.cat(restored), below, "of the originals", name, seed=drawn)
