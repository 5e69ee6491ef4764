"""What the metrics of disentanglement cost: CPU seconds and memory, each in a process of its own.

python benchmarks/factor_scores.py                      # 10 000 rows, 10 latents, 5 factors
python benchmarks/factor_scores.py dci --rows 2000 --predictor "gradient boosting"
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

import reparam as rp
from reparam.evaluation.disentanglement import METRICS

LEVELS = (3, 6, 40, 32, 32)  # of dSprites


def codes_and_factors(rows, latents, seed=0):
    """A sample of the grid; half of the latents follow a factor with noise, the rest are noise."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, count, rows) for count in LEVELS], 1)
    noise = rng.normal(size=(rows, latents))
    followed = (factors - factors.mean(0)) / factors.std(0)
    noise[:, : len(LEVELS)] = 0.8 * followed + 0.6 * noise[:, : len(LEVELS)]
    return noise, factors


def measure(metric, rows, latents, predictor):
    codes, factors = codes_and_factors(rows, latents)
    rp.disentanglement(codes[:200, :2], factors[:200, :1], ["mig"])  # imports, first calls
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if metric == "udr":
        scores = {"udr": rp.udr([codes, -codes[:, ::-1], codes + codes[::-1]])}
    else:
        scores = rp.disentanglement(codes, factors, [metric], predictor=predictor)
    seconds = time.process_time() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for name, score in scores.items():
        if name != "dead_latents":
            error = "" if score.stderr is None else f" ± {score.stderr:.4f}"
            print(
                f"| {name} | {score.value:.4f}{error} | {seconds:.1f} | {memory:.0f} |", flush=True
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", nargs="*")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--latents", type=int, default=10)
    parser.add_argument("--predictor", choices=["lightgbm", "gradient boosting"])
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        return measure(asked.metrics[0], asked.rows, asked.latents, asked.predictor)
    print(
        "| score | value | CPU seconds | MB more than before |\n| --- | --- | --- | --- |",
        flush=True,
    )
    for metric in asked.metrics or [*METRICS, "udr"]:
        words = [metric, "--rows", str(asked.rows), "--latents", str(asked.latents), "--inside"]
        words += ["--predictor", asked.predictor] if asked.predictor else []
        subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
