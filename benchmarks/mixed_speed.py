"""The training step of a `vae` on mixed columns beside one on as many real columns, interleaved.

    python benchmarks/mixed_speed.py

16 columns: five real, four of whole numbers, three flags, four of names (3, 5, 8 and 20), once
complete and once with 7 % of the cells missing; and 16 real columns. The same network, batch 128,
`fit` as it is. Epochs of all sides take turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from results import Quantity, Result, at_most, show
from rounds import machine, measured, parser, quotients, tell

import reparam as rp

ROWS, BATCH, STEPS = 12_800, 128, 100
NAMES = (3, 5, 8, 20)
GOALS = {
    side: Quantity(f"training `vae` on {side} / real columns", at_most(1.2))
    for side in ("mixed", "mixed, 7 % missing")
}
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


def results(asked: argparse.Namespace) -> Iterator[Result]:
    def epoch(data: rp.Data) -> None:
        model = rp.build("vae", data.space, seed=0)
        rp.fit(model, data, epochs=1, batch_size=BATCH, progress=False)

    seconds = measured({name: lambda own=own: epoch(own) for name, own in sides().items()}, asked)
    tell(seconds, STEPS)
    for side, quantity in GOALS.items():
        yield quantity.found(quotients(seconds, side, "real"))


def main() -> None:
    asked = parser(__doc__, rounds=7, threads=1).parse_args()
    print(machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
