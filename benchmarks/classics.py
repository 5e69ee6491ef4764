"""Classic experiments with autoencoders and VAEs, each to be repeated by one command.

    python benchmarks/classics.py overfitting            # or several names, or none: all of them
    python benchmarks/classics.py --help

overfitting     an autoencoder with more weights than data, beside a denoising one
one-dimension   a code of one number with a powerful network: is it organized?
latent-density  a density fitted on an autoencoder's codes afterwards, beside the VAE's prior
estimators      log p(x) from prior samples and from importance samples, with effective samples
variance        the decoder's variance from sharp to smooth

All on scikit-learn's digits, on the CPU in minutes. Each prints its table as it stands in
benchmarks/results-autoencoders.md; reports are left in --out.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.comparison import Candidate, Comparison
from reparam.data import Data, Split
from reparam.evaluation.representation import code_features, linear_probe
from reparam.evaluation.scores import Score
from reparam.evaluation.vectors import Vectors
from reparam.model import Codec, LatentVariable
from reparam.train.random import seeded

SEEDS = 3
BATCH = 128


def overfitting(out: Path) -> None:
    """Few rows, a large network: the weights kept are those nearest to the training rows."""
    whole, rows = rp.load_data("digits"), []
    mask = rp.Masking(0.3)
    for n in (50, 800):
        few = Split(whole.train.x[:n])
        # Validated on the training rows: what is kept is the fit, not an early stop.
        data = dataclasses.replace(whole, train=few, valid=few, name=f"{n} digits", source=None)
        for preset, noise in (("ae", {}), ("denoising-ae", {"amount": mask.share})):
            found = []
            for seed in range(SEEDS):
                model = rp.build(preset, data.space, latent_dim=64, **noise)
                epochs = 1500 * BATCH // max(n, BATCH)
                rp.fit(model, data, epochs=epochs, batch_size=BATCH, seed=seed, progress=False)
                assert isinstance(model, Codec)
                found.append(errors(model, few, whole, mask))
            weights = sum(p.numel() for p in model.parameters())
            numbers = [over_seeds(values) for values in zip(*found, strict=True)]
            rows.append([str(n), preset, f"{weights:,}", *numbers])
    header = ["train MSE", "test MSE", "test MSE from masked x", "linear probe"]
    print_table(["rows", "model", "weights", *header], rows)


@torch.no_grad()
def errors(model: Codec, few: Split, whole: Data, mask: rp.Masking) -> tuple[float, ...]:
    """On the rows it was trained on, on others, on others seen through a mask; codes' use."""
    test, vectors = whole.test, Vectors(model.space, few.x)
    with seeded(0, torch.device("cpu")):
        masked = mask(test.x.float())
    found = []
    for seen, wanted in ((few.x, few.x), (test.x, test.x), (masked, test.x)):
        totals, counts = vectors.errors(model.reconstruct(seen), wanted)
        found.append((totals / counts).mean().item())
    probe = linear_probe(model, whole.train, test)
    assert probe is not None
    return *found, probe.value


def one_dimension(out: Path) -> None:
    """Neighbors on the line of codes: of one class more often than by chance?"""
    network = "latent_dim=1 hidden=1024,512,256"
    models = ["pca latent_dim=1", f"ae {network}", f"vae {network}"]
    folder = out / "one-dimension"
    comparison = compared(models, folder, epochs=100, samples=100)
    rows = []
    for entry in comparison.entries:
        same = []
        for seed in range(SEEDS):
            model = rp.load(folder / Candidate.parse(entry.label).folder(seed, SEEDS))
            assert isinstance(model, Codec) and comparison.data.test.labels is not None
            order = code_features(model, comparison.data.test).flatten().argsort()
            labels = comparison.data.test.labels[order]
            same.append((labels[1:] == labels[:-1]).double().mean().item())
        names = ("reconstruction_mse", "neighbor_overlap", "linear_probe_accuracy")
        rows.append([entry.label, *(shown(entry.scores, n) for n in names), over_seeds(same)])
    header = ["model", "test MSE", "10 neighbors kept", "linear probe", "same class as the next"]
    print_table(header, rows)


def latent_density(out: Path) -> None:
    """How far samples are from the data when the density of codes comes after the codes."""
    models = [
        *(f"ae-gmm codec.latent_dim=8 generator.components={k}" for k in (1, 10, 50)),
        "vae latent_dim=8",
        "vae latent_dim=8 likelihood=normal",
        "pca latent_dim=8",
    ]
    comparison = compared(models, out / "latent-density", epochs=100, samples=100)
    names = ("frechet_distance", "reconstruction_mse", "log_likelihood")
    rows = [[e.label, *(shown(e.scores, name) for name in names)] for e in comparison.entries]
    print_table(["model", "Fréchet distance of samples", "test MSE", "test log p(x)"], rows)


def estimators(out: Path) -> None:
    """log 1/K Σ w, with w = p(x|z), z ~ p(z), and with w = p(x|z) p(z) / q(z|x), z ~ q(z|x)."""
    data = rp.load_data("digits")
    x, rows = data.test.x[:100], []
    for latent_dim in (2, 16):
        model = rp.build("vae", data.space, latent_dim=latent_dim)
        rp.fit(model, data, epochs=300, batch_size=BATCH, progress=False)
        assert isinstance(model, LatentVariable)
        for k in (10, 100, 1000, 10_000):
            for name, weights in (("prior", prior_weights), ("posterior", posterior_weights)):
                log_w = weights(model, x, k)
                value = numerics.log_mean_exp(log_w, 1)
                # (Σ w)² / Σ w², the number of draws that count.
                effective = (2 * log_w.logsumexp(1) - (2 * log_w).logsumexp(1)).exp()
                nats = f"{value.mean():.2f} ± {value.std() / math.sqrt(len(x)):.2f}"
                size = f"{effective.median():.1f}"
                rows.append([str(latent_dim), str(k), name, nats, size])
    header = ["latent dim", "K", "draws from the", "log 1/K Σ w, mean", "median effective draws"]
    print_table(header, rows)


@torch.no_grad()
def prior_weights(model: LatentVariable, x: Tensor, k: int) -> Tensor:
    """log p(x|z) of k prior draws for each row, (B, k)."""
    z = model.prior().repeat(k).sample(torch.Generator().manual_seed(0))
    return torch.stack([rows_log_prob(model, row, z) for row in x])


@torch.no_grad()
def posterior_weights(model: LatentVariable, x: Tensor, k: int) -> Tensor:
    """log p(x|z) p(z) / q(z|x) of k posterior draws for each row, (B, k)."""
    generator, found = torch.Generator().manual_seed(0), []
    for row in x:
        z, log_q = model.posterior(row[None]).repeat(k).rsample_with_log_prob_terms(generator)
        log_p = model.prior().log_prob(z) - log_q.sum(1)
        found.append(log_p.double() + rows_log_prob(model, row, z))
    return torch.stack(found)


def rows_log_prob(model: LatentVariable, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of one x under every z, (K,)."""
    parts = [model.likelihood(part) for part in z.split(1000)]
    return torch.cat([p.log_prob_terms(x.expand(p.rows, *x.shape)).double().sum(1) for p in parts])


def variance(out: Path) -> None:
    """A small σ asks for exact pictures and pays in rate; a large one gives them up."""
    models = [f"sigma-vae latent_dim=16 scale=fixed sigma={s}" for s in (0.03, 0.1, 0.2, 0.5, 1.0)]
    models.append("sigma-vae latent_dim=16 scale=optimal")
    comparison = compared(models, out / "variance", epochs=100, samples=100)
    names = ("reconstruction_mse", "sharpness", "rate", "active_units", "frechet_distance", "elbo")
    rows = [[e.label, *(shown(e.scores, name) for name in names)] for e in comparison.entries]
    header = ["model", "test MSE", "sharpness", "rate", "active units", "Fréchet distance", "ELBO"]
    print_table(header, rows)


def compared(models: Sequence[str], folder: Path, **fields: Any) -> Comparison:
    """All models on the digits, with several seeds, and a report in the folder."""
    data = rp.load_data("digits")
    comparison = rp.compare(
        data, models, out=folder, seeds=SEEDS, force=True, batch_size=BATCH, **fields
    )
    print(f"report: {folder / 'report.html'}\n")
    return comparison


def shown(scores: Mapping[str, Score], name: str) -> str:
    """A score with its standard error over seeds."""
    score = scores.get(name)
    if score is None:
        return "–"
    bound = "≥ " if score.kind == "lower bound" else ""
    return bound + with_error(score.value, score.seed_stderr)


def over_seeds(values: Sequence[float]) -> str:
    """The mean with its standard error."""
    return with_error(mean(values), stdev(values) / math.sqrt(len(values)))


def with_error(value: float, stderr: float | None) -> str:
    """Two digits of the error, and as many of the value."""
    if not stderr:
        return f"{value:.4g}"
    if abs(value) < 1e-3:
        return f"{value:.1e} ± {stderr:.0e}"
    digits = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """As Markdown."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")
    print(flush=True)


EXPERIMENTS: dict[str, Callable[[Path], None]] = {
    "overfitting": overfitting,
    "one-dimension": one_dimension,
    "latent-density": latent_density,
    "estimators": estimators,
    "variance": variance,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(EXPERIMENTS))
    parser.add_argument("--out", type=Path, default=Path("runs/classics"))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"expected {', '.join(EXPERIMENTS)}, got {', '.join(sorted(unknown))}")
    for name in arguments.names or EXPERIMENTS:
        print(f"## {name}: {EXPERIMENTS[name].__doc__}\n")
        EXPERIMENTS[name](arguments.out)


if __name__ == "__main__":
    main()
