"""Random generators: one of a key; the default ones, owned by one fit, seeded, saved, put back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

_training = threading.RLock()


@contextmanager
def alone(*, wait: bool = False) -> Iterator[None]:
    """Whoever trains has the process to itself: default generators, threads, denormal flag.

    They are the process's: of two fits in two threads each would draw from the other's noise, and
    put back what the other had set. Within one thread a fit inside another (in a ``watch``) is
    fine, as it puts everything back before the outer one goes on.

    Args:
        wait: for another thread's turn to end, instead of refusing.

    Raises:
        ValueError: another thread is training.
    """
    if not _training.acquire(blocking=wait):
        raise ValueError(
            "fit: another thread of this process is training, and both would draw from the same "
            "random numbers; train one after the other, or in processes, as compare with jobs does"
        )
    try:
        yield
    finally:
        _training.release()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the default generators inside, and leave them outside as they were."""
    before = generator_states(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        restore_generators(before, device)


def generator_of(device: torch.device, *key: int) -> torch.Generator:
    """A generator on the device, seeded by some numbers."""
    # Mixed into 32 bits: of a longer seed the CPU generator reads only the low 32.
    mixed = np.random.SeedSequence(key).generate_state(1)
    return torch.Generator(device).manual_seed(int(mixed[0]))


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """The states of the default generators that computations on this device draw from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_generators(states: dict[str, Tensor], device: torch.device) -> None:
    """Put back what ``generator_states`` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
