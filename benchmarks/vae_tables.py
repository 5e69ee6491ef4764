"""Posteriors, hierarchies and priors of VAEs beside each other, each table by one command.

    python benchmarks/vae_tables.py posteriors hierarchies priors     # or none: all of them
    python benchmarks/vae_tables.py priors --epochs 24 --rows 2000    # a short run, and called one

posteriors    a diagonal normal q(z|x), planar flows, inverse autoregressive flows
hierarchies   one layer of z, two from the bottom up, two of a ladder, all with batch normalization
priors        the standard normal, the VampPrior

On MNIST as Larochelle and Murray binarized it once. All sides have the same networks between x and
the first layer of z (784-200-200, ReLU), epochs, batches and learning rates; the weight of the rate
rises from 0 to 1 over the first quarter of the epochs, without which posteriors whose rate is drawn
collapse early. The weights kept are those of the best validation. Measured on the same test rows,
so that differences have standard errors of their own. These are over rows, not over seeds: every
side is trained once.

Every command repeated goes on where it stopped, in training and in measuring.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import resumable
from torch import Tensor

import reparam as rp
from reparam.checkpoint import write_json
from reparam.data import Data
from reparam.evaluation.rows import subset
from reparam.model import LatentVariable

EPOCHS, BATCH, SAMPLES, ROWS = 400, 128, 1000, 10_000
TRAINING = {"batch_size": BATCH, "lr": 1e-3, "schedule": "cosine"}
NETWORKS = {"hidden": (200, 200), "network": "mlp"}


@dataclass(frozen=True)
class Side:
    """One row of a table: a preset, its parameters, and log p(x) as published for its kind."""

    name: str
    preset: str
    published: str
    parameters: dict[str, Any] = field(default_factory=lambda: {"latent_dim": 50})


# Batch normalization in all networks, without which ladders carry little in their upper layers.
LAYERS = {"latent_dims": (100, 50), "between": (100, 100), "batch_norm": True}

# One run, the first row of two tables.
PLAIN = Side("diagonal, one layer, N(0, I)", "vae", "−88.71 (Burda 2016, 3280 epochs)")
TABLES = {
    "posteriors": (
        PLAIN,
        Side(
            "planar, 10 steps",
            "vae",
            "≥ −85.1 (Rezende & Mohamed 2015, 80 steps)",
            {"latent_dim": 50, "posterior": "planar", "flows": 10},
        ),
        Side(
            "IAF, 4 steps",
            "vae",
            "−79.88 (Kingma 2016, a convolutional ResNet)",
            {"latent_dim": 50, "posterior": "iaf", "flows": 4},
        ),
    ),
    "hierarchies": (
        Side("one layer", "vae", PLAIN.published, {"latent_dim": 50, "batch_norm": True}),
        Side(
            "bottom-up, 100 and 50",
            "hierarchical-vae",
            "−85.33 on dynamic MNIST (Burda 2016)",
            LAYERS,
        ),
        Side(
            "ladder, 100 and 50",
            "ladder-vae",
            "−82.12 on dynamic MNIST (Sønderby 2016, 5 layers)",
            LAYERS,
        ),
    ),
    "priors": (
        PLAIN,
        Side(
            "VampPrior, 50 components",
            "vae",
            "−79.78 (Tomczak & Welling 2018, PixelHVAE)",
            {"latent_dim": 50, "prior": "vamp", "components": 50},
        ),
    ),
}


@dataclass(frozen=True)
class Row:
    """What was measured of one side; every number in nats with its standard error."""

    name: str
    log_likelihood: tuple[float, float]
    elbo: tuple[float, float]
    gap: tuple[float, float]
    difference: tuple[float, float] | None  # of log p(x) from the first side's, row by row
    rate: tuple[float, float]
    published: str
    best_epoch: float | None
    seconds: float


def table(name: str, data: Data, asked: argparse.Namespace) -> None:
    """Train and measure the sides of a table, then print and keep it."""
    test, first, rows = subset(data.test, asked.rows, seed=0), None, []
    for side in TABLES[name]:
        model, history, folder = _trained(side, data, asked)
        file = folder / f"samples={asked.samples}-rows={len(test)}.safetensors"
        values = resumable.log_likelihoods(model, test, asked.samples, file)
        first = values if first is None else first
        rows.append(_row(side, values, resumable.bounds(model, test), first, history))
    protocol = {
        "table": name,
        "data": data.name,
        "test_rows": len(test),
        "samples": asked.samples,
        "epochs": asked.epochs,
        "short": asked.epochs < EPOCHS,
        "machine": resumable.machine(),
    }
    content = protocol | {"rows": [asdict(row) for row in rows]}
    write_json(asked.out / f"{name}-epochs={asked.epochs}.json", content)
    _print(protocol, rows)


def _trained(
    side: Side, data: Data, asked: argparse.Namespace
) -> tuple[LatentVariable, rp.History, Path]:
    """The trained model of a side, its curves, and the folder of its run."""
    label = "-".join([side.preset, *map(_word, side.parameters.items())])
    folder = asked.out / f"epochs={asked.epochs}" / label
    steps = len(data.train) * asked.epochs // (4 * BATCH)
    parameters = NETWORKS | side.parameters | {"steps": steps}
    fields = TRAINING | {"epochs": asked.epochs}
    model, history = resumable.trained(side.preset, data, folder, parameters, **fields)
    assert isinstance(model, LatentVariable)
    return model, history, folder


def _row(
    side: Side,
    values: Tensor,
    bounds: tuple[Tensor, Tensor],
    first: Tensor,
    history: rp.History,
) -> Row:
    (elbo, rate), mean = bounds, resumable.mean
    difference = None if values is first else mean(values - first)
    seconds = history.rows[-1]["seconds"]  # of training; reading a finished run adds none
    means = mean(values), mean(elbo), mean(values - elbo), difference, mean(rate)
    return Row(side.name, *means, side.published, history.best_epoch, seconds)


def _word(item: tuple[str, Any]) -> str:
    name, value = item
    return f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _print(protocol: dict[str, Any], rows: list[Row]) -> None:
    short = f", a short run: {EPOCHS} are meant" if protocol["short"] else ""
    print(
        f"\n{protocol['table']}: {protocol['data']}, {protocol['epochs']} epochs{short}; "
        f"{protocol['samples']} importance samples on {protocol['test_rows']} test rows; "
        f"{protocol['machine']}\n"
    )
    print("| side | log p(x) ≥ | ELBO | gap | difference | rate | published | best epoch | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        columns = (row.log_likelihood, row.elbo, row.gap, row.difference, row.rate)
        numbers = [
            "" if c is None else f"{c[0]:.2f} ± {c[1]:.2f}".replace("-", "−") for c in columns
        ]
        best = "" if row.best_epoch is None else f"{row.best_epoch:.0f}"
        cells = [row.name, *numbers, row.published, best, f"{row.seconds:.0f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *TABLES])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--rows", type=int, default=ROWS, help="test rows, drawn at random")
    parser.add_argument("--out", type=Path, default=Path("runs/vae-tables"))
    asked = parser.parse_args()
    data = rp.load_data("binarized-mnist")
    for name in asked.names or TABLES:
        table(name, data, asked)


if __name__ == "__main__":
    main()
