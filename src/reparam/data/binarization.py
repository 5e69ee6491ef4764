"""Binary x of gray values: by a threshold, by one fixed draw, or drawn afresh in training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from reparam.data.contents import Array, Contents
from reparam.data.large_arrays import blank, changed, is_mapped

Binarization = int | float | Literal["static", "dynamic"]
ROWS_PER_DRAW = 4096  # bounds the memory of a static draw


@dataclass(frozen=True)
class Gray:
    """Levels g of which binary x are draws, P(x = 1) = g/(K−1), every entry on its own.

    Args:
        values: (N, *shape), integers 0 … K−1.
        levels: K.

    Reference: Burda et al. 2016 (IWAE), section 5, for gray images drawn afresh while training.

    >>> Gray(torch.tensor([[0, 255]], dtype=torch.uint8), 256).values.shape
    torch.Size([1, 2])
    """

    values: Tensor
    levels: int


def draw(values: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    """A draw of x ∈ {0, 1} for gray values of any shape, on their device, uint8.

    A uniform integer below K−1 is less than g with probability g/(K−1) exactly.

    >>> draw(torch.tensor([0, 16]), 17, torch.Generator().manual_seed(0))
    tensor([0, 1], dtype=torch.uint8)
    """
    uniform = torch.empty_like(values).random_(0, levels - 1, generator=generator)
    return (uniform < values).to(torch.uint8)


def binarized(
    contents: Contents, how: Binarization, levels: int | None, seed: int
) -> tuple[Contents, str]:
    """Levels or real data as 0 and 1, by a threshold or by a Bernoulli draw, and a note on how.

    Levels are divided by K−1 first, so that they are probabilities; real data are compared with
    the threshold in their own units. The name of the data says how too: numbers of different
    binarizations are not to be compared. ``"dynamic"`` keeps the levels beside one fixed draw.

    Raises:
        ValueError: a threshold outside (0, 1) for levels, or a draw from real data.

    >>> from reparam.data.contents import SplitArrays
    >>> x = np.array([[0, 130], [255, 127]], np.uint8)
    >>> gray = Contents({"train": SplitArrays(x)}, "gray", "array")
    >>> half, how = binarized(gray, 0.5, 256, seed=0)
    >>> half.splits["train"].x.tolist(), how
    ([[0, 1], [1, 0]], 'Binarized: x/255 > 0.5.')
    """
    if how == "static" or how == "dynamic":
        if levels is None:
            raise ValueError(
                f"binarize: {how!r} draws with probability x/(K−1) and so needs levels; real "
                "data take a threshold in their own units"
            )
        return _drawn(contents, levels, seed, afresh=how == "dynamic")
    if levels is not None and not 0 < how < 1:
        raise ValueError(f"binarize: expected a threshold of x/(K−1) in (0, 1), got {how}")
    cut = how if levels is None else how * (levels - 1)
    what = f"{'x' if levels is None else f'x/{levels - 1}'} > {how}"
    above = contents.with_x(lambda x: changed(x, lambda rows: rows > cut, np.uint8))
    return replace(above, name=f"{contents.name}, {what}"), f"Binarized: {what}."


def _drawn(contents: Contents, levels: int, seed: int, afresh: bool) -> tuple[Contents, str]:
    """x by one fixed Bernoulli draw of its levels, which stay beside it to be drawn afresh."""
    rng, top, gray = np.random.default_rng(seed), levels - 1, contents.splits
    drawn = contents.with_x(lambda x: _fixed_draw(x, top, rng))
    fixed = f"one fixed Bernoulli draw of x/{top}, seed {seed}"
    if not afresh:
        name = f"{contents.name}, statically binarized"
        return replace(drawn, name=name), f"Binarized by {fixed}."
    splits = {split: replace(arrays, gray=gray[split].x) for split, arrays in drawn.splits.items()}
    name = f"{contents.name}, dynamically binarized"
    how = (
        f"Binarized dynamically: training draws x/{top} afresh in every batch; validation and "
        f"evaluation read {fixed}."
    )
    return replace(drawn, splits=splits, name=name, gray_levels=levels), how


def _fixed_draw(x: Array, top: int, rng: np.random.Generator) -> Array:
    drawn = blank(x.shape, np.uint8, on_disk=is_mapped(x))
    for start in range(0, len(x), ROWS_PER_DRAW):
        rows = slice(start, start + ROWS_PER_DRAW)
        drawn[rows] = rng.random(x[rows].shape, np.float32) * np.float32(top) < x[rows]
    return drawn
