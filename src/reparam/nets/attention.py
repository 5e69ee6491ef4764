"""Attention among places, and the blocks of transformers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Every place reads from all places that are seen, or of these from those before it.

    softmax(Q Kᵀ / √d) V in each of several heads, with d = width / heads.

    Args:
        width: of the vectors at places.
        heads: a divisor of the width.
        causal: whether a place sees only itself and the places before it.

    Shape: (B, T, width) → (B, T, width); seen: bool, that broadcasts to (B, heads, T, T).

    Reference: Vaswani et al. 2017, "Attention is all you need", eq. 1 and section 3.2.2.
    https://arxiv.org/abs/1706.03762

    >>> Attention(8, 2)(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    shares_weights = True  # among the places: there is more work than the weights show

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads: expected a divisor of the width {width}, got {heads}")
        self.heads, self.causal = heads, causal
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, seen: Tensor | None = None) -> Tensor:
        query, key, value = self._split(h)
        read = F.scaled_dot_product_attention(query, key, value, seen, is_causal=self.causal)
        return self.out(read.transpose(1, 2).flatten(2))

    def weights(self, h: Tensor) -> Tensor:
        """How much every place reads from every other, (B, heads, T, T); rows sum to 1."""
        query, key, _ = self._split(h)
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        if self.causal:
            scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        return scores.softmax(3)

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (B, heads, T, width / heads) each."""
        query, key, value = self.project(h).unflatten(2, (3, self.heads, -1)).unbind(2)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)


class AttentionBlock(nn.Module):
    """Attention and a perceptron, each normalized before and added after, with dropout.

    Shape: (B, T, width) → (B, T, width).

    >>> AttentionBlock(8, Attention(8, 2))(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, attention: Attention, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = attention
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, seen: Tensor | None = None) -> Tensor:
        h = h + self.dropout(self.attention(self.norms[0](h), seen))
        return h + self.dropout(self.mlp(self.norms[1](h)))

    def weights(self, h: Tensor) -> Tensor:
        """Those of its attention, of the same h."""
        return self.attention.weights(self.norms[0](h))
