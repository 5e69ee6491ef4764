"""How long it takes until something can be done: imports and the help of the command line.

    python benchmarks/startup.py

Each side is a process of its own, so with --cpu it is the CPU time of child processes. The numbers
of modules that they import depend on no load.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

import rounds

SIDES = {
    "python": ["-c", ""],
    "import reparam": ["-c", "import reparam"],
    "reparam --help": ["-m", "reparam", "--help"],
    "import torch": ["-c", "import torch"],
    "reparam.build": ["-c", "import reparam as rp; rp.build('vae', rp.Space((9,), 'binary'))"],
}


def main() -> None:
    arguments = rounds.parser(__doc__, rounds=9).parse_args()
    seconds: rounds.Seconds = {name: [] for name in SIDES}
    for _ in range(arguments.rounds + 1):
        for name, words in SIDES.items():
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seconds[name].append(cpu if arguments.cpu else wall)
    print(f"{rounds.machine(arguments)}; of whole processes")
    pairs = zip(seconds["reparam.build"], seconds["import torch"], strict=True)
    seconds["build over torch"] = [build - torch for build, torch in pairs]
    for name, taken in seconds.items():
        told = f"{name:16s} {statistics.median(taken[1:]):.2f} s (least {min(taken[1:]):.2f})"
        print(f"{told}, {imported(SIDES[name])}" if name in SIDES else told)


def imported(words: list[str]) -> str:
    """How many modules a process imports."""
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")][1:]
    own = sum(line.rpartition("|")[2].strip().startswith("reparam") for line in lines)
    return f"{len(lines)} modules, {own} of them reparam's"


if __name__ == "__main__":
    main()
