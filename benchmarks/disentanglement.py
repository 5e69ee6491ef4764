"""Seven VAEs on sprites, scored by all metrics of disentanglement: the published comparison again.

    python benchmarks/disentanglement.py                    # fully connected, 10 000 steps, 3 seeds
    python benchmarks/disentanglement.py --workers 2        # two runs at a time
    python benchmarks/disentanglement.py --network conv --models vae l-vae
    python benchmarks/disentanglement.py --only-table       # of what is finished

Every model trains on the whole grid of 92 160 binary images of 32 × 32 and is scored on 10 000 of
its rows, drawn once: as in the literature there is no generalization in these numbers. All have ten
latents, batches of 64, Adam at 1e-4 without a schedule and the same number of steps. Networks:
fully connected, 512 and 256; with ``--network conv`` the usual one, convolutions of 4 × 4 and
stride 2 with 32, 32, 64 (and at 64 × 64 another 64) channels, then 256.

ControlVAE holds 18 nats, which are asked for from half of the steps on, with the gains of its paper
(β from 1 to 100); DynamicVAE 18 nats from β = 50 down, with those of its paper; the learned weights
of L-VAE and dL-VAE start after a tenth of the steps. σ-VAE is a normal with the optimal variance on
uniformly dequantized pixels, whose distortion bounds −log P(x) loosely: compare its squared error.

Every command repeated goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import resumable
import torch
from joblib import Parallel, delayed
from scipy.stats import rankdata, spearmanr
from torch import nn

import reparam as rp
from reparam.checkpoint import write_json
from reparam.data import Data, Split
from reparam.evaluation.disentanglement.of_models import rated_codes

STEPS, ROWS, LATENTS, BATCH, TARGET = 10_000, 10_000, 10, 64, 18.0
SCORES = {
    "mig": "MIG",
    "modularity": "modularity",
    "explicitness": "explicitness",
    "sap": "SAP",
    "dci_disentanglement": "D",
    "dci_completeness": "C",
    "dci_informativeness": "I",
    "beta_vae_metric": "BetaVAE",
    "factor_vae_metric": "FactorVAE",
    "irs": "IRS",
}
# Mogultay Ozcan et al. 2025: an error of reconstruction, then nine scores without their names.
PUBLISHED = {
    "vae": (11.86, 0.58, 0.93, 0.77, 0.56, 0.63, 0.30, 0.32, 0.92, 0.28),
    "beta-vae": (29.11, 0.58, 0.92, 0.75, 0.55, 0.51, 0.30, 0.28, 0.94, 0.26),
    "control-vae": (24.35, 0.60, 0.97, 0.76, 0.59, 0.58, 0.30, 0.30, 0.94, 0.30),
    "dynamic-vae": (33.75, 0.56, 0.89, 0.58, 0.50, 0.51, 0.33, 0.29, 0.85, 0.32),
    "sigma-vae": (12.30, 0.29, 0.77, 0.55, 0.47, 0.43, 0.07, 0.09, 0.90, 0.03),
    "l-vae": (11.77, 0.59, 0.96, 0.77, 0.57, 0.65, 0.31, 0.32, 0.92, 0.32),
    "dl-vae": (19.99, 0.60, 0.97, 0.77, 0.59, 0.57, 0.31, 0.30, 0.94, 0.33),
}
# Others whose presets exist, and the weights of β-VAE, by --models.
MORE = {
    **{f"beta-vae-{beta}": ("beta-vae", {"beta": float(beta)}) for beta in (2, 8, 16)},
    "beta-tcvae": ("beta-tcvae", {}),
    "factor-vae": ("factor-vae", {}),
    "dip-vae": ("dip-vae", {}),
}
Row = dict[str, float]


def parameters(name: str, steps: int) -> tuple[str, dict[str, Any]]:
    """The preset of a row, and its parameters beside those that all have."""
    own: dict[str, dict[str, Any]] = {
        "beta-vae": {"beta": 4.0},
        "control-vae": {"target": TARGET, "steps": steps // 2},
        "dynamic-vae": {"target": TARGET},
        "l-vae": {"steps": steps // 10},
        "dl-vae": {"steps": steps // 10},
    }
    return MORE[name] if name in MORE else (name, own.get(name, {}))


def whole_grid(side: int) -> Data:
    """Every image for training, and rows drawn once for validation and for scores."""
    grid = rp.sprites(side=side)
    parts = grid.splits.values()
    x = torch.cat([part.x for part in parts])
    factors = torch.cat([part.factors for part in parts if part.factors is not None])
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    splits = [Split(x[rows], factors=factors[rows]) for rows in (order[:2000], order[:ROWS])]
    valid, test = splits
    whole = Split(x, factors=factors)
    told = {"name": f"{grid.name}, whole", "notes": (), "source": None}
    return replace(grid, train=whole, valid=valid, test=test, **told)


def protocol_encoder(shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Convolutions of 4 × 4 with stride 2 down to a side of 4, then 256."""
    channels = (shape[0], 32, 32, 64, 64)[: int(math.log2(shape[1])) - 1]
    layers: list[nn.Module] = []
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
    flat = channels[-1] * 16
    head = [nn.Flatten(), nn.Linear(flat, 256), nn.ReLU(), nn.Linear(256, outputs)]
    return nn.Sequential(*layers, *head)


def protocol_decoder(shape: tuple[int, ...]) -> nn.Sequential:
    """The encoder mirrored."""
    channels = (shape[0], 32, 32, 64, 64)[: int(math.log2(shape[1])) - 1][::-1]
    first = [nn.Linear(LATENTS, 256), nn.ReLU(), nn.Linear(256, channels[0] * 16), nn.ReLU()]
    layers: list[nn.Module] = [*first, nn.Unflatten(1, (channels[0], 4, 4))]
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def trained(
    name: str, seed: int, data: Data, folder: Path, asked: argparse.Namespace
) -> tuple[rp.Model, rp.History]:
    """The model of a row, begun, continued or only read, and its curves."""
    preset, own = parameters(name, asked.steps)
    torch.manual_seed(seed)
    model = rp.build(preset, data.space, latent_dim=LATENTS, network="mlp", **own)
    if asked.network == "conv":
        assert isinstance(model, rp.VAE)
        outputs = math.prod(model.q_z.parameter_shape)
        model.encoder = protocol_encoder(data.space.shape, outputs)
        model.decoder = protocol_decoder(data.space.shape)
    if (folder / "run.json").exists():
        model, history = rp.resume(folder, data=data, model=model, progress=False)
    else:
        epochs = math.ceil(asked.steps * BATCH / len(data.train))
        fields = {"epochs": epochs, "batch_size": BATCH, "lr": 1e-4, "seed": seed}
        history = rp.fit(model, data, out=folder, progress=False, **fields)
    print(f"{folder.name}: {history.ended}, {history.seconds:.0f} s of training", flush=True)
    return model.eval(), history


def measured(model: rp.Model, history: rp.History, data: Data) -> Row:
    """All scores of one model, its terms, and how far these moved in the last epoch."""
    assert isinstance(model, rp.VAE)
    elbo, rate = resumable.bounds(model, data.test)
    x = data.test.x
    errors = [(rows - model.reconstruct(rows)).square().sum().item() for rows in x.split(1000)]
    z, rates = rated_codes(model, data.test)
    known = {"ordered": data.factor_kinds, "names": data.factor_names, "rates": rates}
    found = rp.disentanglement(z, data.test.factors, **known, bootstrap=0)
    beta = model.objective.weighting.beta()
    last, before = history.rows[-1], history.rows[-2:][0]
    terms = ("valid/distortion", "valid/rate")
    moved = [abs(last[term] - before[term]) / abs(before[term]) for term in terms]
    return {
        "distortion": (-elbo - rate).mean().item(),
        "squared_error": sum(errors) / len(x),
        "rate": rate.mean().item(),
        "beta": math.nan if beta is None else beta.item(),
        "moved": max(moved) if last is not before else math.nan,  # not known of one epoch
        "seconds": last["seconds"],
        **{score: found[score].value for score in ("dead_latents", *SCORES)},
    }


def run(name: str, seed: int, data: Data, asked: argparse.Namespace) -> None:
    """Train and score one model, unless that is done."""
    torch.set_num_threads(1)
    folder = place(name, seed, asked)
    file = folder / "scores.json"
    if not file.exists():
        write_json(file, measured(*trained(name, seed, data, folder, asked), data))


def place(name: str, seed: int, asked: argparse.Namespace) -> Path:
    protocol = f"{asked.network}-side={asked.side}-steps={asked.steps}"
    return asked.out / protocol / f"{name}-seed={seed}"


def finished(asked: argparse.Namespace) -> dict[str, list[Row]]:
    """By name of the row, what was measured, one for each seed that is finished."""
    rows: dict[str, list[Row]] = {}
    for name, seed in product(asked.models, range(asked.seeds)):
        file = place(name, seed, asked) / "scores.json"
        if file.exists():
            rows.setdefault(name, []).append(json.loads(file.read_text()))
    return rows


def print_table(rows: dict[str, list[Row]], asked: argparse.Namespace) -> None:
    """A line per model: means over seeds with their standard errors."""
    heads = ("distortion", "squared error", "rate", "β", "dead", *SCORES.values(), "moved", "seeds")
    names = ("distortion", "squared_error", "rate", "beta", "dead_latents", *SCORES, "moved")
    hours = sum(row["seconds"] for each in rows.values() for row in each) / 3600
    words = f"{asked.network} network, side {asked.side}, {asked.steps} steps"
    print(f"\n{words}; {hours:.1f} hours of training; {resumable.machine()}\n")
    print("| model | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    for name, each in rows.items():
        cells = [_cell([row[column] for row in each]) for column in names]
        print(f"| {name} | " + " | ".join([*cells, str(len(each))]) + " |")
    print("\nPublished (error of reconstruction; nine scores whose names are not given):\n")
    for name, numbers in PUBLISHED.items():
        print(f"| {name} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")


def _cell(values: list[float]) -> str:
    if any(math.isnan(value) for value in values):
        return "–"
    mean = statistics.fmean(values)
    digits = 3 if abs(mean) < 1 else 2
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values) / len(values) ** 0.5:.{digits}f}"


def print_orderings(rows: dict[str, list[Row]]) -> None:
    """The three orderings that the published gaps support, each with its share over seeds."""
    print("\n(a) distortion")
    pair("VAE < β-VAE (4)", rows, ("vae", "beta-vae"), lambda a, b: a < b)
    heavier = statistics.fmean(row["beta"] for row in rows["l-vae"]) > 1
    sign = ">" if heavier else "<"
    words = f"L-VAE {sign} VAE, as its mean β {'is above' if heavier else 'is below'} 1"
    pair(words, rows, ("l-vae", "vae"), lambda a, b: (a > b) == heavier)
    print("\n(b) σ-VAE lowest on most scores")
    lowest = [[min(rows, key=lambda name: _mean(rows, name, score)) for score in SCORES]]
    print(f"lowest on {lowest[0].count('sigma-vae')} of {len(SCORES)} scores by means over seeds")
    drawn = [_lowest(resampled(rows, rng), "sigma-vae") for rng in _generators(1000)]
    share = statistics.fmean(count > len(SCORES) / 2 for count in drawn)
    print(f"on more than half in {share:.1%} of 1000 resamples of seeds: {verdict(share)}")
    print("\n(c) β of L-VAE is √(distortion/rate)")
    for row in rows["l-vae"]:
        root = math.sqrt(row["distortion"] / row["rate"])
        print(f"β {row['beta']:.4f}, √(R/K) {root:.4f}, ratio {row['beta'] / root:.4f}")
    print_ranks(rows)


def pair(
    words: str,
    rows: dict[str, list[Row]],
    names: tuple[str, str],
    holds: Callable[[float, float], bool],
) -> None:
    """How often an ordering of distortions holds between the seeds of one and of another."""
    first, second = ([row["distortion"] for row in rows[name]] for name in names)
    share = statistics.fmean(holds(a, b) for a, b in product(first, second))
    print(f"{words}: in {share:.0%} of {len(first) * len(second)} pairs of seeds, {verdict(share)}")


def verdict(share: float) -> str:
    return "seen" if share >= 0.95 else "not seen" if share <= 0.05 else "undecided"


def print_ranks(rows: dict[str, list[Row]]) -> None:
    """Spearman's correlation of the mean ranks over scores with those of the published table."""
    names = [name for name in PUBLISHED if name in rows]
    table = np.array([PUBLISHED[name][1:] for name in names])
    published = rankdata(table, axis=0).mean(1)
    found = correlation(rows, names, published)
    drawn = [correlation(resampled(rows, rng), names, published) for rng in _generators(1000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    print(
        f"\nmean rank over scores, ours with the published: Spearman {found:.2f}, "
        f"95 % of resamples of seeds {low:.2f} to {high:.2f}"
    )


def correlation(rows: dict[str, list[Row]], names: list[str], published: Any) -> float:
    ours = np.array([[_mean(rows, name, score) for score in SCORES] for name in names])
    return float(spearmanr(rankdata(ours, axis=0).mean(1), published).statistic)


def resampled(rows: dict[str, list[Row]], rng: np.random.Generator) -> dict[str, list[Row]]:
    """As many seeds of every model, drawn with replacement."""
    return {
        name: [each[i] for i in rng.integers(0, len(each), len(each))]
        for name, each in rows.items()
    }


def _generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def _lowest(rows: dict[str, list[Row]], asked: str) -> int:
    """On how many scores a model has the lowest mean."""
    return sum(min(rows, key=lambda name: _mean(rows, name, score)) == asked for score in SCORES)


def _mean(rows: dict[str, list[Row]], name: str, score: str) -> float:
    return statistics.fmean(row[score] for row in rows[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=[*PUBLISHED, *MORE], default=[*PUBLISHED])
    parser.add_argument("--network", choices=["mlp", "conv"], default="mlp")
    parser.add_argument("--side", type=int, default=32, choices=[32, 64])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--only-table", action="store_true", help="train nothing")
    parser.add_argument("--out", type=Path, default=Path("runs/disentanglement"))
    asked = parser.parse_args()
    if not asked.only_table:
        data = whole_grid(asked.side)
        each = product(range(asked.seeds), asked.models)  # first one seed of all
        work = (delayed(run)(name, seed, data, asked) for seed, name in each)
        Parallel(n_jobs=asked.workers)(work)
    rows = finished(asked)
    print_table(rows, asked)
    if set(PUBLISHED) <= set(rows):
        print_orderings({name: rows[name] for name in PUBLISHED})


if __name__ == "__main__":
    main()
