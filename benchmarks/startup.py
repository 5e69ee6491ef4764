"""How long it takes until something can be done: imports and the help of the command line.

    python benchmarks/startup.py

Each side is a process of its own, so with --cpu it is the CPU time of child processes. The numbers
of modules that they import depend on no load.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import rounds
from results import Quantity, Result, at_most, show

SIDES = {
    "python": ["-c", ""],
    "import reparam": ["-c", "import reparam"],
    "reparam --help": ["-m", "reparam", "--help"],
    "import torch": ["-c", "import torch"],
    "reparam.build": ["-c", "import reparam as rp; rp.build('vae', rp.Space((9,), 'binary'))"],
}

HELP = Quantity("`reparam --help`", at_most(0.35), "s")
OVER_TORCH = Quantity('`rp.build("vae", …)` over `import torch`', at_most(0.1), "s")


def results(asked: argparse.Namespace) -> Iterator[Result]:
    seconds: rounds.Seconds = {name: [] for name in SIDES}
    for _ in range(asked.rounds + 1):
        for name, words in SIDES.items():
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seconds[name].append(cpu if asked.cpu else wall)
    seconds = {name: taken[1:] for name, taken in seconds.items()}
    rounds.tell(seconds)
    yield HELP.found(seconds["reparam --help"])
    pairs = zip(seconds["reparam.build"], seconds["import torch"], strict=True)
    yield OVER_TORCH.found(build - torch for build, torch in pairs)
    print(*(f"{name}: {imported(words)}" for name, words in SIDES.items()), sep="\n")


def imported(words: list[str]) -> str:
    """How many modules a process imports."""
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")][1:]
    own = sum(line.rpartition("|")[2].strip().startswith("reparam") for line in lines)
    return f"{len(lines)} modules, {own} of them reparam's"


def main() -> None:
    asked = rounds.parser(__doc__, rounds=9).parse_args()
    print(f"{rounds.machine(asked)}; of whole processes")
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
