"""Self-distillation: where outputs end with and without centering and sharpening, and its codes.

    python benchmarks/dino.py collapse --seeds 5
    REPARAM_DATA=… python benchmarks/dino.py probes mnist --budget 900 --out runs/dino

collapse  small networks on digits, over seeds: entropy of the mean output of the teacher and mean
          entropy of single ones, as shares of ln K, and what `fit` says of them
probes    `dino` beside `mae` and beside both with random weights: linear probes of pooled and of
          whole codes
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from pathlib import Path

import torch
from resumable import trained
from rounds import machine, parser

import reparam as rp
from reparam.evaluation.representation import linear_probe
from reparam.model import Encoder

TINY = {"patch": 4, "width": 16, "layers": 1, "heads": 2, "prototypes": 16}
SETTINGS = {
    "centered and sharpened": {},
    "sharpened alone": {"center": 1.0},
    "centered alone": {"teacher_temperature": 0.1},
    "neither": {"center": 1.0, "teacher_temperature": 0.1},
}
WEAK = {"crop": 0.1, "shift": 0.0, "brightness": 0.0, "offset": 0.0}


def entropies(model: rp.SelfDistillation, x: torch.Tensor) -> tuple[float, float]:
    """Of the mean output and the mean of that of single ones, as shares of ln K."""
    with torch.no_grad():
        p = model.assigned(x).double()
    single = torch.special.entr(p).sum(1).mean()
    return tuple((h / math.log(p.shape[1])).item() for h in (entropy(p.mean(0)), single))


def entropy(p: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(p).sum()


def collapse(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    data = rp.load_data("digits")
    print(f"{arguments.epochs} epochs, {arguments.seeds} seeds; shares of ln K, mean (extremes)")
    for name, parameters in SETTINGS.items():
        found, said = [], set[str]()
        for seed in range(arguments.seeds):
            given = {"views": WEAK, "momentum": 0.9} | TINY | parameters
            model = rp.build("dino", data.space, seed=seed, **given)
            fields = {"epochs": arguments.epochs, "batch_size": 64, "warmup": 20, "lr": 3e-3}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                history = rp.fit(model, data, seed=seed, progress=False, **fields)
            said |= {text.partition(":")[0] for text in history.warnings}
            found.append(entropies(model, data.test.x))
        columns = [
            f"{statistics.mean(c):.2f} ({min(c):.2f}–{max(c):.2f})"
            for c in zip(*found, strict=True)
        ]
        print(f"| {name} | {' | '.join(columns)} | {', '.join(sorted(said))} |", flush=True)
    print(machine(arguments))


def probes(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    data, out = rp.load_data(arguments.data), Path(arguments.out)
    for preset in ("dino", "mae"):
        random = rp.build(preset, data.space, seed=0)
        print(f"| {preset}, random weights | {probed(random, data)} |", flush=True)
        fields = {"budget": arguments.budget, "seed": 0, "progress": False}
        model, _ = trained(preset, data, out / preset, {"seed": 0}, **fields)
        print(f"| {preset} | {probed(model, data)} |", flush=True)
    print(machine(arguments))


def probed(model: Encoder, data: rp.Data) -> str:
    """Accuracies of probes of pooled and of whole codes, on test examples."""
    model.eval()
    parts = (data.train, data.test)
    scores = [linear_probe(model, *parts, pooled=pooled) for pooled in (True, False)]
    return " | ".join("—" if score is None else f"{score.value:.3f}" for score in scores)


def main() -> None:
    arguments = parser(__doc__, rounds=1)
    commands = arguments.add_subparsers(dest="command", required=True)
    one = commands.add_parser("collapse")
    one.add_argument("--seeds", type=int, default=5)
    one.add_argument("--epochs", type=int, default=20)
    two = commands.add_parser("probes")
    two.add_argument("data")
    two.add_argument("--budget", type=float, default=900)
    two.add_argument("--out", default="runs/dino")
    found = arguments.parse_args()
    {"collapse": collapse, "probes": probes}[found.command](found)


if __name__ == "__main__":
    main()
