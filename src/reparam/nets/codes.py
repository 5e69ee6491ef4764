"""Codes without an order: how networks read them, and the rows of a matrix that they choose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def code_index(x: Tensor, codes: int) -> Tensor:
    """The codes 0 … K−1 of entries in network units, k/(K−1), as integers.

    >>> code_index(torch.tensor([0.0, 0.5, 1.0]), 3).tolist()
    [0, 1, 2]
    """
    return (x * (codes - 1)).round().long()


def sum_of_rows(index: Tensor, tables: Tensor) -> Tensor:
    """The row that each entry chooses in its own table, summed: (n, T), (T, K, W) → (n, W).

    It is the product of the entries, one-hot, with the tables below each other, and K times fewer
    numbers are read.

    >>> sum_of_rows(torch.tensor([[0, 1]]), torch.arange(4.0).view(2, 2, 1)).tolist()
    [[3.0]]
    """
    entries, codes, _ = tables.shape
    first = codes * torch.arange(entries, dtype=index.dtype, device=index.device)
    return F.embedding_bag(index + first, tables.flatten(0, 1), mode="sum")


def as_tables(rows: Tensor, codes: int) -> Tensor:
    """The rows (T·K, W) of one-hot entries as tables (T, 1 + K, W): 0 chooses zeros, 1 + k row k.

    With K = 0, where nothing is one-hot, they stay as they are.

    >>> as_tables(torch.ones(6, 2), 3)[0, :, 0].tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    return F.pad(rows.unflatten(0, (-1, codes)), (0, 0, 1, 0)) if codes else rows


def product(seen: Tensor, rows: Tensor) -> Tensor:
    """What is seen (n, T) times the rows of a matrix (T, W), or the rows it chooses in tables."""
    return torch.mm(seen, rows) if rows.ndim == 2 else sum_of_rows(seen, rows)


class CodeEmbedding(nn.Embedding):
    """A vector for every code of an entry, from the table of that entry.

    Args:
        tables: which table each entry reads.
        codes: K.
        width: of the vectors.

    Shape: x (B, n) of n consecutive entries, in network units → (B, n, width).

    >>> CodeEmbedding((0, 0, 0), 5, 8)(torch.zeros(2, 1), slice(1, 2)).shape
    torch.Size([2, 1, 8])
    """

    def __init__(self, tables: Sequence[int], codes: int, width: int) -> None:
        super().__init__(codes * (max(tables) + 1), width)
        self.codes = codes
        self.register_buffer("first", codes * torch.tensor(tables), persistent=False)
        self.first: Tensor
        bound = len(tables) ** -0.5  # as that of a linear layer of so many inputs
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor, entries: slice) -> Tensor:  # type: ignore[override]
        return F.embedding(self.first[entries] + code_index(x, self.codes), self.weight)
