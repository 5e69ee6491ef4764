"""Lossless compression: files as short as a model's likelihood says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam import __version__
from reparam.batching import rows_at_once, slices
from reparam.checkpoint import checksum
from reparam.coding.blocks import START, Plan, Rows, code_block, decode_block
from reparam.coding.file import Block, Contents, read, write
from reparam.coding.leaves import FINEST, LEAST, PRECISION, Grid, coder, coder_version
from reparam.coding.rows import (
    batch_size,
    checked,
    conditions,
    refuse_half,
    refuse_other,
    teller,
    twin_of,
)
from reparam.coding.ways import BitsBack, Cost, example, way_of
from reparam.limits import positive_count
from reparam.memory import keep_freed
from reparam.model import Density, LatentVariable, Model
from reparam.progress import Watch, unwatched
from reparam.space import as_tensor
from reparam.wording import name_of

GRID = 6  # z lies on multiples of 2⁻⁶
MOST_ROWS = 2**16
NARROW = 2.0  # steps of the grid that a posterior's scale is to have
RARE = 0.01  # the chance at most that an entry of some z is one that hardly has a probability


@dataclass(frozen=True)
class Compressed:
    """A file, and what it is made of.

    Args:
        file: what is to be written.
        way: ``"direct"``, ``"bits back"`` or ``"two parts"``.
        payload_bits: of the blocks.
        data, latent, back: of each row (N,), −log₂ p(x|z), −log₂ P(z), and −log₂ Q(z) of what came
            back; 0 where there is none.
        expected: of each row with bits back, the entropy of Q, around which ``back`` lies.
        warnings: a sentence each.
    """

    file: bytes
    way: str
    payload_bits: int
    data: Tensor
    latent: Tensor
    back: Tensor
    expected: Tensor
    warnings: list[str] = field(default_factory=list)

    @property
    def header_bits(self) -> int:
        return 8 * len(self.file) - self.payload_bits

    @property
    def bits(self) -> Tensor:
        """Of each row, (N,): their sum is the payload but for the coder's rounding."""
        return self.data + self.latent - self.back

    @property
    def paid(self) -> Tensor:
        """Which rows got bits back, (N,): those over which ``back`` compares with ``expected``."""
        return self.back > 0

    @property
    def first(self) -> int:
        """How many rows of a file by bits back got none: the first of each block."""
        return int((~self.paid).sum()) if self.way == BitsBack.name else 0

    @property
    def method(self) -> str:
        """The way as a noun: direct coding, bits-back coding, coding in two parts."""
        nouns = {"direct": "direct coding", "bits back": "bits-back coding"}
        return nouns.get(self.way, f"coding in {self.way}")


@dataclass(frozen=True)
class Decompressed:
    """What is in a file.

    Args:
        x: (M, *shape), as it was given, in the type of the file.
        rows: (M,), which rows of what was coded these are: all, unless blocks are damaged.
        count: N, how many there were.
        damaged: a sentence for each block that does not come back.
        c, names, labels: of all N rows, where the file has them.
    """

    x: Tensor
    rows: Tensor
    count: int
    damaged: list[str]
    c: Tensor | None
    names: list[str] | None
    labels: Tensor | None


def compress(model: Model, x: Any, c: Any = None, **options: Any) -> bytes:
    """x as a file from which ``decompress`` makes it again, bit for bit.

    Its length is −log₂ p(x) of a model with conditionals; −ELBO / ln 2 of a latent-variable model,
    by bits back; −log₂ p(x|z) − log₂ p(z) where the code z of an x is a single one.

    Args:
        model: a density of binary data or levels.
        x: (N, *shape), in data units.
        c: the conditions, for a conditional model.
        **options: as for ``code``.

    Raises:
        ValueError: a model that codes nothing (says why), values that are none of its space, or
            constriction is not installed.

    Reference: Townsend et al. 2019, "Practical lossless compression with latent variables using
    bits back coding", section 2.
    https://arxiv.org/abs/1901.04866

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((1, 4, 4), "binary"), latent_dim=2)
    >>> x = (torch.rand(5, 1, 4, 4) < 0.5).byte()
    >>> torch.equal(decompress(model, compress(model, x)), x)
    True
    """
    return code(model, x, c, **options).file


def decompress(model: Model, file: bytes, c: Any = None) -> Tensor:
    """x of a file that ``compress`` made, with the same weights.

    Args:
        model: that it was made with.
        file: its bytes.
        c: the conditions, if the file does not have them.

    Raises:
        ValueError: other weights, no such file, or a damaged one; ``decode`` returns what is left.
    """
    found = decode(model, file, c)
    if found.damaged:
        raise ValueError("; ".join(found.damaged))
    return found.x


def refusal(model: Model) -> str | None:
    """Why a model codes nothing; None where it does.

    >>> import reparam as rp
    >>> refusal(rp.build("ae", rp.Space((4,), "binary")))
    'ae: has no likelihood, which would say how long a code is to be'
    """
    try:
        code(model, *example(model), rows=1, check=False)
    except ValueError as error:
        return str(error)
    return None


def estimate(
    model: Model,
    x: Any,
    c: Any = None,
    *,
    samples: int = 1,
    seed: int = 0,
    watch: Watch = unwatched,
) -> Tensor:
    """Bits of each row by ``log_prob`` alone, (N,): of bits back −ELBO where ``samples`` is 1."""
    if not isinstance(model, Density):
        raise ValueError(f"{name_of(model)}: has no likelihood, which would say how long a code is")
    refuse_half(model)
    x, parts = as_tensor(x), []
    told = None if c is None else torch.from_numpy(conditions(model, c, len(x)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for rows in slices(0, len(x), rows_at_once(model.space)):
            own = None if told is None else told[rows]
            found = model.log_prob(x[rows], own, samples=samples, generator=generator)
            parts.append(-found.value.double().cpu() / math.log(2))
            watch("log p(x)", rows.stop / len(x))
    return torch.cat(parts)


def code(
    model: Model,
    x: Any,
    c: Any = None,
    *,
    rows: int | None = None,
    block: int = 1000,
    check: bool = True,
    bare: bool = False,
    names: Sequence[str] | None = None,
    labels: Any = None,
    grid: int = GRID,
    watch: Watch = unwatched,
) -> Compressed:
    """``compress``, and what everything cost.

    Args:
        model, x, c: as for ``compress``.
        rows: how many rows the networks are given at once; None: 32, of large x fewer.
        block: rows that are coded by themselves: a damaged block leaves the others whole.
        check: whether each block is decoded again, which takes as long as coding it.
        bare: without names, labels and conditions; the conditions are then to be given again.
        names, labels: of the rows, to be kept with them.
        grid: z lies on multiples of 2^−grid.
        watch: is told how far it is.

    Raises:
        ValueError: as ``compress``; a block that does not come back is refused too.
    """
    size = batch_size(model.space) if rows is None else rows
    _refuse_numbers(size, block, grid)
    space, twin = model.space, twin_of(model)
    way = way_of(twin)
    coder()  # asked for after what makes no file with it either is refused
    array, told = checked(model, as_tensor(x), c)
    for what, given in (("names", names), ("labels", labels)):
        if given is not None and len(given) != len(array):
            raise ValueError(
                f"{what}: expected one for each of {len(array)} rows, got {len(given)}"
            )
    plan = Plan(name_of(model), way, size, grid, teller(twin, told))
    keep_freed()  # tables of all levels would be new pages each time, five times as slow
    blocks, cost = _code_all(plan, array, block, check, watch)
    contents = Contents(
        way=way.name,
        model=checksum(model),
        preset=(model.recipe or {}).get("preset"),
        shape=space.shape,
        kind=space.kind,
        levels=space.levels,
        dtype=array.dtype.name,
        rows=size,
        block=block,
        grid=grid,
        precision=PRECISION,
        n=len(array),
        names=None if bare or names is None else [*names],
        labels=None if bare or labels is None else as_tensor(labels).long().tolist(),
        c=None if bare else told,
        blocks=tuple(blocks),
        version=__version__,
        coder=coder_version(),
    )
    return Compressed(
        write(contents),
        way.name,
        sum(32 * len(b.words) for b in blocks),
        *cost[:4],
        warnings=_warnings(model, cost, Grid(grid, max(b.reach for b in blocks))),
    )


def decode(model: Model, file: bytes, c: Any = None, watch: Watch = unwatched) -> Decompressed:
    """What is left in a file that ``compress`` made, with the same weights.

    Args:
        model: that it was coded with.
        file: its bytes.
        c: the conditions, if the file does not have them.
        watch: is told how far it is.

    Raises:
        ValueError: other weights, a file of another kind or of a newer format, or conditions that
            are not there.
    """
    coder()
    try:
        contents = read(file)
    except ValueError as error:
        raise ValueError(f"file: {error}") from error
    refuse_half(model)
    refuse_other(model, contents)
    told = contents.c if c is None else conditions(model, c, contents.n)
    if model.conditional and told is None:
        raise ValueError("c: the file was written without its conditions; give them again")
    twin = twin_of(model)
    keep_freed()
    plan = Plan(name_of(model), way_of(twin), contents.rows, contents.grid, teller(twin, told))
    like: Rows = np.empty((0, *contents.shape), contents.dtype)
    parts, rows, damaged, start = [like], list[int](), list[str](), 0
    for block in contents.blocks:
        try:
            parts.append(decode_block(plan, block, start, like))
            rows += range(start, start + block.rows)
        except ValueError as error:
            damaged.append(str(error))
        start += block.rows
        watch("decoding", start / contents.n)
    return Decompressed(
        torch.from_numpy(np.concatenate(parts)),
        torch.tensor(rows, dtype=torch.int64),
        contents.n,
        damaged,
        None if told is None else torch.from_numpy(told),
        contents.names,
        None if contents.labels is None else torch.tensor(contents.labels),
    )


def _code_all(
    plan: Plan, x: Rows, length: int, check: bool, watch: Watch
) -> tuple[list[Block], Cost]:
    blocks, costs, reach = list[Block](), list[Cost](), START
    for rows in slices(0, len(x), length):
        try:
            block, cost = code_block(plan, x[rows], rows.start, reach)
        except ValueError as error:
            raise ValueError(f"{plan.name}: {error}") from error
        if check and not _comes_back(plan, block, x[rows], rows.start):
            raise ValueError(
                f"{plan.name}: rows {rows.start} to {rows.stop - 1} do not come back: the networks "
                "do not compute the same twice; nothing was written"
            )
        blocks.append(block)
        costs.append(cost)
        reach = block.reach
        watch("coding", rows.stop / len(x))
    return blocks, Cost(*(torch.cat(parts) for parts in zip(*costs, strict=True)))


def _refuse_numbers(rows: int, block: int, grid: int) -> None:
    positive_count("rows", rows)
    positive_count("block", block)
    if rows > MOST_ROWS:
        raise ValueError(f"rows: expected at most {MOST_ROWS}, got {rows}")
    if grid not in range(FINEST + 1):
        raise ValueError(f"grid: expected a number of bits from 0 to {FINEST}, got {grid}")


def _comes_back(plan: Plan, block: Block, x: Rows, start: int) -> bool:
    try:
        return np.array_equal(decode_block(plan, block, start, x[:0]), x)
    except ValueError:
        return False


def _warnings(model: Model, cost: Cost, grid: Grid) -> list[str]:
    """What makes a file longer than the model says."""
    found, step = list[str](), 2.0**-grid.bits
    if not isinstance(model, LatentVariable):
        return found
    narrowest = cost.scale.min().item()
    if narrowest < NARROW * step:
        found.append(
            f"the narrowest posterior has a scale of {narrowest:.2g}, less than {NARROW:.0f} steps "
            f"of the grid of z, {step:.2g}: its draws are misplaced; a finer one "
            f"has grid={grid.bits + 2}"
        )
    if narrowest == torch.inf and model.code_space.kind == "real" and bool(cost.back.any()):
        # No normal posterior, which is told of the points near its mean alone.
        rare = model.code_space.dimension * grid.bins * 2.0**-LEAST
        if rare > RARE:
            found.append(
                f"of {rare:.1%} of the rows an entry of z is one that hardly has a probability, as "
                f"the grid of z has {grid.bins} points; a coarser one has "
                f"grid={max(0, grid.bits - 2)}"
            )
    return found
