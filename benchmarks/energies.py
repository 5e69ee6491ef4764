"""Energy-based models on digits: log p(x) beside its exact value, draws, and five seeds.

    python benchmarks/energies.py rbm                    # about a minute
    python benchmarks/energies.py ebm --budget 180       # five seeds, and the first one's draws
    python benchmarks/energies.py ebm --epochs 300       # where other work would take the seconds
    REPARAM_DATA=… python benchmarks/energies.py rbm500 --budget 1200 --out runs/rbm500

rbm       16 hidden units on digits at a threshold of .5: the exact −log p(x) of test rows, that of
          independent pixels, and log Z by annealing beside the sum over all hidden states
ebm       every score of samples beside `pca`'s; whether a seed diverged; draws as a picture
rbm500    500 hidden units on the static binarized MNIST: an estimate, beside the published −86.34
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import resumable
import torch
from PIL import Image
from torch import Tensor

import reparam as rp
from reparam.data import Data
from reparam.evaluation.samples import sample_scores
from reparam.models.energy import EnergyModel
from reparam.models.rbm import RBM

SHOWN = ("frechet_distance", "sample_precision", "sample_recall", "sample_sharpness")
SEEDS = range(5)
Fields = dict[str, Any]


@torch.no_grad()
def rbm(how: Fields) -> None:
    data = rp.load_data("digits", binarize=0.5)
    model = rp.build("rbm", data.space, hidden=16, seed=0)
    assert isinstance(model, RBM)
    start = time.process_time()
    history = rp.fit(model, data, seed=0, progress=False, **how)
    taken = time.process_time() - start
    print(f"{history.rows[-1]['step']:.0f} steps, {taken:.1f} CPU s")
    for name, values in {
        "exact": model.log_prob(data.test.x).value,
        "independent pixels": model.base.log_density(data.test.x.flatten(1).float()).sum(1),
    }.items():
        mean, error = resumable.mean(-values.double())
        print(f"| −log p(x), {name} | {mean:.2f} ± {error:.2f} |")
    exact = model.enumerated().item()
    for seed in range(3):
        found = model.annealed(torch.Generator().manual_seed(seed))
        apart = found.value.item() - exact
        print(
            f"| log Ẑ − log Z, {found.runs} runs × {found.temperatures} | {apart:+.3f} | "
            f"said to be ± {found.stderr.item():.3f}, {found.effective_samples.item():.0f} runs |"
        )


def picture(x: Tensor, file: Path) -> None:
    """64 draws of 8 × 8, enlarged."""
    grid = x.view(8, 8, 8, 8).permute(0, 2, 1, 3).reshape(64, 64) * (255 / 16)
    Image.fromarray(grid.byte().numpy()).resize((512, 512), 0).save(file)


def row(name: str, model: rp.Generator, data: Data) -> None:
    scores = sample_scores(model, data, "test")
    print(f"| {name} | {' | '.join(f'{scores[s].value:.2f}' for s in SHOWN)} |", flush=True)


def ebm(how: Fields, out: Path) -> None:
    data = rp.load_data("digits")
    pca = rp.build("pca", data.space)
    rp.fit(pca, data, progress=False)
    assert isinstance(pca, rp.Generator)
    print(f"| model | {' | '.join(SHOWN)} |")
    row("pca", pca, data)
    for seed in SEEDS:
        model = rp.build("ebm", data.space, seed=seed)
        assert isinstance(model, EnergyModel)
        start = time.process_time()
        history = rp.fit(model, data, seed=seed, progress=False, **how)
        taken, last = time.process_time() - start, history.rows[-1]
        row(f"ebm, seed {seed}", model, data)
        energies = [f"{last[f'valid/energy_{of}']:.1f}" for of in ("real", "drawn")]
        print(
            f"{last['step']:.0f} steps, {taken:.0f} CPU s; E of data and of chains "
            f"{', '.join(energies)}; {history.warnings or 'no warning'}"
        )
        log_z, log_p = model.log_partition, model.log_prob(data.test.x, samples=100).value
        mean, _ = resumable.mean(-log_p.double())
        print(
            f"−log p(x) ≈ {mean:.1f}; log Ẑ {log_z.value.item():.2f} ± {log_z.stderr.item():.2f}, "
            f"{log_z.effective_samples.item():.1f} of {log_z.runs} runs",
            flush=True,
        )
        if seed == 0:
            out.mkdir(parents=True, exist_ok=True)
            picture(model.sample(64, generator=torch.Generator().manual_seed(0)), out / "ebm.png")


def rbm500(budget: float, out: Path) -> None:
    data = rp.load_data("binarized-mnist")
    model, _ = resumable.trained("rbm", data, out, {"hidden": 500}, budget=budget)
    for name, score in rp.evaluate(model, data).items():
        print(f"| {name} | {score.value:.4g} | {score.stderr} | {score.kind} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("names", nargs="+", choices=("rbm", "ebm", "rbm500"))
    arguments.add_argument("--budget", type=float, help="seconds of each training")
    arguments.add_argument("--epochs", type=int, help="in place of seconds, on a busy machine")
    arguments.add_argument("--out", type=Path, default=Path("runs/energies"))
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    given = {"budget": asked.budget, "epochs": asked.epochs}
    how = {name: value for name, value in given.items() if value}
    for name in asked.names:
        print(f"\n{name}", flush=True)
        if name == "rbm":
            rbm(how or {"budget": 36})
        elif name == "ebm":
            ebm(how or {"budget": 180}, asked.out)
        else:
            rbm500(asked.budget or 1200, asked.out)


if __name__ == "__main__":
    main()
