"""Whether log p(x) tells images unlike the data from test images, by family: one table.

    python benchmarks/out_of_distribution.py --data digits --budget 60
    REPARAM_DATA=… python benchmarks/out_of_distribution.py --data mnist binarized-mnist

A VAE, autoregressive models and flows are trained on each data set for so many seconds on the CPU.
Cells hold the mean log p(x) in nats, the AUROC of −log p and that of typicality, |log p − its mean
over validation images|: 1 where the images are told from test images, 0 where all of them come out
likelier, or more typical. MNIST and fashion-mnist, where it can be had, are told from each other
too. MAF sees images as vectors.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import torch

import reparam as rp
from reparam.data import Data, Split
from reparam.data.named_sets import DataUnavailable
from reparam.evaluation.rows import subset
from reparam.evaluation.shifted import Told, shifted_images, told_apart
from reparam.model import Density
from reparam.presets import find_preset

MODELS: dict[str, dict[str, Any]] = {
    "vae": {},
    "made": {},
    "pixel-cnn": {"layers": 4, "width": 32},
    "glow": {"layers": 4, "channels": 32},
    "maf": {},
}
OTHERS = {"mnist": "fashion-mnist", "fashion-mnist": "mnist"}
HEADER = ("data", "model", "test", "blank", "eroded", "mirrored", "inverted", "half contrast")


def flat(split: Split) -> Split:
    return dataclasses.replace(split, x=split.x.flatten(1), gray=None, files=None, streamed=False)


def as_vectors(data: Data) -> Data:
    space = dataclasses.replace(data.space, shape=(data.space.dimension,))
    return Data(*(flat(split) for split in data.splits.values()), space, data.name)


def sets_beside(data: Data, test: Split, name: str) -> dict[str, Split]:
    """Shifted test images, and those of another data set where it can be had."""
    top = (data.space.level_count or 2) - 1
    sets = shifted_images(test, data.space, 0, top)
    try:
        other = rp.load_data(OTHERS[name]) if name in OTHERS else None
    except DataUnavailable as error:
        print(f"<!-- {error} -->", flush=True)
        return sets
    return sets if other is None else {**sets, other.name: subset(other.test, len(test), 0)}


def measured(
    preset: str, data: Data, test: Split, sets: dict[str, Split], asked: argparse.Namespace
) -> dict[str, Told]:
    """One model, trained and told each of the sets."""
    unseen = subset(data.valid, asked.rows, 0)
    if not find_preset(preset).accepts.images:
        data, test, unseen = as_vectors(data), flat(test), flat(unseen)
        sets = {key: flat(split) for key, split in sets.items()}
    model = rp.build(preset, data.space, seed=0, **MODELS[preset])
    train = find_preset(preset).train_on(data.space)
    rp.fit(model, data, train, budget=asked.budget, progress=False, device="cpu")
    assert isinstance(model, Density)
    draws = asked.samples if model.passes_per_sample == 1 else 1  # of flows they are dear
    return told_apart(model, sets, test, unseen, samples=draws)


def cell(told: Told) -> str:
    mean = told.log_p.value
    shown = f"{mean:.1f}" if abs(mean) < 1e5 else f"{mean:.1e}"
    return f"{shown}, {told.low:.2f}, {told.atypical:.2f}".replace("-", "−")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", nargs="+", default=["digits"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--budget", type=float, default=60, help="seconds of each training")
    parser.add_argument("--rows", type=int, default=300, help="images of each set, at most")
    parser.add_argument("--samples", type=int, default=10, help="draws of z for an image")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| " + " | ".join((*HEADER, "other data")) + " |\n" + "|---" * (len(HEADER) + 1) + "|")
    for name in asked.data:
        data = rp.load_data(name)
        test = subset(data.test, asked.rows, 0)
        sets = sets_beside(data, test, name)
        for preset in asked.models:
            told = measured(preset, data, test, sets, asked)
            extra = [k for k in told if k not in HEADER]
            cells = [cell(told[k]) if k in told else "–" for k in (*HEADER[2:], *extra)]
            cells += [] if extra else ["–"]
            print(f"| {name} | `{preset}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
