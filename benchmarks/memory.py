"""What memory that is given back and got again costs a training step, in processes of their own.

    python benchmarks/memory.py

A step of the `vae` preset on 128 binary images of 28 × 28, by hand: after
`reparam.memory.keep_freed`, which `fit` calls, and without it. Processes take turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator

import rounds
from results import Quantity, Result, show

SCRIPT = """
import resource, statistics, sys, time
import reparam.memory
if sys.argv[1] == "kept":
    reparam.memory.keep_freed()
import torch
import reparam as rp
torch.set_num_threads(int(sys.argv[2]))
torch.manual_seed(0)
model = rp.build("vae", rp.Space((1, 28, 28), "binary"))
optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
x = (torch.rand(128, 1, 28, 28) < 0.13).float()
def step():
    optimizer.zero_grad(set_to_none=True)
    model.loss(x).objective.backward()
    optimizer.step()
for _ in range(50):
    step()
seconds, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(400):
    start = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - start)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median(seconds), faults / 400)
"""


GIVEN_BACK = Quantity("training `vae`: freed memory given back / kept")


def results(asked: argparse.Namespace) -> Iterator[Result]:
    threads = "1" if asked.cpu else str(asked.threads)
    seconds: rounds.Seconds = {"kept": [], "given back": []}
    faults: rounds.Seconds = {"kept": [], "given back": []}
    for _ in range(asked.rounds):
        for side in seconds:
            command = [sys.executable, "-c", SCRIPT, side, threads]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for found, number in zip((seconds, faults), said.split(), strict=True):
                found[side].append(float(number))
    rounds.tell(seconds)
    print({side: f"{statistics.median(pages):.0f} pages" for side, pages in faults.items()})
    yield GIVEN_BACK.found(rounds.quotients(seconds, "given back", "kept"))


def main() -> None:
    asked = rounds.parser(__doc__, rounds=5).parse_args()
    print(rounds.machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
