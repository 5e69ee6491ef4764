"""Which training defaults bring every preset near its own best on small tables and digits.

    python benchmarks/defaults.py --out defaults.json [fvbn made vae …]
    python benchmarks/defaults.py --out defaults.json --table

Every preset with its default parameters is trained for the default number of steps under a grid of
learning rates and schedules, on three data sets: `digits` (8 × 8 images of 17 levels), `flags`
(2 000 rows of 21 one-hot attributes, 116 flags, drawn from 23 classes) and `tumors` (scikit-learn's
table of 30 measurements, real numbers). Only the validation split is read. The shortfall of a
setting is how far its validation value is from that of the best one of the grid, over the size of
the latter; densities of real data may be near 0 or exceed 1, so there it is over the entropy of as
many independent standard normals instead. Results are kept run by run, and a second call goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer

import reparam as rp
from reparam.checkpoint import write_json
from reparam.data import Data
from reparam.train.judge import judge

GRID = (
    (1e-3, "constant"),
    (3e-4, "constant"),
    (5e-4, "constant"),
    (1e-3, "cosine"),
    (3e-3, "constant"),
    (3e-3, "cosine"),
    (1e-2, "cosine"),
)
MEASUREMENTS = 30  # of a tumor
CLASSES, VALUES = 23, (6, 4, 10, 2, 9, 2, 2, 2, 12, 2, 5, 4, 4, 9, 9, 4, 3, 5, 9, 6, 7)
# Their weights move or are learned, so that no validation term says which training is better.
WITHOUT_JUDGE = {"l-vae", "dl-vae", "control-vae", "dynamic-vae", "pca"}


def tables() -> dict[str, Data]:
    """The three data sets by name."""
    tumors = load_breast_cancer()
    return {
        "digits": rp.load_data("digits"),
        "flags": flags(),
        "tumors": rp.load_data(tumors.data, label=tumors.target),
    }


def flags() -> Data:
    """One-hot attributes, nearly certain given a hidden class: logits have to grow large."""
    generator = np.random.default_rng(0)
    classes = generator.integers(CLASSES, size=3000)
    columns = []
    for values in VALUES:
        shares = generator.dirichlet(np.full(values, 0.15), size=CLASSES).cumsum(1)
        chosen = (generator.random((len(classes), 1)) > shares[classes]).sum(1)
        columns.append(np.eye(values, dtype=np.uint8)[chosen.clip(max=values - 1)])
    x = np.concatenate(columns, 1)
    return rp.load_data({"train": x[:2000], "valid": x[2000:2500], "test": x[2500:]})


def settings() -> list[dict[str, Any]]:
    """Every setting of the grid, that of ``TrainConfig`` first."""
    return [{"lr": lr, "schedule": schedule} for lr, schedule in GRID]


def kept_value(history: rp.History) -> float:
    """The validation value of the weights that training kept; lower is better."""
    valid = {name.removeprefix("valid/"): value for name, value in history.kept.items()}
    return judge(valid, history.judge)


def train(preset: str, data: Data, setting: dict[str, Any]) -> dict[str, Any]:
    """One run of the grid: its validation value, or why there is none."""
    model = rp.build(preset, data.space, seed=0)
    try:
        history = rp.fit(model, data, progress=False, device="cpu", **setting)
    except ArithmeticError as error:
        return {"failed": str(error)}
    return {"value": kept_value(history), "judge": history.judge, "seconds": history.seconds}


def work(
    presets: list[str], data: dict[str, Data], asked: list[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every run of the settings asked for, or of the grid, preset by preset."""
    chosen = [each for each in settings() if not asked or key_of(each) in asked]
    for preset, name, setting in itertools.product(presets, data, chosen):
        if rp.PRESETS[preset].accepts.refusal(data[name].space) is None:
            yield preset, name, setting


def shortfalls(runs: dict[str, dict[str, Any]], preset: str, name: str) -> dict[str, float]:
    """How far every setting that was run stays behind the best one, relative to its size."""
    prefix = f"{preset} {name} "
    of = {key.removeprefix(prefix): run for key, run in runs.items() if key.startswith(prefix)}
    values = {key: run.get("value", math.inf) for key, run in of.items()}
    best = min(values.values(), default=math.inf)
    nats = any(run.get("judge") in ("bound", "nll") for run in of.values())
    size = (
        MEASUREMENTS * 0.5 * math.log(2 * math.pi * math.e) if name == "tumors" and nats else best
    )
    return {key: (value - best) / size for key, value in values.items()}


def markdown(runs: dict[str, dict[str, Any]], presets: list[str], names: list[str]) -> str:
    """The shortfall of every setting, the worst over the data sets, in percent."""
    heads = [key_of(setting) for setting in settings()]
    lines = ["| preset | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for preset in presets:
        found = [shortfalls(runs, preset, name) for name in names]
        found = [each for each in found if each]
        worst = {key: max(each.get(key, math.inf) for each in found) for key in heads if found}
        cells = [
            f"{100 * w:.1f}" if math.isfinite(w := worst.get(key, math.inf)) else ""
            for key in heads
        ]
        lines.append(f"| `{preset}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def key_of(setting: dict[str, Any]) -> str:
    return f"{setting['lr']:g} {setting['schedule']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--out", type=Path, required=True, help="file of the results")
    parser.add_argument("--data", nargs="*", default=["digits", "flags", "tumors"])
    parser.add_argument("--settings", nargs="*", default=[], help='as "0.001 constant"; none: all')
    parser.add_argument("--table", action="store_true", help="only show what was found")
    asked = parser.parse_args()
    presets = asked.presets or [name for name in rp.PRESETS if name not in WITHOUT_JUDGE]
    runs = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    if not asked.table:
        torch.set_num_threads(1)
        data = {name: table for name, table in tables().items() if name in asked.data}
        for preset, name, setting in work(presets, data, asked.settings):
            key = f"{preset} {name} {key_of(setting)}"
            if key not in runs:
                runs[key] = train(preset, data[name], setting)
                write_json(asked.out, runs)
                print(key, runs[key], flush=True)
    print(markdown(runs, presets, asked.data))


if __name__ == "__main__":
    main()
