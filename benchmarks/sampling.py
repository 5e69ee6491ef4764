"""Cached sampling of image presets against naive sampling, a full forward pass per entry.

    python benchmarks/sampling.py [--presets pixel-cnn gated-pixel-cnn] [--batches 1 16 64]

Binary 28 × 28 images, untrained weights, float32. In every round a forward pass of the batch, a
cached sample and part of a naive one are timed one after the other; medians over the rounds. The
naive sampler is timed for a few of the 784 entries, its cost being the same for each, and
extrapolated. What is judged is how many forward passes a cached sample takes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from results import Quantity, Result, at_most, show
from rounds import machine, parser

import reparam as rp

SPACE = rp.Space((1, 28, 28), "binary")
ROW_LSTM = "pixel-rnn recurrence=row"
PRESETS = ["pixel-cnn", "gated-pixel-cnn", "pixel-cnn++", "pixel-rnn", ROW_LSTM]
PRESETS += ["image-transformer"]
# Forward passes by preset and batch. Those of others than pixel-cnn, by threads, are half of what
# took a walk that computed every layer of every pixel through its module.
PIXEL_CNN = {1: 8, 16: 1.5, 64: 1.2}
HALVES: dict[int, dict[str, dict[int, float]]] = {
    1: {
        "gated-pixel-cnn": {1: 12.5, 16: 1.8},
        "pixel-cnn++": {1: 12, 16: 1.65},
        "pixel-rnn": {1: 7.5, 16: 1.45},
        ROW_LSTM: {1: 21.5, 16: 4.65},
        "image-transformer": {1: 33.5, 16: 4.8},
    },
    2: {
        "gated-pixel-cnn": {1: 13.5, 16: 2.55},
        "pixel-cnn++": {1: 17, 16: 2.6},
        "pixel-rnn": {1: 6, 16: 2.1},
        ROW_LSTM: {1: 13.5, 16: 6.5},
        "image-transformer": {1: 46, 16: 5.5},
    },
}


def quantity(name: str, batch: int, threads: int) -> Quantity:
    goals = HALVES.get(threads, {}) | {"pixel-cnn": PIXEL_CNN}
    most = goals.get(name, {}).get(batch)
    return Quantity(f"`{name}`, batch {batch}: cached sample", most and at_most(most), "passes")


def seconds(work: Callable[[], object], device: str, cpu_time: bool) -> float:
    clock = time.process_time if cpu_time else time.perf_counter
    if device == "cuda":
        torch.cuda.synchronize()
    start = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def naive(model: rp.Autoregressive, batch: int, sites: int) -> None:
    """The first sites of a sample by the book: a full pass, one site of it used."""
    with torch.inference_mode():
        x = model.anchor.new_zeros(batch, SPACE.dimension)
        for site in range(sites):
            parameters = model.network(x.view(batch, *SPACE.shape)).reshape(batch, -1, x.shape[1])
            p = model.p_x.distribution(parameters[..., site : site + 1])
            x[:, site] = p.sample().view(batch)


def measure(
    name: str, batch: int, rounds: int, entries: int, device: str, cpu_time: bool
) -> dict[str, Any]:
    torch.manual_seed(0)
    preset, *words = name.split()
    model = rp.build(preset, SPACE, **dict(word.split("=") for word in words)).eval().to(device)
    x = (torch.rand(batch, *SPACE.shape, device=device) < 0.5).float()
    sides: dict[str, Callable[[], object]] = {
        "pass": torch.inference_mode()(lambda: model.network(x)),
        "cached": lambda: model.sample(batch),
        "naive": lambda: naive(model, batch, entries),
    }
    times: dict[str, list[float]] = {side: [] for side in sides}
    for round_ in range(rounds + 1):
        for side, work in sides.items():
            repeats = 5 if side == "pass" else 1  # a pass alone is too short for the clock
            took = seconds(
                lambda work=work, n=repeats: [work() for _ in range(n)], device, cpu_time
            )
            if round_:  # the first warms up
                times[side].append(took / repeats)
    middle = {side: statistics.median(values) for side, values in times.items()}
    whole = middle["naive"] * SPACE.dimension / entries
    return {
        "preset": name,
        "batch": batch,
        "forward_pass_ms": 1e3 * middle["pass"],
        "cached_ms": 1e3 * middle["cached"],
        "cached_ms_least_and_most": [1e3 * f(times["cached"]) for f in (min, max)],
        "cached_in_forward_passes": middle["cached"] / middle["pass"],
        "passes_by_round": [a / b for a, b in zip(times["cached"], times["pass"], strict=True)],
        "naive_ms_extrapolated": 1e3 * whole,
        "naive_over_cached": whole / middle["cached"],
    }


def results(asked: argparse.Namespace) -> Iterator[Result]:
    threads = 1 if asked.cpu else asked.threads
    torch.set_num_threads(threads)
    for name in asked.presets:
        for batch in asked.batches:
            how = asked.rounds, asked.entries, asked.device, asked.cpu
            found = measure(name, batch, *how)
            print(
                f"{name}, batch {batch}: a pass {found['forward_pass_ms']:.3g} ms, a sample "
                f"{found['cached_ms']:.4g} ms, naive / cached {found['naive_over_cached']:.0f}"
            )
            yield quantity(name, batch, threads).found(found["passes_by_round"])


def main() -> None:
    arguments = parser(__doc__, rounds=7)
    arguments.add_argument("--presets", nargs="+", default=PRESETS)
    arguments.add_argument("--batches", nargs="+", type=int, default=[1, 16, 64])
    arguments.add_argument("--entries", type=int, default=8, help="of the naive sample")
    arguments.add_argument("--device", default="cpu")
    asked = arguments.parse_args()
    print(machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
