"""Training on the device: compiled and as it is, beside other loops, in bfloat16.

python benchmarks/gpu_training.py                # beside pythae alone; gpu.py does everything
"""

from __future__ import annotations

import argparse
import importlib
import logging
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import convolutions
import speed
import torch
from gpu_task import (
    CUDA_ONLY,
    Row,
    Settings,
    Task,
    binary,
    counted,
    seconds,
    steps_per_second,
)
from results import Quantity, Result, at_least, show
from rounds import machine, parser, quotients
from torch import Tensor

import reparam as rp
from reparam.train import captured

COMPILED = ("vae", "made", "pixel-cnn")
AS_IT_IS, CAPTURED, BOTH = "as it is", "captured", "compiled and captured"
HOW = (CAPTURED, AS_IT_IS, BOTH)
SMALL = rp.Space((1, 8, 8), "binary")
EPOCHS = 3  # of each side in a round
PYTHAE = Quantity("training `vae` on a GPU: pythae 0.1.2 / `fit`", at_least(10))


def tasks(settings: Settings) -> dict[str, list[Task]]:
    def step(preset: str, how: str) -> Task:
        return Task(f"{preset}, {how}", lambda: a_step(preset, how, settings))

    presets = COMPILED[:1] if settings.quick else COMPILED
    return {
        "step": [step(preset, how) for how in HOW for preset in presets],
        "fit": [
            Task("some epochs in turn", lambda: in_turn(settings)),
            Task("100 epochs", lambda: hundred(settings)),
        ],
        "bfloat16": [
            Task("vae, fully connected", lambda: precisions(settings, False)),
            Task("vae, convolutions on 3 × 64 × 64", lambda: precisions(settings, True)),
        ],
    }


# ------------------------------------------------------------------------------------ the step


def a_step(preset: str, how: str, settings: Settings) -> Iterator[Row]:
    """Steps per second, what was captured, and how often the host waits."""
    if how != AS_IT_IS and not settings.cuda:
        yield Row("steps/s", CUDA_ONLY)
        return
    space = SMALL if settings.quick or preset == "pixel-cnn" else speed.SPACE

    def train(steps: int, epochs: int) -> rp.History:
        if how == BOTH:
            torch._dynamo.reset()
        options: dict[str, Any] = {"compile": how == BOTH, "device": settings.device}
        data = binary(128 * steps, space)
        model = rp.build(preset, space)
        with nullcontext() if how != AS_IT_IS else not_captured():
            return rp.fit(model, data, epochs=epochs, batch_size=128, progress=False, **options)

    history = train(50 if settings.quick else 200, 3)
    yield Row("steps/s", f"{steps_per_second(history):.0f}")
    yield Row("warnings", "; ".join(history.warnings) or "none")
    if not settings.cuda:
        yield Row("a step", CUDA_ONLY)
        return
    # Two epochs of 20 and two of 40 steps differ by 40 steps and by nothing else.
    few, more = (counted(lambda n=n: train(n, 2)) for n in (20, 40))
    each = {kind: (more[kind] - few[kind]) / 40 for kind in ("waits", "graphs", "kernels")}
    yield Row("a step", ", ".join(f"{count:.2f} {kind}" for kind, count in each.items()))


@contextmanager
def not_captured() -> Iterator[None]:
    """Inside, steps are made as on a CPU."""
    asked, captured._capturable = captured._capturable, lambda training: False
    try:
        yield
    finally:
        captured._capturable = asked


# ------------------------------------------------------------------------ beside other loops


def images(settings: Settings) -> tuple[str, Tensor, Tensor]:
    """MNIST at a threshold, or random bits of its size: training and validation rows, flat."""
    train, valid = (640, 128) if settings.quick else (speed.TRAIN, speed.VALID)
    if not settings.quick:
        try:
            data = rp.load_data("mnist", binarize=0.5)
            whole = torch.cat([data.train.x, data.valid.x]).flatten(1)[:train]
            return "MNIST", whole, data.test.x.flatten(1)[:valid]
        except (ValueError, OSError):  # neither a folder of data nor a network
            pass
    x = (torch.rand(train + valid, 784, generator=torch.Generator().manual_seed(0)) < 0.13).byte()
    return "random bits, no MNIST", x[:train], x[train:]


def captured_loop(train: Tensor, valid: Tensor, epochs: int) -> float:
    """The fastest loop on a GPU: rows, loss, gradients and Adam are one graph that is replayed."""
    model = speed.PlainVAE(sigmoid=False).to(train.device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True, capturable=True)
    rows = torch.zeros(speed.BATCH, dtype=torch.int64, device=train.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(train.index_select(0, rows).float()).backward()
        optimizer.step()

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):  # before a capture: libraries and Adam's means are made
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    found = torch.zeros(())
    for _ in range(epochs):
        order = torch.randperm(len(train), device=train.device)
        for batch in order[: len(train) // speed.BATCH * speed.BATCH].split(speed.BATCH):
            rows.copy_(batch)
            graph.replay()
        with torch.no_grad():
            found = sum(model(part.float()) * len(part) for part in valid.split(1000)) / len(valid)
    return found.item()


def in_turn(settings: Settings) -> Iterator[Row]:
    """Every side trains for some epochs in each round, one after the other."""
    name, train, valid = images(settings)
    rounds, epochs = (1, 1) if settings.quick else (3, EPOCHS)
    sides, missing = find_sides(train, valid, settings)
    yield Row("how", f"{name}, {rounds} rounds of {epochs} epochs, start included; medians")
    for side, why in missing.items():
        yield Row(side, why)
    took, losses = timed(sides, rounds, epochs, settings)
    steps = epochs * (len(train) // speed.BATCH)
    for side, times in took.items():
        middle = statistics.median(times)
        ratio = statistics.median(a / b for a, b in zip(times, took["fit"], strict=True))
        loss = losses[side]
        ended = f", loss {loss:.2f}" if isinstance(loss, float) else ""
        yield Row(side, f"{1e3 * middle / steps:.3f} ms a step, {ratio:.2f} of fit's time{ended}")


def timed(
    sides: dict[str, Callable[[int], object]], rounds: int, epochs: int, settings: Settings
) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Seconds of each side in each round, and its last loss; an epoch of each warms up."""
    for work in sides.values():
        work(1)
    took: dict[str, list[float]] = {side: [] for side in sides}
    losses: dict[str, object] = {}
    for _ in range(rounds):
        for side, work in sides.items():

            def once(side: str = side, work: Callable[[int], object] = work) -> None:
                losses[side] = work(epochs)

            took[side].append(seconds(once, settings))
    return took, losses


def results(asked: argparse.Namespace) -> Iterator[Result]:
    """Beside pythae alone."""
    if not torch.cuda.is_available():
        yield PYTHAE.lacking("a GPU")
        return
    settings = Settings("cuda", False, torch.cuda.get_device_name())
    _, train, valid = images(settings)
    sides, missing = find_sides(train, valid, settings)
    if "pythae" in missing:
        yield PYTHAE.lacking(missing["pythae"])
        return
    both = {side: sides[side] for side in ("fit", "pythae")}
    took, _ = timed(both, asked.rounds, EPOCHS, settings)
    yield PYTHAE.found(quotients(took, "pythae", "fit"))


def find_sides(
    train: Tensor, valid: Tensor, settings: Settings
) -> tuple[dict[str, Callable[[int], object]], dict[str, str]]:
    """Who trains, by epochs, and why others do not."""
    device = settings.device
    moved = train.to(device), valid.to(device)

    def fit(epochs: int, compiled: bool = False) -> float:
        history = speed.reparam_fit(train, valid, epochs, device=device, compiled=compiled)
        return history.rows[-1]["valid/objective"]

    sides: dict[str, Callable[[int], object]] = {"fit": fit}
    sides["loop by hand, fused Adam"] = lambda epochs: speed.fastest_loop(*moved, epochs)
    missing: dict[str, str] = {}
    if settings.cuda:
        sides["fit, compiled"] = lambda epochs: fit(epochs, True)
        sides["loop by hand, captured whole"] = lambda epochs: captured_loop(*moved, epochs)
    else:
        missing = dict.fromkeys(("fit, compiled", "loop by hand, captured whole"), CUDA_ONLY)
    try:
        importlib.import_module("pythae.trainers")
    except ImportError as error:
        missing["pythae"] = f"not there (extra bench): {error}"
    else:
        logging.disable(logging.CRITICAL)
        sides["pythae"] = lambda epochs: speed.pythae_trainer(train, valid, epochs, device=device)
    return sides, missing


def hundred(settings: Settings) -> Iterator[Row]:
    """The same epochs from the first to the last, nothing extrapolated."""
    name, train, valid = images(settings)
    epochs = 2 if settings.quick else 100
    yield Row("how", f"{name}, {epochs} epochs, all of them measured")
    sides, missing = find_sides(train, valid, settings)
    for side in ("loop by hand, captured whole", "fit"):
        if side in missing:
            yield Row(side, missing[side])
            continue
        losses: list[object] = []
        took = seconds(lambda side=side, to=losses: to.append(sides[side](epochs)), settings)
        yield Row(side, f"{took:.1f} s, loss {losses[0]:.2f}")


# ------------------------------------------------------------------------------------- bfloat16


def precisions(settings: Settings, convolutional: bool) -> Iterator[Row]:
    """Steps per second and the loss at the end in both precisions, from the same weights."""
    if convolutional and not settings.cuda:
        yield Row("float32", CUDA_ONLY)
        return
    space = convolutions.SPACE if convolutional else SMALL if settings.quick else speed.SPACE
    data, epochs = binary(64 * (10 if settings.quick else 100), space), 10
    rates, losses = [], []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = convolutional_vae() if convolutional else rp.build("vae", space)
        how: dict[str, Any] = {"precision": precision, "device": settings.device}
        history = rp.fit(model, data, epochs=epochs, batch_size=64, progress=False, **how)
        rates.append(steps_per_second(history))
        losses.append(history.rows[-1]["valid/objective"])
        yield Row(precision, f"{rates[-1]:.0f} steps/s, loss {losses[-1]:.4f}")
    yield Row("times as fast", f"{rates[1] / rates[0]:.2f}")
    yield Row("losses apart, relative", f"{abs(losses[1] - losses[0]) / abs(losses[0]):.1e}")


def convolutional_vae() -> rp.VAE:
    """That of the benchmark of convolutions."""
    space, latent = convolutions.SPACE, convolutions.LATENT
    parts = (rp.DiagonalNormal(latent), rp.StandardNormal(latent), rp.Bernoulli(space))
    return rp.VAE(space, *convolutions.networks(), *parts)


def main() -> None:
    arguments = parser(__doc__, rounds=3)
    asked = arguments.parse_args()
    if asked.cpu:
        arguments.error("--cpu: a GPU is timed on the wall")
    print(machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
