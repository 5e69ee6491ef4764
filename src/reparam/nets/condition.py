"""Labels and attributes as input of a network."""

from __future__ import annotations

from torch import Tensor, nn

from reparam.model import Space


class Condition(nn.Module):
    """What a condition adds to a layer of ``width`` units: a linear map without a bias.

    Of the class label, as one-hot vector, that is an embedding; of attributes a matrix. Adding,
    unlike concatenating to the input, leaves the other sums as they are: with these weights at
    zero the network computes exactly what it does without a condition.

    Args:
        space: how many attributes (standardized) or, without any, classes there are.
        width: units of the layer.

    Shape: c (B,) int64, or (B, attributes) → (B, width).

    >>> import torch
    >>> Condition(Space((4,), "real", classes=10), 16)(torch.tensor([3, 0, 9])).shape
    torch.Size([3, 16])
    >>> Condition(Space((4,), "real", attributes=2), 16)(torch.zeros(3, 2)).shape
    torch.Size([3, 16])
    """

    def __init__(self, space: Space, width: int) -> None:
        super().__init__()
        self.map: nn.Module
        if space.attributes is not None:
            self.map = nn.Linear(space.attributes, width, bias=False)
        elif space.classes is None:
            raise ValueError("conditional: expected data with labels or attributes, got none")
        else:
            self.map = embedding = nn.Embedding(space.classes, width)
            nn.init.normal_(embedding.weight, std=space.classes**-0.5)

    def forward(self, c: Tensor) -> Tensor:
        return self.map(c)
