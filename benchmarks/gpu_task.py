"""What the parts of the GPU benchmark share: settings, tasks, rows, clocks and counts."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

import reparam as rp

CUDA_ONLY = "CUDA only"


class Settings(NamedTuple):
    """Where, whether with tiny sizes, and the name of the machine."""

    device: str
    quick: bool
    machine: str

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")


class Row(NamedTuple):
    """One cell of the table: what was asked, and what was found, in words with numbers."""

    what: str
    found: str


class Task(NamedTuple):
    """What is measured and kept as one, a line of the table."""

    name: str
    run: Callable[[], Iterable[Row]]


def seconds(work: Callable[[], object], settings: Settings) -> float:
    """Seconds on the wall until the device has finished."""
    if settings.cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if settings.cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def steps_per_second(history: rp.History) -> float:
    """Between the first and the last row of the curves: what is compiled first is left out."""
    first, last = history.rows[0], history.rows[-1]
    return (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])


def binary(rows: int, space: rp.Space, name: str = "random") -> rp.Data:
    """Random binary data: so many training rows, 100 others."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(rows + 100, *space.shape, generator=generator) < 0.13).byte()
    train, rest = x[:rows], x[rows:]
    return rp.Data(rp.Split(train), rp.Split(rest), rp.Split(rest[:1]), space=space, name=name)


def counted(work: Callable[[], object]) -> Counter[str]:
    """What the host did on CUDA during some work, as PyTorch itself counts.

    How often it waited for the device, and how many graphs and single kernels it launched.
    """
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with (
        warnings.catch_warnings(record=True) as caught,
        torch.profiler.profile(activities=activities) as profile,
    ):
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
    said = (str(one.message) for one in caught)
    found = Counter(waits=sum("synchronizing CUDA operation" in text for text in said))
    for event in profile.key_averages():
        found["graphs"] += event.count * ("GraphLaunch" in event.key)
        found["kernels"] += event.count * ("LaunchKernel" in event.key)
    return found
