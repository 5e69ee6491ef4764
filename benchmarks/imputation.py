"""Cells hidden at random, imputed by models, by mean and mode, and by an iterative imputer.

    python benchmarks/imputation.py [vae iwae pca …] [--tables people wines tumors]

Three tables: scikit-learn's breast cancer and wine measurements, and 2 000 people made in code with
known dependences (whole numbers, flags, names). Of the cells of test rows 20 % are hidden, of those
of training rows 10 % are missing. A model's imputation of a number is the mean of 100 draws, of a
flag or name the most frequent draw; a single draw has twice the conditional variance. The error of
numbers is the root mean squared one over the training deviation, that of flags and names the share
of wrong ones; what is printed is their mean over the columns. Coverage is the share of hidden real
cells within the central 90 % of the draws. scikit-learn's ``IterativeImputer`` (Bayesian ridge)
sees names one-hot.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

import reparam as rp

HIDDEN, MISSING, DRAWS = 0.2, 0.1, 100


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


def tables() -> dict[str, object]:
    """The tables as data frames."""
    import pandas as pd

    found: dict[str, object] = {"people": pd.DataFrame(people())}
    for name, load in (("tumors", load_breast_cancer), ("wines", load_wine)):
        bunch = load()
        found[name] = pd.DataFrame(bunch.data, columns=list(map(str, bunch.feature_names)))
    return found


def with_holes(frame: object, share: float, seed: int) -> object:
    """A frame with cells missing at random; the first row is kept whole."""
    import pandas as pd

    assert isinstance(frame, pd.DataFrame)
    hidden = np.random.default_rng(seed).random(frame.shape) < share
    hidden[0] = False
    return frame.astype(object).mask(hidden)


def one_hot(x: np.ndarray, columns: tuple[rp.Column, ...]) -> np.ndarray:
    """Names as indicator columns, NaN in all of them where one is missing."""
    parts = []
    for values, column in zip(x.T, columns, strict=True):
        if column.kind == "category":
            coded = (values[:, None] == np.arange(column.count or 1)).astype(float)
            coded[np.isnan(values)] = np.nan
            parts.append(coded)
        else:
            parts.append(values[:, None])
    return np.concatenate(parts, 1)


def from_one_hot(x: np.ndarray, columns: tuple[rp.Column, ...]) -> np.ndarray:
    """The inverse: the largest indicator."""
    parts, start = [], 0
    for column in columns:
        width = (column.count or 1) if column.kind == "category" else 1
        block = x[:, start : start + width]
        parts.append(block.argmax(1) if column.kind == "category" else block[:, 0])
        start += width
    return np.stack(parts, 1)


def most_likely(draws: np.ndarray, columns: tuple[rp.Column, ...]) -> np.ndarray:
    """Of draws (B, S, D) the mean of numbers and the most frequent flag or name, (B, D)."""
    found = draws.mean(1)
    for index, column in enumerate(columns):
        if column.kind in ("binary", "category"):
            values = draws[:, :, index].astype(int) - column.low
            counts = np.stack([(values == k).sum(1) for k in range(column.count or 2)], 1)
            found[:, index] = counts.argmax(1) + column.low
    return found


def error(
    filled: np.ndarray,
    truth: np.ndarray,
    hidden: np.ndarray,
    train: np.ndarray,
    columns: tuple[rp.Column, ...],
) -> float:
    """The mean over columns of their errors on hidden cells."""
    errors = []
    for index, column in enumerate(columns):
        at = hidden[:, index]
        if column.kind in ("binary", "category"):
            wrong = filled[at, index].round() != truth[at, index]
            errors.append(wrong.mean())
        else:
            squares = (filled[at, index] - truth[at, index]) ** 2
            errors.append(np.sqrt(squares.mean()) / np.nanstd(train[:, index]))
    return float(np.mean(errors))


def measure(name: str, frame: object, presets: list[str]) -> list[tuple[str, str, float, float]]:
    """The rows of the table of one data set: table, method, error, coverage."""
    import pandas as pd

    assert isinstance(frame, pd.DataFrame)
    n = len(frame) * 4 // 5
    order = np.random.default_rng(1).permutation(len(frame))
    data = rp.load_data(with_holes(frame.iloc[order[:n]], MISSING, 2), test=frame.iloc[order[n:]])
    columns = data.space.columns
    assert columns is not None
    train, truth = data.train.x.double().numpy(), data.test.x.double().numpy()
    hidden = np.random.default_rng(3).random(truth.shape) < HIDDEN
    seen = np.where(hidden, np.nan, truth)
    found = []

    def tell(method: str, filled: np.ndarray, coverage: float = np.nan) -> None:
        found.append((name, method, error(filled, truth, hidden, train, columns), coverage))

    usual = np.nanmean(train, 0)
    for index, column in enumerate(columns):
        if column.kind in ("binary", "category"):
            values, counts = np.unique(
                train[:, index][~np.isnan(train[:, index])], return_counts=True
            )
            usual[index] = values[counts.argmax()]
    tell("mean or mode", np.where(hidden, usual, truth))
    imputer = IterativeImputer(random_state=0, max_iter=20).fit(one_hot(train, columns))
    tell("iterative imputer", from_one_hot(imputer.transform(one_hot(seen, columns)), columns))
    for preset in presets:
        if rp.PRESETS[preset].accepts.refusal(data.space) is not None:
            continue
        model = rp.build(preset, data.space, seed=0)
        rp.fit(model, data, progress=False)
        x = torch.from_numpy(seen)
        generator = torch.Generator().manual_seed(0)
        draws = rp.impute(model, x, draws=DRAWS, generator=generator).x.numpy()
        reals = np.array([column.count is None for column in columns])
        low, high = np.quantile(draws, [0.05, 0.95], axis=1)
        inside = ((truth >= low) & (truth <= high))[hidden & reals]
        tell(preset, most_likely(draws, columns), float(inside.mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("presets", nargs="*", default=["vae"])
    parser.add_argument("--tables", nargs="*", default=["people", "wines", "tumors"])
    arguments = parser.parse_args()
    print("| table | method | error | coverage of 90 % |\n|---|---|---|---|")
    found = tables()
    for name in arguments.tables:
        for table, method, value, coverage in measure(name, found[name], arguments.presets):
            share = "" if np.isnan(coverage) else f"{coverage:.3f}"
            print(f"| {table} | {method} | {value:.3f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
