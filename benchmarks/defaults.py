"""Which training defaults bring every preset near its own best on small tables and digits.

    python benchmarks/defaults.py --out defaults.jsonl [fvbn made vae …] [--jobs 2]
    python benchmarks/defaults.py --table

What was found so far lies beside this file, a line for each run, and is what `--out` names
without being told; a second call goes on from there.

Every preset with its default parameters is trained for the default number of steps under a grid of
learning rates and schedules, on three data sets: `digits` (8 × 8 images of 17 levels), `flags`
(2 000 rows of 21 one-hot attributes, 116 flags, drawn from 23 classes) and `tumors` (scikit-learn's
table of 30 measurements, real numbers). Only the validation split is read. The shortfall of a
setting is how far its validation value is from that of the best one of the grid, over the size of
the latter; densities of real data may be near 0 or exceed 1, so there it is over the entropy of as
many independent standard normals instead. Training at a constant rate ends after 40 validations,
2 000 steps, without a better one.
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
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer

import reparam as rp
from reparam.data import Data
from reparam.train.judge import judge

RECORD = Path(__file__).with_suffix(".jsonl")
DATA = ("digits", "flags", "tumors")
PATIENCE = 40  # validations, of 100
GRID = (
    (1e-3, "constant"),
    (3e-4, "constant"),
    (3e-3, "constant"),
    (3e-3, "cosine"),
    (1e-3, "cosine"),
    (1e-2, "cosine"),
)
MEASUREMENTS = 30  # of a tumor
CLASSES, VALUES = 23, (6, 4, 10, 2, 9, 2, 2, 2, 12, 2, 5, 4, 4, 9, 9, 4, 3, 5, 9, 6, 7)
# No validation term says which of their trainings is better: the objective's weights are learned or
# move, it is a game of players, it depends on chains or, of dino, on a teacher that moves along.
WITHOUT_JUDGE = {"l-vae", "dl-vae", "control-vae", "dynamic-vae", "pca"}
WITHOUT_JUDGE |= {"gan", "vae-gan", "aae", "ebm", "rbm", "dino"}


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


def train(preset: str, name: str, data: Data, setting: dict[str, Any]) -> dict[str, Any]:
    """One run of the grid: its validation value, or why there is none."""
    torch.set_num_threads(1)
    run = {"preset": preset, "data": name, "setting": key_of(setting)}
    model = rp.build(preset, data.space, seed=0)
    waits = setting["schedule"] == "constant" and model.keeps != "last"
    fields = setting | ({"patience": PATIENCE} if waits else {})
    try:
        history = rp.fit(model, data, progress=False, device="cpu", **fields)
    except ArithmeticError as error:
        return run | {"failed": str(error)}
    return run | {
        "value": kept_value(history),
        "judge": history.judge,
        "step": history.kept["step"],
        "seconds": round(history.seconds, 1),
    }


def work(
    presets: list[str],
    data: dict[str, Data],
    asked: list[str],
    done: set[tuple[str, str, str]],
) -> Iterator[tuple[str, str, Data, dict[str, Any]]]:
    """Every run of the settings asked for, or of the grid, that is not done, by settings."""
    for setting, preset, name in itertools.product(asked_settings(asked), presets, data):
        refused = rp.PRESETS[preset].accepts.refusal(data[name].space)
        if refused is None and (preset, name, key_of(setting)) not in done:
            yield preset, name, data[name], setting


def asked_settings(asked: list[str]) -> list[dict[str, Any]]:
    """Those of the command line, as "0.001 constant", else the grid."""
    pairs = [each.split() for each in asked]
    return [{"lr": float(lr), "schedule": schedule} for lr, schedule in pairs] or settings()


def shortfalls(runs: list[dict[str, Any]], preset: str, name: str) -> dict[str, float]:
    """How far every setting that was run stays behind the best one, relative to its size."""
    of = [run for run in runs if (run["preset"], run["data"]) == (preset, name)]
    values = {run["setting"]: run.get("value", math.inf) for run in of}
    best = min(values.values(), default=math.inf)
    nats = any(run.get("judge") in ("bound", "nll", "distortion") for run in of)
    normal = MEASUREMENTS * 0.5 * math.log(2 * math.pi * math.e)
    size = normal if name == "tumors" and nats else abs(best)
    return {key: (value - best) / size for key, value in values.items()}


def by_default(preset: str, data: dict[str, Data]) -> dict[str, str]:
    """The setting of the preset's defaults on each data set."""
    found = {name: rp.PRESETS[preset].train_on(table.space) for name, table in data.items()}
    return {name: f"{config.lr:g} {config.schedule}" for name, config in found.items()}


def markdown(runs: list[dict[str, Any]]) -> str:
    """The shortfall of the defaults and of every setting, the worst over data sets, in percent."""
    data = tables()
    found = {(run["preset"], run["setting"]) for run in runs}
    presets = [name for name in rp.PRESETS if any(name == preset for preset, _ in found)]
    heads = sorted({setting for _, setting in found}, key=lambda s: (s[-1], float(s.split()[0])))
    lines = ["| preset | default | " + " | ".join(heads) + " |", "|---" * (2 + len(heads)) + "|"]
    for preset in presets:
        each = {name: short for name in data if (short := shortfalls(runs, preset, name))}
        default = by_default(preset, data)
        worst = [max(short.get(default[name], math.inf) for name, short in each.items())]
        worst += [max(short.get(head, math.inf) for short in each.values()) for head in heads]
        cells = (f"{100 * value:.1f}" if math.isfinite(value) else "" for value in worst)
        lines.append(f"| `{preset}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def key_of(setting: dict[str, Any]) -> str:
    return f"{setting['lr']:g} {setting['schedule']}"


def read(record: Path) -> list[dict[str, Any]]:
    """Every run of a record, oldest first."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--out", type=Path, default=RECORD, help="file of the results")
    parser.add_argument("--data", nargs="*", choices=DATA, default=DATA)
    parser.add_argument("--settings", nargs="*", default=[], help='as "0.001 constant"; none: all')
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--table", action="store_true", help="only show what was found")
    asked = parser.parse_args()
    presets = asked.presets or [name for name in rp.PRESETS if name not in WITHOUT_JUDGE]
    done = {(run["preset"], run["data"], run["setting"]) for run in read(asked.out)}
    data = {name: table for name, table in tables().items() if name in asked.data}
    left = [] if asked.table else list(work(presets, data, asked.settings, done))
    parallel = Parallel(asked.jobs, return_as="generator_unordered", pre_dispatch=asked.jobs)
    for run in parallel(delayed(train)(*each) for each in left):
        with asked.out.open("a") as record:
            record.write(json.dumps(run) + "\n")
        print(run, flush=True)
    print(markdown(read(asked.out)))


if __name__ == "__main__":
    main()
