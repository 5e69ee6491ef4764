"""What is coded: rows and conditions as numbers that a file holds exactly."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.batching import slices
from reparam.checkpoint import checksum
from reparam.coding.blocks import Rows, Told
from reparam.coding.file import Contents
from reparam.coding.leaves import PRECISION, coder_version
from reparam.coding.ways import most_levels
from reparam.conditions import condition_of, placed
from reparam.model import Model, Space
from reparam.wording import name_of

ROWS, NUMBERS_AT_ONCE = 32, 2**17  # rows that networks are given at once, entries of x in these
PROBABILITIES_AT_ONCE = 2**25  # of all levels of these entries
ROWS_CHECKED = 1000  # at once


def twin_of(model: Model) -> Model:
    """The model in float64 on the CPU, where it computes the same again whoever asks.

    Raises:
        ValueError: weights of 16 bits, in which conditions and what is estimated are rounded.
    """
    refuse_half(model)
    return copy.deepcopy(model).cpu().double().eval()


def refuse_half(model: Model) -> None:
    """ValueError for weights of 16 bits, with what to do."""
    if (dtype := model.anchor.dtype) not in (torch.float32, torch.float64):
        raise ValueError(
            f"model: expected weights of float32 or float64, got {dtype}; give model.float(), or "
            "the one that was saved"
        )


def batch_size(space: Space) -> int:
    """B, for how many rows networks run: a walk keeps tables of all levels of these."""
    listed = space.dimension * most_levels(space)
    numbers = min(NUMBERS_AT_ONCE // space.dimension, PROBABILITIES_AT_ONCE // listed)
    return max(1, min(ROWS, numbers))


def raw_bits(space: Space) -> float:
    """Of a row whose values are all equally long.

    >>> raw_bits(Space((1, 2, 2), "levels", levels=256))
    32.0
    """
    if space.columns:
        return sum(math.log2(column.count or 1) for column in space.columns)
    return space.dimension * math.log2(space.level_count or 1)


def checked(model: Model, x: Tensor, c: object) -> tuple[Rows, NDArray[np.generic] | None]:
    """x as whole numbers, and the conditions.

    Raises:
        ValueError: no rows, missing cells, or what ``prepare`` refuses.
    """
    if len(x) == 0:
        raise ValueError("x: expected at least one row, got none")
    if x.is_floating_point() and bool(x.isnan().any()):
        row = int(x.isnan().flatten(1).any(1).nonzero()[0])
        raise ValueError(
            f"x: row {row} has missing cells, which have no code; fill them first, as "
            "reparam complete does"
        )
    told = None if c is None else conditions(model, c, len(x))
    parts, of = [], []
    for rows in slices(0, len(x), ROWS_CHECKED):
        own = None if told is None else torch.from_numpy(told[rows])
        _, condition = model.prepare(x[rows], own)  # whose type may round what it accepts
        parts.append(x[rows].to(torch.int64).cpu().numpy().astype(_type_of(model.space)))
        of += [] if condition is None else [condition.cpu().numpy()]
    return np.concatenate(parts), np.concatenate(of) if of else None


def conditions(model: Model, c: object, rows: int) -> NDArray[np.generic]:
    """Those of so many rows; ValueError where there are none to be given."""
    if not model.conditional:
        raise ValueError(f"c: {name_of(model)} is not conditional, expected None")
    found: NDArray[np.generic] = (
        placed(condition_of(c, rows, model.space, model.class_names), model.space, model.anchor)
        .cpu()
        .numpy()
    )
    return found


def teller(model: Model, told: NDArray[np.generic] | None) -> Told:
    """The conditions of some rows, the last one repeated until they are so many."""

    def tell(rows: slice, size: int) -> Tensor | None:
        if told is None:
            return None
        own = torch.from_numpy(told[rows])
        own = own.to(model.anchor) if own.is_floating_point() else own
        return torch.cat([own, own[-1:].expand(size - len(own), *own.shape[1:])])

    return tell


def refuse_other(model: Model, contents: Contents) -> None:
    """ValueError where the file was not made with this model, or not as files are made now."""
    space = model.space
    held = _data(contents.shape, contents.kind, contents.levels)
    if held != (own := _data(space.shape, space.kind, space.levels)):
        raise ValueError(
            f"file: holds {held}, and {name_of(model)} is a model of {own}; give the run that made "
            "it"
        )
    if contents.model != checksum(model):
        raise ValueError(
            f"file: was made with other weights ({contents.preset or 'a model'} {contents.model}) "
            f"than these ({name_of(model)} {checksum(model)}); give the run that made it"
        )
    if contents.precision != PRECISION:
        raise ValueError(
            f"file: was made by reparam {contents.version}, which rounds parameters to 2^-"
            f"{contents.precision} and not 2^-{PRECISION}; take that version"
        )
    if _minor(contents.coder) != _minor(coder_version()):
        raise ValueError(
            f"file: was made with constriction {contents.coder}, and {coder_version()} is "
            f"installed; pip install 'constriction=={_minor(contents.coder)}.*'"
        )


def _data(shape: tuple[int, ...], kind: str, levels: int | None) -> str:
    return f"{kind if levels is None else f'{levels} {kind}'} data of shape {shape}"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _type_of(space: Space) -> type[np.generic]:
    if space.columns:
        return np.int64
    return np.uint8 if (space.level_count or 0) <= 256 else np.int32
