"""Cells hidden at random, imputed by models, by mean and mode, and by an iterative imputer.

    python benchmarks/imputation.py [vae iwae pca …] [--tables people wines tumors]

Three tables: scikit-learn's breast cancer and wine measurements, and 2 000 people made in code with
known dependences (whole numbers, flags, names). Of the cells of test rows 20 % are hidden, of those
of training rows 10 % are missing. A model's imputation of a number is the mean of 100 draws, of a
flag or name the most frequent draw; a single draw has twice the conditional variance. The error of
numbers is the root mean squared one over the training deviation, that of flags and names the share
of wrong ones; what is printed is their mean over the columns. Coverage is the share of hidden real
cells within the central 90 % of the draws. scikit-learn's ``IterativeImputer`` (Bayesian ridge)
sees names one-hot. What hides and fills is what reports show (``use.imputed_cells``).
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import Tensor

import reparam as rp
from reparam.evaluation.column_scores import is_number
from reparam.use.imputed_cells import (
    HiddenCells,
    constant_answers,
    drawn_answers,
    fills,
    hide,
    imputation_errors,
    iterative_answers,
)

HIDDEN, MISSING, DRAWS, STEPS = 0.2, 0.1, 100, 100


def people(n: int = 2000) -> dict[str, np.ndarray]:
    """Columns that depend on each other in a known way."""
    generator = np.random.default_rng(0)
    age = generator.integers(18, 91, n)
    retired = generator.random(n) < 1 / (1 + np.exp(-(age - 65) / 3))
    city = generator.choice(["Bern", "Oslo", "Rome", "Wien"], n, p=[0.4, 0.3, 0.2, 0.1])
    rent = 500 + 300 * (city == "Oslo") + 8 * (90 - age) + generator.normal(0, 60, n)
    rooms = np.clip((rent / 250 + generator.normal(0, 0.5, n)).round(), 1, 6).astype(int)
    return {
        "age": age,
        "retired": np.where(retired, "yes", "no"),
        "city": city,
        "rent": rent.round(2),
        "rooms": rooms,
    }


def tables() -> dict[str, pd.DataFrame]:
    """The tables as data frames."""
    found = {"people": pd.DataFrame(people())}
    for name, load in (("tumors", load_breast_cancer), ("wines", load_wine)):
        bunch = load()
        found[name] = pd.DataFrame(bunch.data, columns=list(map(str, bunch.feature_names)))
    return found


def split(frame: pd.DataFrame) -> rp.Data:
    """Four fifths of the rows, with cells missing at random, and the others as test rows."""
    n = len(frame) * 4 // 5
    order = np.random.default_rng(1).permutation(len(frame))
    train = frame.iloc[order[:n]].astype(object)
    hidden = np.random.default_rng(2).random(train.shape) < MISSING
    return rp.load_data(train.mask(hidden), test=frame.iloc[order[n:]])


def error(data: rp.Data, cells: HiddenCells, answers: Tensor) -> float:
    """The mean over columns of their errors on hidden cells."""
    deviation = np.nanstd(data.train.x.double().numpy(), 0)
    found = []
    for index, score in enumerate(imputation_errors(cells, answers)):
        if score is not None:
            number = is_number(cells.columns[index])
            found.append(score.value / deviation[index] if number else 1 - score.value)
    return float(np.mean(found))


def coverage(model: rp.Model, cells: HiddenCells) -> float:
    """The share of hidden real cells within the central 90 % of the draws."""
    generator = torch.Generator().manual_seed(0)
    filled = rp.impute(model, cells.seen.x, draws=DRAWS, steps=STEPS, generator=generator)
    low, high = filled.x.double().quantile(torch.tensor([0.05, 0.95]).double(), 1)
    at = cells.hidden & model.space.reals
    return ((cells.x >= low) & (cells.x <= high))[at].double().mean().item()


def measure(name: str, frame: pd.DataFrame, presets: list[str]) -> None:
    """Print the rows of one table."""
    data = split(frame)
    cells = hide(data, share=HIDDEN, seed=3, rows=len(data.test))
    answers = {
        "mean or mode": constant_answers(data, cells),
        "iterative imputer": iterative_answers(data, cells),
    }
    for method, found in answers.items():
        if found is not None:
            print(f"| {name} | {method} | {error(data, cells, found):.3f} | |", flush=True)
    for preset in presets:
        if rp.PRESETS[preset].accepts.refusal(data.space) is not None:
            continue
        model = rp.build(preset, data.space, seed=0)
        if fills(model, cells):
            rp.fit(model, data, progress=False)
            drawn = error(data, cells, drawn_answers(model, cells, DRAWS, STEPS))
            share = coverage(model, cells)
            print(f"| {name} | {preset} | {drawn:.3f} | {share:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("presets", nargs="*", default=["vae"])
    parser.add_argument("--tables", nargs="*", default=["people", "wines", "tumors"])
    arguments = parser.parse_args()
    print("| table | method | error | coverage of 90 % |\n|---|---|---|---|")
    found = tables()
    for name in arguments.tables:
        measure(name, found[name], arguments.presets)


if __name__ == "__main__":
    main()
