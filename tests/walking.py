"""Walks with all values known: what their products are, and small numbers to make them of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import reparam as rp
from reparam.model import Distribution, Space

F64 = torch.float64
B = 3


@dataclass
class Leaf:
    """A part whose entries are independent, and its values."""

    p: Distribution
    values: Tensor


def along(p: Distribution, x: Tensor) -> tuple[Tensor, list[Leaf]]:
    """What a walk with the values of x gives, and its leaves in turn, of parts of parts too."""
    leaves: list[Leaf] = []

    def visit(part: Distribution, values: Tensor) -> Tensor:
        if not part.undivided:
            return part.walk(lambda own, sites: visit(own, part.part(values, sites)))
        leaves.append(Leaf(part, values))
        return values

    return p.walk(lambda part, sites: visit(part, p.part(x, sites))), leaves


def total(leaves: list[Leaf], rows: int) -> Tensor:
    """log of the product, (rows,), to which cells that are missing add nothing."""
    found = torch.zeros(rows, dtype=F64)
    for leaf in leaves:
        missing = leaf.values.isnan()
        terms = leaf.p.log_prob_terms(torch.where(missing, 0, leaf.values))
        found = found + torch.where(missing.flatten(1), 0, terms).sum(1)
    return found


def drawn(p: Distribution) -> Tensor:
    """A draw by the walk itself."""
    generator = torch.Generator().manual_seed(0)

    def visit(part: Distribution, sites: Any) -> Tensor:
        return part.rsample(generator) if part.undivided else part.walk(visit)

    return p.walk(visit)


def check(p: Distribution, x: Tensor, wanted: Tensor) -> list[Leaf]:
    """That the walk returns x, sums to ``wanted``, and that its leaves are what leaves must be."""
    found, leaves = along(p, x)
    assert torch.equal(torch.nan_to_num(found, nan=-1.0), torch.nan_to_num(x.to(found), nan=-1.0))
    torch.testing.assert_close(total(leaves, len(x)), wanted.double(), rtol=1e-10, atol=1e-10)
    for leaf in leaves:
        check_table(leaf)
    return leaves


def check_table(leaf: Leaf) -> None:
    """Rows that sum to 1, and every level that there is as ``log_prob_terms`` has it."""
    table = leaf.p.table()
    if table is None:
        return
    assert table.shape[:2] == leaf.values.flatten(1).shape
    torch.testing.assert_close(table.sum(2), torch.ones_like(table[..., 0]))
    for level in range(table.shape[2]):
        there = table[..., level] > 0  # some columns have fewer
        level_of_each = torch.where(there, level, 0).view(leaf.values.shape).double()
        terms = leaf.p.log_prob_terms(level_of_each).exp()
        torch.testing.assert_close(terms[there], table[..., level][there])


def numbers(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def bits(*shape: int) -> Tensor:
    return (numbers(*shape, seed=5) > 0).double()


def scattered(module: Any) -> Any:
    """In evaluation and float64, with weights that matter."""
    generator = torch.Generator().manual_seed(1)
    module = module.double().eval().requires_grad_(False)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=F64)
        parameter.add_(0.3 * noise)
    return module


COLUMNS = (
    rp.Column("rooms", "levels", 4),
    rp.Column("city", "category", 3),
    rp.Column("owned", "binary"),
    rp.Column("floors", "levels", 2),
    rp.Column("street", "category", 5),
)
TABLE = Space((5,), "mixed", columns=COLUMNS)
REALS = Space((6,), "mixed", columns=(*COLUMNS[:3], rp.Column("size", "real"), *COLUMNS[3:]))
HOUSES = Space((5,), "mixed", columns=(rp.Column("rooms", "levels", 4, low=5), *COLUMNS[1:]))
