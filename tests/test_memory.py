"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import reparam.memory
if sys.argv[1] == "given back":
    reparam.memory.keep_freed = lambda: None
import torch
import reparam as rp
torch.set_num_threads(1)
model, x = rp.build("vae", rp.Space((784,), "binary")), torch.ones(128, 784)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    for parameter in model.parameters():
        parameter.grad = None
    model.loss(x).objective.backward()
for _ in range(10):
    step()
before = faults()
for _ in range(40):
    step()
print((faults() - before) / 40)
"""


def faults_per_step(how: str) -> float:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    return float(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other rules")
def test_a_step_does_not_get_its_pages_anew():
    """Gradients of 1.1 million weights alone are 1070 pages of 4 KiB, some of which stay."""
    kept, given_back = faults_per_step("kept"), faults_per_step("given back")
    assert given_back > 100 and kept < given_back / 4, (kept, given_back)
