"""Sums over all binary states, in blocks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

MOST_BITS = 20
STATES_AT_ONCE = 2**13


def refuse_beyond(bits: int, remedy: str) -> None:
    """ValueError where the states of so many bits are too many to be enumerated.

    >>> refuse_beyond(64, "take annealed")
    Traceback (most recent call last):
    ValueError: partition: expected 2^20 states or fewer to enumerate, got 2^64; take annealed
    """
    if bits > MOST_BITS:
        limit = f"2^{MOST_BITS} states or fewer to enumerate"
        raise ValueError(f"partition: expected {limit}, got 2^{bits}; {remedy}")


def states(bits: int, like: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
    """Some of all 2^bits states, (N, bits), of the dtype and device of ``like``.

    >>> states(2, torch.empty(0)).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    index = torch.arange(start, 2**bits if stop is None else stop, device=like.device)
    places = torch.arange(bits, device=like.device)
    return ((index[:, None] >> places) & 1).to(like)


def log_sum(log_weight: Callable[[Tensor], Tensor], bits: int, like: Tensor) -> Tensor:
    """log Σ exp(log_weight(state)) over all states, a block at a time, with gradients.

    Args:
        log_weight: from states (N, bits) to (N,).
        bits: of a state.
        like: of the dtype and device of the states.

    Cost: memory is that of one block; where gradients are asked for, each block is computed twice.

    >>> log_sum(lambda s: s.sum(1), 3, torch.empty(0)).exp()  # (1 + e)³
    tensor(51.4075)
    """
    parts = []
    for start in range(0, 2**bits, STATES_AT_ONCE):
        block = states(bits, like, start, min(start + STATES_AT_ONCE, 2**bits))
        if torch.is_grad_enabled() and 2**bits > STATES_AT_ONCE:
            weights = checkpoint(log_weight, block, use_reentrant=False)
        else:
            weights = log_weight(block)
        parts.append(weights.logsumexp(0))
    return torch.stack(parts).logsumexp(0)
