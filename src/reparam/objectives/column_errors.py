"""Reconstruction errors of mixed data, every column by its kind and all of one weight."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.model import Space

LEAST = 0.1  # nats: the entropy of a flag that is set in 2 % of the rows


class ColumnErrors(nn.Module):
    """Σ_i w_i e_i over the columns: squared errors of numbers, cross-entropies of flags and names.

    1/w_i is what the best constant answer costs in training: the variance of numbers, the entropy
    of flags and names, but at least ``LEAST`` nats, as a value that hardly ever occurs would rule
    the others. Outputs are deviations from these answers, of numbers in units of their deviation:
    where nothing is reconstructed each column costs about 1, from the start. Cells that are missing
    have no error.

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
        self.register_buffer("scale", torch.ones(len(columns)))  # of numbers
        self.register_buffer("start", torch.zeros(*self.parameter_shape))  # the best constants
        self.flags: Tensor
        self.names: Tensor
        self.beyond: Tensor
        self.costs: Tensor
        self.scale: Tensor
        self.start: Tensor

    def forward(self, outputs: Tensor, x: Tensor) -> Tensor:
        missing, outputs = x.isnan(), self._answers(outputs)
        numbers = outputs[:, 0]
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
        outputs = self._answers(outputs)
        numbers = outputs[:, 0]
        x = torch.where(self.flags, numbers.sigmoid(), numbers)
        if self.named:
            x = x.index_copy(1, self.names, self._logits(outputs).argmax(1).to(x))
        return x

    @torch.no_grad()
    def learn(self, parts: Iterable[Tensor]) -> None:
        """Read what the best constant answers cost, of training rows (N, D) in network units."""
        x = torch.cat([part.to(numerics.accumulator(part)) for part in parts])
        for index in range(x.shape[1]):
            values = x[:, index][~x[:, index].isnan()]
            if self.flags[index] or index in self.named:
                counts = values.long().bincount(minlength=max(2, len(self.start))).to(values)
                shares = counts / counts.sum().clamp(min=1)
                self.costs[index] = torch.special.entr(shares).sum().clamp(min=LEAST)
                logs = counts.clamp(min=0.5).log()  # half a row of what never occurs
                flag = bool(self.flags[index])
                chosen = (logs[1] - logs[0])[None] if flag else logs[: len(self.start)]
                self.start[: len(chosen), index] = chosen.to(self.start)
            else:
                deviation = values.std(correction=0)
                # A number that is always the same costs nothing: it counts as it is.
                scale = torch.where(deviation > 0, deviation, 1.0)
                self.scale[index], self.costs[index] = scale, scale.square()
                self.start[0, index] = values.mean()

    def _answers(self, outputs: Tensor) -> Tensor:
        """What the outputs say: numbers in network units, and logits."""
        return self.start + outputs * self.scale

    def _logits(self, outputs: Tensor) -> Tensor:
        return outputs[:, :, self.names].masked_fill(self.beyond, -torch.inf)
