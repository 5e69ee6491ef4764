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
from functools import partial

import torch
from results import Quantity, Result, at_most, show
from rounds import machine, parser, quotients

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


def measure(name: str, batch: int, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a pass, a cached sample and part of a naive one, by round; the first warms up."""
    torch.manual_seed(0)
    preset, *words = name.split()
    model = rp.build(preset, SPACE, **dict(word.split("=") for word in words))
    model = model.eval().to(asked.device)
    x = (torch.rand(batch, *SPACE.shape, device=asked.device) < 0.5).float()
    sides: dict[str, Callable[[], object]] = {
        "pass": torch.inference_mode()(lambda: model.network(x)),
        "cached": lambda: model.sample(batch),
        "naive": lambda: naive(model, batch, asked.entries),
    }
    times: dict[str, list[float]] = {side: [] for side in sides}
    for round_ in range(asked.rounds + 1):
        for side, work in sides.items():
            repeats = 5 if side == "pass" else 1  # a pass alone is too short for the clock
            again = partial(repeated, work, repeats)
            took = seconds(again, asked.device, asked.cpu)
            if round_:
                times[side].append(took / repeats)
    return times


def repeated(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def results(asked: argparse.Namespace) -> Iterator[Result]:
    threads = 1 if asked.cpu else asked.threads
    torch.set_num_threads(threads)
    for name in asked.presets:
        for batch in asked.batches:
            times = measure(name, batch, asked)
            middle = {side: statistics.median(values) for side, values in times.items()}
            whole = middle["naive"] * SPACE.dimension / asked.entries
            print(
                f"{name}, batch {batch}: a pass {1e3 * middle['pass']:.3g} ms, a sample "
                f"{1e3 * middle['cached']:.4g} ms, naive / cached {whole / middle['cached']:.0f}"
            )
            yield quantity(name, batch, threads).found(quotients(times, "cached", "pass"))


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
