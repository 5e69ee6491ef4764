"""How near a generator's samples are to the data, and how fast they come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.data import Split
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.model import Generator, Space

Extractor = Callable[[Tensor], Tensor]  # x in data units (B, *shape) → features (B, F)

FEATURES, MOST_SAMPLES, TIMED_SAMPLES = 64, 5000, 256


class RandomFeatures(nn.Module):
    """Features of a fixed random network: what a Fréchet distance is measured in by default.

    Images pass three random 3×3 convolutions with ReLU, halved in between, and are averaged over
    a 2×2 grid; vectors pass one random ReLU layer of 256 units. A random projection leaves 64
    features. Input columns (channels) and features are standardised by the training data. Nothing
    is downloaded and the same seed gives the same features everywhere; the distances compare
    models on one data set, they are not those of Inception features.

    Args:
        space: what x is.
        reference: training examples that set the scales.
        seed: of the random weights.

    Shape: (B, *space.shape) → (B, 64).

    >>> x = torch.rand(9, 5)
    >>> RandomFeatures(Space((5,), "real"), x)(x).shape
    torch.Size([9, 64])
    """

    def __init__(self, space: Space, reference: Tensor, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.rows_at_once = space.rows_at_once
        parts = reference.split(self.rows_at_once)
        self.shift, self.scale = _moments(parts, (0, 2, 3) if space.is_image else (0,))
        widths = [space.shape[0], 16, 32, 64] if space.is_image else [space.dimension, 256]
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

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._features(part) for part in x.split(self.rows_at_once)])

    def _features(self, x: Tensor) -> Tensor:
        h = ((x.cpu().double() - self.shift) / self.scale).float()
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


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """‖μ₁−μ₂‖² + tr(S₁ + S₂ − 2 (S₁S₂)^½) between two sets of features (N, F).

    NaN where a feature is not finite.

    Reference: Dowson & Landau 1982, eq. 16; Heusel et al. 2017 for its use on samples.

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> round(frechet_distance(x, x + 2), 6)  # a shift by (2, 2, 2)
    12.0
    """
    a, b = first.double().numpy(), second.double().numpy()
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.nan
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(s_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    # The eigenvalues of S₁S₂ are those of the symmetric S₁^½ S₂ S₁^½.
    cross = np.sqrt(np.linalg.eigvalsh(root @ s_b @ root).clip(min=0)).sum()
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * cross
    return float(max(distance, 0.0))


@torch.no_grad()
def frechet_score(
    model: Generator,
    train: Split,
    split: Split,
    name: str = "test",
    extractor: Extractor | None = None,
    seed: int = 0,
) -> Score | None:
    """Fréchet distance between a split and as many samples; None for a single row.

    At most 5000 rows of a split are read, drawn at random; ``n`` of the score says how many, and
    as many samples were drawn.

    Args:
        model: any generator.
        train: sets the scales of the default extractor.
        split: what the samples are compared with.
        name: of the split.
        extractor: features in which to compare; None: ``RandomFeatures``.
        seed: of the samples and of the rows.
    """
    real = subset(split, MOST_SAMPLES, seed)
    n, at_once = len(real), model.space.rows_at_once
    if n < 2:
        return None
    extractor = extractor or RandomFeatures(model.space, subset(train, MOST_SAMPLES, seed).x)
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    draws = (model.sample(k, generator=generator).cpu() for k in _chunks(n, at_once))
    drawn = torch.cat([extractor(x).cpu() for x in draws])
    wanted = torch.cat([extractor(x).cpu() for x in real.x.split(at_once)])
    unit = "squared feature deviations"
    return Score(frechet_distance(drawn, wanted), unit, n, name, seed=seed)


def _chunks(n: int, at_once: int) -> Iterator[int]:
    return (min(at_once, n - start) for start in range(0, n, at_once))


@torch.no_grad()
def sampling_speed(model: Generator, seed: int = 0) -> Score:
    """Samples per second in batches of 256, fewer of large x: the median of three, warmed up."""
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    n = min(TIMED_SAMPLES, model.space.rows_at_once)
    rates = []
    for _ in range(4):
        start = time.perf_counter()
        model.sample(n, generator=generator).cpu()
        rates.append(n / (time.perf_counter() - start))
    return Score(sorted(rates[1:])[1], "samples/s", n, "none")
