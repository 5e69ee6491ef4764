"""FVBN, NADE and MADE on the binary DNA set, beside their published test log-likelihoods.

    REPARAM_DATA=… python benchmarks/dna.py [fvbn nade made]

Every setting of a small grid is trained with Adam, cosine learning rate, and the weights of its
best validation; the setting with the best validation log-likelihood is the one that is measured on
the test split, once. Published: MADE (Germain et al. 2015), table 4.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time

import torch

import reparam as rp

PUBLISHED = {"fvbn": -83.64, "nade": -84.81, "made": -83.63}
GRIDS: dict[str, dict[str, tuple]] = {
    "fvbn": {"lr": (1e-2, 3e-2), "weight_decay": (0.0, 0.03, 0.1)},
    "nade": {"hidden": (50,), "lr": (1e-2, 3e-2), "weight_decay": (0.1,)},  # slower: a smaller grid
    "made": {"hidden": ((100,),), "lr": (1e-2, 3e-2), "weight_decay": (0.1, 0.3, 1.0)},
}
TRAINING = {"lr", "weight_decay"}


def settings(name: str) -> list[dict]:
    grid = GRIDS[name]
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def train(name: str, data: rp.Data, setting: dict, epochs: int) -> tuple[float, rp.Model]:
    """The model with its best weights, and its validation log-likelihood."""
    torch.manual_seed(0)
    given = {key: value for key, value in setting.items() if key not in TRAINING}
    config = rp.TrainConfig(
        epochs=epochs,
        batch_size=100,
        schedule="cosine",
        device="cpu",
        **{key: value for key, value in setting.items() if key in TRAINING},
    )
    model = rp.build(name, data.space, **given)
    rp.fit(model, data, config, progress=False)
    model.eval()
    with torch.no_grad():
        return model.log_prob(data.valid.x).value.mean().item(), model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=list(GRIDS))
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--json", help="file for the results")
    asked = parser.parse_args()
    data = rp.load_data("dna")
    results = []
    for name in asked.models or list(GRIDS):
        best: tuple[float, rp.Model, dict] | None = None
        start = time.process_time()
        for setting in settings(name):
            value, model = train(name, data, setting, asked.epochs)
            print(f"{name} {setting}: validation {value:.3f}", flush=True)
            if best is None or value > best[0]:
                best = value, model, setting
        assert best is not None
        with torch.no_grad():
            test = best[1].log_prob(data.test.x).value.double()
        results.append(
            {
                "model": name,
                "chosen": best[2],
                "validation": best[0],
                "test": test.mean().item(),
                "standard_error": test.std().item() / len(test) ** 0.5,
                "published": PUBLISHED[name],
                "cpu_seconds_of_the_grid": time.process_time() - start,
                "settings": len(settings(name)),
                "epochs": asked.epochs,
            }
        )
        print(json.dumps(results[-1]), flush=True)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
