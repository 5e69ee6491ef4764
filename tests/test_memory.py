"""Freed memory stays with the process."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

# Bytes of a block of 30 MiB that glibc maps of its own, to be given back as soon as it is freed.
SCRIPT = """
import ctypes
import torch
import reparam as rp
import reparam.model

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info

blocks = []  # kept, as glibc learns from what is freed
def mapped():
    before = mallinfo2().hblkhd
    blocks.append(torch.empty(30 * 2**20, dtype=torch.uint8))
    return mallinfo2().hblkhd - before

imported = mapped()
data = rp.load_data(torch.randn(40, 2))
rp.fit(rp.build("pca", data.space, latent_dim=1), data, progress=False)
print(imported, mapped())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="other allocators have other rules, and glibc before 2.33 does not tell",
)
def test_large_blocks_come_from_memory_that_is_kept_once_a_model_is_trained():
    """What glibc does by default (benchmarks/memory.py counts what that costs) is to map them."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "LD_"))}
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
    imported, trained = map(int, run.stdout.split())
    assert imported >= 30 * 2**20 > trained
