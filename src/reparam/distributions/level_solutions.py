"""Levels of which sums with weights that differ are given: drawn among all that there are."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam import numerics
from reparam.degradation import Degradation
from reparam.distributions.conditioned import Conditioned, Groups
from reparam.distributions.level_sums import (
    NUMBERS_AT_ONCE,
    ROUNDINGS,
    draw_index,
    refuse_impossible,
)
from reparam.model import Distribution

MOST_SOLUTIONS = 2**22  # of all groups of a row, which are looked at in every step


class LevelSolutions(Conditioned):
    """Levels 0 … K−1 of which Σ w_i x_i is given for each group, by a list of the solutions.

    Of three colors of 256 levels and their luma, in thousandths, there are about a hundred.

    Args:
        given: a degradation whose y are sums of disjoint groups of as many entries, of three at
            most, with the same weights in every group.
        y: (R, *given.given).
        groups: of the degradation.
        levels: K.
        within: how far y may be from A x, in its units.

    Raises:
        ValueError: a y that is left of no levels, or of too many, as a rounded one is.
    """

    def __init__(
        self, given: Degradation, y: Tensor, groups: Groups, levels: int, within: float = 0.0
    ) -> None:
        super().__init__(given, y)
        self.groups = groups
        flat = y.flatten(1).double()
        reach = max(within, ROUNDINGS * torch.finfo(y.dtype).eps * max(1, levels - 1))
        values, which = flat.unique(return_inverse=True)
        weights, parts = groups.weights[0], groups.members.shape[1]
        level = torch.arange(levels, device=y.device)
        before = torch.cartesian_prod(*[level] * (parts - 1)).view(-1, parts - 1)
        summed = before.double() @ weights[:-1]
        found = [_solutions(v, reach, before, summed, weights[-1], levels) for v in values]
        counts = torch.tensor([len(each) for each in found], device=y.device)
        refuse_impossible((counts == 0)[which], flat, given, within)
        most = int(counts.max())
        if most * len(groups.members) > MOST_SOLUTIONS:
            raise ValueError(
                f"y: of a value of {given.name} up to {most} colors are left; give y as it was, "
                f"not rounded, or train a model with given={given.name}"
            )
        self.solutions = before.new_zeros(len(values), most, parts)
        for row, each in zip(self.solutions, found, strict=True):
            row[: len(each)] = each
        self.there = torch.arange(most, device=y.device) < counts.unsqueeze(1)
        self.which = which

    def log_prob(self, law: Distribution) -> Tensor:
        return torch.cat([each.logsumexp(2).sum(1) for _, each in self._parts(law)])

    def _draw(self, law: Distribution, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        like = self.y.new_empty(self.which.shape, dtype=torch.float64)
        uniform = numerics.noise(like, "uniform", generator)
        drawn, evidence = [], []
        for part, each in self._parts(law):
            chosen = draw_index(each, uniform[part])
            drawn.append(self.solutions[self.which[part], chosen])
            evidence.append(each.logsumexp(2).sum(1))
        values = torch.cat(drawn)
        x = uniform.new_zeros(len(values), self.groups.members.numel())
        return self.groups.back(values, x), torch.cat(evidence)

    def _parts(self, law: Distribution) -> list[tuple[slice, Tensor]]:
        """Rows, and the log-probabilities of all solutions of their groups, (R, M, S)."""
        table = law.log_table()
        assert table is not None
        found, groups = [], len(self.groups.members)
        rows = max(1, NUMBERS_AT_ONCE // (groups * self.solutions.shape[1]))
        for start in range(0, len(table), rows):
            part = slice(start, start + rows)
            which = self.which[part]
            leaves = table[part].double()[:, self.groups.members]  # (R, M, n, K)
            values = self.solutions[which]  # (R, M, S, n)
            total = sum(leaves[:, :, j].gather(2, values[..., j]) for j in range(leaves.shape[2]))
            assert isinstance(total, Tensor)
            found.append((part, torch.where(self.there[which], total, -torch.inf)))
        return found


def _solutions(
    y: Tensor, reach: float, before: Tensor, summed: Tensor, weight: Tensor, levels: int
) -> Tensor:
    """All x with Σ w x within reach of y, (S, n): the last entry by those before it."""
    first = ((y - reach - summed) / weight).ceil().clamp(min=0).long()
    last = ((y + reach - summed) / weight).floor().clamp(max=levels - 1).long()
    counts = (last - first + 1).clamp(min=0)
    row = torch.repeat_interleave(counts)
    step = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    return torch.cat([before[row], (first[row] + step).unsqueeze(1)], 1)
