"""How near a generator's samples are to the data, and how fast they come."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.data import Split
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
        reference = reference.float()
        over = (0,) if not space.is_image else (0, 2, 3)
        self.shift = reference.mean(over, keepdim=True)
        self.scale = _deviation(reference, over)
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
        self.mean, self.deviation = raw.mean(0), _deviation(raw, (0,))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._features(part) for part in x.split(1000)])

    def _features(self, x: Tensor) -> Tensor:
        h = (x.float().cpu() - self.shift) / self.scale
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


def _deviation(x: Tensor, over: tuple[int, ...]) -> Tensor:
    deviation = x.std(over, keepdim=True, correction=0)
    return torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """‖μ₁−μ₂‖² + tr(S₁ + S₂ − 2 (S₁S₂)^½) between two sets of features (N, F).

    Reference: Dowson & Landau 1982, eq. 16; Heusel et al. 2017 for its use on samples.

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> round(frechet_distance(x, x + 2), 6)  # a shift by (2, 2, 2)
    12.0
    """
    a, b = first.double().numpy(), second.double().numpy()
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
    """Fréchet distance between a split and as many samples (5000 at most); None for one row.

    Args:
        model: any generator.
        train: sets the scales of the default extractor.
        split: what the samples are compared with.
        name: of the split.
        extractor: features in which to compare; None: ``RandomFeatures``.
        seed: of the samples.
    """
    n = min(len(split), MOST_SAMPLES)
    if n < 2:
        return None
    extractor = extractor or RandomFeatures(model.space, train.x[:MOST_SAMPLES])
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    drawn = torch.cat([model.sample(k, generator=generator).cpu() for k in _chunks(n)])
    distance = frechet_distance(extractor(drawn).cpu(), extractor(split.x[:n]).cpu())
    return Score(distance, "squared feature deviations", n, name, samples=n, seed=seed)


def _chunks(n: int) -> list[int]:
    return [min(1000, n - start) for start in range(0, n, 1000)]


@torch.no_grad()
def sampling_speed(model: Generator) -> Score:
    """Samples per second in batches of 256: the median of three after a warm-up."""
    rates = []
    for _ in range(4):
        start = time.perf_counter()
        model.sample(TIMED_SAMPLES).cpu()
        rates.append(TIMED_SAMPLES / (time.perf_counter() - start))
    return Score(sorted(rates[1:])[1], "samples/s", TIMED_SAMPLES, "none", seed=None)
