"""What to say where most indices of codes are idle, or where outputs no longer depend on x."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam import data, numerics
from reparam.batching import rows_at_once
from reparam.data import Split
from reparam.inspection import Assigns
from reparam.model import Encoder, Model

LEAST_USED = 0.1  # of K: a perplexity below it is a collapse
PER_CODE, FEWEST_ROWS, MOST_ROWS = 20, 100, 2000  # indices that are counted, and rows of them
LEAST_TOLD = 0.1  # of ln K: information of an output on x, below which outputs are all alike
REMEDY = (
    "try fewer codes or more epochs; where codes are learned, restart above 0, start=k-means or a "
    "lower beta"
)


def has_indices(model: Model) -> bool:
    """Whether the model's codes are indices, of which one can count how often each is used."""
    return isinstance(model, Encoder) and model.code_space.kind == "levels"


def by_codebook(model: Encoder, code: Tensor) -> list[Tensor]:
    """The indices of each codebook, (N, sites), the coarsest first.

    Every grid has one, and of a grid (depth, …) every level of its depth.
    """
    sizes = [math.prod(grid) for grid in model.grids]
    parts = zip(code.flatten(1).split(sizes, 1), model.grids, strict=True)
    levels = [
        part.unflatten(1, (grid[0], -1)).unbind(1) if len(grid) > 1 else (part,)
        for part, grid in parts
    ]
    return [level for of_grid in levels for level in of_grid]


def index_counts(model: Encoder, code: Tensor) -> Tensor:
    """How often codes (N, *code_space.shape) hold each index, (codebooks, K)."""
    codes = model.code_space.level_count
    assert codes is not None
    parts = by_codebook(model, code)
    return torch.stack([torch.bincount(part.flatten().long(), minlength=codes) for part in parts])


def collapse(counts: Tensor) -> str:
    """What there is to say of codebooks of which under a tenth is used; often nothing.

    By the perplexity of the counts (codebooks, K), of codebooks that could have shown every code.

    >>> collapse(torch.tensor([[90, 9, 1] + 60 * [0]]))
    'most of 63 codes are idle: perplexity 1.4; try fewer codes or more epochs; where codes are \
learned, restart above 0, start=k-means or a lower beta'
    """
    books, codes = counts.shape
    found = numerics.perplexity(counts.double()).tolist()
    enough = (counts.sum(1) >= codes).tolist()
    small = [i for i in range(books) if enough[i] and found[i] < LEAST_USED * codes]
    if not small:
        return ""
    layers = [f" (layer {books - i})" if books > 1 else "" for i in small]
    each = ", ".join(f"{found[i]:.2g}{layer}" for i, layer in zip(small, layers, strict=True))
    return f"most of {codes:,} codes are idle: perplexity {each}; {REMEDY}"


def alike(assigned: Tensor) -> str:
    """What there is to say of assignments (N, K) that are nearly the same for all x; else nothing.

    H(mean) − mean H is what an assignment tells of x, in nats, between 0 and ln K.

    >>> alike(torch.eye(4)), alike(torch.full((4, 4), 0.25)).partition(":")[0]
    ('', 'outputs have collapsed, to uniform ones')
    """
    nats = math.log(assigned.shape[1])
    mean = torch.special.entr(assigned.double().mean(0)).sum().item()
    single = torch.special.entr(assigned.double()).sum(1).mean().item()
    if len(assigned) == 1 or mean - single >= LEAST_TOLD * nats:
        return ""
    end = "uniform ones" if mean > 0.5 * nats else "the same few prototypes"
    return (
        f"outputs have collapsed, to {end}: of {nats:.2g} nats they tell {mean - single:.2g} of x; "
        "train longer, or try weaker views, or temperatures further apart, with center below 1"
    )


@torch.no_grad()
def collapse_of(model: Model, split: Split) -> str:
    """``collapse`` or ``alike`` by some rows of a split; nothing for other codes.

    They are as many as have ``PER_CODE`` indices for every code, within limits.
    """
    if isinstance(model, Assigns):
        rows = _some(len(split), FEWEST_ROWS)
        blocks = rows.split(rows_at_once(model.space))
        return alike(torch.cat([model.assigned(split.x[block]) for block in blocks]))
    if not isinstance(model, Encoder) or not has_indices(model):
        return ""
    wanted = PER_CODE * (model.code_space.level_count or 0) // model.code_space.dimension
    rows = _some(len(split), min(max(wanted, FEWEST_ROWS), MOST_ROWS))
    c = data.condition(model, split)
    counts = [
        index_counts(model, model.encode(split.x[part], None if c is None else c[part]))
        for part in rows.split(rows_at_once(model.space))
    ]
    return collapse(torch.stack(counts).sum(0))


def _some(rows: int, wanted: int) -> Tensor:
    """So many of the rows, or all, evenly over them."""
    return torch.linspace(0, rows - 1, min(wanted, rows)).round().long()
