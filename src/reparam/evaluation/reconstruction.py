"""How near a codec's reconstructions are to the data, and how sharp."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.rows import batches, subset
from reparam.evaluation.scores import Score, Scores, mean_score, ratio_score
from reparam.evaluation.vectors import Vectors
from reparam.model import Codec

SMALLEST_ERROR = 1e-10  # a perfect picture counts as 100 dB
MOST_PICTURES = 500  # whose sharpness is measured


Errors = tuple[Tensor, Tensor]  # of each row: their sum, and over how many entries


def error_score(parts: Iterable[Errors], unit: str, name: str, seed: int | None = None) -> Score:
    """The mean squared error per entry that is there, from ``Vectors.errors`` in parts.

    Args:
        parts: of the rows of a split, in their order.
        unit: of the errors.
        name: of the split.
        seed: of what is random in them.

    >>> error_score([(torch.tensor([2.0, 1.0]), torch.tensor([2.0, 1.0]))], "", "test").value
    1.0
    """
    total, count = (torch.cat(column) for column in zip(*parts, strict=True))
    if (count == count[0]).all():
        return mean_score(total / count, unit, name, seed=seed)
    return ratio_score(total, count, unit, name, seed=seed)


@torch.no_grad()
def squared_errors(model: Codec, split: Split, vectors: Vectors) -> list[Errors]:
    """The ``Vectors.errors`` of the reconstructions of a split, in parts."""
    return [vectors.errors(model.reconstruct(x, c), x) for x, c, _ in batches(model, split)]


def reconstruction_scores(model: Codec, split: Split, train: Split, name: str = "test") -> Scores:
    """``reconstruction_mse`` per entry and, for images, ``psnr`` in decibels.

    The error of discrete data is on x/(K−1), of real images in their own units, of real tables in
    training standard deviations of each column: 1 is what the means alone would give. Of mixed data
    it is that of ``Vectors``: of names the share of wrong ones.

    Args:
        model: any codec.
        split: its examples.
        train: sets the deviations of tables, and the peak of the PSNR of real images.
        name: of the split.
    """
    space = model.space
    vectors = Vectors(space, train.x)
    score = error_score(squared_errors(model, split, vectors), vectors.unit, name)
    scores = {"reconstruction_mse": score}
    peak = 1.0 if space.kind != "real" else (train.x.max() - train.x.min()).item()
    errors = score.values
    if space.is_image and peak and errors is not None:
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
