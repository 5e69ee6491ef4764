"""Labels and attributes as input of a network."""

from __future__ import annotations

from torch import Tensor, nn


class Condition(nn.Module):
    """What a condition adds to a layer of ``width`` units: an embedding of the class label.

    Adding, unlike concatenating to the input, leaves the other sums as they are: with these
    weights at zero the network computes exactly what it does without a condition.

    Args:
        classes: how many labels there are.
        width: units of the layer.

    Shape: c (B,) int64 → (B, width).

    >>> import torch
    >>> Condition(10, 16)(torch.tensor([3, 0, 9])).shape
    torch.Size([3, 16])
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)
        nn.init.normal_(self.embedding.weight, std=classes**-0.5)

    def forward(self, c: Tensor) -> Tensor:
        return self.embedding(c)
