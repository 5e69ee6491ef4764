"""Importance-weighted likelihoods and samples of a PixelCNN on the device."""

from __future__ import annotations

import statistics

import likelihood
import sampling
import torch
from gpu_task import Row, Settings, Task, seconds

import reparam as rp

BATCHES = (1, 16, 64, 256)


def tasks(settings: Settings) -> list[Task]:
    def sampled(batch: int) -> Task:
        return Task(f"pixel-cnn, batch {batch}", lambda: drawn(batch, settings))

    batches = BATCHES[:1] if settings.quick else BATCHES
    return [Task("log_prob", lambda: weighted(settings)), *map(sampled, batches)]


def weighted(settings: Settings) -> list[Row]:
    """100 images of the `vae` preset, 5000 samples of each: seconds, and products per second."""
    images, samples, times = (4, 50, 1) if settings.quick else (likelihood.IMAGES, 5000, 5)
    torch.manual_seed(0)
    model = rp.build("vae", likelihood.SPACE).to(settings.device).eval()
    x = (torch.rand(images, *likelihood.SPACE.shape) < 0.13).float().to(settings.device)

    def once() -> object:
        return likelihood.ours(model, x, samples)

    once()
    took = statistics.median(seconds(once, settings) for _ in range(times))
    work = 2 * images * samples * sum(a * b for a, b in likelihood.PRODUCTS)
    what = f"{images} images, K = {samples}, median of {times}"
    return [Row("found", f"{what}: {took:.4f} s, {1e-9 * work / took:.0f} GFLOP/s of the decoder")]


def drawn(batch: int, settings: Settings) -> list[Row]:
    """Cached samples beside a forward pass and samples by full passes."""
    rounds = 1 if settings.quick else 3
    found = sampling.measure("pixel-cnn", batch, rounds, 1, settings.device, False)
    passes, naive = found["cached_in_forward_passes"], found["naive_over_cached"]
    text = f"{found['cached_ms']:.1f} ms, {passes:.1f} passes of {found['forward_pass_ms']:.2f} ms"
    text += f", naive/cached {naive:.0f} (the naive one extrapolated from one entry)"
    return [Row("found", f"a sample, median of {rounds}: {text}")]
