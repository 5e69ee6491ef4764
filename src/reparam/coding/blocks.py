"""Blocks of rows, each on a stack of its own: what is damaged in one leaves the others whole."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.coding.file import Block
from reparam.coding.leaves import MOST_BINS, Beyond, Grid
from reparam.coding.stack import LEFT, Short, Stack
from reparam.coding.ways import Cost, Way
from reparam.space import trusted

Rows = NDArray[np.generic]  # x as the file has it, (n, *shape)
START = 8  # the least reach of the grid of z

Told = Callable[[slice, int], Tensor | None]  # the conditions of some rows, repeated up to B


class Plan(NamedTuple):
    """What is the same for all blocks of a file.

    Args:
        name: of the model.
        way: how a batch is coded.
        size: B, how many rows the networks are given at once, whatever number is coded.
        bits: of the grid of z.
        told: the conditions of rows.
    """

    name: str
    way: Way
    size: int
    bits: int
    told: Told


class Batches(NamedTuple):
    """How the rows of a block were divided, and which batches had bits back."""

    rows: list[int]
    back: list[bool]


def code_block(plan: Plan, x: Rows, start: int, reach: int) -> tuple[Block, Cost]:
    """Rows as a block, and what each costs.

    Args:
        plan: how.
        x: the rows of the block, (n, *shape).
        start: which row of the file is the first.
        reach: of the grid, at least; it grows to where posteriors reach.

    Raises:
        ValueError: they reach beyond any grid.
    """
    while True:
        try:
            with torch.no_grad(), trusted():
                stack, batches, cost = _push_all(plan, x, start, Grid(plan.bits, reach))
            break
        except Beyond as beyond:
            reach *= 2
            if Grid(plan.bits, reach).bins > MOST_BINS:
                raise ValueError(
                    f"rows {start} to {start + len(x) - 1}: their posterior reaches "
                    f"{beyond.reach:.3g} from 0, too far for a grid"
                ) from beyond
    rows, back = tuple(batches.rows), tuple(batches.back)
    return Block(len(x), _crc(x), reach, rows, back, stack.words), cost


def decode_block(plan: Plan, block: Block, start: int, like: Rows) -> Rows:
    """The rows of a block.

    Args:
        plan: how they were coded.
        block: what was made of them.
        start: which row of the file is the first.
        like: an array of the shape (0, *shape) and type of x.

    Raises:
        ValueError: what comes back is not what was coded.
    """
    try:
        with torch.no_grad(), trusted():
            x = _pop_all(plan, block, start, like)
    except (ValueError, RuntimeError, LookupError, OverflowError) as error:
        raise ValueError(_damaged(block, start)) from error
    if _crc(x) != block.crc:
        raise ValueError(_damaged(block, start))
    return x


def _damaged(block: Block, start: int) -> str:
    return f"rows {start} to {start + block.rows - 1} do not come back: their block is damaged"


def _push_all(plan: Plan, x: Rows, start: int, grid: Grid) -> tuple[Stack, Batches, Cost]:
    stack, batches, costs = Stack(grid), Batches([], []), list[Cost]()
    done, expected = 0, 0.0  # the most bits that the draw of a row took
    while done < len(x):
        rows, back = min(plan.size, len(x) - done), False
        if plan.way.pays_back:
            paid = int(max(0, stack.bits - LEFT) // max(expected, 1.0)) if done else 0
            rows, back = max(1, min(rows, paid)), paid > 0
        stack, rows, back, cost = _push(plan, stack, x[done:], start + done, rows, back)
        expected = max(expected, cost.expected.mean().item())
        if not back:  # nothing was drawn, of which something could be expected
            cost = cost._replace(expected=torch.zeros_like(cost.expected))
        batches.rows.append(rows)
        batches.back.append(back)
        costs.append(cost)
        done += rows
    return stack, batches, Cost(*(torch.cat(parts) for parts in zip(*costs, strict=True)))


def _push(
    plan: Plan, stack: Stack, x: Rows, start: int, rows: int, back: bool
) -> tuple[Stack, int, bool, Cost]:
    """A batch of so many of the rows, or of fewer where the stack does not pay for their draws."""
    while True:
        c, trial = plan.told(slice(start, start + rows), plan.size), stack.copy() if back else stack
        try:
            cost = plan.way.push(trial, _padded(x[:rows], plan.size), c, rows, back)
        except Short:
            rows, back = max(1, rows // 2), rows > 1
        else:
            return trial, rows, back, cost


def _pop_all(plan: Plan, block: Block, start: int, like: Rows) -> Rows:
    stack = Stack(Grid(plan.bits, block.reach), block.words)
    parts, stop = list[Rows](), block.rows
    for rows, back in zip(reversed(block.batches), reversed(block.back), strict=True):
        c = plan.told(slice(start + stop - rows, start + stop), plan.size)
        found = plan.way.pop(stack, c, plan.size, rows, back)
        parts.append(found[:rows].numpy().astype(like.dtype))
        stop -= rows
        if stack.overdrawn:  # however many rows are claimed to come
            raise ValueError("more was taken than was there")
    if not stack.empty:
        raise ValueError("bits are left")
    return np.concatenate([like, *reversed(parts)])


def _padded(x: Rows, size: int) -> Tensor:
    """As many rows as the networks are given, those that are not coded being 0."""
    found = torch.zeros(size, *x.shape[1:], dtype=torch.float64)
    found[: len(x)] = torch.from_numpy(x.astype(np.float64))
    return found


def _crc(x: Rows) -> int:
    return zlib.crc32(np.ascontiguousarray(x).tobytes())
