"""The training step of a `vae` on mixed columns beside one on as many real columns, interleaved.

    python benchmarks/mixed_speed.py

16 columns: five real, four of whole numbers, three flags, four of names (3, 5, 8 and 20), once
complete and once with 7 % of the cells missing; and 16 real columns. The same network, batch 128,
`fit` as it is. Epochs of all sides take turns; the time of a step is the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import reparam as rp

ROWS, BATCH, STEPS = 12_800, 128, 100
NAMES = (3, 5, 8, 20)
COLUMNS = (
    *(rp.Column(f"real {i}", "real") for i in range(5)),
    *(rp.Column(f"whole {i}", "levels", levels) for i, levels in enumerate((5, 12, 73, 100))),
    *(rp.Column(f"flag {i}", "binary") for i in range(3)),
    *(rp.Column(f"name {i}", "category", names) for i, names in enumerate(NAMES)),
)


def mixed_rows(holes: float) -> torch.Tensor:
    """Rows of every kind of column, of which a share of the cells is missing."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, len(COLUMNS), generator=generator)
    for index, column in enumerate(COLUMNS):
        if column.count is not None:
            x[:, index] = (torch.sigmoid(x[:, index]) * column.count).floor()
    missing = torch.rand(x.shape, generator=generator) < holes
    return torch.where(missing, torch.nan, x)


def sides() -> dict[str, rp.Data]:
    """The data of each side."""
    mixed = rp.Space((len(COLUMNS),), "mixed", columns=COLUMNS)
    real = rp.Space((len(COLUMNS),), "real")
    rows = {
        "real": (real, torch.randn(ROWS, len(COLUMNS), generator=torch.Generator().manual_seed(0))),
        "mixed": (mixed, mixed_rows(0.0)),
        "mixed, 7 % missing": (mixed, mixed_rows(0.07)),
    }
    few = {name: rp.Split(x[:100]) for name, (_, x) in rows.items()}
    return {
        name: rp.Data(rp.Split(x), few[name], few[name], space, name)
        for name, (space, x) in rows.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    found: dict[str, list[float]] = {}
    data = sides()
    for number in range(rounds + 1):
        for name, own in data.items():
            model = rp.build("vae", own.space, seed=0)
            start = time.perf_counter()
            rp.fit(model, own, epochs=1, batch_size=BATCH, progress=False)
            if number:  # the first round warms up
                found.setdefault(name, []).append((time.perf_counter() - start) / STEPS * 1000)
    bare = statistics.median(found["real"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds")
    print("| side | ms per step | times real |\n|---|---|---|")
    for name, times in found.items():
        median = statistics.median(times)
        print(f"| {name} | {median:.3f} | {median / bare:.2f} |")


if __name__ == "__main__":
    main()
