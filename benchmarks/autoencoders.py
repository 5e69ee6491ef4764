"""Published numbers of autoencoders on MNIST, each by one command that goes on where it stopped.

    python benchmarks/autoencoders.py deep k-sparse features     # or none: all of them

deep        squared error of a 784-1000-500-250-30 autoencoder (Hinton & Salakhutdinov 2006)
k-sparse    error of logistic regression on k-sparse codes (Makhzani & Frey 2013)
features    linear probe on codes of a denoising autoencoder and of a plain one, over seeds

What is chosen (epochs kept, strength of the regression, winners at test) is chosen on the
validation images. Runs are left in --out.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import resumable
import torch
from sklearn.linear_model import LogisticRegression

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.reconstruction import squared_errors
from reparam.evaluation.representation import code_features, linear_probe
from reparam.model import Codec
from reparam.nets.sparse import KSparse

EPOCHS = {"deep": 50, "k-sparse": 25, "features": 40}
STRENGTHS = (0.003, 0.03, 0.3, 3.0)  # C of the regression: the inverse of its penalty
FEW = 10_000  # training images of the probe over seeds
SEEDS = 3


def deep(data: Data, out: Path) -> None:
    """Σ (x − x′)² per image on pixels in [0, 1]; published 3.00, PCA with 30 components 13.87."""
    parameters: dict[str, Any] = {"latent_dim": 30, "hidden": (1000, 500, 250)}
    model = trained("ae", data, out / "deep", parameters | {"loss": "squared_error"}, "deep")
    pca = rp.build("pca", data.space, latent_dim=30)
    rp.fit(pca, data, progress=False)
    print("| model | squared error per test image | published |\n| --- | --- | --- |")
    for name, codec, published in (("ae 1000-500-250-30", model, 3.00), ("pca 30", pca, 13.87)):
        assert isinstance(codec, Codec)
        errors = squared_errors(codec, data.test, torch.ones(())) * data.space.dimension
        stderr = errors.std() / math.sqrt(len(errors))
        print(f"| {name} | {errors.mean():.3f} ± {stderr:.3f} | {published} |", flush=True)


def k_sparse(data: Data, out: Path) -> None:
    """Test error of logistic regression; published 1.54 % (k=40), 1.35 % (25), 2.10 % (10)."""
    print("| codes | winners at test | C | valid error | test error | published |")
    print("| --- | --- | --- | --- | --- | --- |")
    for k, published in ((25, "1.35 %"), (40, "1.54 %"), (10, "2.10 %")):
        model = trained("k-sparse-ae", data, out / f"k-sparse-{k}", {"k": k}, "k-sparse")
        (winners,) = (part for part in model.modules() if isinstance(part, KSparse))
        best: tuple[float, ...] = (1.0,)
        for alpha in (1.0, 2.0, 3.0):
            winners.alpha = alpha
            best = min(best, (*regression_error(model, data), alpha))
        valid, test, strength, alpha = best
        stderr = math.sqrt(test * (1 - test) / len(data.test))
        row = [f"k = {k}", f"{alpha:.0f} k", f"{strength}", f"{valid:.2%}"]
        print("| " + " | ".join([*row, f"{test:.2%} ± {stderr:.2%}", published]) + " |", flush=True)


def regression_error(model: Codec, data: Data) -> tuple[float, float, float]:
    """Validation and test error of the strength that is best in validation, and that strength."""
    codes = {name: code_features(model, split).float() for name, split in data.splits.items()}
    scale = codes["train"].std()  # one for all units, so that rare ones stay rare
    z = {name: (code / scale).numpy() for name, code in codes.items()}
    y = {name: np.asarray(split.labels) for name, split in data.splits.items()}
    found = []
    for strength in STRENGTHS:
        regression = LogisticRegression(C=strength, max_iter=300).fit(z["train"], y["train"])
        valid, test = (float((regression.predict(z[s]) != y[s]).mean()) for s in ("valid", "test"))
        found.append((valid, test, strength))
    return min(found)


def features(data: Data, out: Path) -> None:
    """Linear probe on 500 codes of 10 000 training images, standard errors over seeds."""
    few = dataclasses.replace(data, train=first(data.train, FEW), source=None)
    print("| model | probe accuracy on test images | over seeds |\n| --- | --- | --- |")
    models: dict[str, dict[str, Any]] = {
        "ae": {},
        "denoising-ae": {"corruption": "masking", "amount": 0.5},
    }
    for preset, own in models.items():
        found = []
        for seed in range(SEEDS):
            parameters = {"latent_dim": 500, "hidden": (500,), **own}
            folder = out / f"features-{preset}-{seed}"
            model = trained(preset, few, folder, parameters, "features", seed=seed)
            score = linear_probe(model, few.train, few.test)
            assert score is not None
            found.append(score.value)
        stderr = stdev(found) / math.sqrt(SEEDS)
        row = f"| {preset} {own or ''} | {mean(found):.4f} ± {stderr:.4f} | "
        print(row + ", ".join(f"{value:.4f}" for value in found) + " |", flush=True)


def trained(
    preset: str, data: Data, folder: Path, parameters: dict[str, Any], name: str, seed: int = 0
) -> Codec:
    """The model of a run, which is begun, continued or only read."""
    fields = {"epochs": EPOCHS[name], "lr": 1e-3, "schedule": "cosine", "seed": seed}
    model, _ = resumable.trained(preset, data, folder, parameters, **fields)
    assert isinstance(model, Codec)
    return model


def first(split: Split, n: int) -> Split:
    """The first n rows, with their labels."""
    return Split(split.x[:n], None if split.labels is None else split.labels[:n])


EXPERIMENTS: dict[str, Callable[[Data, Path], None]] = {
    "deep": deep,
    "k-sparse": k_sparse,
    "features": features,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *EXPERIMENTS])
    parser.add_argument("--out", type=Path, default=Path("runs/autoencoders"))
    arguments = parser.parse_args()
    data = rp.load_data("mnist")
    for name in arguments.names or EXPERIMENTS:
        print(f"\n## {name}: {EXPERIMENTS[name].__doc__}\n")
        EXPERIMENTS[name](data, arguments.out)


if __name__ == "__main__":
    main()
