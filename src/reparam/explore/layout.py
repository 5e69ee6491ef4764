"""Where entries of tensors stand, by strides or offsets of each dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Operand(NamedTuple):
    """A buffer that is read from ``start`` on, by a stride for each dimension."""

    buffer: int
    start: int
    strides: tuple[int, ...]


def strided(positions: Tensor) -> tuple[int, tuple[int, ...]] | None:
    """Start and strides of positions that a stride for each dimension makes; None of others.

    >>> strided(torch.arange(6).view(2, 3).T)
    (0, (1, 3))
    >>> strided(torch.tensor([0, 1, 3])) is None
    True
    """
    if not positions.numel():
        return 0, (0,) * positions.ndim
    start = int(positions.flatten()[0])
    strides = []
    rebuilt = torch.full_like(positions, start)
    for d, size in enumerate(positions.shape):
        along = positions.movedim(d, 0).reshape(size, -1)[:, 0]
        step = int(along[1] - along[0]) if size > 1 else 0
        strides.append(step)
        shape = [1] * positions.ndim
        shape[d] = size
        rebuilt = rebuilt + step * torch.arange(size).view(shape)
    return (start, tuple(strides)) if torch.equal(rebuilt, positions) else None


def common_dims(shape: Sequence[int], operands: Sequence[Operand]) -> list[list[int]]:
    """(size, stride of each operand) by dimension, those that run on into each other as one.

    >>> common_dims((2, 3), [Operand(0, 0, (3, 1)), Operand(1, 0, (0, 0))])
    [[6, 1, 0]]
    """
    dims: list[list[int]] = []
    for size, *strides in zip(shape, *(operand.strides for operand in operands), strict=True):
        if size == 1:
            continue
        if dims and all(a == b * size for a, b in zip(dims[-1][1:], strides, strict=True)):
            dims[-1] = [dims[-1][0] * size, *strides]
        else:
            dims.append([size, *strides])
    return dims or [[1] + [0] * len(operands)]


def offsets(positions: Tensor) -> list[list[int]]:
    """Lists of which every position is a sum, one for each dimension where there are such.

    >>> offsets(torch.tensor([[5, 7], [1, 3]]))
    [[5, 1], [0, 2]]
    >>> offsets(torch.tensor([[5, 7], [1, 2]]))
    [[5, 7, 1, 2]]
    """
    if not positions.numel():
        return [[]]
    lists: list[list[int]] = []
    rebuilt = torch.zeros_like(positions)
    start = positions.flatten()[0]
    for d, size in enumerate(positions.shape):
        along = positions.movedim(d, 0).reshape(size, -1)[:, 0] - start
        shape = [1] * positions.ndim
        shape[d] = size
        rebuilt = rebuilt + along.view(shape)
        if size > 1:
            lists.append(along.tolist())
    if not torch.equal(rebuilt + start, positions):
        return [positions.flatten().tolist()]
    if not lists:
        return [[int(start)]]
    return [[at + int(start) for at in lists[0]], *lists[1:]]
