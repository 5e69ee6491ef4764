"""Importance-weighted log-likelihood beside its peers, all sides interleaved in one run.

K importance samples of 100 images through the decoder 20-256-512-784 of the `vae` preset.

    python benchmarks/likelihood.py

Sides: `Density.log_prob`; the loop one writes first, which encodes again for every chunk of samples
and keeps gradients on, with sigmoid and binary cross-entropy; and the decoder's matrix products
alone, without biases, activations or probabilities, in the same chunks. The last is the bound: what
share of its rate a side reaches is what the rest of its arithmetic leaves. The rate of a large
square product is measured beside it.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

import reparam as rp

IMAGES, SPACE = 100, rp.Space((1, 28, 28), "binary")
WIDTHS = (20, 256, 512, 784)
PRODUCTS = list(zip(WIDTHS, WIDTHS[1:], strict=False))
CHUNK = 1000  # rows


def ours(model: rp.VAE, x: Tensor, samples: int) -> Tensor:
    # As evaluation calls it: few rows, many samples of each at once.
    return torch.cat([model.log_prob(part, samples=samples).value for part in x.split(50)])


def loop_with_gradients(model: rp.VAE, x: Tensor, samples: int) -> Tensor:
    """One image at a time, encoded again for every chunk of its samples."""
    values = []
    for row in x.split(1):
        parts = []
        for start in range(0, samples, CHUNK):
            rows = row.flatten(1).expand(min(CHUNK, samples - start), -1)
            mean, log_scale = model.encoder(rows).chunk(2, 1)
            z = mean + log_scale.exp() * torch.randn_like(mean)
            p = model.decoder(z).flatten(1).sigmoid()
            log_p_x = -F.binary_cross_entropy(p, rows, reduction="none").sum(1)
            log_p_z = rp.StandardNormal(20)().log_prob(z).sum(1)
            log_q = (-0.5 * ((z - mean) / log_scale.exp()).square() - log_scale).sum(1)
            parts.append(log_p_x + log_p_z - log_q + 10 * math.log(2 * math.pi))
        values.append(torch.cat(parts).logsumexp(0).detach() - math.log(samples))
    return torch.stack(values)


def matrix_products(model: rp.VAE, x: Tensor, samples: int) -> None:
    inputs = [torch.randn(CHUNK, a) for a, _ in PRODUCTS]
    weights = [torch.randn(b, a) for a, b in PRODUCTS]
    results = [torch.empty(CHUNK, b) for _, b in PRODUCTS]
    for _ in range(len(x) * samples // CHUNK):
        for value, weight, result in zip(inputs, weights, results, strict=True):
            torch.mm(value, weight.T, out=result)


def square_rate(side: int = 2048) -> float:
    """GFLOP/s of a large square product."""
    a, b, result = (torch.randn(side, side) for _ in range(3))
    start = time.perf_counter()
    torch.mm(a, b, out=result)
    return 2e-9 * side**3 / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=1000, help="importance samples per image")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = rp.build("vae", SPACE)
    assert isinstance(model, rp.VAE)
    x = (torch.rand(IMAGES, *SPACE.shape) < 0.13).float()
    sides: dict[str, Callable[[rp.VAE, Tensor, int], object]] = {
        "log_prob": ours,
        "loop with gradients": loop_with_gradients,
        "matrix products": matrix_products,
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    square = []
    for _ in range(arguments.rounds):
        for name, run in sides.items():
            start = time.perf_counter()
            run(model, x, arguments.samples)
            seconds[name].append(time.perf_counter() - start)
        square.append(square_rate())
    report(seconds, statistics.median(square), arguments)


def report(seconds: dict[str, list[float]], square: float, arguments: argparse.Namespace) -> None:
    work = 2e-9 * IMAGES * arguments.samples * sum(a * b for a, b in PRODUCTS)  # GFLOP
    print(
        f"torch {torch.__version__}, {arguments.threads} threads, {platform.machine()}, "
        f"{arguments.rounds} rounds of {arguments.samples} samples; a square product of 2048: "
        f"{square:.0f} GFLOP/s"
    )
    for name, taken in seconds.items():
        median = statistics.median(taken)
        pairs = [other / mine for other, mine in zip(taken, seconds["log_prob"], strict=True)]
        print(
            f"{name:20s} {median:6.2f} s, {work / median:5.0f} GFLOP/s of the decoder; "
            f"{statistics.median(pairs):.2f} x the time of log_prob "
            f"({min(pairs):.2f} to {max(pairs):.2f})"
        )


if __name__ == "__main__":
    main()
