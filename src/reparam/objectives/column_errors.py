"""Reconstruction errors of mixed data, every column by its kind and all of one weight."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.model import Space


class ColumnErrors(nn.Module):
    """Σ_i w_i e_i over the columns: squared errors of numbers, cross-entropies of flags and names.

    1/w_i is what the best constant answer costs in training: the variance of numbers, the entropy
    of flags and names. So no column rules by its unit or by how many values it has, and the sum is
    about D where nothing is reconstructed. Cells that are missing have no error.

    Args:
        space: of mixed data.

    Shape: outputs (B, P, D), x (B, D) in network units → errors (B, D); P is the most names that a
    column has.

    >>> from reparam.model import Column
    >>> columns = (Column("height", "real"), Column("city", "category", 3))
    >>> errors = ColumnErrors(Space((2,), "mixed", columns=columns))
    >>> errors.learn([torch.tensor([[-1.0, 0], [1.0, 1], [torch.nan, 2]])])
    >>> errors(torch.zeros(1, 3, 2), torch.tensor([[1.0, 2.0]]))
    tensor([[1., 1.]])
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        columns = space.columns or ()
        kinds = [c.kind for c in columns]
        self.named = [i for i, kind in enumerate(kinds) if kind == "category"]
        self.counts = [columns[i].count or 1 for i in self.named]
        most = max(self.counts, default=1)
        self.parameter_shape = (most, len(columns))
        masks = {
            "flags": torch.tensor([kind == "binary" for kind in kinds]),
            "names": torch.tensor(self.named, dtype=torch.long),
            "beyond": torch.arange(most)[:, None] >= torch.tensor(self.counts, dtype=torch.long),
        }
        for name, buffer in masks.items():
            self.register_buffer(name, buffer, persistent=False)
        self.register_buffer("costs", torch.ones(len(columns)))
        self.flags: Tensor
        self.names: Tensor
        self.beyond: Tensor
        self.costs: Tensor

    def forward(self, outputs: Tensor, x: Tensor) -> Tensor:
        missing, numbers = x.isnan(), outputs[:, 0]
        there = torch.where(missing, 0.0, x)
        flags = F.binary_cross_entropy_with_logits(numbers, there, reduction="none")
        errors = torch.where(self.flags, flags, (numbers - there).square())
        if self.named:
            chosen = there[:, self.names].long()
            names = F.cross_entropy(self._logits(outputs), chosen, reduction="none")
            errors = errors.index_copy(1, self.names, names)
        return torch.where(missing, 0.0, errors / self.costs)

    def center(self, outputs: Tensor) -> Tensor:
        """x in network units (B, D): numbers, probabilities of flags, the most probable names."""
        numbers = outputs[:, 0]
        x = torch.where(self.flags, numbers.sigmoid(), numbers)
        if self.named:
            x = x.index_copy(1, self.names, self._logits(outputs).argmax(1).to(x))
        return x

    @torch.no_grad()
    def learn(self, parts: Iterable[Tensor]) -> None:
        """Read what the best constant answers cost, of training rows (N, D) in network units."""
        x = torch.cat([part.double() for part in parts])
        for index in range(x.shape[1]):
            values = x[:, index][~x[:, index].isnan()]
            if self.flags[index] or index in self.named:
                shares = values.long().bincount().double() / max(1, len(values))
                cost = torch.special.entr(shares).sum()
            else:
                cost = values.var(correction=0)
            # A column that is always the same costs nothing: it counts as it is.
            self.costs[index] = torch.where(cost > 0, cost, 1.0)

    def _logits(self, outputs: Tensor) -> Tensor:
        return outputs[:, :, self.names].masked_fill(self.beyond, -torch.inf)
