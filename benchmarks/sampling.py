"""Cached sampling of image presets against naive sampling, a full forward pass per entry.

    python benchmarks/sampling.py [--presets pixel-cnn gated-pixel-cnn] [--batches 1 16 64]

Binary 28 × 28 images, untrained weights, float32. In every round a forward pass of the batch, a
cached sample and part of a naive one are timed one after the other; medians over the rounds. The
naive sampler is timed for a few of the 784 entries, its cost being the same for each, and
extrapolated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

import reparam as rp

SPACE = rp.Space((1, 28, 28), "binary")
ROW_LSTM = "pixel-rnn recurrence=row"
PRESETS = ["pixel-cnn", "gated-pixel-cnn", "pixel-cnn++", "pixel-rnn", ROW_LSTM]
PRESETS += ["image-transformer"]


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


def measure(name: str, batch: int, rounds: int, entries: int, device: str, cpu_time: bool) -> dict:
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
            repeats = 10 if side == "pass" else 1  # a pass alone is too short for the clock
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
        "naive_ms_extrapolated": 1e3 * whole,
        "naive_over_cached": whole / middle["cached"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--entries", type=int, default=8, help="of the naive sample")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="processor seconds instead of those on the wall, for a busy machine and one thread",
    )
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for name in asked.presets:
        for batch in asked.batches:
            found = measure(name, batch, asked.rounds, asked.entries, asked.device, asked.cpu_time)
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
