"""Restoring: digits from 4 x 4, MNIST from 7 x 7, the colors of gray digits.

    python benchmarks/restoration.py digits --out runs/restoring          # a minute for each model
    REPARAM_DATA=… python benchmarks/restoration.py mnist --out runs/restoring   # 15 minutes each
    python benchmarks/restoration.py colors --out runs/restoring

digits    8 x 8 from block means of 2 x 2: `regression`, `cvae`, `gated-pixel-cnn`, `ddpm`
mnist     28 x 28 from block means of 4 x 4, the same models with larger networks
colors    digits in ten hues (tests/colored_digits.py) from gray; `--data sprites` takes these
agree     part of each: how often the block means, or grays, of the draws of `gated-pixel-cnn` are
          y exactly, and within half a level

Runs stand in ``--out`` and go on where they were interrupted; scores of a finished run are kept
beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import resumable
import torch

import reparam as rp
from reparam.checkpoint import write_text
from reparam.data import Data
from reparam.evaluation.restoration import DRAWS, chosen, given_to, restorations
from reparam.evaluation.scores import Score
from reparam.model import Density, Generator

SECONDS = {"digits": 60.0, "mnist": 900.0, "colors": 120.0}
GIVEN = {"digits": "downscale:2", "mnist": "downscale:4", "colors": "gray"}
MODELS: dict[str, Mapping[str, Any]] = {
    "regression": {},
    "cvae": {},
    "gated-pixel-cnn": {},
    "ddpm": {},
}
COLUMNS = (
    ("restoration_mse", "MSE of draws"),
    ("restoration_mean_mse", "of the mean"),
    ("restoration_psnr", "PSNR of draws"),
    ("restoration_mean_psnr", "of the mean"),
    ("consistency", "consistency"),
    ("spread", "spread"),
    ("coverage", "coverage"),
    ("color_mse", "color of draws"),
    ("color_mean_mse", "of the mean"),
    ("color_mse_of_gray", "of gray"),
    ("color_mse_of_average", "of the mean color"),
    ("conditional_log_likelihood", "log p(x\\|y), nats"),
)


def data_of(task: str, name: str | None) -> Data:
    """The data of a task: named ones, or colored digits of eight levels a channel."""
    if task != "colors":
        return rp.load_data(name or task)
    if name is not None:
        return rp.load_data(name)
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from colored_digits import colored_digits

    x, labels, _ = colored_digits()
    return rp.load_data((x // 32, labels), kind="levels", levels=8)


def scored(model: Generator, data: Data, file: Path) -> dict[str, Any]:
    """The scores of a run as they are written, measured once."""
    weights = resumable.fingerprint(model)
    if file.exists():
        kept = json.loads(file.read_text("utf-8"))
        if kept["weights"] == weights:
            return cast(dict[str, Any], kept["scores"])
    found: dict[str, Score] = rp.restoration_quality(model, data)
    if isinstance(model, Density):
        whole = rp.evaluate(model, data)
        found |= {name: whole[name] for name, _ in COLUMNS if name in whole}
    scores: dict[str, Any] = {name: score.to_json() for name, score in found.items()}
    if model.passes_per_draw == 1 or "pixel" in file.stem:
        scores |= agreement(model, data)
    write_text(file, json.dumps({"weights": weights, "scores": scores}, indent=1))
    return scores


def agreement(model: Generator, data: Data) -> dict[str, dict[str, float]]:
    """How often A x̂ is y, entry by entry and draw by draw: exactly, and to half a level."""
    given = given_to(model)
    assert given is not None
    exactly, nearly = [], []
    for part in restorations(model, chosen(data, "test", model), DRAWS, 0):
        apart = given(part.draws.flatten(0, 1).double()).unflatten(0, part.draws.shape[:2])
        apart = (apart - part.y[:, None].cpu().double()).abs()
        exactly.append((apart < 1e-6).double().flatten())
        nearly.append((apart <= 0.5).double().flatten())
    shares = {"agrees": torch.cat(exactly), "within half a level": torch.cat(nearly)}
    return {name: {"value": values.mean().item()} for name, values in shares.items()}


def text(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return ""
    error = score.get("stderr")
    return f"{score['value']:.3g}" + (f" ± {error:.1g}" if error else "")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("task", choices=SECONDS)
    arguments.add_argument("--data", help="in place of the task's own")
    arguments.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments.add_argument("--budget", type=float, help="seconds of training for each model")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--out", type=Path, required=True)
    asked = arguments.parse_args()
    torch.set_num_threads(asked.threads)
    data, given = data_of(asked.task, asked.data), GIVEN[asked.task]
    seconds = asked.budget or SECONDS[asked.task]
    rows = []
    for preset in asked.models:
        folder = asked.out / f"{asked.task}-{preset}"
        options = {**MODELS[preset], "given": given}
        torch.manual_seed(0)
        model, history = resumable.trained(preset, data, folder, options, budget=seconds, seed=0)
        assert isinstance(model, Generator)
        scores = scored(model, data, asked.out / f"{asked.task}-{preset}.json")
        rows.append((preset, history.seconds, scores))
    columns = [*COLUMNS, ("agrees", "A x̂ = y"), ("within half a level", "to half a level")]
    columns = [c for c in columns if any(c[0] in scores for *_, scores in rows)]
    print(f"{data.name}, {given}: {len(data.test)} test examples, torch {torch.__version__}")
    print("| | training, s | " + " | ".join(words for _, words in columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for preset, taken, scores in rows:
        cells = " | ".join(text(scores.get(name)) for name, _ in columns)
        print(f"| `{preset}` | {taken:.0f} | {cells} |")


if __name__ == "__main__":
    main()
