"""How near a codec's reconstructions are to the data."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.data import Split
from reparam.evaluation.rows import batches
from reparam.evaluation.scores import Scores, mean_score
from reparam.model import Codec, Space

SMALLEST_ERROR = 1e-10  # a perfect picture counts as 100 dB


def unit_range(x: Tensor, space: Space) -> Tensor:
    """Discrete data divided by K−1, into [0, 1]; real data as they are."""
    return x if space.level_count is None else x / (space.level_count - 1)


@torch.no_grad()
def squared_errors(model: Codec, split: Split) -> Tensor:
    """The mean squared error over the entries of each row, (N,), on ``unit_range`` values."""
    errors = []
    for x, c in batches(model, split):
        restored = unit_range(model.reconstruct(x, c).cpu().double(), model.space)
        original = unit_range(x.to(restored), model.space)
        errors.append((restored - original).flatten(1).square().mean(1))
    return torch.cat(errors)


def reconstruction_scores(
    model: Codec, split: Split, name: str = "test", value_range: float | None = None
) -> Scores:
    """``reconstruction_mse`` per entry and, for images, ``psnr`` in decibels.

    Args:
        model: any codec.
        split: its examples.
        name: of the split.
        value_range: peak of the PSNR for real images; discrete data have 1.
    """
    errors = squared_errors(model, split)
    unit = "per entry, values in [0, 1]" if model.space.kind != "real" else "squared data units"
    scores = {"reconstruction_mse": mean_score(errors, unit, name)}
    peak = value_range if model.space.kind == "real" else 1.0
    if model.space.is_image and peak:
        decibels = 10 * torch.log10(peak**2 / errors.clamp(min=SMALLEST_ERROR * peak**2))
        scores["psnr"] = mean_score(decibels, "dB", name)
    return scores
