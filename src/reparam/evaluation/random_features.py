"""Features of a fixed random network, in which samples are compared by default."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.batching import in_batches, rows_at_once
from reparam.evaluation.vectors import Vectors
from reparam.model import Space

Extractor = Callable[[Tensor], Tensor]  # x in data units (B, *shape) → features (B, F)

FEATURES = 64


class RandomFeatures(nn.Module):
    """Features of a fixed random network: in which samples are compared by default.

    Images pass three random 3×3 convolutions with ReLU, halved in between, and are averaged over
    a 2×2 grid; vectors pass one random ReLU layer of 256 units. A random projection leaves 64
    features. Input columns (channels) and features are standardized by the training data; mixed
    data enter as ``Vectors``, centered. Nothing is downloaded and the same seed gives the same
    features everywhere; the distances compare models on one data set, they are not those of
    Inception features.

    Args:
        space: what x is.
        reference: training examples that set the scales.
        seed: of the random weights.

    ``of_reference`` are the features of the reference.

    Shape: (B, *space.shape) → (B, 64).

    >>> x = torch.rand(9, 5)
    >>> RandomFeatures(Space((5,), "real"), x)(x).shape
    torch.Size([9, 64])
    """

    def __init__(self, space: Space, reference: Tensor, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.rows_at_once = rows_at_once(space)
        self.vectors = Vectors(space, reference) if space.columns else None
        parts: Sequence[Tensor] = reference.split(self.rows_at_once)
        if self.vectors is not None:
            parts = [self.vectors(part) for part in parts]
        self.shift, self.scale = _moments(parts, (0, 2, 3) if space.is_image else (0,))
        if self.vectors is not None:  # a rare name is not to weigh more than a frequent one
            self.scale = torch.ones_like(self.scale)
        width = space.dimension if self.vectors is None else self.vectors.width
        widths = [space.shape[0], 16, 32, 64] if space.is_image else [width, 256]
        kernel = (3, 3) if space.is_image else ()
        self.weights = [
            _random_weight((fan_out, fan_in, *kernel), generator)
            for fan_in, fan_out in zip(widths, widths[1:], strict=False)
        ]
        last = widths[-1] * (4 if space.is_image else 1)
        self.projection = _random_weight((FEATURES, last), generator)
        self.mean, self.deviation = torch.zeros(()), torch.ones(())
        raw = self(reference)
        mean, deviation = _moments((raw,), (0,), least=1e-6)  # rounding of equal rows is none
        self.mean, self.deviation = mean.float(), deviation.float()
        self.of_reference = (raw - self.mean) / self.deviation

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return in_batches(self._features, self.rows_at_once, x)

    def _numbers(self, x: Tensor) -> Tensor:
        return x.cpu().double() if self.vectors is None else self.vectors(x)

    def _features(self, x: Tensor) -> Tensor:
        h = ((self._numbers(x) - self.shift) / self.scale).float()
        for index, weight in enumerate(self.weights):
            if weight.ndim == 2:
                h = F.relu(h @ weight.T)
                continue
            if index and min(h.shape[2:]) > 2:
                h = F.avg_pool2d(h, 2, ceil_mode=True)
            h = F.relu(F.conv2d(h, weight, padding=1))
        h = F.adaptive_avg_pool2d(h, 2).flatten(1) if h.ndim == 4 else h
        return (h @ self.projection.T - self.mean) / self.deviation


def _random_weight(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    weight = torch.randn(shape, generator=generator)
    return weight * (2 / weight[0].numel()) ** 0.5


def _moments(
    parts: Sequence[Tensor], over: tuple[int, ...], least: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of data in parts, in float64; what is constant is not scaled.

    In two passes over parts, so that neither large means nor large data do harm.
    """
    sums = [part.cpu().double().sum(over, keepdim=True) for part in parts]
    count = sum(part.numel() for part in parts) / sums[0].numel()
    mean = torch.stack(sums).sum(0) / count
    squares = [(p.cpu().double() - mean).square().sum(over, keepdim=True) for p in parts]
    deviation = (torch.stack(squares).sum(0) / count).sqrt()
    varies = deviation > (1e-10 * mean.abs()).clamp(min=least)
    return mean, torch.where(varies, deviation, torch.ones_like(deviation))
