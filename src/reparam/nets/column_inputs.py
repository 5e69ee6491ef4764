"""How networks see mixed data: numbers as they are, names one-hot, what is missing by a mask."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.model import Column


class ColumnInputs(nn.Module):
    """Mixed data as numbers: an entry of K names becomes K inputs, one-hot; of others it is one.

    Of entries that are missing, NaN, all inputs are 0.

    Args:
        columns: of x.

    Shape: x (B, D) in network units → (B, W); ``entries`` (W,) says which entry each input is of,
    ``slots`` which inputs are of an entry.

    >>> columns = (Column("height", "real"), Column("city", "category", 3))
    >>> ColumnInputs(columns)(torch.tensor([[0.5, 2.0], [torch.nan, 0.0]])).tolist()
    [[0.5, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]]
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        widths = [c.count or 1 if c.kind == "category" else 1 for c in columns]
        self.width = sum(widths)
        entries = torch.repeat_interleave(torch.arange(len(columns)), torch.tensor(widths))
        named = torch.tensor([c.kind == "category" for c in columns])[entries]
        values = torch.cat([torch.arange(width) for width in widths])
        edges = [0, *accumulate(widths)]
        self.slots = [slice(a, b) for a, b in pairwise(edges)]
        buffers = {"entries": entries, "named": named, "values": values}
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)
        self.entries: Tensor
        self.named: Tensor
        self.values: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self._coded(x[:, self.entries], slice(None))

    def of_entry(self, x: Tensor, entry: int) -> Tensor:
        """The inputs of a single entry, from its values (B, 1)."""
        return self._coded(x, self.slots[entry])

    def _coded(self, seen: Tensor, inputs: slice) -> Tensor:
        chosen = torch.where(self.named[inputs], (seen == self.values[inputs]).to(seen), seen)
        return torch.where(chosen.isnan(), 0.0, chosen)


class ColumnEmbedding(nn.Module):
    """A vector for each entry: its value times a vector of the column's, or that of its name.

    What is missing has a vector of its own, which starts at 0.

    Args:
        columns: of x.
        width: of the vectors.

    Shape: x (B, n) of n consecutive entries, in network units → (B, n, width).

    >>> columns = (Column("height", "real"), Column("city", "category", 3))
    >>> ColumnEmbedding(columns, 8)(torch.zeros(5, 1), slice(1, 2)).shape
    torch.Size([5, 1, 8])
    """

    def __init__(self, columns: Sequence[Column], width: int) -> None:
        super().__init__()
        inputs = ColumnInputs(columns)
        first = torch.tensor([slot.start for slot in inputs.slots])
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("named", inputs.named[first], persistent=False)
        self.first: Tensor
        self.named: Tensor
        bound = len(columns) ** -0.5  # as that of a linear layer of so many inputs
        weight = torch.empty(inputs.width, width).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.missing = nn.Parameter(torch.zeros(len(columns), width))

    def forward(self, x: Tensor, entries: slice) -> Tensor:
        missing, named, first = x.isnan(), self.named[entries], self.first[entries]
        there = torch.where(missing, 0.0, x)
        index = first + torch.where(named, there, 0.0).long()
        value = torch.where(missing, 0.0, torch.where(named, 1.0, there))
        known = self.weight[index] * value.unsqueeze(2)
        return known + missing.to(x).unsqueeze(2) * self.missing[entries]


class ColumnLinear(nn.Module):
    """The first layer of a network of mixed data: y = W inputs(x) + b + M missing(x).

    M starts at 0 and has no bias: complete rows see nothing of it.

    Args:
        columns: of x.
        width: of the layer.

    Shape: x (B, D) in network units, NaN where a cell is missing → (B, width).

    Reference: Nazabal et al. 2020 (HI-VAE), section 4, who put 0 in place of what is missing;
    the mask is added here (https://arxiv.org/abs/1807.03653).

    >>> columns = (Column("height", "real"), Column("city", "category", 3))
    >>> ColumnLinear(columns, 8)(torch.zeros(5, 2)).shape
    torch.Size([5, 8])
    """

    def __init__(self, columns: Sequence[Column], width: int) -> None:
        super().__init__()
        self.inputs = ColumnInputs(columns)
        self.linear = nn.Linear(self.inputs.width, width)
        self.missing = nn.Parameter(torch.zeros(width, len(columns)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.inputs(x))
        return y + F.linear(x.isnan().to(x), self.missing)
