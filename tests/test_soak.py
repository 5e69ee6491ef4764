"""A short soak: every kind of model is killed at a random moment and ends as if it never died.

The first one is killed once more, when it is resumed.
"""

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parent.parent / "benchmarks" / "soak.py"


def test_killed_runs_end_as_if_they_never_died(tmp_path):
    words = ["--kills", "4", "--epochs", "4", "--folder", str(tmp_path)]
    done = subprocess.run([sys.executable, SOAK, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all("equal in the end" in line for line in lines)
    assert [int(line.split(": ")[1].split(" ")[0]) for line in lines] == [2, 1, 1]
