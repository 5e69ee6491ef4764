"""Importance-weighted log-likelihood beside its peers, all sides interleaved in one run.

Importance samples of 100 images through the decoder 20-256-512-784 of the `vae` preset.

    python benchmarks/likelihood.py

Sides: `Density.log_prob`; the loop one writes first, which encodes again for every chunk of samples
and keeps gradients on, with sigmoid and binary cross-entropy; and the decoder's matrix products
alone, without biases, activations or probabilities, in the same chunks. The last is the bound: its
share of our time is the share of the machine's matrix-product rate that we reach.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator

import rounds
import torch
from results import Quantity, Result, at_least, show
from torch import Tensor
from torch.nn import functional as F

import reparam as rp

IMAGES, SPACE = 100, rp.Space((1, 28, 28), "binary")
WIDTHS = (20, 256, 512, 784)
PRODUCTS = list(zip(WIDTHS[:-1], WIDTHS[1:], strict=True))
CHUNK = 1000  # rows
RATE = "`log_prob`, K = {}: share of its matrix products' rate", 0.85
LOOP = "log p(x), K = {}: loop that encodes again, with gradients / `log_prob`", 4


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
            noise = torch.randn_like(mean)
            z = mean + log_scale.exp() * noise
            p = model.decoder(z).flatten(1).sigmoid()
            log_p_x = -F.binary_cross_entropy(p, rows, reduction="none").sum(1)
            log_p_z, log_q = -0.5 * z.square().sum(1), (-0.5 * noise.square() - log_scale).sum(1)
            parts.append(log_p_x + log_p_z - log_q)
        values.append(torch.cat(parts).logsumexp(0).detach() - math.log(samples))
    return torch.stack(values)


class Products:
    """The matrix products of the decoder, into memory that is there already."""

    def __init__(self) -> None:
        self.inputs = [torch.randn(CHUNK, a) for a, _ in PRODUCTS]
        self.weights = [torch.randn(b, a) for a, b in PRODUCTS]
        self.results = [torch.empty(CHUNK, b) for _, b in PRODUCTS]

    def run(self, samples: int) -> None:
        for _ in range(IMAGES * samples // CHUNK):
            for x, weight, result in zip(self.inputs, self.weights, self.results, strict=True):
                torch.mm(x, weight.T, out=result)


def results(asked: argparse.Namespace) -> Iterator[Result]:
    torch.manual_seed(0)
    model, samples = rp.build("vae", SPACE), asked.samples
    assert isinstance(model, rp.VAE)
    x = (torch.rand(IMAGES, *SPACE.shape) < 0.13).float()
    products, square = Products(), [torch.randn(2048, 2048) for _ in range(3)]
    seconds = rounds.measured(
        {
            "log_prob": lambda: ours(model, x, samples),
            "loop with gradients": lambda: loop_with_gradients(model, x, samples),
            "matrix products": lambda: products.run(samples),
            "square product": lambda: torch.mm(*square[:2], out=square[2]),
        },
        asked,
    )
    work = {name: 2e-9 * IMAGES * samples * sum(a * b for a, b in PRODUCTS) for name in seconds}
    work["square product"] = 2e-9 * 2048**3
    for name, taken in seconds.items():
        rate = work[name] / statistics.median(taken)
        print(f"{name}: {statistics.median(taken):.3f} s, {rate:.0f} GFLOP/s")
    found = {"matrix products": RATE, "loop with gradients": LOOP}
    for side, (what, least) in found.items():
        quantity = Quantity(what.format(samples), at_least(least))
        yield quantity.found(rounds.quotients(seconds, side, "log_prob"))


def main() -> None:
    parser = rounds.parser(__doc__, rounds=9)
    parser.add_argument("--samples", type=int, default=1000, help="importance samples per image")
    asked = parser.parse_args()
    print(f"{rounds.machine(asked)}, {asked.samples} samples")
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
